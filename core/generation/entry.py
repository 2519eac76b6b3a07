"""The entry to generation: models, sources and options in, hypotheses out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from core.batch import ExtendedTextBatch, Source
from core.errors import ConfigError
from core.generation.constraints import Constraints, check_constraints
from core.generation.lengths import length_limits
from core.generation.options import GenerationOptions, Hypothesis
from core.generation.processors import Processor, make_processors
from core.generation.randomness import content_keys
from core.generation.scorers import ModelScorer, Scorer
from core.generation.search import Judges, search
from core.generation.strategies.base import Strategy
from core.generation.strategies.beam import BeamSearch
from core.generation.strategies.constrained import ConstrainedBeamSearch
from core.generation.strategies.greedy import GreedySearch
from core.generation.strategies.sampling import Sampling
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials


def generate(
    models: EncoderDecoder | Sequence[EncoderDecoder],
    source: Source,
    options: GenerationOptions,
    specials: Specials,
    constraints: Constraints | None = None,
    scorers: Sequence[Scorer] = (),
    keys: Sequence[int] | None = None,
    model_weight: float = 1.0,
    rules: Sequence[Processor] = (),
) -> list[list[Hypothesis]]:
    """Writes targets for B sources. A source's result doesn't depend on the others in its batch.

    Args:
        models: one, or an ensemble over one vocabulary, whose probabilities are averaged.
        source: B sources; none gives an empty list.
        options: how to write.
        specials: the target's special ids.
        constraints: what the tokens must keep to.
        scorers: what else adds to the score of a token.
        keys: a number for each source that its draws depend on; without it equal sources get equal draws.
        model_weight: what the models' log-probabilities are multiplied by, beside those of the scorers; at least 0.
        rules: what else forbids tokens, beside the options and the constraints; made for these sources.

    Returns:
        for each source at most `n_best` hypotheses, best first, and at least one: finished ones before those that were
        cut by the length limit, or where no token was allowed.

    Raises:
        ConfigError: options, constraints, models and sources that contradict each other.
    """
    ensemble = (models,) if isinstance(models, EncoderDecoder) else tuple(models)
    constraints = constraints or Constraints()
    if model_weight < 0:
        raise ConfigError(f"model_weight must be at least 0, got {model_weight}")
    model = ModelScorer(ensemble, model_weight)
    check_constraints(constraints, options, specials, model.vocab_size, len(source))
    if not len(source):
        return []
    networks = [network for scorer in (model, *scorers) for network in scorer.networks]
    with torch.inference_mode(), evaluating(networks):
        memory = ensemble[0].encode(source)
        device = memory.states.device
        limits = length_limits(options, constraints, memory.lengths)
        judges = Judges(model, scorers, options.preselect, specials.eos)
        processors = make_processors(options, constraints, specials, len(source), device, rules)
        strategy: Strategy
        if options.sample:
            keys = content_keys(source) if keys is None else keys
            strategy = Sampling(options, limits, specials.eos, device, keys)
        elif any(constraints.required):
            required = [constraints.required_of(number) for number in range(len(source))]
            strategy = ConstrainedBeamSearch(options, limits, specials.eos, device, required, judges.bounded)
        elif options.beam_size == 1:
            strategy = GreedySearch(options, limits, specials.eos, device)
        else:
            strategy = BeamSearch(options, limits, specials.eos, device, judges.bounded)
        search(judges, strategy, processors, source, memory, specials.bos)
        found = strategy.hypotheses()
        return name_own_words(found, source, model.vocab_size) if isinstance(source, ExtendedTextBatch) else found


def name_own_words(
    hypotheses: Sequence[Sequence[Hypothesis]], source: ExtendedTextBatch, vocab_size: int
) -> list[list[Hypothesis]]:
    """Gives the words that were copied the ids by which the tokenizer knows them, in place of V + n."""

    def named(hypothesis: Hypothesis, words: tuple[int, ...]) -> Hypothesis:
        tokens = tuple(words[t - vocab_size] if t >= vocab_size else t for t in hypothesis.tokens)
        return replace(hypothesis, tokens=tokens)

    return [[named(each, words) for each in best] for best, words in zip(hypotheses, source.own_words, strict=True)]


@contextmanager
def evaluating(networks: Sequence[nn.Module]) -> Iterator[None]:
    """Puts networks into evaluation mode, and each of their modules back into its own mode afterwards."""
    training = [module for network in networks for module in network.modules() if module.training]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
