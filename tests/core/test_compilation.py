"""Layers that torch compiles compute what they did before, and checkpoints don't tell."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from core.batch import FrameBatch, TextBatch
from core.checkpoint import read_checkpoint
from core.compilation import check_compilable, compile_units, one_line_for_failed_compilation
from core.decoders.recurrent import RecurrentDecoder
from core.decoders.transformer import TransformerDecoder
from core.encoders.base import Encoder
from core.encoders.conformer import ConformerEncoder
from core.encoders.recurrent import RecurrentEncoder
from core.encoders.transformer import TransformerEncoder
from core.errors import ConfigError
from core.objectives import target_loss
from core.runner import run
from core.seq2seq import EncoderDecoder
from core.units import units
from tasks.mt.__main__ import load
from tests.core.tiny import tiny_options, write_corpus
from tests.distributed.runs import furthest

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

TYPES, FEATURES = 20, 16
SIZES: dict[str, Any] = {"d_model": 16, "num_layers": 2, "num_heads": 2, "ffn_size": 32, "dropout": 0.0}
LENGTHS = (((7, 4, 2), (5, 6, 1)), ((9, 3), (4, 8)), ((12, 2), (11, 3)))  # of sources and targets, batch by batch


@pytest.fixture(autouse=True)
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Makes graphs and runs them as they are: what takes inductor its minute is to make C++ of them."""
    # The first backward pass of a process looks for devices, and tracing adds some in name: were it the first one after
    # that, processes that fork from this one, as other tests' do, couldn't have any.
    torch.ones(1, requires_grad=True).sum().backward()  # type: ignore[no-untyped-call]
    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setattr("core.compilation.BACKEND", "eager")
    with torch._dynamo.config.patch(optimize_ddp=torch._dynamo.config.optimize_ddp):
        yield
    torch._dynamo.reset()


def texts(lengths: tuple[int, ...]) -> TextBatch:
    return TextBatch(torch.randint(4, TYPES, (len(lengths), max(lengths))), torch.tensor(lengths))


def frames(lengths: tuple[int, ...]) -> FrameBatch:
    longer = torch.tensor(lengths) * 8
    return FrameBatch(torch.randn(len(lengths), int(longer.max()), FEATURES), longer)


def sighted(kind: str) -> Encoder:
    if kind.startswith("transformer"):
        positions: Any = "rotary" if "rotary" in kind else "sinusoidal"
        return TransformerEncoder(TYPES, positions=positions, **SIZES)
    own: dict[str, Any] = {"positions": "relative", "conv_norm": "batch"} if "batch" in kind else {}
    return ConformerEncoder(FEATURES, conv_channels=4, kernel_size=3, **SIZES, **own)


def model_of(kind: str) -> EncoderDecoder:
    torch.manual_seed(0)
    return EncoderDecoder(sighted(kind), TransformerDecoder(TYPES, 16, **SIZES))


def train(model: EncoderDecoder, kind: str) -> list[Tensor]:
    """The losses of a few batches, whose gradients add up."""
    torch.manual_seed(1)
    losses = []
    for sources, targets in LENGTHS:
        source = texts(sources) if kind.startswith("transformer") else frames(sources)
        target = texts(targets)
        loss = target_loss(model.decoder, target.values.roll(1, 1), target, model.encode(source), smoothing=0.1).total
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
    return losses


