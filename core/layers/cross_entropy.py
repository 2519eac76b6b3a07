"""Cross-entropy over a vocabulary, the head included, without ever holding all logits in float32.

A small model spends more on its logits than on all of its layers. With P the softmax of the logits XW' + b, the
gradient is that of P minus the one-hot targets, and the uniform part of label smoothing is of rank one, so that it
needs no pass over the logits at all. What remains is a softmax and three matrix products in the dtype of autocast.

Letters: N tokens, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Logits that are held at once. Fewer don't fill the matrix units; more only take memory.
CHUNK = 2**22


def smoothed_cross_entropy(
    features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, smoothing: float
) -> tuple[Tensor, Tensor]:
    """Scores features by a linear head: as `F.cross_entropy(features @ weight.T + bias, targets, reduction="sum")`.

    Args:
        features: (N, D).
        weight: the head's matrix (V, D).
        bias: (V,) or None.
        targets: ids (N,).
        smoothing: the share of the target's probability that is spread evenly over all V types, the target included
            (Szegedy et al. 2016, section 7; torch's `label_smoothing`).

    Returns:
        The sum of the smoothed loss, with gradient, and that of the plain negative log-likelihood, without: both
        scalars in nats.
    """
    device = features.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else features.dtype
    total, nll = _SmoothedCrossEntropy.apply(features, weight, bias, targets, smoothing, dtype, torch.is_grad_enabled())
    return total, nll


def smoothed_cross_entropy_logits(logits: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """The same for heads that aren't linear: logits (N, V) and targets (N,) to both sums."""
    log_probs = logits.float().log_softmax(-1)
    nll = -log_probs.gather(1, targets.unsqueeze(1)).sum()
    total = (1 - smoothing) * nll - smoothing * log_probs.mean(-1).sum() if smoothing else nll
    return total, nll.detach()


class _Gradients(NamedTuple):
    """What the loss's gradient is, filled chunk by chunk: of features (N, D), weight (V, D) and bias (V,)."""

    features: Tensor
    weight: Tensor
    bias: Tensor | None


class _SmoothedCrossEntropy(torch.autograd.Function):
    """Computes the gradient along with the loss, while the logits are at hand."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        smoothing: float,
        dtype: torch.dtype,
        differentiate: bool,
    ) -> tuple[Tensor, Tensor]:
        gradients = None
        if differentiate:
            zeros = None if bias is None else torch.zeros_like(bias)
            gradients = _Gradients(torch.empty_like(features), torch.zeros_like(weight), zeros)
        with torch.autocast(features.device.type, enabled=False):
            total, nll = _accumulate(features, weight, bias, targets, smoothing, dtype, gradients)
        if gradients is not None:
            ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(nll)
        return total, nll

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, total: Tensor, nll: Tensor) -> tuple[Tensor | None, ...]:
        scaled = (None if gradient is None else gradient * total for gradient in ctx.saved_tensors)
        return *scaled, None, None, None, None


def _accumulate(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    smoothing: float,
    dtype: torch.dtype,
    gradients: _Gradients | None,
) -> tuple[Tensor, Tensor]:
    """Sums the smoothed loss and the negative log-likelihood, and fills the gradients where they are wanted."""
    count, size = features.size(0), weight.size(0)
    matrix, offset = weight.to(dtype), None if bias is None else bias.to(dtype)
    log_norms = wanted = features.new_zeros((), dtype=torch.promote_types(dtype, torch.float32))
    step = min(max(CHUNK // size, 1), max(count, 1))
    # Buffers for all chunks, because fresh memory is slow to touch for the first time.
    buffers = matrix.new_empty(2, step, size)
    for begin in range(0, count, step):
        rows = slice(begin, begin + step)
        inputs, ids = features[rows].to(dtype), targets[rows].unsqueeze(1)
        logits, probs = buffers[:, : len(ids)]  # (n, V)
        torch.mm(inputs, matrix.T, out=logits) if offset is None else torch.addmm(offset, inputs, matrix.T, out=logits)
        torch.softmax(logits, -1, out=probs)
        logit, log_norm = _log_norm(logits, probs, ids)
        log_norms, wanted = log_norms + log_norm.sum(), wanted + logit.sum()
        if gradients is not None:
            # An index, because scatter_add_ copies the whole matrix on the CPU.
            probs[torch.arange(len(ids), device=ids.device), ids.squeeze(1)] -= 1 - smoothing
            gradients.features[rows] = probs @ matrix
            gradients.weight.add_((probs.T @ inputs).to(weight.dtype))
            if gradients.bias is not None:
                gradients.bias.add_(probs.sum(0))
    nll = log_norms - wanted
    if not smoothing:
        return nll, nll.clone()
    # Sums over all logits are products of means: the mean row of the weight, and the sum of the features.
    row, summed = weight.mean(0), features.sum(0, dtype=weight.dtype)
    even = log_norms - summed @ row - (0.0 if bias is None else count * bias.mean())
    if gradients is not None:
        gradients.features.sub_((smoothing * row).to(features.dtype))
        gradients.weight.sub_(summed * (smoothing / size))
        if gradients.bias is not None:
            gradients.bias.sub_(smoothing * count / size)
    return (1 - smoothing) * nll + smoothing * even, nll


def _log_norm(logits: Tensor, probs: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """The targets' logits (n,) and the rows' log-sum-exp (n,), from logits and their softmax (n, V), ids (n, 1).

    The softmax has summed already: log-sum-exp is logit minus log-probability, of the target or of any other type.
    Where the target's probability is next to nothing, it is summed anew.
    """
    wide = torch.promote_types(logits.dtype, torch.float32)
    logit, prob = logits.gather(1, ids).squeeze(1).to(wide), probs.gather(1, ids).squeeze(1).to(wide)
    log_norm = logit - prob.log()
    faint = prob < 1e-30
    log_norm[faint] = logits[faint].to(wide).logsumexp(-1)
    return logit, log_norm
