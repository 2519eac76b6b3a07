from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import pytest
import torch
from torch import Tensor

from core.batch import Seq2SeqBatch, TextBatch
from core.decoders.recurrent import RecurrentDecoder
from core.decoders.transformer import TransformerDecoder
from core.encoders.recurrent import RecurrentEncoder
from core.errors import ConfigError
from core.generation import Hypothesis
from core.metrics.cider import SentenceCider
from core.self_critical import END, Baseline, CiderReward, Samples, SelfCritical, sample_log_probs
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials, TokenizerOptions, TrainedTokenizer, train_tokenizer

SPECIALS = Specials()
LONGEST = 2
Written = tuple[tuple[int, ...], bool]


class CountsOfA:
    """Each "a" is worth 1, and an end 1/2, plus what references there are."""

    def prepare(self, references: Sequence[Sequence[str]]) -> None:
        self.known = len(references)

    def score(self, texts: Sequence[str], ended: Sequence[bool], references: Sequence[str]) -> list[float]:
        pairs = zip(texts, ended, strict=True)
        return [text.split().count("a") + 0.5 * end + len(references) for text, end in pairs]


@pytest.fixture(scope="module")
def tokenizer() -> TrainedTokenizer:
    return train_tokenizer(["a b", "b a"], TokenizerOptions(kind="words", min_frequency=1))


def make_model(types: int, recurrent: bool = True) -> EncoderDecoder:
    torch.manual_seed(3)
    encoder = RecurrentEncoder(types, 8, dropout=0.0)
    if recurrent:
        return EncoderDecoder(encoder, RecurrentDecoder(types, 8, 8, attention="additive", dropout=0.0)).double()
    return EncoderDecoder(encoder, TransformerDecoder(types, 8, 8, 1, 2, 16, 0.0)).double()


def make_batch(copies: int, references: tuple[str, ...] = ("a",)) -> Seq2SeqBatch:
    """The same two sources again and again."""
    source = TextBatch(torch.tensor([[4, 5, 5], [5, 4, 0]] * copies), torch.tensor([3, 2] * copies))
    target = TextBatch(torch.full((2 * copies, 1), SPECIALS.eos), torch.ones(2 * copies, dtype=torch.int64))
    rows = 2 * copies
    return Seq2SeqBatch(source, target, tuple(range(rows)), ("",) * rows, (references,) * rows)


def all_texts(types: int) -> list[Written]:
    """All that can be written with at most `LONGEST` tokens, and whether it ended."""
    writable = [token for token in range(types) if token not in (SPECIALS.pad, SPECIALS.bos, SPECIALS.eos)]
    texts = [tokens for length in range(LONGEST + 1) for tokens in product(writable, repeat=length)]
    return [(tokens, True) for tokens in texts] + [(tokens, False) for tokens in texts if len(tokens) == LONGEST]


def probabilities(model: EncoderDecoder, batch: Seq2SeqBatch, row: int, texts: Sequence[Written]) -> Iterator[Tensor]:
    """Token by token, from the definition."""
    memory = model.encode(batch.source).select(torch.tensor([row]))
    for tokens, ended in texts:
        state, last, probability = model.decoder.start(memory), SPECIALS.bos, torch.ones((), dtype=torch.float64)
        for token in (*tokens, None):
            logits, state = model.decoder.step(torch.tensor([last]), state)
            allowed = [each for each in range(logits.size(1)) if each not in (SPECIALS.pad, SPECIALS.bos)]
            shares = dict(zip(allowed, logits[0, allowed].softmax(0), strict=True))
            end = shares[SPECIALS.eos]
            probability = probability * ((end if ended else 1 - end) if token is None else shares[token])
            last = -1 if token is None else token
        yield probability


def expected_reward(model: EncoderDecoder, batch: Seq2SeqBatch, tokenizer: TrainedTokenizer) -> Tensor:
    """Over all that can be written, for the first two sources together."""
    texts = all_texts(len(tokenizer))
    decoded = [tokenizer.decode(list(tokens)) for tokens, _ in texts]
    rewards = CountsOfA().score(decoded, [ended for _, ended in texts], batch.references[0])
    sums = [sum(p * r for p, r in zip(probabilities(model, batch, row, texts), rewards, strict=True)) for row in (0, 1)]
    return torch.as_tensor(sums[0] + sums[1])


def gradient(total: Tensor, model: EncoderDecoder) -> Tensor:
    return torch.cat([part.flatten() for part in torch.autograd.grad(total, list(model.parameters()))])


