"""The ways to read a memory that is labelled by CTC and written by attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from core.batch import Source
from core.ctc.beam import ctc_beam
from core.ctc.greedy import Path, ctc_greedy
from core.ctc.model import check_weight, with_ctc
from core.ctc.prefix import CtcPrefixScorer
from core.ctc.rescore import added_scores, rescore
from core.encoders.base import Memory
from core.errors import ConfigError
from core.generation import Constraints, GenerationOptions, Hypothesis, generate
from core.generation.entry import evaluating
from core.generation.lengths import LengthNormaliser, length_limits
from core.generation.scorers import Scorer
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials

DecodingMode = Literal["ctc_greedy", "attention", "joint", "rescore"]


def transcribe(
    model: EncoderDecoder,
    source: Source,
    mode: DecodingMode,
    options: GenerationOptions,
    specials: Specials,
    ctc_weight: float = 0.3,
    constraints: Constraints | None = None,
    scorers: Sequence[Scorer] = (),
) -> list[list[Hypothesis]]:
    """Writes what was said in B sources. A source's result doesn't depend on the others in its batch.

    Args:
        model: one with a CTC head, for all modes but "attention".
        source: B sources; none gives an empty list.
        mode: "ctc_greedy": the best path of CTC, without the decoder. "attention": the decoder alone, greedily where
            the beam's size is 1. "joint": a search by the decoder whose tokens CTC judges too (Hori et al. 2017).
            "rescore": the `beam_size` best under CTC, ranked by both (Watanabe et al. 2017, section II.D).
        options: how to write; CTC's own search knows the beam's size, the n best and the length only.
        specials: the target's special ids.
        ctc_weight: of CTC, in "joint" and "rescore"; attention has the rest of 1.
        constraints: what the tokens must keep to, in "attention" and "joint".
        scorers: what else adds to the score of a token, in all modes but "ctc_greedy".

    Returns:
        for each source its `n_best` hypotheses, best first; `log_prob` is attention's, in "ctc_greedy" the path's.

    Raises:
        ConfigError: the model has no CTC head, or the mode can't do what is asked.
    """
    check_weight("ctc_weight", ctc_weight)
    if mode == "attention" or (mode == "joint" and ctc_weight == 0):
        return generate(model, source, options, specials, constraints, scorers)
    if mode == "joint":
        judges = [*scorers, CtcPrefixScorer(model, ctc_weight, specials)]
        return generate(model, source, options, specials, constraints, judges, model_weight=1 - ctc_weight)
    model = with_ctc(model, f"decoding by {mode}")
    _check_options(mode, options, constraints, scorers)
    if not len(source):
        return []
    networks = [network for scorer in scorers for network in scorer.networks]
    with torch.inference_mode(), evaluating([model, *networks]):
        memory = model.encode(source)
        log_probs = writable(model.ctc_log_probs(memory), specials)
        if mode == "ctc_greedy":
            return _best_paths(log_probs, memory, options, specials.pad)
        paths, whole = _best_labellings(log_probs, memory, options, specials.pad)
        added = added_scores(scorers, source, memory, paths, specials) if scorers else None
        ranked = rescore(model, memory, paths, options, specials, ctc_weight, added)
        return [
            [replace(each, finished=each.tokens in found) for each in best[: options.n_best]]
            for best, found in zip(ranked, whole, strict=True)
        ]


def writable(log_probs: Tensor, specials: Specials) -> Tensor:
    """Log-probabilities (B, S, V) without those of the begin and the end token, which CTC never learns to write."""
    return log_probs.index_fill(-1, torch.tensor([specials.bos, specials.eos], device=log_probs.device), -torch.inf)


def _check_options(
    mode: DecodingMode, options: GenerationOptions, constraints: Constraints | None, scorers: Sequence[Scorer]
) -> None:
    """Raises ConfigError for what steers a search by the decoder, and would be ignored without a word here."""
    plain = GenerationOptions()
    for name in ("sample", "min_length", "no_repeat_ngram"):
        if getattr(options, name) != getattr(plain, name):
            raise ConfigError(
                f"generation.{name} is {getattr(options, name)}, but decoding by {mode} doesn't know it: set it to "
                f"{getattr(plain, name)}, or decode by joint or attention"
            )
    if mode == "ctc_greedy" and options.n_best > 1:
        raise ConfigError(f"generation.n_best is {options.n_best}, but ctc_greedy finds one text: decode by rescore")
    if constraints is not None and constraints != Constraints():
        raise ConfigError(f"decoding by {mode} knows no constraints: decode by joint or attention")
    if mode == "ctc_greedy" and scorers:
        raise ConfigError(
            "ctc_greedy knows no scorers, such as a language model: decode by joint, attention or rescore"
        )


def _best_paths(log_probs: Tensor, memory: Memory, options: GenerationOptions, blank: int) -> list[list[Hypothesis]]:
    norm, found = LengthNormaliser(options), []
    limits = length_limits(options, Constraints(), memory.lengths)
    for (tokens, score), limit in zip(ctc_greedy(log_probs, memory.lengths, blank), limits, strict=True):
        fits, tokens = len(tokens) <= limit, tokens[:limit]
        found.append([Hypothesis(tokens, norm.score(score, len(tokens) + fits), score, fits)])
    return found


def _best_labellings(
    log_probs: Tensor, memory: Memory, options: GenerationOptions, blank: int
) -> tuple[list[list[Path]], list[set[tuple[int, ...]]]]:
    """The best labellings of each source that aren't too long, or the first cut off; and all that CTC found whole."""
    limits = length_limits(options, Constraints(), memory.lengths)
    beams = ctc_beam(log_probs, memory.lengths, blank, options.beam_size, options.beam_size)
    paths: list[list[Path]] = []
    for found, limit in zip(beams, limits, strict=True):
        short = [path for path in found if len(path[0]) <= limit]
        paths.append(short or [(found[0][0][:limit], found[0][1])])
    return paths, [{tokens for tokens, _ in found} for found in beams]
