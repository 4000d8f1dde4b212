"""Choose the output of a model file that holds a classifier's logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ..errors import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

    from .recurrence import Recurrence
    from .tail import Threshold
    from .unknowns import Unknowns

CONVENTIONAL: Final = "logits"
"""The name that exporters' users give to a classifier's output, which decides between outputs that may all be meant."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Reading:
    """The result of one run with unknowns.

    Attributes
    ----------
    output : str
        Name of the output that was read.
    tensor : str
        Name of the logits in the outermost graph.
    shape : tuple of int
        Their shape as the graph was run.
    unknowns : Unknowns
    recurrence : Recurrence
    threshold : Threshold or None
        How a single logit decides between two classes; None: there is a logit for each class.
    length : int
        Number of words that the graph was run with.

    """

    output: str
    tensor: str
    shape: tuple[int, ...]
    unknowns: Unknowns
    recurrence: Recurrence
    threshold: Threshold | None
    length: int

    @property
    def classes(self) -> int:
        """Number of classes that the logits tell apart."""
        return 2 if self.threshold is not None else len(self.recurrence.c)

    @property
    def is_state(self) -> bool:
        """Whether these are hidden states themselves, not the values of a head."""
        heads = np.concatenate([layer.C for layer in self.recurrence.layers], axis=1)
        return bool(
            len(heads) > 1
            and (np.count_nonzero(heads, axis=1) == 1).all()
            and np.allclose(heads.max(axis=1), heads.max())
            and not self.recurrence.c.any()
        )


def check_name(graph: onnx.GraphProto, name: str) -> None:
    """Raise ModelFileError if a graph has no output of this name."""
    if name not in {o.name for o in graph.output}:
        raise ModelFileError(f"output {name!r}: there is none; the file has {listed(graph)}")


def listed(graph: onnx.GraphProto) -> str:
    """Return the outputs of a graph by name, with their shapes."""
    return ", ".join(
        f"{o.name!r} ({' x '.join(str(d.dim_value or d.dim_param or '?') for d in o.type.tensor_type.shape.dim)})"
        for o in graph.output
    )


def choose(graph: onnx.GraphProto, readings: Sequence[Reading], classes: int | None) -> Reading:
    """Return the reading of the output that holds the logits.

    Parameters
    ----------
    graph
        The graph, for the message.
    readings
        A reading of every output that may hold them, at least one, in the order of the outputs.
    classes
        Number of labels; None: not known.

    Raises
    ------
    ModelFileError
        More than one output may be meant.

    """
    left = list(readings)
    for keep in (
        [r for r in left if classes is None or r.classes == classes],
        [r for r in left if not r.is_state],
        [r for r in left if r.threshold is None],
    ):
        # each rule decides only if it leaves a choice
        narrowed = [r for r in left if any(r is k for k in keep)]
        left = narrowed or left
    distinct: list[Reading] = []
    for r in left:
        same = next((i for i, d in enumerate(distinct) if _same(r, d)), None)
        if same is None:
            distinct.append(r)
        elif r.output == r.tensor:
            distinct[same] = r  # the logits themselves, before their Softmax
    if len(distinct) == 1:
        return distinct[0]
    named = [r for r in distinct if r.output.lower() == CONVENTIONAL]
    if len(named) == 1:
        return named[0]
    names = " and ".join(repr(r.output) for r in distinct)
    raise ModelFileError(
        f"outputs {names} may all be the logits; choose with --output NAME, from {listed(graph)}"
    )


def _same(a: Reading, b: Reading) -> bool:
    """Return whether two readings are of the same logits."""
    if a.tensor == b.tensor:
        return True
    if a.recurrence.readout != b.recurrence.readout or (a.threshold is None) != (
        b.threshold is None
    ):
        return False
    pairs = [(a.recurrence.c, b.recurrence.c)]
    pairs += [(x.C, y.C) for x, y in zip(a.recurrence.layers, b.recurrence.layers, strict=False)]
    return all(x.shape == y.shape and np.allclose(x, y) for x, y in pairs)
