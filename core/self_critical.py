"""Training on what a whole text is worth: the model's own samples, weighed by a sentence score.

Letters: B sources, K samples a source, N = B * K samples, T tokens of the longest, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from core.batch import ExtendedTextBatch, Seq2SeqBatch, Source, shift_right
from core.encoders.base import Memory
from core.errors import ConfigError
from core.generation import GenerationOptions, Hypothesis, generate
from core.generation.randomness import seeds_of
from core.masks import length_mask
from core.metrics import ptb
from core.metrics.captions import CaptionTokenizer, Words
from core.metrics.cider import SentenceCider
from core.objectives import Loss, Objective
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials, TrainedTokenizer

Baseline = Literal["mean", "greedy"]
END = "<end>"  # no tokenizer of captions makes such a word


class SentenceReward(Protocol):
    """What a single text is worth: the sentence form of a corpus metric."""

    def prepare(self, references: Sequence[Sequence[str]]) -> None:
        """Looks once at the references of each training source, before anything is scored."""
        ...

    def score(self, texts: Sequence[str], ended: Sequence[bool], references: Sequence[str]) -> list[float]:
        """Scores texts that were written for one source; the higher the better.

        Args:
            texts: any number of them.
            ended: for each whether it ended by itself, or was cut by the length's limit.
            references: of that source, at least one.
        """
        ...


class CiderReward:
    """CIDEr-D with the document frequencies of the training references (see `SentenceCider`), from 0 to 10.

    The end of the text is a word like others, as in the authors' code: without it captions learn to end in "with a".

    Args:
        tokenize: the words that are compared, "ptb" as in the metric or "none" for white space.
    """

    def __init__(self, tokenize: CaptionTokenizer = "ptb") -> None:
        self.tokenize: CaptionTokenizer = tokenize
        self.cider: SentenceCider | None = None

    def words(self, text: str) -> Words:
        """The words of a text."""
        return ptb.tokenize(text) if self.tokenize == "ptb" else tuple(text.split())

    def prepare(self, references: Sequence[Sequence[str]]) -> None:
        """Counts in how many sources' references each n-gram is."""
        self.cider = SentenceCider.of([[self.words(text) for text in texts] for texts in references], END)

    def score(self, texts: Sequence[str], ended: Sequence[bool], references: Sequence[str]) -> list[float]:
        """Scores texts of one source.

        Raises:
            ConfigError: the references of the training data weren't counted.
        """
        if self.cider is None:
            raise ConfigError("CiderReward needs the training references: call prepare before training begins")
        prepared = self.cider.prepare([self.words(text) for text in references])
        pairs = zip(texts, ended, strict=True)
        return [self.cider.score(self.words(text), prepared, end) for text, end in pairs]


@dataclass(frozen=True)
class Samples:
    """N samples as tables, grouped by source.

    Attributes:
        tokens: ids (N, T), the end token included where it was written; of a sample that was cut, what would come
            next is left open and its place holds the end token.
        lengths: (N,) int64, that place counted.
        cut: (N,) boolean, True where the length's limit ended a sample.
    """

    tokens: Tensor
    lengths: Tensor
    cut: Tensor

    @classmethod
    def of(cls, found: Sequence[Hypothesis], specials: Specials, device: torch.device) -> Samples:
        """Makes tables of what was generated."""
        rows = [torch.tensor([*each.tokens, specials.eos], device=device) for each in found]
        lengths = torch.tensor([len(row) for row in rows], device=device)
        cut = torch.tensor([not each.finished for each in found], device=device)
        return cls(pad_sequence(rows, batch_first=True, padding_value=specials.pad), lengths, cut)


