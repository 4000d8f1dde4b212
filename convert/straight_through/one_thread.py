"""Make trainings repeatable: one thread, and a seed of their own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["one_thread"]


@contextmanager
def one_thread(seed: int) -> Iterator[None]:
    """Seed torch and restrict it to one thread, so that sums are always added in the same order.

    Denormal numbers are flushed to zero: Adam's moments of rarely seen words decay into them, and they slow
    processors down.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)
