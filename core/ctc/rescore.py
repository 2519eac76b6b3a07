"""The attention decoder judges the best labellings under CTC.

Letters: B sources, n labellings a source, N of all sources, S memory length, T target length, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from core.batch import Source, shift_right
from core.ctc.greedy import Path
from core.ctc.model import check_weight
from core.encoders.base import Memory
from core.generation.lengths import LengthNormaliser
from core.generation.options import GenerationOptions, Hypothesis
from core.generation.scorers import Scorer
from core.masks import length_mask
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials


def rescore(
    model: EncoderDecoder,
    memory: Memory,
    paths: Sequence[Sequence[Path]],
    options: GenerationOptions,
    specials: Specials,
    ctc_weight: float,
    added: Tensor | None = None,
) -> list[list[Hypothesis]]:
    """Ranks labellings by (1 - w) * attention's log-probability + w * CTC's, normalised by length as `generate` does.

    Args:
        model: scores all N of them in one teacher-forced pass.
        memory: what it made of B sources.
        paths: for each source tokens and their log-probability under CTC, at least one.
        options: how lengths compare; the beam isn't used.
        specials: the target's special ids.
        ctc_weight: w, in [0, 1].
        added: what else adds to the score of each labelling, (N,) in the order of the paths.

    Returns:
        for each source its hypotheses, best first; `log_prob` is attention's.

    Raises:
        ConfigError: the weight is outside its range.
    """
    check_weight("ctc_weight", ctc_weight)
    source = [number for number, each in enumerate(paths) for _ in each]
    flat = [path for each in paths for path in each]
    rows = torch.tensor(source, device=memory.states.device)
    attention = target_log_probs(model, memory.select(rows), [tokens for tokens, _ in flat], specials).tolist()
    others = [0.0] * len(flat) if added is None else added.tolist()
    norm = LengthNormaliser(options)
    found: list[list[Hypothesis]] = [[] for _ in paths]
    for number, (tokens, ctc), log_prob, other in zip(source, flat, attention, others, strict=True):
        total = (1 - ctc_weight) * log_prob + ctc_weight * ctc + other
        found[number].append(Hypothesis(tokens, norm.score(total, len(tokens) + 1), log_prob, True))
    return [sorted(each, key=lambda hypothesis: -hypothesis.score) for each in found]


def added_scores(
    scorers: Sequence[Scorer], source: Source, memory: Memory, paths: Sequence[Sequence[Path]], specials: Specials
) -> Tensor:
    """What scorers add to the score of each labelling and its end token: (N,) float32.

    Args:
        scorers: at least one.
        source: B sources.
        memory: what the model made of them.
        paths: for each source its labellings.
        specials: the target's special ids.
    """
    rows = torch.tensor([row for row, each in enumerate(paths) for _ in each], device=memory.states.device)
    values, is_token = _ended([tokens for each in paths for tokens, _ in each], specials, rows.device)
    inputs = shift_right(values, specials.bos)
    total = torch.zeros(len(rows), device=rows.device)
    for scorer in scorers:
        state = scorer.start(source.select(rows), memory.select(rows))
        for read, written, counts in zip(inputs.unbind(1), values.unbind(1), is_token.unbind(1), strict=True):
            scores, state = scorer.step(read, state, written.unsqueeze(1))
            total += torch.where(counts, scores.squeeze(1), 0.0)
    return total


def target_log_probs(
    model: EncoderDecoder, memory: Memory, targets: Sequence[Sequence[int]], specials: Specials
) -> Tensor:
    """The log-probability of each target and its end token, given a memory of N examples: (N,) float32."""
    values, is_token = _ended(targets, specials, memory.states.device)
    features = model.decoder.features(shift_right(values, specials.bos), memory)
    logits: Tensor = model.decoder.head(features[is_token])  # of the real positions only
    scores = logits.float().log_softmax(-1).gather(1, values[is_token].unsqueeze(1)).squeeze(1)
    return torch.zeros_like(values, dtype=torch.float32).masked_scatter(is_token, scores).sum(1)


def _ended(targets: Sequence[Sequence[int]], specials: Specials, device: torch.device) -> tuple[Tensor, Tensor]:
    """Targets with their end tokens, padded, and what of it is no padding: (N, T) both."""
    lengths = torch.tensor([len(tokens) + 1 for tokens in targets], device=device)
    size = int(lengths.max())
    ended = [[*tokens, specials.eos, *[specials.pad] * (size - 1 - len(tokens))] for tokens in targets]
    return torch.tensor(ended, device=device), length_mask(lengths, size)
