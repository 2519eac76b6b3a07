"""Scores of translations, each by the package whose numbers people compare: sacreBLEU."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from core.errors import ConfigError, DataError
from core.metrics.base import CorpusMetric, Score, Scored

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

BLEUTokenizer = Literal["13a", "intl", "zh", "char", "none"]


class SacreBLEUMetric(CorpusMetric):
    """A metric of sacreBLEU (Post 2018), from 0 to 100, with a 95 % confidence interval on request.

    Args:
        n_bootstrap: draws of as many sentences as the corpus has (Koehn 2004); 0 for no interval. It adds the mean
            of the draws as `<name>_mean` and half the width of the interval as `<name>_ci`. Takes time and memory for
            n_bootstrap times the corpus (1,000 draws of 1,000 sentences: 40 MB for BLEU), so keep it for the test.

    Raises:
        ConfigError: `n_bootstrap` is 1 or negative: no interval comes from one draw.
    """

    def __init__(self, n_bootstrap: int = 0) -> None:
        super().__init__()
        if n_bootstrap < 0 or n_bootstrap == 1:
            raise ConfigError(f"metrics.n_bootstrap must be 0 (none) or at least 2, 1000 is usual; got {n_bootstrap}")
        self.n_bootstrap = n_bootstrap

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the score itself."""

    @property
    def names(self) -> tuple[str, ...]:
        """The score's name and, with an interval, those of its mean and its half-width."""
        return (self.name, f"{self.name}_mean", f"{self.name}_ci") if self.n_bootstrap else (self.name,)

    @abstractmethod
    def scorer(self) -> Metric:
        """Makes sacreBLEU's metric."""

    def prepare(self, text: str) -> str:
        """What a hypothesis or reference goes through before sacreBLEU sees it."""
        return text

    @property
    def preparation(self) -> str:
        """What `prepare` does, for the signature; empty for nothing."""
        return ""

    def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
        """Scores the corpus with sacreBLEU's `corpus_score`; examples may differ in their number of references.

        Raises:
            DataError: an example has no reference.
        """
        hypotheses = [self.prepare(example.hypothesis) for example in examples]
        references = [[self.prepare(text) for text in example.references] for example in examples]
        scorer = self.scorer()
        streams: Any = reference_streams(references)  # sacreBLEU's annotation leaves out that None may stand in them
        score: Any = scorer.corpus_score(hypotheses, streams, n_bootstrap=self.n_bootstrap or 1)
        signature = f"{self.preparation}sacrebleu {score.name}|{scorer.get_signature()}"
        values = (score.score, score._mean, score._ci) if self.n_bootstrap else (score.score,)
        return {name: Score(float(value), signature) for name, value in zip(self.names, values, strict=True)}


class BLEU(SacreBLEUMetric):
    """BLEU (Papineni et al. 2002) as sacreBLEU has it: `bleu`, `bleu_lc` when lower-cased, `bleu_char` and so on.

    Args:
        tokenize: sacreBLEU's tokenisation; 13a is the one of published scores, "none" for tokenised text.
        lowercase: ignore case.
        n_bootstrap: see `SacreBLEUMetric`.
    """

    def __init__(self, tokenize: BLEUTokenizer = "13a", lowercase: bool = False, n_bootstrap: int = 0) -> None:
        super().__init__(n_bootstrap)
        self.tokenize: BLEUTokenizer = tokenize
        self.lowercase = lowercase

    @property
    def name(self) -> str:
        """`bleu`, and what differs from sacreBLEU's default."""
        return "bleu" + ("" if self.tokenize == "13a" else f"_{self.tokenize}") + ("_lc" if self.lowercase else "")

    def scorer(self) -> Metric:
        """Makes sacreBLEU's BLEU."""
        from sacrebleu.metrics import bleu

        return bleu.BLEU(tokenize=self.tokenize, lowercase=self.lowercase, force=True)


class MosesBLEU(SacreBLEUMetric):
    """BLEU of lower-cased, normalised and tokenised text, `bleu_moses_lc`: papers on Multi30k give this one.

    The text goes through Moses' lower-casing, punctuation normaliser and tokeniser, in the order of Multi30k's own
    scripts (Elliott et al. 2016); never to be compared with a `bleu`.

    Args:
        language: of the target, as Moses names it ("de", "en", "fr").
        n_bootstrap: see `SacreBLEUMetric`.

    Raises:
        ConfigError: sacremoses isn't installed.
    """

    def __init__(self, language: str, n_bootstrap: int = 0) -> None:
        super().__init__(n_bootstrap)
        try:
            import sacremoses
        except ImportError as error:
            raise ConfigError("bleu_moses_lc is not available: pip install 'polyseq[moses]'") from error
        self.language = language
        self.version: str = sacremoses.__version__
        # perl_parity: the published numbers were made by the Perl scripts.
        self._normaliser = sacremoses.MosesPunctNormalizer(lang=language, perl_parity=True)
        self._tokenizer = sacremoses.MosesTokenizer(lang=language)

    @property
    def name(self) -> str:
        """Its own name: it is another number than `bleu`."""
        return "bleu_moses_lc"

    @property
    def preparation(self) -> str:
        """The three steps, with sacremoses' version."""
        return f"sacremoses {self.version} lc|norm:{self.language}|tok:{self.language}, then "

    def prepare(self, text: str) -> str:
        """Lower-cases, normalises and tokenises."""
        tokens: str = self._tokenizer.tokenize(self._normaliser.normalize(text.lower()), return_str=True)
        return tokens

    def scorer(self) -> Metric:
        """Makes sacreBLEU's BLEU for text that is tokenised."""
        from sacrebleu.metrics import bleu

        return bleu.BLEU(tokenize="none", force=True)


class ChrF(SacreBLEUMetric):
    """The character n-gram F-score chrF2 (Popović 2015), `chrf2`."""

    @property
    def name(self) -> str:
        """With its beta."""
        return "chrf2"

    def scorer(self) -> Metric:
        """Makes sacreBLEU's chrF with its defaults."""
        from sacrebleu.metrics import chrf

        return chrf.CHRF()


class TER(SacreBLEUMetric):
    """The translation edit rate (Snover et al. 2006), `ter`: the lower the better; it may pass 100."""

    @property
    def name(self) -> str:
        """The field's own."""
        return "ter"

    def scorer(self) -> Metric:
        """Makes sacreBLEU's TER with its defaults."""
        from sacrebleu.metrics import ter

        return ter.TER()


class ExactMatch(CorpusMetric):
    """The percentage of hypotheses that equal one of their references but for white space, `exact_match`."""

    @property
    def names(self) -> tuple[str, ...]:
        """One number."""
        return ("exact_match",)

    def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
        """Counts the hypotheses that are right."""
        right = sum(
            _collapse(example.hypothesis) in {_collapse(text) for text in example.references} for example in examples
        )
        return {"exact_match": Score(100 * right / len(examples), "exact_match|case:mixed|space:collapsed")}


def reference_streams(references: Sequence[Sequence[str]]) -> list[list[str | None]]:
    """Turns each example's references to sacreBLEU's streams: stream k has each example's k-th reference, or None.

    Raises:
        DataError: an example has no reference.
    """
    for number, texts in enumerate(references, start=1):
        if not texts:
            raise DataError(f"example {number} of {len(references)} has no reference to be scored against")
    width = max(map(len, references), default=0)
    return [[texts[k] if k < len(texts) else None for texts in references] for k in range(width)]


def _collapse(text: str) -> str:
    return " ".join(text.split())
