from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.weights import largest_difference, shake, transformers_twin
from core.batch import TextBatch
from core.decoders.transformer import TransformerDecoder
from core.encoders.transformer import TransformerEncoder
from core.errors import ConfigError
from core.heads import VocabularyHead
from core.layers.transformer import Norm
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials

# Heads of width 12, whose scale is no power of two: with one, both orders of multiplying give the same bits.
D_MODEL, HEADS, SOURCE_TYPES, TARGET_TYPES = 36, 3, 37, 41


@dataclass(frozen=True)
class Case:
    model: EncoderDecoder
    source: TextBatch
    tokens: Tensor

    def difference(self, twin: Any) -> float:
        return largest_difference(self.model, twin, self.source, self.tokens)


def make_case(norm: Norm, tie: bool = True) -> Case:
    encoder = TransformerEncoder(SOURCE_TYPES, D_MODEL, 2, HEADS, 72, norm=norm)
    decoder = TransformerDecoder(TARGET_TYPES, D_MODEL, D_MODEL, 2, HEADS, 72, norm=norm, tie=tie)
    table = decoder.embedding if tie else None
    decoder.head = VocabularyHead(D_MODEL, TARGET_TYPES, tied=table, bias=True)  # a twin has one in any case
    model = EncoderDecoder(encoder, decoder).eval()
    shake(model)
    lengths = torch.tensor([11, 1, 7, 4])
    source = TextBatch(torch.randint(4, SOURCE_TYPES, (4, 11)), lengths)
    return Case(model, source, torch.randint(1, TARGET_TYPES, (4, 9)))


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("tie", [True, False])
def test_twin_gives_the_same_logits(norm: Norm, tie: bool) -> None:
    case = make_case(norm, tie)
    assert case.difference(transformers_twin(case.model, Specials(), "sdpa")) < 1e-5


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_every_weight_matters_to_that_comparison(norm: Norm) -> None:
    case = make_case(norm)
    twin = transformers_twin(case.model, Specials())
    seen = 0
    for name, weight in [*twin.named_parameters(), ("final_logits_bias", twin.final_logits_bias)]:
        if name.endswith("k_proj.bias"):
            continue  # it adds the same to a query's scores of all keys, and the softmax takes that out again
        kept = weight.data.clone()
        weight.data.mul_(1.1)
        assert case.difference(twin) > 1e-3, name
        weight.data.copy_(kept)
        seen += 1
    assert seen > 60


def test_a_head_without_bias_has_the_same_logits() -> None:
    case = make_case("pre")
    case.model.decoder.head = VocabularyHead(D_MODEL, TARGET_TYPES, tied=case.model.decoder.embedding, bias=False)
    twin = transformers_twin(case.model, Specials())
    assert case.difference(twin) < 1e-5
    assert not twin.final_logits_bias.any()


def test_ties_are_kept() -> None:
    case = make_case("pre")
    twin = transformers_twin(case.model, Specials())
    assert twin.lm_head.weight is twin.model.decoder.embed_tokens.weight
    assert twin.model.encoder.embed_tokens.weight is not twin.model.decoder.embed_tokens.weight


def test_a_model_without_a_twin_is_refused() -> None:
    encoder = TransformerEncoder(SOURCE_TYPES, D_MODEL, 1, HEADS, 72, positions="rotary")
    decoder = TransformerDecoder(TARGET_TYPES, D_MODEL, D_MODEL, 1, HEADS, 72)
    with pytest.raises(ConfigError, match="sinusoidal"):
        transformers_twin(EncoderDecoder(encoder, decoder), Specials())
