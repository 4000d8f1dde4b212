"""Run the benchmarks: `python -m benchmarks [NAME ...] [--ranc PATH]` (all without a name), or `make bench`."""

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
    "daemon",
    "convert",
    "ablation",
    "readout",
    "paper",
    "registry",
    "batch",
    "events",
)
"""Modules of this folder; each is imported when it is asked for, since torch alone takes 190 MiB."""

HANDICAPS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Settings that may make NumPy choose slow products: measured with them, the ratios would flatter us."""


def main() -> int:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Print benchmark tables."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(ALL)}; else all")
    parser.add_argument("--ranc", metavar="PATH", help="binary of the RANC simulator, for core")
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in ALL]:
        parser.error(f"no {unknown[0]!r}, there are {', '.join(ALL)}")
    if found := [name for name in HANDICAPS if name in os.environ]:
        print(f"Unset for the benchmarks, as NumPy could be slower with it: {', '.join(found)}.")
        sys.stdout.flush()
        plain = {name: value for name, value in os.environ.items() if name not in HANDICAPS}
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks", *sys.argv[1:]], plain)  # noqa: S606 - starts itself anew: no shell is wanted
    print(f"Measured on {machine()}.")
    for name in asked.names or ALL:
        module = import_module(f"benchmarks.{name.replace('-', '_')}")
        module.main(*([asked.ranc] if name == "core" else []))
    return 0


if __name__ == "__main__":
    sys.exit(main())