@pytest.mark.parametrize("recurrent", [True, False])
def test_all_samples_together_have_probability_one(tokenizer: TrainedTokenizer, recurrent: bool) -> None:
    types = len(tokenizer)
    model, batch = make_model(types, recurrent), make_batch(1)
    texts = all_texts(types)
    assert len(texts) == 22
    found = [Hypothesis(tokens, 0.0, 0.0, ended) for tokens, ended in texts]
    samples = Samples.of(found * 2, SPECIALS, torch.device("cpu"))
    ours = sample_log_probs(model, batch.source, samples, SPECIALS).exp().view(2, -1).double()
    theirs = torch.stack([torch.stack(list(probabilities(model, batch, row, texts))) for row in (0, 1)])
    torch.testing.assert_close(theirs.sum(1), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_weighed_log_probabilities_have_the_gradient_of_the_expected_reward(tokenizer: TrainedTokenizer) -> None:
    model, batch = make_model(len(tokenizer)), make_batch(1)
    texts = all_texts(len(tokenizer))
    decoded = [tokenizer.decode(list(tokens)) for tokens, _ in texts]
    rewards = CountsOfA().score(decoded, [ended for _, ended in texts], batch.references[0])
    found = [Hypothesis(tokens, 0.0, 0.0, ended) for tokens, ended in texts]
    log_probs = sample_log_probs(model, batch.source, Samples.of(found * 2, SPECIALS, torch.device("cpu")), SPECIALS)
    baselines = torch.tensor([[7.0], [-3.0]]).expand(2, len(texts)).flatten()  # any numbers that know no sample
    weights = log_probs.detach().exp() * (torch.tensor(rewards * 2) - baselines)
    exact = gradient(expected_reward(model, batch, tokenizer), model)
    torch.testing.assert_close(gradient((weights * log_probs).sum(), model), exact, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("baseline", ["mean", "greedy"])
def test_the_loss_s_gradient_is_that_of_the_expected_reward_on_average(
    tokenizer: TrainedTokenizer, baseline: Baseline
) -> None:
    model, batch = make_model(len(tokenizer)), make_batch(4000)
    objective = SelfCritical(CountsOfA(), samples=2, baseline=baseline, max_length=LONGEST)
    objective.prepare([("a",)] * 10, tokenizer)
    loss = objective(model, batch, SPECIALS, 0)
    estimate = gradient(-loss.total, model) / (4000 * 2)
    exact = gradient(expected_reward(model, batch, tokenizer), model)
    assert float((estimate - exact).norm() / exact.norm()) < 0.15  # half of it where a sample is in its own baseline
    mean = float(expected_reward(model, batch, tokenizer).detach()) / 2
    assert float(loss.parts["reward"] / loss.tokens) == pytest.approx(mean, rel=0.02)
    assert float(loss.nll / loss.tokens) > 0


def test_the_baseline_is_the_mean_of_the_others(tokenizer: TrainedTokenizer) -> None:
    model, batch = make_model(len(tokenizer)), make_batch(1)
    objective = SelfCritical(CountsOfA(), samples=3)
    baselines = objective.baselines(model, batch, torch.tensor([[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]]), SPECIALS)
    assert baselines.tolist() == [[4.0, 3.5, 1.5], [1.5, 1.5, 0.0]]


def test_dropout_is_of_the_second_pass_only_and_leaves_the_mode(tokenizer: TrainedTokenizer) -> None:
    model, batch = make_model(len(tokenizer)), make_batch(3)
    model.decoder.dropout.p = 0.5  # type: ignore[union-attr]
    objective = SelfCritical(CountsOfA(), samples=2, max_length=LONGEST)
    objective.prepare([("a",)], tokenizer)
    losses = []
    for train in (True, False, False):
        torch.manual_seed(5)
        losses.append(objective(model.train(train), batch, SPECIALS, 0))
        assert model.training == train
    assert losses[0].parts["reward"] == losses[1].parts["reward"]  # the same draws
    assert losses[1].total == losses[2].total != losses[0].total


def test_it_learns_to_write_what_is_worth_most(tokenizer: TrainedTokenizer) -> None:
    model, batch = make_model(len(tokenizer)), make_batch(8)
    objective = SelfCritical(CountsOfA(), samples=4, max_length=LONGEST)
    objective.prepare([("a",)], tokenizer)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    before = float(expected_reward(model, batch, tokenizer).detach()) / 2
    for step in range(40):
        loss = objective(model, batch, SPECIALS, step)
        optimizer.zero_grad()
        (loss.total / loss.tokens).backward()
        optimizer.step()
    after = float(expected_reward(model, batch, tokenizer).detach()) / 2
    assert before < 2.2
    assert after > 2.9  # "a a" is worth 3, and half more where it ends


def test_cider_s_reward_counts_the_end_as_a_word() -> None:
    training = [("a dog runs .", "a dog"), ("A cat sleeps.", "a cat")]
    reward = CiderReward()
    with pytest.raises(ConfigError, match="prepare"):
        reward.score(["a dog"], [True], training[0])
    reward.prepare(training)
    whole, cut, other = reward.score(["a dog runs", "a dog runs", "a cat"], [True, False, True], training[0])
    assert whole > cut > other
    words = [[("a", "dog", "runs"), ("a", "dog")], [("a", "cat", "sleeps"), ("a", "cat")]]
    cider = SentenceCider.of(words, END)
    assert whole == cider.score(("a", "dog", "runs"), cider.prepare(words[0]))


def test_what_cannot_work_is_refused(tokenizer: TrainedTokenizer) -> None:
    with pytest.raises(ConfigError, match="samples must be at least 2 for baseline: mean, got 1"):
        SelfCritical(samples=1)
    with pytest.raises(ConfigError, match="baseline must be mean or greedy"):
        SelfCritical(baseline="none")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="needs the training references"):
        SelfCritical(max_length=2)(make_model(len(tokenizer)), make_batch(1), SPECIALS, 0)
