"""Run the benchmarks: `python -m benchmarks [NAME ...]` (all without a name), or `make bench`."""

from __future__ import annotations

import sys

from benchmarks import chip, convert, core, end_to_end, paper, questions
from benchmarks.tables import machine

ALL = {
    "core": core.main,
    "chip": chip.main,
    "questions": questions.main,
    "end-to-end": end_to_end.main,
    "convert": convert.main,
    "paper": paper.main,
}


def main() -> int:
    """Print the tables asked for."""
    names = sys.argv[1:] or list(ALL)
    if unknown := [name for name in names if name not in ALL]:
        print(f"benchmarks: no {unknown[0]!r}, there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    print(f"Measured on {machine()}.")
    for name in names:
        ALL[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
