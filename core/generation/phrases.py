"""Demands on the generated text, as a person writes them."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.errors import ConfigError
from core.generation.constraints import Constraints
from core.tokenization import Tokenizer


@dataclass(frozen=True)
class Phrases:
    """What every target begins with, contains or doesn't contain. Phrases are cut into the vocabulary's tokens.

    Attributes:
        prefix: every target begins with this.
        forbidden: phrases that no target contains, nor words that begin with one in the same tokens.
        required: phrases that every target contains (Post and Vilar 2018); wants beam_size of 2 at least.
    """

    prefix: str = ""
    forbidden: list[str] = field(default_factory=list)
    required: list[str] = field(default_factory=list)

    def encode(self, tokenizer: Tokenizer) -> Constraints:
        """Cuts the phrases into tokens.

        Raises:
            ConfigError: nothing is left of a phrase.
        """

        def cut(name: str, text: str) -> tuple[int, ...]:
            ids = tuple(tokenizer.encode(text))
            if not ids:
                raise ConfigError(f"model.phrases.{name} has an empty phrase, {text!r}: leave it out")
            return ids

        return Constraints(
            prefixes=(cut("prefix", self.prefix),) if self.prefix else (),
            forbidden=tuple(cut("forbidden", text) for text in self.forbidden),
            required=(tuple(cut("required", text) for text in self.required),) if self.required else (),
        )
