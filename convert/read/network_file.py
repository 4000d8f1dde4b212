"""Read the Elman network in the bytes of a model file, in this process (see `process`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import onnx

from ..errors import ModelFileError
from ..network.elman import ElmanNetwork
from .file import parse, with_vectors
from .float_model import FloatModel, with_output
from .half_precision import as_stored, in_single_precision
from .proof import prove
from .readings import read_again, read_graph
from .session import session
from .word_functions import embed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..words.vectors import WordTable
    from .outputs import Reading
    from .tail import Threshold


MOST_WORD_IDS: Final = 10**6
"""Most word ids for which a network that takes any id is evaluated: a bound of ours, to limit memory."""


def read_network(
    data: bytes,
    *,
    what: str,
    vectors: WordTable | None,
    output: str | None,
    classes: int | None,
    longest: int,
    words: int,
    seed: int,
) -> tuple[FloatModel, bytes]:
    """Read an Elman RNN from the bytes of an ONNX file, and prove the reading against onnxruntime, in this process.

    Parameters
    ----------
    data
        The complete model.
    what, vectors, output, classes, longest, words, seed
        See `reader.read_model_bytes`.

    Returns
    -------
    FloatModel and bytes
        The model in onnxruntime with the network as read, and what its session runs: a complete model whose only output
        are the logits.

    Raises
    ------
    ModelFileError
        For the reasons of `reader.read_model_bytes`, except that this process ends.

    """
    try:
        data = with_vectors(data, vectors)
        stored = parse(data)
        model, precision = in_single_precision(stored)
        layout, reading = read_graph(model, output=output, classes=classes)
        shown = with_output(model, reading.tensor)
        with session(shown) as here:
            float_model = FloatModel(
                session=here,
                data=_published(data, reading.output),
                layout=layout,
                network=_network(reading, words),
                threshold=reading.threshold,
            )
            float_model = prove(
                float_model,
                compared=reading.unknowns.compared,
                read_at=reading.length,
                again=lambda n: _network(read_again(model, layout, reading, n), words),
                longest=longest,
                seed=seed,
            )
        if precision:
            float_model = as_stored(float_model, stored, reading.tensor, precision)
            if float_model.runs_as_stored:
                shown = with_output(stored, reading.tensor)
    except ModelFileError as e:
        raise type(e)(f"{what}: {e}") from None
    return float_model, shown


def _published(data: bytes, output: str) -> bytes:
    """Return a model with one output, so that whoever reads it again reads the same one."""
    model = onnx.load_model_from_string(data)
    if len(model.graph.output) == 1:
        return data
    kept = next(o for o in model.graph.output if o.name == output)
    kept = onnx.ValueInfoProto.FromString(kept.SerializeToString())
    del model.graph.output[:]
    model.graph.output.append(kept)
    return bytes(model.SerializeToString())


def _network(reading: Reading, words: int) -> ElmanNetwork:
    recurrence = reading.recurrence
    embedding, rows = embed(recurrence.words, min(words, MOST_WORD_IDS))
    c = recurrence.c if reading.threshold is None else reading.threshold.logits(recurrence.c)[0]
    heads = [_head(layer.C, reading.threshold) for layer in recurrence.layers]

    def built(i: int, backward: ElmanNetwork | None) -> ElmanNetwork:
        layer = recurrence.layers[i]  # the forward one is first, see `recurrence._chains`
        activation = layer.activation
        return ElmanNetwork(
            embedding=embedding,
            rows=rows,
            W=layer.W,
            U=layer.U,
            b=layer.b,
            activation=activation.name,
            clip=min(activation.clip, activation.ceiling),
            ceiling=activation.ceiling,
            alpha=activation.alpha,
            beta=activation.beta,
            direction=layer.direction,
            readout=recurrence.readout,
            C=np.concatenate(heads, axis=1) if i == 0 else heads[i],
            c=c if i == 0 else np.zeros_like(c),
            backward=backward,
        )

    return built(0, built(1, None) if len(heads) == 2 else None)


def _head(C: NDArray[np.float64], threshold: Threshold | None) -> NDArray[np.float64]:
    """Return a head for two classes if there is a single logit, otherwise the head itself."""
    if threshold is None:
        return C
    return np.concatenate([np.zeros_like(C), C if threshold.above else -C])
