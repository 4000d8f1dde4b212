"""Choose the compiled kernels for this CPU; a missing extension is an error, never a quiet fallback."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Final

from ..errors import SimcoreError

if TYPE_CHECKING:
    from types import ModuleType

KERNEL_VARIABLE: Final = "SPIKEWATCH_KERNEL"
"""Environment variable that names the kernel to use; unset: the fastest that this CPU supports."""


def kernels() -> list[str]:
    """Return the names of the kernels that this CPU supports, fastest first."""
    return ["avx512", "avx2", "base"][2 - _load("base").cpu_level() :]


def kernel(name: str | None = None) -> ModuleType:
    """Import a kernel by name.

    Parameters
    ----------
    name
        One of `kernels()`; None: the one that SPIKEWATCH_KERNEL names, else the fastest.

    Raises
    ------
    SimcoreError
        This CPU does not support the kernel, or this build lacks it.

    """
    name = name or os.environ.get(KERNEL_VARIABLE) or kernels()[0]
    if name not in kernels():
        raise SimcoreError(f"kernel {name!r}: this CPU runs {', '.join(kernels())}")
    return _load(name)


def _load(name: str) -> ModuleType:
    try:
        return import_module(f"._kernel_{name}", __package__)
    except ImportError as e:
        raise SimcoreError(f"kernel {name!r} is missing from this build: {e}") from None