class SelfCritical(Objective):
    """Self-critical sequence training (Rennie et al. 2017): REINFORCE with a baseline that the model itself gives.

    Draws K samples a source, scores them, and minimises -(reward - baseline) * log p(sample), the sum over the
    samples' tokens (equation 8); what it is divided by is their number. The samples are drawn without dropout and
    without gradient, and scored again in one teacher-forced pass with it. A sample that the limit cut has the
    probability of its tokens and of not ending there, so that the gradient is that of the expected reward, exactly.

    Call `prepare` before training. Start from a model that cross-entropy has trained (`fit.weights`): a random one
    draws nothing that is worth anything.

    The parts of its loss are `reward` and `baseline`, logged as means over samples; its `nll` is that of the samples,
    which is the entropy of what the model writes.

    Args:
        reward: what a text is worth; CIDEr-D if None.
        samples: K.
        baseline: "mean" is the mean reward of the source's other samples (Luo 2020), "greedy" that of what greedy
            search writes (Rennie et al. 2017, section 4).
        max_length: the most tokens of a sample, without its end token.

    Raises:
        ConfigError: an option is out of its range, or a mean is asked for where there are no others.
    """

    writes = True

    def __init__(
        self,
        reward: SentenceReward | None = None,
        samples: int = 5,
        baseline: Baseline = "mean",
        max_length: int = 30,
    ) -> None:
        super().__init__()
        if baseline not in ("mean", "greedy"):
            raise ConfigError(f"objective.baseline must be mean or greedy, got {baseline!r}")
        least = 2 if baseline == "mean" else 1
        if samples < least:
            raise ConfigError(f"objective.samples must be at least {least} for baseline: {baseline}, got {samples}")
        self.reward: SentenceReward = CiderReward() if reward is None else reward
        self.samples, self.baseline = samples, baseline
        self.drawing = GenerationOptions(max_length=max_length, sample=True, n_best=samples)
        self.greedy = GenerationOptions(max_length=max_length)
        self.tokenizer: TrainedTokenizer | None = None

    def prepare(self, references: Sequence[Sequence[str]], tokenizer: TrainedTokenizer) -> None:
        """Shows the reward the references of each training source, and takes the tokenizer of the target."""
        self.tokenizer = tokenizer
        self.reward.prepare(references)

    def forward(self, model: EncoderDecoder, batch: Seq2SeqBatch, specials: Specials, step: int) -> Loss:
        """Samples, scores, and weighs the samples' log-probabilities.

        Raises:
            ConfigError: the sources have words of their own.
        """
        if isinstance(batch.source, ExtendedTextBatch):
            raise ConfigError("SelfCritical can't train on tokenizer.own_words: set it to false, or use CrossEntropy")
        keys = seeds_of(self.seed ^ step, batch.ids, 1).tolist()  # alike in whichever batch and on whichever rank
        found = generate(model, batch.source, self.drawing, specials, keys=keys)
        rewards = self.score(found, batch)
        baselines = self.baselines(model, batch, rewards, specials)
        samples = Samples.of([each for some in found for each in some], specials, batch.source.lengths.device)
        log_probs = sample_log_probs(model, batch.source, samples, specials)  # (N,)
        advantages = (rewards - baselines).flatten().to(log_probs)
        tokens = samples.lengths.sum()
        parts = {"reward": rewards.mean() * tokens, "baseline": baselines.mean() * tokens}
        return Loss(-(advantages * log_probs).sum(), -log_probs.detach().sum(), tokens, parts)

    def score(self, found: Sequence[Sequence[Hypothesis]], batch: Seq2SeqBatch) -> Tensor:
        """The rewards of the samples of B sources: (B, K).

        Raises:
            ConfigError: `prepare` wasn't called.
        """
        if self.tokenizer is None:
            raise ConfigError("SelfCritical needs the training references: this module doesn't call its prepare")
        rows = []
        for samples, references in zip(found, batch.references, strict=True):
            texts = [self.tokenizer.decode(list(each.tokens)) for each in samples]
            rows.append(self.reward.score(texts, [each.finished for each in samples], references))
        return torch.tensor(rows, device=batch.source.lengths.device)

    def baselines(self, model: EncoderDecoder, batch: Seq2SeqBatch, rewards: Tensor, specials: Specials) -> Tensor:
        """What is subtracted from rewards (B, K): (B, K) for the mean of the others, (B, 1) for greedy search."""
        if self.baseline == "greedy":
            return self.score(generate(model, batch.source, self.greedy, specials), batch)
        return (rewards.sum(1, keepdim=True) - rewards) / (rewards.size(1) - 1)


def sample_log_probs(model: EncoderDecoder, source: Source, samples: Samples, specials: Specials) -> Tensor:
    """The log-probability of each sample under the distribution that it was drawn from: (N,) float32, with gradient.

    Sampling never draws the begin token or padding, so they share in no probability here either.
    """
    memory = repeated(model.encode(source), len(samples.lengths))
    is_token = length_mask(samples.lengths, samples.tokens.size(1))
    logits = model.decoder.score_at(shift_right(samples.tokens, specials.bos), memory, is_token).float()
    never = torch.tensor(sorted({specials.pad, specials.bos} - {specials.eos}), device=logits.device)
    logits = logits.index_fill(1, never, -inf)
    chosen = logits.gather(1, samples.tokens[is_token].unsqueeze(1)).squeeze(1)
    ends = samples.lengths.cumsum(0)[samples.cut] - 1  # where a sample that was cut didn't end
    others = logits[ends].index_fill(1, torch.tensor([specials.eos], device=ends.device), -inf)
    chosen = chosen.index_put((ends,), others.logsumexp(1))
    rows = torch.arange(len(samples.lengths), device=ends.device).repeat_interleave(samples.lengths)
    return chosen.new_zeros(len(samples.lengths)).index_add(0, rows, chosen - logits.logsumexp(1))


def repeated(memory: Memory, rows: int) -> Memory:
    """The memory of B sources for N rows that are grouped by source."""
    sources = len(memory.lengths)
    number = torch.arange(sources, device=memory.lengths.device)
    return memory.select(number.repeat_interleave(rows // max(sources, 1)))
