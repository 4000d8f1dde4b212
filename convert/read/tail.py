"""What follows the logits of a graph: its last operators, run alone in onnxruntime on numbers of ours.

A Softmax, a Sigmoid, a threshold or a rounding may follow the logits, in many spellings.  Instead of knowing them all,
the reader looks for a tensor that everything else passes through, and asks onnxruntime what becomes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import onnx

from .file import tensors_read
from .session import numbers, session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    F64 = NDArray[np.float64]

T = TypeVar("T")

MOST: Final = 12
"""Most tensors before the output that are tried as its logits."""

GRID: Final = np.concatenate([np.linspace(-30, 30, 121), [-0.01, 0.01]])
"""Values of a single logit that the operators after it are asked about."""

HALVINGS: Final = 40
"""Halvings of an interval of that grid, to find the value where the answer changes."""

EXACT: Final = 1e-5
"""A threshold this close to zero is zero: single precision rounds a Sigmoid near 0.5."""

FLAT: Final = 1e-6
"""Largest change at either end of that grid of values that lie between two bounds, for each 1 between the bounds."""

TRIALS: Final = 32
"""Random rows of logits that must keep their largest through the operators after them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Threshold:
    """How a single logit z decides between two classes.

    Attributes
    ----------
    value : float
        Where the answer changes.
    above : {0, 1}
        The class for z above it.

    """

    value: float
    above: int

    def logits(self, z: F64) -> F64:
        """Return the logits of both classes, (n, 2), for single logits, (n,)."""
        distance = (z - self.value) * (1 if self.above else -1)
        return np.stack([np.zeros_like(distance), distance], axis=1)


def before(graph: onnx.GraphProto, ids: str, output: str) -> list[str]:
    """Return the tensors that everything passes through on its way from the words to an output, the last first."""
    # shapes do not depend on which words there are
    order = [
        (set(tensors_read(n)), [name for name in n.output if name])
        for n in graph.node
        if n.op_type not in {"Shape", "Size"}
    ]
    names = [name for _, outputs in reversed(order) for name in outputs if name != output]
    found: list[str] = []
    for name in names[: 4 * MOST]:
        if len(found) < MOST and not _depends(order, ids, output, without=name):
            found.append(name)
    return found


def _depends(
    order: list[tuple[set[str], list[str]]], ids: str, output: str, *, without: str
) -> bool:
    """Return whether an output depends on the words other than through one tensor."""
    reached = {ids}
    for read, written in order:
        if not reached.isdisjoint(read):
            reached.update(name for name in written if name != without)
    return output in reached


def run_tail(
    model: onnx.ModelProto,
    tensor: str,
    output: str,
    feed: Mapping[str, NDArray[Any]],
    use: Callable[[Callable[[NDArray[Any]], F64]], T],
) -> T:
    """Call `use` with a function from values of `tensor` to those of an output, float64, flat.

    Parameters
    ----------
    model
        The complete model.
    tensor, output
        Tensors of its outermost graph.
    feed
        Its inputs, of which only shapes should matter.
    use
        What to do with the function; its result is returned.

    Raises
    ------
    ModelFileError
        onnxruntime cannot run the operators between the two.

    """
    alone = onnx.ModelProto()
    alone.CopyFrom(model)
    for node in alone.graph.node:
        for i, name in enumerate(node.output):
            if name == tensor:
                node.output[i] = f"{tensor}_of_the_words"
    alone.graph.input.append(
        onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None)
    )
    del alone.graph.output[:]
    alone.graph.output.append(onnx.ValueInfoProto(name=output))
    with session(alone.SerializeToString()) as runs:
        return use(
            lambda z: numbers(runs.run(None, {**feed, tensor: z.astype(np.float32)})[0]).reshape(-1)
        )


def threshold(ask: Callable[[float], F64]) -> Threshold | None:
    """Find where the answer that is made of one logit changes; None: it never does, or more than once.

    Parameters
    ----------
    ask
        Returns the output for a logit, one or two values: a label, the second class's probability (or percentage), its
        logarithm or its logit; or a value for each class.

    """
    grid = np.sort(GRID)
    values = np.array([ask(z) for z in grid])
    if values.ndim != 2 or values.shape[1] not in {1, 2} or np.isnan(values).any():
        return None
    middle = _middle(values[:, 0])

    def label(row: F64) -> int:
        return int(row[1] > row[0]) if len(row) == 2 else int(row[0] > middle)

    labels = [label(row) for row in values]
    changes = np.flatnonzero(np.diff(labels))
    if len(changes) != 1:
        return None
    low, high = grid[changes[0]], grid[changes[0] + 1]
    for _ in range(HALVINGS):
        between = (low + high) / 2
        if label(ask(between)) == labels[0]:
            low = between
        else:
            high = between
    value = float(low + high) / 2
    return Threshold(value=0.0 if abs(value) < EXACT else value, above=labels[-1])


def _middle(values: F64) -> float:
    """Return the value that divides the classes of a single output."""
    if values.min() >= 0 and values.max() <= 1:  # probabilities, or labels
        return 0.5
    if values.max() <= 0 and values.max() > -EXACT:  # logarithms of probabilities
        return float(np.log(0.5))
    low, high = float(values.min()), float(values.max())
    steps = np.abs(values[[1, -1]] - values[[0, -2]])
    if low * high >= 0 and (steps <= FLAT * (high - low)).all():  # percent, or labels 1 and 2
        return (low + high) / 2
    return 0.0


def keeps_largest(ask: Callable[[F64], F64], classes: int) -> bool:
    """Return whether the class of the largest logit can be told from an output: by its largest value, or as a label."""
    rng = np.random.default_rng(0)
    for logits in rng.normal(0, 3, (TRIALS, classes)):
        values = ask(logits)
        answer = values[0] if len(values) == 1 else values.argmax()
        if len(values) not in {1, classes} or answer != logits.argmax():
            return False
    return True
