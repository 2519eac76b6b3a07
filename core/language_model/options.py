"""A language model as a user names it."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from core.decoders.base import Decoder
from core.errors import ConfigError
from core.generation.scorers import Scorer, TokenBonus
from core.language_model.arpa import read_arpa
from core.language_model.scorer import NgramScorer
from core.language_model.words import Spelling
from core.tokenization import TrainedTokenizer


@dataclass(frozen=True)
class LanguageModelOptions:
    """A language model that judges what `validate`, `test` and `predict` write. No checkpoint remembers it.

    Attributes:
        path: an ARPA file of the target's tokens, .gz is unpacked; `python -m core.language_model train` makes one.
        weight: above 0, what its log-probabilities are multiplied by before they are added to the model's.
        bonus: what each token adds, since a language model prefers texts that are short.
    """

    path: str | None = None
    weight: float = 0.3
    bonus: float = 0.0

    def __post_init__(self) -> None:
        if not (isfinite(self.weight) and self.weight > 0):
            raise ConfigError(f"model.language_model.weight must be above 0, got {self.weight}: no path for no model")
        if not isfinite(self.bonus):
            raise ConfigError(f"model.language_model.bonus must be a finite number, got {self.bonus}")
        if self.bonus and self.path is None:
            raise ConfigError(
                f"model.language_model.bonus is {self.bonus}, but there is no model.language_model.path: give one, or "
                "set the bonus to 0"
            )

    def scorers(self, tokenizer: TrainedTokenizer, decoder: Decoder) -> tuple[Scorer, ...]:
        """Reads the file: the scorers of generation, none without a path.

        Args:
            tokenizer: the target's.
            decoder: what writes, whose types may be more than the tokenizer's.

        Raises:
            DataError: there is no such file, or it is damaged or of other tokens.
        """
        if self.path is None:
            return ()
        types = decoder.embedding.num_embeddings
        model = NgramScorer(read_arpa(self.path, Spelling(tokenizer)), self.weight, types)
        bonus = [TokenBonus(self.bonus, types, tokenizer.specials.eos)] if self.bonus else []
        return (model, *bonus)
