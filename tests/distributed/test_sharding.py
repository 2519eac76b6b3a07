"""A model in shards (FSDP2) trains, scores and goes on as one process does, and leaves the same checkpoints.

On processors: PyTorch shards there as on GPUs, with gloo in NCCL's place.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import FileStore
from torch.distributed.tensor import DTensor

from core.checkpoint import read_checkpoint
from core.decoders.transformer import TransformerDecoder
from core.encoders.transformer import TransformerEncoder
from core.errors import ConfigError
from core.runner import run
from core.seq2seq import EncoderDecoder, tie_embeddings
from core.sharding import gather, scatter, shard
from core.units import units
from tasks.mt.__main__ import load
from tests.core.tiny import ROOT, tiny_options, write_corpus
from tests.distributed.runs import STEPS, TRAINING, furthest, on_ranks, unite

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

MENU = ["--config", str(ROOT / "configs" / "trainer" / "fsdp.yaml"), "--trainer.accelerator=cpu"]
TIED = ["--model.tie_embeddings=true", "--data.tokenizer.joint=true", "--trainer.precision=32-true"]


def test_layers_are_sharded_and_names_stay(tmp_path: Path) -> None:
    encoder = TransformerEncoder(20, d_model=16, num_layers=2, num_heads=2, ffn_size=32)
    decoder = TransformerDecoder(20, 16, d_model=16, num_layers=2, num_heads=2, ffn_size=32)
    tie_embeddings(encoder, decoder)
    model = EncoderDecoder(encoder, decoder)
    names = list(model.state_dict())
    dist.init_process_group("gloo", store=FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1)
    try:
        shard(model, torch.device("cpu"))
        assert list(model.state_dict()) == names
        assert all(isinstance(weight, DTensor) for weight in model.parameters())
        assert encoder.embedding.weight is decoder.embedding.weight, "tied tables stay one"
        gather(model)
        assert not any(isinstance(weight, DTensor) for weight in model.parameters())
        assert encoder.embedding.weight is decoder.embedding.weight
        scatter(model)
        assert all(isinstance(weight, DTensor) for layer in units(model) for weight in layer.parameters())
    finally:
        dist.destroy_process_group()


def test_two_ranks_train_score_and_go_on_in_shards(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    options = [*tiny_options(tmp_path), *TRAINING, *TIED, "--trainer.limit_val_batches=1.0"]
    options += [
        "--trainer.val_check_interval=10",
        "--trainer.gradient_clip_val=1.0",
        f"--trainer.default_root_dir={tmp_path}",
    ]
    shards = [*MENU, *options, "--trainer.devices=2", "--fit.keep=2"]
    on_ranks("mt", "fit", load, 2, [*shards, "--run=two"])
    saved = tmp_path / "mt" / "two" / "step=10.ckpt"
    on_ranks("mt", "fit", load, 2, [*shards, "--run=again", "--ckpt_path", str(saved)])
    with pytest.MonkeyPatch.context() as patch:
        unite(patch, ranks=2)
        run("mt", "fit", [*options, "--run=one"], load)
    one, *others = (read_checkpoint(tmp_path / "mt" / name / "last.ckpt") for name in ("one", "two", "again"))
    for other in others:
        assert other["global_step"] == one["global_step"] == STEPS
        assert list(other["state_dict"]) == list(one["state_dict"])
        distance, where = furthest(one["state_dict"], other["state_dict"])
        assert distance <= 1e-5, f"{where} differs by {distance}"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--fit.ema_decay=0.9"], r"fit\.ema_decay must be 0 with FSDP"),
        (["--model.objective=core.objectives.ScheduledSampling", "--model.objective.rollout=stepwise"], "writes while"),
        (["--trainer.strategy.save_distributed_checkpoint=true"], "must be false: a checkpoint of ours is one file"),
    ],
)
def test_what_shards_cannot_do_is_refused(tmp_path: Path, options: list[str], told: str) -> None:
    write_corpus(tmp_path, train=20)
    more = [*tiny_options(tmp_path), f"--trainer.default_root_dir={tmp_path}", "--run=refused", *options]
    with pytest.raises(ConfigError, match=told):
        run("mt", "fit", [*MENU, *more], load)
    assert not (tmp_path / "mt").exists()
