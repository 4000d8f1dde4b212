"""The student's recurrence as one operation of torch: states after every word, and their gradient.

Recorded step by step, a step would cost some forty operations of autograd, each with more overhead than arithmetic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..network.constrained import T

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["states"]


def states(
    drive: torch.Tensor,
    memory: torch.Tensor,
    alive: torch.Tensor,
    counted: Callable[[int], torch.Tensor] | None = None,
) -> torch.Tensor:
    """Return the activities of the hidden units after every step, at 16 levels, [steps, questions, hidden].

    The gradient is straight-through: that of the clipped sums, whatever the activities are.

    Parameters
    ----------
    drive
        float32 [steps, questions, hidden]: what words and biases add, in units of full activity.
    memory
        float32 [hidden, hidden]: what the activities of one step, its rows, add in the next.
    alive
        bool [steps, questions]: whether there is a word; where there is none, activities are 0.
    counted
        Returns the spike counts of a step, 0..15, float32 [questions, hidden], 0 where there is no word; None: the
        activities are the rounded sums.

    """
    found: torch.Tensor = _States.apply(drive, memory, alive, counted)  # type: ignore[no-untyped-call]
    return found


class _States(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        drive: torch.Tensor,
        memory: torch.Tensor,
        alive: torch.Tensor,
        counted: Callable[[int], torch.Tensor] | None,
    ) -> torch.Tensor:
        sums, counts = torch.empty_like(drive), torch.empty_like(drive)
        # in spikes, with the half that rounding adds; the state before the first word is 0
        offered = T * drive + 0.5
        weight = alive[:, :, None].float()
        before = torch.zeros_like(drive[0])
        for t, (offer, total, count, on) in enumerate(
            zip(offered, sums, counts, weight, strict=True)
        ):
            torch.addmm(offer, before, memory, out=total)
            if counted is None:
                torch.clamp(total, 0.5, T + 0.5, out=count)
                count.floor_().mul_(on)
            else:
                count.copy_(counted(t))
            before = count
        free = (sums >= 0.5) & (sums <= T + 0.5) & alive[:, :, None]
        activities = counts / T
        ctx.save_for_backward(activities, memory, free)
        return activities

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        activities, memory, free = ctx.saved_tensors
        (wanted,) = gradients
        passed = free.float()
        summed = torch.empty_like(wanted)
        back = memory.t()
        after = torch.zeros_like(wanted[0])
        for given, sum_of, factor in zip(
            reversed(wanted.unbind()),
            reversed(summed.unbind()),
            reversed(passed.unbind()),
            strict=True,
        ):
            torch.addmm(given, after, back, out=sum_of)
            sum_of.mul_(factor)
            after = sum_of
        hidden = len(memory)
        of_memory = activities[:-1].reshape(-1, hidden).t() @ summed[1:].reshape(-1, hidden)
        return summed, of_memory, None, None
