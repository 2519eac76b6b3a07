"""How the weights of recurrent models begin, as the papers have it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.layers.alignment import AdditiveAlignment

Init = Literal["glorot", "sutskever2014", "bahdanau2014", "luong2015"]

UNIFORM = {"sutskever2014": 0.08, "luong2015": 0.1}


def initialise(model: nn.Module, init: Init, forget_bias: float) -> None:
    """Fills all parameters of a recurrent encoder or decoder; a tied one once, as an embedding.

    - "glorot": orthogonal recurrent matrices, Xavier's uniform ones elsewhere, biases zero, embeddings of size about
      one (N(0, 1/width)); trains well with Adam.
    - "sutskever2014": everything from U(-0.08, 0.08) (section 3.4).
    - "luong2015": everything from U(-0.1, 0.1) (section 4.1).
    - "bahdanau2014": orthogonal recurrent matrices, the alignment's from N(0, 0.001^2) and its last vector zero,
      biases zero, all else from N(0, 0.01^2) (appendix B.1).

    Args:
        model: what is filled, in place.
        init: the scheme.
        forget_bias: added to the bias of an LSTM's forget gates: 1 keeps what it has seen at first (Jozefowicz et al.
            2015), 0 is the papers'.

    Raises:
        ConfigError: an unknown scheme.
    """
    fill = filler(init)
    done: set[int] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in done:
                fill(module, name, parameter)
            done.add(id(parameter))
        if isinstance(module, nn.LSTM):
            add_forget_bias(module, forget_bias)
    if init == "bahdanau2014":
        for module in model.modules():
            if isinstance(module, AdditiveAlignment):
                fill_alignment(module)


def filler(init: Init) -> Callable[[nn.Module, str, Tensor], object]:
    """Chooses the function that fills one parameter of a module."""
    if init == "glorot":
        return fill_glorot
    if init == "bahdanau2014":
        return fill_normal
    if init not in UNIFORM:
        raise ConfigError(f"init must be one of glorot, {', '.join(UNIFORM)}, bahdanau2014, got {init!r}")
    limit = UNIFORM[init]
    return lambda module, name, parameter: nn.init.uniform_(parameter, -limit, limit)


def fill_glorot(module: nn.Module, name: str, parameter: Tensor) -> None:
    """Fills one parameter after "glorot"."""
    if parameter.dim() == 1:
        nn.init.zeros_(parameter)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(parameter, std=1 / math.sqrt(parameter.size(1)))
    elif name.startswith("weight_hh"):
        fill_orthogonal(parameter)
    else:
        # A layer's gates stand one above the other in one matrix; each is a matrix of its own to Xavier's formula.
        width = module.hidden_size if isinstance(module, nn.RNNBase) else parameter.size(0)
        for gate in torch.split(parameter.detach(), width):
            nn.init.xavier_uniform_(gate)


def fill_normal(module: nn.Module, name: str, parameter: Tensor) -> None:
    """Fills one parameter after "bahdanau2014"."""
    if parameter.dim() == 1:
        nn.init.zeros_(parameter)
    elif name.startswith("weight_hh"):
        fill_orthogonal(parameter)
    else:
        nn.init.normal_(parameter, std=0.01)


def fill_orthogonal(parameter: Tensor) -> None:
    """Makes the square matrix of each gate orthogonal: (gates * D, D)."""
    for gate in torch.split(parameter.detach(), parameter.size(1)):
        nn.init.orthogonal_(gate)


def fill_alignment(alignment: AdditiveAlignment) -> None:
    """Lets an alignment begin as a plain mean of the memory."""
    nn.init.normal_(alignment.query.weight, std=0.001)
    nn.init.normal_(alignment.memory.weight, std=0.001)
    nn.init.zeros_(alignment.energy.weight)


@torch.no_grad()
def add_forget_bias(layer: nn.LSTM, forget_bias: float) -> None:
    """Adds to the forget gates' bias of each direction: the second quarter."""
    for name, parameter in layer.named_parameters():
        if name.startswith("bias_hh"):
            parameter[layer.hidden_size : 2 * layer.hidden_size] += forget_bias