def compare(kind: str) -> None:
    eager = model_of(kind)
    compiled = copy.deepcopy(eager)
    compile_units(compiled)
    assert list(compiled.state_dict()) == list(eager.state_dict())
    torch.testing.assert_close(train(compiled, kind), train(eager, kind))
    for (name, one), other in zip(eager.named_parameters(), compiled.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        distance = float((other.grad - one.grad).abs().max())
        assert distance <= 1e-5 * max(1.0, float(one.grad.abs().max())), f"{name} differs by {distance}"
    torch.testing.assert_close(dict(compiled.named_buffers()), dict(eager.named_buffers()))


@pytest.mark.parametrize("kind", ["transformer", "transformer, rotary", "conformer", "conformer, batch norm"])
def test_losses_gradients_and_names_are_those_of_the_layers_as_they_are(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.layers.linear.LEAST_PRODUCT", 20 * 16 * 48)  # which some of the batches are below
    compare(kind)
    assert not counters["graph_break"], "a layer is one graph"
    # One for each kind of layer, whatever the lengths; without dropout a Conformer's first layer has a view to read,
    # for which torch makes another.
    assert counters["stats"]["unique_graphs"] <= (2 if kind.startswith("transformer") else 3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_so_they_are_with_inductor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.compilation.BACKEND", "inductor")
    monkeypatch.setitem(SIZES, "num_layers", 1)
    compare("transformer")


def options(folder: Path, name: str) -> list[str]:
    plain = ["--trainer.precision=32-true", "--trainer.logger=false", "--trainer.max_steps=6", "--fit.keep=1"]
    folders = [f"--trainer.default_root_dir={folder}", f"--run={name}", "--trainer.val_check_interval=3"]
    # Rotary positions are turned by complex numbers where nothing is compiled: that rounds otherwise, and Adam makes
    # whole updates of the rounding where a gradient is zero, as that of the keys' bias.
    positions = [f"--model.{part}.positions=sinusoidal" for part in ("encoder", "decoder")]
    return [*tiny_options(folder), *plain, *folders, *positions]


def test_a_run_that_is_compiled_leaves_a_checkpoint_that_others_go_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_corpus(tmp_path, train=100)
    graphs: Counter[str] = Counter()

    def counting(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
        graphs["with gradient" if torch.is_grad_enabled() else "without"] += 1
        return graph.forward

    monkeypatch.setattr("core.compilation.BACKEND", counting)
    run("mt", "fit", [*options(tmp_path, "eager"), "--fit.keep=2"], load)
    assert not graphs
    run("mt", "fit", [*options(tmp_path, "compiled"), "--fit.keep=2", "--fit.compile=true"], load)
    assert set(graphs) == {"with gradient"}, "validations aren't compiled"
    found = {name: read_checkpoint(tmp_path / "mt" / name / "last.ckpt") for name in ("eager", "compiled")}
    for name, other in (("compiled", "false"), ("eager", "true")):
        half = tmp_path / "mt" / name / "step=3.ckpt"
        more = ["--ckpt_path", str(half), f"--fit.compile={other}"]
        run("mt", "fit", [*options(tmp_path, f"on from {name}"), *more], load)
        found[f"on from {name}"] = read_checkpoint(tmp_path / "mt" / f"on from {name}" / "last.ckpt")
    weights = found["eager"]["state_dict"]
    for name, checkpoint in found.items():
        assert checkpoint["global_step"] == 6
        assert list(checkpoint["state_dict"]) == list(weights)
        distance, where = furthest(weights, checkpoint["state_dict"])
        assert distance <= 1e-5, f"{name}: {where} differs by {distance}"
    graphs.clear()
    run(
        "mt",
        "test",
        ["--ckpt_path", str(tmp_path / "mt" / "compiled" / "last.ckpt"), "--trainer.accelerator=cpu"],
        load,
    )
    assert not graphs, "a checkpoint's `fit` options are those of training alone"


def test_a_failing_validation_leaves_torch_compiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stance = torch._dynamo.eval_frame._stance
    write_corpus(tmp_path, train=20)
    monkeypatch.setattr("tasks.mt.module.MtModule.validation_step", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("mt", "fit", [*options(tmp_path, "failing"), "--fit.compile=true"], load)
    assert torch._dynamo.eval_frame._stance == stance


def test_a_missing_compiler_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.compilation.BACKEND", "inductor")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    with pytest.raises(ConfigError, match=r"fit\.compile.*no C\+\+ compiler: install g\+\+"):
        check_compilable(model_of("transformer"))


def test_a_model_without_such_layers_is_refused(tmp_path: Path) -> None:
    model = EncoderDecoder(RecurrentEncoder(TYPES, 16), RecurrentDecoder(TYPES, 16, d_model=16))
    with pytest.raises(ConfigError, match=r"fit\.compile.*no layers of a Transformer or Conformer"):
        check_compilable(model)


def test_what_torch_cannot_compile_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
        raise OSError("Python.h: No such file")

    monkeypatch.setattr("core.compilation.BACKEND", failing)
    model = model_of("transformer")
    compile_units(model)
    with (
        pytest.raises(ConfigError, match=r"fit\.compile.*set it to false.*Python\.h"),
        one_line_for_failed_compilation(),
    ):
        train(model, "transformer")


def test_units_are_the_layers_of_both_kinds() -> None:
    assert [type(unit).__name__ for unit in units(model_of("conformer"))] == ["ConformerLayer"] * 2 + [
        "DecoderLayer"
    ] * 2
    assert units(nn.Linear(2, 2)) == []
