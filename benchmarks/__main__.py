"""Run benchmarks: `python -m benchmarks [NAME ...] [--ranc PATH]` (without a name: all), or `make bench`."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

from benchmarks.tables import machine

ALL = (
    "core",
    "chip",
    "questions",
    "tokenizing",
    "lookups",
    "daemon",
    "convert",
    "students",
    "cores",
    "ablation",
    "readout",
    "paper",
    "registry",
    "batch",
    "pickup",
)
"""Modules of this folder, each imported only when it runs, because torch alone takes 190 MiB."""

HANDICAPS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Settings that can make NumPy's matrix products slow: with them, the ratios would be too good."""


def main() -> int:
    """Print the requested tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Print benchmark tables."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(ALL)}; default: all")
    parser.add_argument("--ranc", metavar="PATH", help="binary of the RANC simulator, for core")
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in ALL]:
        parser.error(f"unknown benchmark {unknown[0]!r}; choose from {', '.join(ALL)}")
    if found := [name for name in HANDICAPS if name in os.environ]:
        print(f"Unset for the benchmarks, because it can slow NumPy down: {', '.join(found)}.")
        sys.stdout.flush()
        plain = {name: value for name, value in os.environ.items() if name not in HANDICAPS}
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks", *sys.argv[1:]], plain)  # noqa: S606 - restarts itself, without a shell
    print(f"Measured on {machine()}.")
    for name in asked.names or ALL:
        module = import_module(f"benchmarks.{name.replace('-', '_')}")
        module.main(*([asked.ranc] if name == "core" else []))
    return 0


if __name__ == "__main__":
    sys.exit(main())
