"""Read the Elman network in a model file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import onnx

from ..errors import ModelFileError
from ..network.elman import ElmanNetwork
from .file import load_file, parse, with_vectors
from .float_model import FloatModel, with_output
from .half_precision import as_stored, in_single_precision
from .proof import prove
from .readings import read_again, read_graph
from .runtime import SHARED
from .session_process import first_line, start_session
from .word_functions import embed

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ..words.vectors import WordTable
    from .outputs import Reading
    from .tail import Threshold


MOST_WORD_IDS: Final = 10**6
"""Most word ids for which a network that takes any id is evaluated: a bound of ours, to limit memory."""


def read_model(
    path: Path,
    *,
    vectors: WordTable | None = None,
    output: str | None = None,
    classes: int | None = None,
    longest: int = 0,
    words: int = 0,
    seed: int = 0,
) -> tuple[ElmanNetwork, FloatModel]:
    """Read an Elman RNN from an ONNX file (see `read_model_bytes`).

    Parameters
    ----------
    path
        The model file; initialisers outside it are read only from its own folder.
    vectors, output, classes, longest, words, seed
        See `read_model_bytes`.

    Raises
    ------
    ModelFileError
        The file cannot be read, or for the reasons of `read_model_bytes`.

    """
    return read_model_bytes(
        load_file(path),
        what=str(path),
        vectors=vectors,
        output=output,
        classes=classes,
        longest=longest,
        words=words,
        seed=seed,
    )


def read_model_bytes(
    data: bytes,
    *,
    what: str,
    vectors: WordTable | None = None,
    output: str | None = None,
    classes: int | None = None,
    longest: int = 0,
    words: int = 0,
    seed: int = 0,
) -> tuple[ElmanNetwork, FloatModel]:
    """Read an Elman RNN from the bytes of an ONNX file, and prove the reading against onnxruntime.

    onnxruntime runs in a child process until the proof is done, because some graphs end the process that loads them.

    Parameters
    ----------
    data
        The complete model.
    what
        Its name, for messages.
    vectors
        Vector of each word id, for a model that takes word vectors.
    output
        Name of the output that holds the logits; None: the one that is a classifier's.
    classes
        Number of labels, which helps to choose the output; None: not known.
    longest
        Words of the longest question that will be asked: the proof asks longer ones as well.
    words
        Number of word ids of the tokenizer, for a model that takes any id (by `ids % n`, say); 0: not known.
    seed
        Seed of the proof's random sequences.

    Returns
    -------
    ElmanNetwork and FloatModel
        The network as read, and the model in onnxruntime.

    Raises
    ------
    ModelFileError
        The data is not ONNX, the network is not supported (the message names the node), a weight is not finite,
        onnxruntime's process ends, or the network as read differs from onnxruntime (see `proof.prove`).

    """
    try:
        data = with_vectors(data, vectors)
        stored = parse(data)
        SHARED.start()  # it imports onnxruntime while the graph is read here
        model, precision = in_single_precision(stored)
        layout, reading = read_graph(model, output=output, classes=classes)
        shown = with_output(model, reading.tensor)
        with SHARED.session(shown) as session:
            float_model = FloatModel(
                session=session,
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
        try:
            here = start_session(shown)
        except Exception as e:  # noqa: BLE001 - onnxruntime raises classes of its C++ side, all derived from Exception
            raise ModelFileError(f"onnxruntime cannot run it: {first_line(e)}") from None
    except ModelFileError as e:
        raise type(e)(f"{what}: {e}") from None
    return float_model.network, replace(float_model, session=here)


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
