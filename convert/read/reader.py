"""Read the Elman network in a model file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import ModelFileError
from ..network.elman import ElmanNetwork
from .affine import Affine, WrongLayout, with_width
from .file import dimensions, first_line, graph_inputs, load_file, numpy_type, parse, with_vectors
from .float_model import FloatModel, InputLayout, start_session
from .interpreter import EndedLogits, run_graph
from .operators import Frame
from .proof import prove
from .recurrence import Recurrence, find_recurrence
from .unknowns import Application, Unknowns, single_columns

if TYPE_CHECKING:
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

    from ..words.vectors import WordTable

LENGTH: Final = 4
"""Words of the sequence for a graph of free length: enough for a first step, a last one and two between them."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Reading:
    """The result of one run with unknowns; `tensor` is the name of the logits in the outermost graph."""

    unknowns: Unknowns
    recurrence: Recurrence
    tensor: str


def read_model(
    path: Path, *, vectors: WordTable | None = None, seed: int = 0
) -> tuple[ElmanNetwork, FloatModel]:
    """Read an Elman RNN from an ONNX file (see `read_model_bytes`).

    Parameters
    ----------
    path
        The model file; initialisers outside it are read only from its own folder.
    vectors
        Vector of each word id, for a model that takes word vectors.
    seed
        Seed of the proof's random sequences.

    Raises
    ------
    ModelFileError
        The file cannot be read, or for the reasons of `read_model_bytes`.

    """
    return read_model_bytes(load_file(path), what=str(path), vectors=vectors, seed=seed)


def read_model_bytes(
    data: bytes, *, what: str, vectors: WordTable | None = None, seed: int = 0
) -> tuple[ElmanNetwork, FloatModel]:
    """Read an Elman RNN from the bytes of an ONNX file, and prove the reading against onnxruntime.

    Parameters
    ----------
    data
        The complete model.
    what
        Its name, for messages.
    vectors
        Vector of each word id, for a model that takes word vectors.
    seed
        Seed of the proof's random sequences.

    Returns
    -------
    ElmanNetwork and FloatModel
        The network as read, and the model in onnxruntime.

    Raises
    ------
    ModelFileError
        The data is not ONNX, the network is not supported (the message names the node), a weight is not finite, or
        the network as read differs from onnxruntime (see `proof.prove`).

    """
    try:
        data = with_vectors(data, vectors)
        model = parse(data)
        layout, reading = _read(model)
        network = _network(reading)
        try:
            session = start_session(model, reading.tensor)
        except Exception as e:  # noqa: BLE001 - onnxruntime raises classes of its C++ side, all derived from Exception
            raise ModelFileError(f"onnxruntime cannot run it: {first_line(e)}") from None
        float_model = FloatModel(session=session, data=data, layout=layout, network=network)
        float_model = prove(float_model, compared=reading.unknowns.compared, seed=seed)
    except ModelFileError as e:
        raise ModelFileError(f"{what}: {e}") from None
    return network, float_model


def _read(model: onnx.ModelProto) -> tuple[InputLayout, _Reading]:
    """Run the graph with unknowns; if the axis of time is not known, try both."""
    refusals: list[ModelFileError] = []
    for layout in _layouts(model.graph):
        try:
            return layout, _read_as(model, layout)
        except ModelFileError as e:
            refusals.append(e)
    # with the wrong axes any node may fail, so a refusal that does not blame the axes is the more useful one
    raise min(refusals, key=lambda e: isinstance(e, WrongLayout))


def _layouts(graph: onnx.GraphProto) -> list[InputLayout]:
    """Return the possible layouts of the model's inputs."""
    inputs = {i.name: i for i in graph_inputs(graph)}
    shapes = {name: dimensions(i) for name, i in inputs.items()}
    for name, dims in shapes.items():
        if dims is None:
            raise ModelFileError(f"input {name!r}: the number of its dimensions is not known")
    ranks = {name: len(dims or ()) for name, dims in shapes.items()}
    # word ids are integers, but Keras declares them as float and casts them
    order = sorted(inputs, key=lambda n: (ranks[n] != 2, not _whole(inputs[n])))
    ids = order[0] if order else ""
    if not ids or ranks[ids] not in {1, 2}:
        raise ModelFileError(
            f"inputs {', '.join(map(repr, ranks)) or 'none'}: expected word ids (2 dimensions) and, optionally,"
            " lengths (1 dimension)"
        )
    others = [name for name in ranks if name != ids]
    lengths = next((n for n in others if ranks[n] < 2 and _whole(inputs[n])), "")
    unknown = next((n for n in others if n != lengths), None)
    if unknown is not None:
        reader = next((n for n in graph.node if unknown in n.input), None)
        named = f"node {reader.name or reader.op_type!r}: " if reader is not None else ""
        raise ModelFileError(
            f"{named}input {unknown!r} is not a constant weight, and neither word ids nor lengths"
        )
    base = InputLayout(
        ids=ids,
        ids_type=numpy_type(inputs[ids]),
        batch_axis=None,
        batch=None,
        length=None,
        lengths=lengths,
        lengths_type=numpy_type(inputs[lengths]) if lengths else np.int64,
        lengths_rank=ranks.get(lengths, 1),
        padding=0 if lengths else None,
    )
    sizes = shapes[ids] or []
    if ranks[ids] == 1:
        return [replace(base, length=sizes[0])]
    names = [d.dim_param for d in inputs[ids].type.tensor_type.shape.dim]
    batch = [d.dim_param for d in inputs[lengths].type.tensor_type.shape.dim] if lengths else []
    # lengths are along the batch axis, and exporters name axes
    axes = [a for a in (0, 1) if batch and batch[0] and batch[0] == names[a]] or [0, 1]
    return [
        replace(base, batch_axis=axis, batch=sizes[axis], length=sizes[1 - axis]) for axis in axes
    ]


