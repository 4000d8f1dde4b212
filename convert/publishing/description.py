"""Describe a network on its cores, for `eval.json` and the model card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...simcore import HostHead, limits
from ..network.place import gate_lines, layout

if TYPE_CHECKING:
    from ..constraining.recipe import PlacedNetwork
    from ..network.elman import ElmanNetwork


def describe_network(network: ElmanNetwork, placed: PlacedNetwork) -> dict[str, Any]:
    """Return the description of a network and of what it takes on its cores, the part `network` of `eval.json`."""
    core, matched = placed.network, placed.matched
    on = layout(core)
    copies, possible = 0, 0
    if not isinstance(matched.readout, HostHead):
        # each of several cores has a readout, for the hidden units that are read out there
        parts = matched.readout if isinstance(matched.readout, tuple) else (matched.readout,)
        copies = sum(len(part.gain) for part in parts) // core.classes
        spare = limits.NEURONS - on.neurons("core")
        possible = int((spare // core.classes).sum())
    units = network.n_hidden + (0 if network.backward is None else network.backward.n_hidden)
    return {
        "activation": network.activation,
        "clip": network.clip if np.isfinite(network.clip) else None,
        "direction": network.direction if network.backward is None else "bidirectional",
        "words": len(network.rows),
        "word_vector_components": network.embedding.shape[1],
        "input_lines": core.n_in,
        "hidden_units": core.n_hidden,
        "classes": core.classes,
        "units_per_float_unit": core.n_hidden // units,
        "readout": core.readout,
        "cores": matched.image.cores,
        "lines_used": int(on.reads.sum()) + on.cores * gate_lines(core.readout, core.head),
        "readout_neurons_per_class": copies,
        "readout_neurons_possible": possible,
        "responses": matched.method,
        "recipe": placed.recipe,
        "calibration_agreement": matched.agreement,
        "closed_form_agreement": placed.closed_form_agreement,
    }
