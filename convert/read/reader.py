"""Read the Elman network in a model file, in a child process."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from .runtime import SHARED

if TYPE_CHECKING:
    from pathlib import Path

    from ..network.elman import ElmanNetwork
    from ..words.vectors import WordTable
    from .float_model import FloatModel


def prepare() -> None:
    """Start the child that will read a model, so that it imports onnx and onnxruntime meanwhile."""
    if find_spec("onnxruntime") is None:
        raise ModuleNotFoundError("No module named 'onnxruntime'", name="onnxruntime")
    SHARED.start()


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
    return _read(
        path,
        b"",
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

    Both happen in a child process with limits (see `limits`), because a graph can end the process that reads it, loop
    for ever or ask for any amount of memory.  The child goes on to run the model that is returned.

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
        The data is not ONNX, the network is not supported (the message names the node), a weight is not finite, reading
        takes more time or memory than it may, the child ends, or the network as read differs from onnxruntime (see
        `proof.prove`).

    """
    return _read(
        None,
        data,
        what=what,
        vectors=vectors,
        output=output,
        classes=classes,
        longest=longest,
        words=words,
        seed=seed,
    )


def _read(path: Path | None, data: bytes, **options: object) -> tuple[ElmanNetwork, FloatModel]:
    prepare()
    model, session = SHARED.read(path, data, **options)
    return model.network, replace(model, session=session)
