"""Run a graph with unknowns in the layout and at the length that fit it, and read the output that holds the logits."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import ModelFileError
from .affine import Affine, TooLarge, WrongLayout, with_width
from .companions import arranged
from .inputs import layouts
from .interpreter import EndedLogits, run_graph
from .operators import Frame
from .outputs import Reading, check_name, choose
from .recurrence import find_recurrence
from .session import session
from .tail import Threshold, before, keeps_largest, run_tail, threshold
from .unknowns import Application, Unknowns, WordFeatures, single_columns

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx
    from numpy.typing import NDArray

    from .inputs import InputLayout
    from .session import LocalSession

LENGTH: Final = 4
"""Words of the sequence for a graph of free length: enough for a first step, a last one and two between them."""

MOST_GIVEN: Final = 2**20
"""Most elements of an input: words of all questions, or initial states."""

MOST_WORDS: Final = 512
"""Most words that a graph of free length may turn out to need."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Run:
    """How a graph is run: in which layout, with how many words."""

    model: onnx.ModelProto
    layout: InputLayout
    length: int


def read_graph(
    model: onnx.ModelProto, *, output: str | None, classes: int | None
) -> tuple[InputLayout, Reading]:
    """Read the network in a graph; return how it takes its questions, and the reading.

    Parameters
    ----------
    model
        The complete model.
    output
        Name of the output to read; None: the one that holds a classifier's logits.
    classes
        Number of labels; None: not known.

    Raises
    ------
    ModelFileError
        The network is not supported, or no output or more than one may hold the logits.

    """
    if output is not None:
        check_name(model.graph, output)
    found = layouts(model.graph)
    try:
        return _in_some_layout(model, found, LENGTH, output, classes)
    except TooLarge:
        raise
    except ModelFileError as refusal:
        # a graph that was unrolled for some words fails on fewer, whatever length it declares
        length = None if found[0].length is not None else _needed(model, found)
        if length is None:
            raise
        try:
            return _in_some_layout(model, found, length, output, classes)
        except ModelFileError as e:
            if length > 1:
                raise
            raise ModelFileError(
                f"declares a free length, but onnxruntime does not run it on questions of {LENGTH} words: {e}"
            ) from refusal


def read_again(
    model: onnx.ModelProto, layout: InputLayout, reading: Reading, words: int
) -> Reading:
    """Read the tensor of a reading again, with another number of words.

    Raises
    ------
    ModelFileError
        It cannot be read with this number of words.

    """
    found = _read_tensor(
        _Run(model=model, layout=layout, length=words), reading.tensor, reading.output
    )
    return replace(found, threshold=reading.threshold)


def _needed(model: onnx.ModelProto, found: list[InputLayout]) -> int | None:
    """Return the fewest words that onnxruntime runs the model on; None: it runs on one and on LENGTH, or never."""
    try:
        with session(model.SerializeToString()) as runs:
            for layout in found:
                if _runs(runs, layout, 1) and _runs(runs, layout, LENGTH):
                    return None
                words = range(1, MOST_WORDS + 1)
                fewest = next((n for n in words if _runs(runs, layout, n)), None)
                if fewest is not None:
                    return fewest
    except ModelFileError:
        pass  # what the graph was refused for says more
    return None


def _runs(session: LocalSession, layout: InputLayout, length: int) -> bool:
    """Return whether onnxruntime runs a model on questions of some length."""
    try:
        results = session.run(
            None, layout.feed([np.ones(length, dtype=np.int64)] * (layout.batch or 1))
        )
    except ModelFileError:
        return False
    return all(r.size for r in results)


def _in_some_layout(
    model: onnx.ModelProto,
    found: list[InputLayout],
    length: int,
    output: str | None,
    classes: int | None,
) -> tuple[InputLayout, Reading]:
    """Read the graph in the first layout that fits."""
    refusals: list[ModelFileError] = []
    for layout in found:
        run = _Run(model=model, layout=layout, length=layout.length or length)
        try:
            return layout, _read_outputs(run, output, classes)
        except ModelFileError as e:
            refusals.append(e)
    # with the wrong axes any node may fail, so a refusal that does not blame the axes is the more useful one
    raise min(refusals, key=lambda e: isinstance(e, WrongLayout))


def _read_outputs(run: _Run, output: str | None, classes: int | None) -> Reading:
    """Read every output that may hold the logits, and choose."""
    graph = run.model.graph
    names = [output] if output is not None else [o.name for o in graph.output]
    readings, refusals = [], []
    for name in names:
        try:
            readings.append(_read_output(run, name, classes))
        except ModelFileError as e:
            refusals.append(e)
    if readings:
        return choose(graph, readings, classes)
    raise min(refusals, key=lambda e: isinstance(e, WrongLayout))


def _read_output(run: _Run, output: str, classes: int | None) -> Reading:
    """Read one output: as logits with a known ending, or else by what its last operators do to numbers."""
    try:
        reading = _read_tensor(run, output, output)
    except (TooLarge, WrongLayout):
        raise
    except ModelFileError:
        found = _behind_a_tail(run, output)
        if found is None:
            raise
        reading = found
    if reading.threshold is not None and classes not in {None, 2}:
        raise ModelFileError(
            f"output {output!r}: 1 logit, which tells two classes apart, but there are {classes} labels"
        )
    return reading


