"""The student's recurrence as one operation, against the same steps recorded by autograd one by one."""

from __future__ import annotations

import pytest
import torch

from spikewatch.convert.straight_through.quantise import round_activities
from spikewatch.convert.student.recurrence import states

STEPS, QUESTIONS, HIDDEN = 7, 5, 6


@pytest.mark.parametrize("spiking", [False, True])
def test_states_and_gradients_are_those_of_single_steps(spiking: bool) -> None:
    source = torch.Generator().manual_seed(1)
    drive = torch.rand(STEPS, QUESTIONS, HIDDEN, generator=source) * 1.6 - 0.3
    memory = torch.randn(HIDDEN, HIDDEN, generator=source) / 3
    alive = torch.arange(STEPS)[:, None] >= torch.tensor([0, 1, 3, 6, 0])
    counts = torch.randint(0, 16, (STEPS, QUESTIONS, HIDDEN), generator=source) * alive[:, :, None]
    wanted = torch.randn(STEPS, QUESTIONS, HIDDEN, generator=source)

    def by_steps(drive: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        state, found = torch.zeros(QUESTIONS, HIDDEN), []
        for t in range(STEPS):
            rate = torch.clamp(drive[t] + state @ memory, 0, 1)
            rounded = counts[t] / 15 + (rate - rate.detach()) if spiking else round_activities(rate)
            state = rounded * alive[t][:, None]
            found.append(state)
        return torch.stack(found)

    def at_once(drive: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        return states(drive, memory, alive, (lambda t: counts[t].float()) if spiking else None)

    results = []
    for way in (by_steps, at_once):
        leaves = [drive.clone().requires_grad_(), memory.clone().requires_grad_()]
        found = way(*leaves)
        results.append([found.detach(), *torch.autograd.grad((found * wanted).sum(), leaves)])
    for expected, given in zip(*results, strict=True):
        torch.testing.assert_close(given, expected)
