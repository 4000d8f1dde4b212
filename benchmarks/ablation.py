"""What every step of the closed form is worth: points lost from float to spiking with it and without it.

Each step has a plain counterpart here, which takes its place in the converter.  `with those above`: the steps come one
after the other, from plain rounding to the closed form as it is; `alone left out`: all the others stay.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import numpy as np

from benchmarks.convert import SHARED, measure
from benchmarks.foreign import RECIPES, trained
from benchmarks.sentences import generated, trec
from benchmarks.tables import show
from spikewatch.convert import constrain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikewatch.convert.constrained import ConstrainedNetwork
    from spikewatch.convert.elman import ElmanNetwork
    from spikewatch.convert.place import Neurons

    F64 = NDArray[np.float64]


def full_range_row(row: F64, H: F64, low: int, high: int) -> tuple[NDArray[np.int8], float]:
    """Let a row's largest weight be the largest level."""
    scale = float(max(row.max() / high, row.min() / low)) or 1.0
    levels = np.clip(np.round(row / scale), low, high)
    levels, scale = constrain._descend(row, levels, scale, H, low, high)  # noqa: SLF001
    return levels.astype(np.int8), scale


def nearest(row: F64, q: F64, s: float, *_: Any) -> tuple[F64, float]:
    """Leave every level at the nearest one."""
    del row
    return q, s


def full_component(values: F64, _weight: F64) -> tuple[float, float]:
    """Let 0 and 15 be an input component's smallest and largest value in the vocabulary."""
    return float(values.min()), float(np.ptp(values)) / 15 or 1.0


def strongest_components(network: ElmanNetwork, weight: F64, width: int) -> tuple[F64, F64, F64]:
    """Keep the input components that move W x most; the others stay at their means."""
    mean = weight @ network.embedding / weight.sum()
    power = network.embedding.var(axis=0) * (network.W**2).sum(axis=0)
    kept = np.argsort(-power)[:width]
    rest = np.setdiff1d(np.arange(len(power)), kept)
    base = network.W[:, rest] @ mean[rest]
    return np.eye(len(power))[:, kept], network.W[:, kept], base


def unmatched(
    _network: ConstrainedNetwork, neurons: Neurons, *_: Any, **__: Any
) -> tuple[Neurons, float]:
    """Leave leaks as the biases say."""
    return neurons, 0.0


def unfitted(current: ConstrainedNetwork, *_: Any) -> ConstrainedNetwork:
    """Leave a network as it is."""
    return current


STEPS: Final[dict[str, dict[str, Any]]] = {
    "scale of each row searched": {"constrain._quantise_row": full_range_row},
    "rounding compensates errors": {"constrain._descend": nearest},
    "activity ranges by calibration": {
        "closed_form.PERCENTILES": (100.0,),
        "constrain._SLOPES": np.ones(1),
    },
    "codes of least error": {"constrain._component_range": full_component},
    "inputs projected on what W x needs": {"constrain._project": strongest_components},
    "leaks and floors matched": {
        "closed_form.match_hidden": unmatched,
        "closed_form.FLOORS": (0.0,),
    },
    "refitted on real spikes": {
        "closed_form._refit_hidden": unfitted,
        "closed_form._refit_head": unfitted,
    },
    "several units for each": {"closed_form.spare_copies": lambda _: 1},
}
"""Steps of the closed form in their order, each with what takes its place."""


def lost(folder: Path, without: list[str]) -> float:
    """Convert in closed form without some steps; return the points lost on held-out sentences."""
    with ExitStack() as plain:
        for step in without:
            for name, other in STEPS[step].items():
                plain.enter_context(mock.patch(f"spikewatch.convert.{name}", other))
        return measure(folder, "closed form").lost


def main() -> None:
    """Print the table."""
    corpus = trec(SHARED) if SHARED.exists() else generated()
    recipes = [recipe for recipe in RECIPES if recipe.readout == "last"]
    names = list(STEPS)
    with tempfile.TemporaryDirectory() as temporary:
        cache = Path(os.environ.get("SPIKEWATCH_BENCH_CACHE", temporary))
        columns = []
        for recipe in recipes:
            folder = trained(corpus, recipe, cache)
            columns.append([lost(folder, names[i:]) for i in range(len(names) + 1)])
            columns.append([float("nan"), *[lost(folder, [name]) for name in names]])
            print("#", recipe, *[[f"{v:+.1f}" for v in c] for c in columns[-2:]], flush=True)
    head = ["step of the closed form"]
    for recipe in recipes:
        head += [f"{recipe}: with those above", "alone left out"]
    rows = [
        [name, *["" if np.isnan(column[i]) else f"{column[i]:+.1f}" for column in columns]]
        for i, name in enumerate(["none: plain rounding", *names])
    ]
    show(f"Points lost in closed form, {corpus.name}, held-out sentences", head, rows)