def _whole(value: onnx.ValueInfoProto) -> bool:
    return bool(np.issubdtype(numpy_type(value), np.integer))


def _read_as(model: onnx.ModelProto, layout: InputLayout) -> _Reading:
    """Run the graph with one word id at every position, and with the next id if the graph compares words with it."""
    # 1, because 0 is the usual padding.  A graph that skips this id as padding would show no recurrence: take the next.
    word = 1
    while True:
        unknowns = Unknowns()
        try:
            reading = _read_with(model, layout, unknowns, word)
        except ModelFileError:
            if word not in unknowns.compared:
                raise
        else:
            if word not in unknowns.compared:
                return reading
        word += 1


def _read_with(
    model: onnx.ModelProto, layout: InputLayout, unknowns: Unknowns, word: int
) -> _Reading:
    graph = model.graph
    batch, time = layout.batch or 1, layout.length or LENGTH
    grid = np.arange(batch * time, dtype=np.int64)
    times = np.where(grid // time == 0, grid % time, -1)  # a fixed batch has other questions, too
    index = grid.reshape(batch, time)
    if layout.batch_axis is None:
        index = index[0]
    elif layout.batch_axis == 1:
        index = index.T
    inputs: dict[str, Any] = {layout.ids: unknowns.ids(index, word)}
    if layout.lengths:
        shape = (batch,) if layout.lengths_rank else ()
        inputs[layout.lengths] = np.full(shape, time, dtype=layout.lengths_type)
    opsets = {o.domain: o.version for o in model.opset_import}
    frame = Frame(unknowns=unknowns, opsets=opsets, outermost=True)
    output = graph.output[0].name
    with np.errstate(all="ignore"):  # a mean over no word, if the graph takes all words for padding
        value = run_graph(frame, graph, inputs, [output])[0]
    logits, tensor = _logits(value, output, unknowns)
    rows = _of_first_question(logits, output, batch)
    recurrence = find_recurrence(unknowns, with_width(rows, len(unknowns.owner)), times)
    return _Reading(unknowns=unknowns, recurrence=recurrence, tensor=tensor)


def _logits(value: Any, output: str, unknowns: Unknowns) -> tuple[Affine, str]:
    """Return the logits, before a Softmax or the like, and the name of their tensor."""
    tensor = output
    if isinstance(value, EndedLogits):
        value, tensor, ending = value.logits, value.tensor, value.operator
        if not tensor:
            raise ModelFileError(f"output {output!r}: its {ending} is inside a loop")
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
    return any(isinstance(unknowns.owner[c], int) for c in application.rows.indices.tolist())


def _of_first_question(logits: Affine, output: str, batch: int) -> Any:
    """Return the rows (classes, columns) of the first question's logits."""
    shape = [s for s in logits.shape if s != 1]
    if batch > 1:
        if len(shape) != 2 or shape[0] != batch:
            raise WrongLayout(f"output {output!r}: {logits.shape}, expected ({batch}, classes)")
        return logits.rows[logits.index.reshape(batch, -1)[0]]
    if len(shape) > 1:
        raise WrongLayout(
            f"output {output!r}: {logits.shape} for one question, expected one row of logits, (1, classes)"
        )
    if not shape:
        raise ModelFileError(
            f"output {output!r}: 1 logit, expected one for each of two or more classes"
        )
    return logits.flat()


def _network(reading: _Reading) -> ElmanNetwork:
    table = reading.unknowns.table
    if table is None:
        raise ModelFileError("its input is not an embedding (Gather of a constant by token ids)")
    rows = np.arange(len(table.values)) if table.lookup is None else table.lookup
    embedding = np.asarray(table.values, dtype=np.float64)

    def built(i: int, backward: ElmanNetwork | None) -> ElmanNetwork:
        layer = reading.recurrence.layers[i]  # the forward one is first, see `recurrence._chains`
        activation = layer.activation
        return ElmanNetwork(
            embedding=embedding,
            rows=rows.astype(np.int32),
            W=layer.W,
            U=layer.U,
            b=layer.b,
            activation=activation.name,
            clip=min(activation.clip, activation.ceiling),
            ceiling=activation.ceiling,
            alpha=activation.alpha,
            beta=activation.beta,
            direction=layer.direction,
            readout=reading.recurrence.readout,
            C=_head(reading.recurrence, i),
            c=reading.recurrence.c if i == 0 else np.zeros_like(reading.recurrence.c),
            backward=backward,
        )

    layers = reading.recurrence.layers
    return built(0, built(1, None) if len(layers) == 2 else None)


def _head(recurrence: Recurrence, i: int) -> NDArray[np.float64]:
    if i == 0:
        return np.concatenate([layer.C for layer in recurrence.layers], axis=1)
    return recurrence.layers[i].C
