"""Measure the points that `publish` loses on held-out sentences, for networks trained without spikewatch.

Plain PyTorch trains and exports twelve float Elman networks (without ../shared only four, on generated sentences).
Their files are converted as `spikewatch-convert publish` does: in closed form, with the defaults, and with the labels
of the calibration sentences, which are neither trained on nor held out.  Trained networks are kept in the folder
SPIKEWATCH_BENCH_CACHE, by default a new temporary one.

`python -m benchmarks.convert development` does the same with other sentences; settings are chosen only on these.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.foreign import RECIPES, trained
from benchmarks.sentences import generated, trec
from benchmarks.tables import print_table
from spikewatch.convert.publishing.conversion import convert
from spikewatch.convert.publishing.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.foreign import Recipe
    from benchmarks.sentences import Corpus

SHARED: Final = Path(__file__).parents[2] / "shared" / "trec" / "train_5500.label"
WAYS: Final = {"closed form": "closed-form", "defaults": None, "labels": "labels"}
"""Values of `--recipe`; None leaves the option out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """Result of one conversion, on the held-out sentences.

    Attributes
    ----------
    floats, integer, core : float
        Accuracy of the float network in onnxruntime, of the integer model, and of the core.
    agreement : float
        Share of the sentences on which the core answers as the float network.
    minutes : float
        CPU time from reading the files to the evaluated model.

    """

    floats: float
    integer: float
    core: float
    agreement: float
    minutes: float

    @property
    def lost(self) -> float:
        """Points lost from float to spiking."""
        return 100 * (self.floats - self.core)


def measure(folder: Path, way: str) -> Way:
    """Convert the network of a folder as `publish` does, and return the figures that it would publish."""
    recipe = WAYS[way]
    begin = time.process_time()
    source = Source(
        model=folder / "model.onnx",
        tokenizer=folder / "tokenizer.json",
        labels=folder / "labels.json",
        calibrate=folder / f"calibrate.{'tsv' if recipe == 'labels' else 'txt'}",
        evaluate=folder / "held_out.tsv",
    )
    stages = convert(source, title="benchmark", recipe=recipe).evaluation["stages"]
    return Way(
        floats=stages["float"]["accuracy"],
        integer=stages["integer"]["accuracy"],
        core=stages["spiking"]["accuracy"],
        agreement=stages["spiking"]["agreement"],
        minutes=(time.process_time() - begin) / 60,
    )


def head(ways: list[str]) -> list[str]:
    """Return the column heads of `row`."""
    names = ["float"]
    for way in ways:
        names += [f"{way}: integer", "spiking", "agreement", "lost", "min"]
    return names


def row(found: dict[str, Way]) -> list[str]:
    """Return the results of one network as table cells."""
    cells = [f"{next(iter(found.values())).floats:.1%}"]
    for way in found.values():
        shares = [f"{share:.1%}" for share in (way.integer, way.core, way.agreement)]
        cells += [*shares, f"{way.lost:+.1f}", f"{way.minutes:.1f}"]
    return cells


def block(corpus: Corpus, recipes: list[Recipe], cache: Path) -> None:
    """Print each conversion on one corpus as soon as it is finished, and then their table."""
    found: list[dict[str, Way]] = [{} for _ in recipes]
    for way in WAYS:
        for recipe, ways in zip(recipes, found, strict=True):
            ways[way] = measure(trained(corpus, recipe, cache), way)
            print("#", corpus.name, recipe, recipe.exporter, *row({way: ways[way]}), flush=True)
    rows = [
        [str(recipe), recipe.exporter, *row(ways)]
        for recipe, ways in zip(recipes, found, strict=True)
    ]
    for name, summary in (("worst", max), ("mean", lambda lost: sum(lost) / len(lost))):
        losses = [f"{summary([ways[way].lost for ways in found]):+.1f}" for way in WAYS]
        rows.append([name, "", "", *[c for lost in losses for c in ("", "", "", lost, "")]])
    title = f"Foreign networks, {corpus.name}, {len(corpus.held_out):,} held-out sentences"
    print_table(title, ["network", "exporter", *head(list(WAYS))], rows)


def blocks(*, development: bool) -> Iterator[tuple[Corpus, list[Recipe]]]:
    """Yield each corpus with the networks to train on it."""
    if SHARED.exists():
        yield trec(SHARED, development=development), RECIPES
    small, large = [r for r in RECIPES if r.hidden == 16], [r for r in RECIPES if r.hidden == 40]
    yield generated(development=development), [small[0], large[1], small[2], large[3]]


def main(*, development: bool = False) -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory() as temporary:
        cache = Path(os.environ.get("SPIKEWATCH_BENCH_CACHE", temporary))
        for corpus, recipes in blocks(development=development):
            block(corpus, recipes, cache)


if __name__ == "__main__":
    main(development=sys.argv[1:] == ["development"])
