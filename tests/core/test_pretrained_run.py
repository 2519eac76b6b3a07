"""A run with a pretrained encoder: its checkpoint translates where the pretrained model isn't any more."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from core.checkpoint import KEY, read_checkpoint
from core.cli import main
from core.runner import run
from tasks.mt.__main__ import load
from tasks.mt.module import MtModule
from tests.core.tiny import ENGLISH, corpus_options, write_corpus

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def save_bert(folder: Path, dropout: float = 0.1) -> None:
    """Writes a small random BERT, and a tokenizer of the corpus's English words."""
    torch.manual_seed(0)
    types = {word: index for index, word in enumerate((*SPECIALS, *ENGLISH))}
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    dropouts = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    config = transformers.BertConfig(vocab_size=len(types), max_position_embeddings=16, **sizes, **dropouts)
    transformers.BertModel(config).save_pretrained(folder)
    backend = Tokenizer(WordLevel(types, unk_token="[UNK]"))
    backend.pre_tokenizer = Whitespace()
    wrap = [("[CLS]", types["[CLS]"]), ("[SEP]", types["[SEP]"])]
    backend.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=wrap)
    roles = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), SPECIALS, strict=True))
    transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **roles).save_pretrained(folder)


def options(folder: Path, bert: Path) -> list[str]:
    sizes = {"d_model": 16, "num_layers": 1, "num_heads": 2, "ffn_size": 32, "dropout": 0.0}
    others = {
        "data.tokenizer.kind": "words",
        "data.tokenizer.joint": "false",
        "data.tokenizer.source_path": bert,
        "data.max_source_length": 14,
        "data.batch_tokens": 128,
        "model.encoder": "core.encoders.pretrained_text.PretrainedTextEncoder",
        "model.encoder.path": bert,
        "model.tie_embeddings": "false",
        "model.generation.max_length": 12,
        "trainer.accelerator": "cpu",
        "trainer.devices": 1,
        "trainer.max_steps": 2,
        "trainer.val_check_interval": 2,
        "trainer.default_root_dir": folder,
        "run": "bert",
    }
    decoder = [f"--model.decoder.{name}={value}" for name, value in sizes.items()]
    return [*corpus_options(folder), *decoder, *(f"--{name}={value}" for name, value in others.items())]


def test_a_checkpoint_translates_where_the_pretrained_model_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bert, checkpoint = tmp_path / "bert", tmp_path / "mt" / "bert" / "last.ckpt"
    write_corpus(tmp_path)
    save_bert(bert)
    before = transformers.BertModel.from_pretrained(bert).embeddings.word_embeddings.weight
    run("mt", "fit", options(tmp_path, bert), load)
    shutil.rmtree(bert)
    trained = MtModule.load(checkpoint).model.encoder.embedding
    assert trained is not None
    # Two small updates away: the pretrained weights are what training began with.
    torch.testing.assert_close(trained.weight, before, atol=0.02, rtol=0.0)
    assert not torch.equal(trained.weight, before)

    assert read_checkpoint(checkpoint)[KEY]["tokenizers"]["source"]["kind"] == "pretrained"
    arguments = ["predict", "--ckpt_path", str(checkpoint), "--text", '["one two", "nine [SEP] two", ""]']
    monkeypatch.setattr(sys, "argv", ["mt", *arguments])
    capsys.readouterr()
    main("mt", load)
    assert len(capsys.readouterr().out.splitlines()) == 3
