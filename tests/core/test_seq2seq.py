from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from core.batch import Source
from core.decoders.transformer import TransformerDecoder
from core.encoders.base import Encoder, Memory
from core.encoders.transformer import TransformerEncoder
from core.errors import ConfigError
from core.seq2seq import EncoderDecoder, tie_embeddings
from tests.contracts.encoder import text_source


def make_encoder(vocab_size: int = 11, d_model: int = 8) -> TransformerEncoder:
    return TransformerEncoder(vocab_size, d_model=d_model, num_layers=1, num_heads=2, ffn_size=8)


def make_decoder(vocab_size: int = 11, memory_size: int = 8, tie: bool = True) -> TransformerDecoder:
    return TransformerDecoder(vocab_size, memory_size, d_model=8, num_layers=1, num_heads=2, ffn_size=8, tie=tie)


class Frames(Encoder):
    d_model = 8

    def forward(self, source: Source) -> Memory:
        return Memory(source.values, source.lengths)


def test_forward_is_decode_of_encode() -> None:
    model = EncoderDecoder(make_encoder(), make_decoder()).eval()
    source, tokens = text_source([4, 2], 11), torch.tensor([[1, 5], [1, 6]])
    expected: Tensor = model.decoder(tokens, model.encoder(source))
    torch.testing.assert_close(model(source, tokens), expected)


def test_a_memory_of_another_width_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"memory_size is 6.* width 8"):
        EncoderDecoder(make_encoder(), make_decoder(memory_size=6))


@pytest.mark.parametrize("tie", [True, False])
def test_tied_embeddings_are_one_parameter(tie: bool) -> None:
    encoder, decoder = make_encoder(), make_decoder(tie=tie)
    tables = [encoder.embedding.weight, decoder.embedding.weight, decoder.head.get_parameter("projection.weight")]
    separate = sum(parameter.numel() for parameter in EncoderDecoder(encoder, decoder).parameters())
    tie_embeddings(encoder, decoder)
    model = nn.ModuleList([encoder, decoder])
    assert encoder.embedding.weight is decoder.embedding.weight is tables[1]
    assert decoder.head.get_parameter("projection.weight") is tables[1 if tie else 2]
    assert sum(parameter.numel() for parameter in model.parameters()) == separate - 11 * 8


def test_tables_of_different_shapes_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"\(13, 8\).*\(11, 8\)"):
        tie_embeddings(make_encoder(vocab_size=13), make_decoder())
    with pytest.raises(ConfigError, match=r"\(11, 12\).*\(11, 8\)"):
        tie_embeddings(make_encoder(d_model=12), make_decoder())


def test_an_encoder_without_tokens_has_nothing_to_tie() -> None:
    with pytest.raises(ConfigError, match="Frames"):
        tie_embeddings(Frames(), make_decoder())
