"""Measure the gain of every step of the closed form: points lost from float as the steps are added one by one.

Each step has a plain counterpart here, which replaces it in the converter: the first row uses only the counterparts,
the last row the closed form as it is.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import numpy as np

from benchmarks.convert import SHARED, Way, measure
from benchmarks.foreign import RECIPES, trained
from benchmarks.sentences import generated, trec
from benchmarks.tables import print_table
from spikewatch.convert.constraining import rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikewatch.convert.network.constrained import ConstrainedNetwork
    from spikewatch.convert.network.elman import ElmanNetwork
    from spikewatch.convert.network.place import Neurons

    F64 = NDArray[np.float64]


NETWORKS: Final = [
    recipe
    for recipe in RECIPES
    if recipe.readout == "last" and recipe.hidden == {"relu": 40, "tanh": 16}[recipe.activation]
]
"""One network with more inputs than lines, and one that leaves lines for more units."""


def full_range_row(row: F64, H: F64, low: int, high: int) -> tuple[NDArray[np.int8], float]:
    """Scale a row so that its largest weight becomes the largest level."""
    scale = float(max(row.max() / high, row.min() / low)) or 1.0
    levels = np.clip(np.round(row / scale), low, high)
    levels, scale = rounding.descend(row, levels, scale, H, low, high)
    return levels.astype(np.int8), scale


def nearest(row: F64, q: F64, s: float, *_: Any) -> tuple[F64, float]:
    """Keep every weight at its nearest level."""
    del row
    return q, s


def full_component(values: F64, _weight: F64) -> tuple[float, float]:
    """Map the smallest and largest value of an input component in the vocabulary to 0 and 15."""
    return float(values.min()), float(np.ptp(values)) / 15 or 1.0


def strongest_components(network: ElmanNetwork, weight: F64, width: int) -> tuple[F64, F64, F64]:
    """Keep the input components that contribute most to the variance of W x; fix the others at their means."""
    mean = weight @ network.embedding / weight.sum()
    power = network.embedding.var(axis=0) * (network.W**2).sum(axis=0)
    kept = np.argsort(-power)[:width]
    rest = np.setdiff1d(np.arange(len(power)), kept)
    base = network.W[:, rest] @ mean[rest]
    return np.eye(len(power))[:, kept], network.W[:, kept], base


def unmatched(
    _network: ConstrainedNetwork, neurons: Neurons, *_: Any, **__: Any
) -> tuple[Neurons, float]:
    """Keep the leaks that follow from the biases."""
    return neurons, 0.0


def unchanged(network: Any, *_: Any) -> Any:
    """Return the network unchanged."""
    return network


STEPS: Final[dict[str, dict[str, Any]]] = {
    "scale of each row searched": {"rounding._quantise_row": full_range_row},
    "rounding compensates errors": {"rounding.descend": nearest},
    "activity ranges by calibration": {
        "closed_form.PERCENTILES": (100.0,),
        "rounding._SLOPES": np.ones(1),
    },
    "codes of least error": {"rounding._component_range": full_component},
    "inputs projected on what W x needs": {"rounding._project": strongest_components},
    "leaks and floors matched": {
        "closed_form.match_hidden": unmatched,
        "closed_form.FLOORS": (0.0,),
    },
    "refitted on real spikes": {
        "closed_form._refit_hidden": unchanged,
        "closed_form.refit_head": unchanged,
    },
    "tanh turned to saturate at the floor": {"closed_form.flip_saturating_units": unchanged},
    "several units for each": {"closed_form.copies_that_fit": lambda _: 1},
}
"""Steps of the closed form, in order, each with the counterparts that replace its functions and constants."""


def without(folder: Path, steps: list[str]) -> Way:
    """Convert the network of a folder in closed form, with the plain counterparts of the given steps."""
    with ExitStack() as plain:
        for step in steps:
            for name, other in STEPS[step].items():
                plain.enter_context(mock.patch(f"spikewatch.convert.constraining.{name}", other))
        return measure(folder, "closed form")


def main() -> None:
    """Print the table."""
    corpus = trec(SHARED) if SHARED.exists() else generated()
    names = list(STEPS)
    rows = [[name] for name in ("none: plain rounding", *names)]
    head = ["steps, one after the other"]
    with tempfile.TemporaryDirectory() as temporary:
        cache = Path(os.environ.get("SPIKEWATCH_BENCH_CACHE", temporary))
        for recipe in NETWORKS:
            head += [f"{recipe}: integer", "spiking", "agreement"]
            folder = trained(corpus, recipe, cache)
            for i, row in enumerate(rows):
                found = without(folder, names[i:])
                integer = 100 * (found.floats - found.integer)
                row += [f"{integer:+.1f}", f"{found.lost:+.1f}", f"{found.agreement:.1%}"]
                print("#", recipe, row[0], *row[-3:], flush=True)
    print_table(f"Points lost by the closed form, {corpus.name}, held-out sentences", head, rows)
