"""Pretrained decoders of text, with small random models of transformers that are saved and loaded by path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import yaml

from core.decoders.pretrained import PretrainedSeq2SeqDecoder
from core.encoders.pretrained_text import PretrainedSeq2SeqEncoder
from core.errors import CheckpointError, ConfigError
from core.seq2seq import EncoderDecoder
from tests.contracts.decoder import DecoderContract, random_memory
from tests.parity.pretrained import TYPES, make, save

Folder = Callable[[str], str]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The folder of a saved model, by its name; each is made once."""
    made: dict[str, str] = {}

    def find(kind: str) -> str:
        if kind not in made:
            made[kind] = save(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return find


class TestPretrainedSeq2SeqDecoder(DecoderContract):
    """BART reads a token before the begin token; T5 has relative positions; 12 isn't the model's width."""

    @pytest.fixture(autouse=True, params=[("bart", 16), ("marian", 12), ("pegasus", 16), ("t5", 16)], ids=str)
    def build_from(self, request: pytest.FixtureRequest, folder: Folder) -> None:
        kind, width = request.param
        torch.manual_seed(0)
        self.decoder = PretrainedSeq2SeqDecoder(TYPES, width, folder(kind))
        self.memory = random_memory([5, 3, 1], width)


@pytest.mark.parametrize(("kind", "tables"), [("bart", 1), ("t5", 1), ("marian-apart", 2)])
def test_both_parts_keep_one_table_where_their_model_does(folder: Folder, kind: str, tables: int) -> None:
    parts = PretrainedSeq2SeqEncoder(TYPES, folder(kind)), PretrainedSeq2SeqDecoder(TYPES, 16, folder(kind))
    model = EncoderDecoder(*parts)
    assert len({id(part.embedding.weight) for part in (model.encoder, model.decoder) if part.embedding}) == tables
    # What isn't trained: BART's and Marian's addition to the logits, and their positions where they are sinusoids.
    ours = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert ours == sum(parameter.numel() for parameter in make(kind).parameters() if parameter.requires_grad)


def test_a_checkpoint_rebuilds_it_without_the_folder(folder: Folder) -> None:
    decoder = PretrainedSeq2SeqDecoder(TYPES + 2, 16, folder("bart")).eval()
    tokens, memory = torch.tensor([[0, 7, TYPES + 1]]), random_memory([4], 16)
    options: dict[str, Any] = yaml.safe_load(yaml.safe_dump(decoder.portable_options()))
    other = PretrainedSeq2SeqDecoder(TYPES + 2, 16, path="/nowhere", **options).eval()
    with pytest.raises(CheckpointError, match="no weights were loaded"):
        other(tokens, memory)
    other.load_state_dict(decoder.state_dict())
    torch.testing.assert_close(other(tokens, memory), decoder(tokens, memory))


def test_a_target_beyond_the_positions_is_refused(folder: Folder) -> None:
    decoder = PretrainedSeq2SeqDecoder(TYPES, 16, folder("bart")).eval()
    with pytest.raises(ConfigError, match=r"model\.generation\.max_length to at most 46"):
        decoder(torch.full((1, 48), 5), random_memory([4], 16))
