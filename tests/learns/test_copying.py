"""Words that training has never seen can be written by copying alone: learnt within seconds of one thread."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from core.data.corpus import Corpus, Split, TextPair, numbered
from core.data.text_datamodule import TextDataModule
from core.decoders.base import Decoder
from core.decoders.recurrent import RecurrentDecoder
from core.decoders.transformer import TransformerDecoder
from core.encoders.base import Encoder
from core.encoders.recurrent import RecurrentEncoder
from core.encoders.transformer import TransformerEncoder
from core.generation import GenerationOptions
from core.module import DecoderFactory, EncoderFactory
from core.objectives import CrossEntropy
from core.optim import Schedule
from core.tokenization import TokenizerOptions
from tasks.mt.module import MtModule

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Names(Corpus):
    """A name among other words, and a greeting of it; each split has names that no other has."""

    sizes: dict[Split, int] = {"train": 2000, "val": 60, "test": 60}  # noqa: RUF012

    def read(self, split: Split) -> list[TextPair]:
        rng = random.Random(split)
        names = [f"{split}{rng.randrange(10**9)}" for _ in range(self.sizes[split])]
        rows = [rng.choices("abcdefghij", k=rng.randint(2, 5)) for _ in names]
        for row, name in zip(rows, names, strict=True):
            row.insert(rng.randint(0, len(row)), name)
        return numbered([" ".join(row) for row in rows], [f"hello {name} , how are you ?" for name in names])


WIDTH: dict[str, Any] = {"d_model": 32, "dropout": 0.0}
LAYERS: dict[str, Any] = {**WIDTH, "num_layers": 1, "num_heads": 2, "ffn_size": 64}
KINDS: dict[str, tuple[type[Encoder], type[Decoder], dict[str, Any], dict[str, Any]]] = {
    "transformer": (TransformerEncoder, TransformerDecoder, LAYERS, LAYERS),
    "recurrent": (RecurrentEncoder, RecurrentDecoder, WIDTH, {**WIDTH, "attention": "coverage"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_words_that_no_one_has_seen_are_copied(kind: str, tmp_path: Path) -> None:
    options = TokenizerOptions(kind="words", vocab_size=20, own_words=True)
    data = TextDataModule(Names(), options, batch_tokens=512, cache_dir=tmp_path)
    encoder_class, decoder_class, encoder_options, decoder_options = KINDS[kind]
    encoder: EncoderFactory = partial(encoder_class, **encoder_options)
    decoder: DecoderFactory = partial(decoder_class, copy=True, **decoder_options)
    torch.manual_seed(1)
    module = MtModule(
        data.source_size,
        data.vocabularies,
        encoder,
        decoder,
        CrossEntropy(0.0),
        partial(torch.optim.AdamW, lr=0.01, weight_decay=0.0),
        Schedule("linear", warmup_steps=20, total_steps=80),
        GenerationOptions(max_length=10),
    )
    trainer = Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        devices=1,
        max_epochs=-1,
        max_steps=80,
        val_check_interval=80,
        check_val_every_n_epoch=None,
        gradient_clip_val=1.0,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, data)
    scores = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert len(data.target_tokenizer) == 20  # the specials and the ten and six words: no name
    assert scores["val/bleu"] >= 95  # with unknown words in their place it is below 60
    assert scores["val/loss"] < 0.1
