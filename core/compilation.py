"""torch.compile for the layers that a model is a stack of.

In place, so that parameters, and with them the entries of a checkpoint, keep their names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from core.errors import ConfigError
from core.units import units

BACKEND = "inductor"
# Graphs of a kind of layer, before torch goes on without compiling. One serves all its layers and all sizes but 1, for
# which torch makes graphs of their own: 4 of an encoder's layer, 8 of a decoder's, twice as many if an objective also
# reads without a gradient.
MOST_GRAPHS = 32


def check_compilable(model: nn.Module) -> None:
    """Tells whether `compile_units` has something to do, and what it needs.

    Raises:
        ConfigError: the model has no such layers, or the machine has no compiler.
    """
    if not units(model):
        raise ConfigError(
            "fit.compile is true, but the model has no layers of a Transformer or Conformer, and no others are "
            "compiled: set it to false"
        )
    if BACKEND == "inductor" and not torch.cuda.is_available():
        _check_compiler()


def compile_units(model: nn.Module) -> None:
    """Lets torch compile each layer when it is first called with a whole sequence; writing by steps stays as it is.

    One graph serves all layers of a kind and batches of all lengths (`dynamic`): one for each length would be compiled
    for hours. The losses are those of the layers as they are, to rounding; dropout draws other numbers.
    """
    # Else torch cuts a layer's graph where DDP's first buckets end, to reduce gradients while others are computed: with
    # a graph for each layer that is done between the layers.
    torch._dynamo.config.optimize_ddp = False
    for layer in units(model):
        layer.compile(dynamic=True, backend=BACKEND, recompile_limit=MOST_GRAPHS)


@contextmanager
def one_line_for_failed_compilation() -> Iterator[None]:
    """What torch can't compile is a matter of an option: a header isn't there, or torch has a bug.

    Raises:
        ConfigError: says which option, and the first line of the reason.
    """
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(
            f"fit.compile is true, but torch can't compile the model: set it to false ({reason[:300]})"
        ) from error


def _check_compiler() -> None:
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise ConfigError(
            "fit.compile is true, but there is no C++ compiler: install g++ (Debian: apt-get install g++), name "
            "another in the variable CXX, or set fit.compile to false"
        ) from error
