"""Put trained Elman RNNs on a TrueNorth core, and serve them: `convert`, `registry`, `simcore` and `daemon`.

This folder is the package `spikewatch` itself: its version, and in `command_line` what the four programs have in
common. The four sub-packages are the folders at the root of the checkout (see `package-dir` in pyproject.toml).
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__: str


def __getattr__(name: str) -> str:
    """Look the version up on first use: reading the metadata would delay the start of every program."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415

        return version("spikewatch")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