def _behind_a_tail(run: _Run, output: str) -> Reading | None:
    """Return the reading of the nearest tensor whose values decide an output in a way that can be told."""
    for tensor in before(run.model.graph, run.layout.ids, output):
        try:
            reading = _read_tensor(run, tensor, output)
        except ModelFileError:
            continue
        decided = _decided(run, reading)
        if decided is not None:
            return decided
    return None


def _decided(run: _Run, reading: Reading) -> Reading | None:
    """Return a reading as its output decides by it; None: the output is not a decision by these logits."""
    batch = run.layout.batch or 1
    feed = run.layout.feed([np.ones(run.length, dtype=np.int64)] * batch)

    def use(values: Callable[[NDArray[Any]], NDArray[np.float64]]) -> Reading | None:
        def ask(logits: Any) -> NDArray[np.float64]:
            given = np.broadcast_to(np.asarray(logits), (batch, np.size(logits)))
            answers = values(given.reshape(reading.shape)).reshape(batch, -1)
            return np.asarray(answers[0], dtype=np.float64)

        if reading.threshold is None:
            return reading if keeps_largest(ask, reading.classes) else None
        found = threshold(ask)
        return None if found is None else replace(reading, threshold=found)

    try:
        return run_tail(run.model, reading.tensor, reading.output, feed, use)
    except ModelFileError:
        return None


def _read_tensor(run: _Run, tensor: str, output: str) -> Reading:
    """Run the graph with an unknown word at every position, and find the network in a tensor."""
    unknowns = Unknowns()
    layout, graph = run.layout, run.model.graph
    batch, time = layout.batch or 1, run.length
    _check_size(layout.ids, (batch, time))
    grid = np.arange(batch * time, dtype=np.int64)
    times = np.where(grid // time == 0, grid % time, -1)  # a fixed batch has other questions, too
    index = arranged(grid.reshape(batch, time), layout.axes)
    inputs: dict[str, Any] = {layout.ids: unknowns.ids(index, layout.ids_type)}
    for c in layout.companions:
        if c.role == "state":
            shape = tuple(batch if n is None else n for n in c.shape)
            _check_size(c.name, shape)
            inputs[c.name] = unknowns.given_state(c.name, shape)
            continue
        inputs[c.name] = c.values(np.ones((batch, time), dtype=bool))
    opsets = {o.domain: o.version for o in run.model.opset_import}
    frame = Frame(unknowns=unknowns, opsets=opsets, outermost=True)
    with np.errstate(all="ignore"):  # a mean over no word, if the graph takes all words for padding
        value = run_graph(frame, graph, inputs, [tensor])[0]
    logits, tensor = _logits(value, tensor, output, unknowns)
    rows = _of_first_question(logits, output, batch)
    recurrence = find_recurrence(unknowns, with_width(rows, len(unknowns.owner)), times)
    return Reading(
        output=output,
        tensor=tensor,
        shape=logits.shape,
        unknowns=unknowns,
        recurrence=recurrence,
        threshold=Threshold(value=0.0, above=1) if len(recurrence.c) == 1 else None,
        length=time,
    )


def _check_size(name: str, shape: tuple[int, ...]) -> None:
    if math.prod(shape) > MOST_GIVEN:
        shown = " x ".join(map(str, shape))
        raise TooLarge(f"input {name!r}: has {shown} elements, limit {MOST_GIVEN}")


def _logits(value: Any, tensor: str, output: str, unknowns: Unknowns) -> tuple[Affine, str]:
    """Return the logits, before a Softmax or the like, and the name of their tensor."""
    if isinstance(value, EndedLogits):
        value, tensor, ending = value.logits, value.tensor, value.operator
        if not tensor:
            raise ModelFileError(f"output {output!r}: its {ending} is inside a loop")
        if value.shape[-1:] == (1,):
            raise ModelFileError(f"output {output!r}: its {ending} is taken over a single logit")
    if not isinstance(value, Affine):
        raise ModelFileError(f"output {output!r}: does not depend on the question's words")
    last = _sigmoid_of_all(value, unknowns)
    if last is not None:
        offsets = np.array([unknowns.offset[c] for c in value.flat().indices])
        return Affine(index=offsets.reshape(value.shape), rows=last.rows), last.tensor
    return value, tensor


def _sigmoid_of_all(value: Affine, unknowns: Unknowns) -> Application | None:
    """Return the Sigmoid at the end of the graph, if there is one: like Softmax, it keeps the largest logit largest."""
    columns = single_columns(value.flat())
    if columns is None or not len(columns):
        return None
    owners = {id(unknowns.owner[c]): unknowns.owner[c] for c in columns.tolist()}
    last = next(iter(owners.values()))
    if len(owners) > 1 or not isinstance(last, Application) or last.activation.name != "Sigmoid":
        return None
    return last if last.tensor and not _reads_words(last, unknowns) else None


def _reads_words(application: Application, unknowns: Unknowns) -> bool:
    return any(
        isinstance(unknowns.owner[c], WordFeatures) for c in application.rows.indices.tolist()
    )


def _of_first_question(logits: Affine, output: str, batch: int) -> Any:
    """Return the rows (classes, columns) of the first question's logits."""
    shape = [s for s in logits.shape if s != 1]
    if batch > 1:
        if len(shape) not in {1, 2} or shape[0] != batch:
            raise WrongLayout(f"output {output!r}: {logits.shape}, expected ({batch}, classes)")
        return logits.rows[logits.index.reshape(batch, -1)[0]]
    if len(shape) > 1:
        raise WrongLayout(
            f"output {output!r}: {logits.shape} for one question, expected one row of logits, (1, classes)"
        )
    return logits.flat()
