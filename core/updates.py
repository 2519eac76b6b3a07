"""From a batch's sums to one update: the loss counted by token over the whole step, and non-finite steps skipped."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from core.distributed import rank, sum_over_ranks, union_over_ranks
from core.errors import PolyseqError
from core.sharding import whole

_log = logging.getLogger(__name__)

SHOWN = 20  # ids of a batch that are told


class TrainingError(PolyseqError):
    """Training can't go on; the message says what was seen and what to try."""


class UpdateGuard:
    """Turns gradients of summed losses into those of the mean over the step's tokens, or drops the step.

    A step is one update: all batches that are accumulated for it, on all ranks. Its gradient is divided by the number
    of its tokens, so that two ranks, or four accumulated batches, train as one process with one large batch would.

    Args:
        patience: how many skipped updates in a row stop the run.

    Attributes:
        wants_to_stop: set where this rank was told to stop.
        stopping: after an update, whether any rank was: all know it from then on, and from the same update.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.skipped = 0
        self.skipped_in_a_row = 0
        self.wants_to_stop = False
        self.stopping = False
        self._tokens: list[Tensor] = []
        self._losses: list[Tensor] = []
        self._ids: list[tuple[int, ...]] = []

    def add(self, total: Tensor, tokens: Tensor, ids: tuple[int, ...] = ()) -> None:
        """Notes the summed loss, the number of tokens and the examples of one batch of the step."""
        self._losses.append(total.detach())
        self._tokens.append(tokens)
        self._ids.append(ids)

    def finish(self, parameters: Iterable[nn.Parameter], clip_norm: float | None, divided_by: float) -> bool:
        """Rescales and clips the step's gradients in place, or drops them where the step is not finite.

        The decision is the same on all ranks: gradients have been reduced, and losses are summed here.

        Args:
            parameters: those that are trained.
            clip_norm: the largest norm of the whole gradient; None for no clipping.
            divided_by: what the engine has divided the summed gradients by: ranks times accumulated batches.

        Returns:
            Whether the update is to be made.

        Raises:
            TrainingError: too many updates in a row were skipped.
        """
        trained = [parameter for parameter in parameters if parameter.grad is not None]
        gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
        stop = self._tokens[0].new_tensor(self.wants_to_stop)
        sums = torch.stack(
            [each.sum().double() for each in (torch.stack(self._tokens), torch.stack(self._losses), stop)]
        )
        tokens, loss, stopping = sum_over_ranks(sums).tolist()
        self.stopping = stopping > 0
        scale = divided_by / max(tokens, 1)
        norm = float(whole(nn.utils.get_total_norm(gradients))) * scale
        finite = math.isfinite(loss) and math.isfinite(norm)
        blamed = "" if finite else self._blamed()
        for noted in (self._tokens, self._losses, self._ids):
            noted.clear()
        if not finite:
            self._skip(trained, f"loss {loss}, gradient norm {norm}, {blamed}")
            return False
        self.skipped_in_a_row = 0
        if clip_norm is not None and norm > clip_norm:
            scale *= clip_norm / norm
        if gradients:
            torch._foreach_mul_(gradients, scale)
        return True

    def _blamed(self) -> str:
        """The examples of the batches whose loss isn't finite, or of all where each is; of all ranks together."""
        bad = [ids for ids, loss in zip(self._ids, self._losses, strict=True) if not bool(torch.isfinite(loss))]
        found = union_over_ranks({rank(): (bool(bad), bad or self._ids)})
        some = any(is_bad for is_bad, _ in found.values())
        told = [
            _listed(ids) + (f" of rank {number}" if len(found) > 1 else "")
            for number, (is_bad, batches) in sorted(found.items())
            for ids in batches
            if is_bad or not some
        ]
        return f"{'in' if some else 'somewhere in'} the batch of examples {' or '.join(told)}"

    def _skip(self, trained: list[nn.Parameter], told: str) -> None:
        for parameter in trained:
            parameter.grad = None  # an optimizer leaves a parameter without gradient, and its moments, as they are
        self.skipped += 1
        self.skipped_in_a_row += 1
        if rank() == 0:
            _log.warning("an update was not finite and is skipped, %d so far: %s", self.skipped, told)
        if self.skipped_in_a_row >= self.patience:
            raise TrainingError(
                f"{self.skipped_in_a_row} updates in a row were not finite and were skipped (the last: {told}); the "
                "weights are those before them. Lower model.optimizer.lr, set trainer.gradient_clip_val, or train with "
                "trainer.precision=32-true"
            )


def _listed(ids: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, ids[:SHOWN]))}{', …' if len(ids) > SHOWN else ''}]"
