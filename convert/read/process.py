"""Read model files and run them for another process: whatever a graph does, it does it to this process only."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from ..errors import ConvertError, ModelFileError, ProofError
from ..words.vectors import WordTable
from . import session
from .file import parse_any
from .limits import Limits
from .loading import load_file
from .messages import receive, send
from .network_file import read_network
from .session import READING, LocalSession, first_line
from .teacher_file import describe_teacher

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedReader

    from numpy.typing import NDArray

    from .teacher_file import TeacherFile


_ON_A_MODEL: Final = {"check", "describe", "load", "read"}
"""Requests that bring a model."""


class Worker:
    """Does what another process asks for, one thing at a time, on one model at a time.

    Parameters
    ----------
    limits
        Of this process.
    announce
        Says what it does, and how many seconds of processor time that may take.

    """

    def __init__(self, limits: Limits, announce: Callable[[str, float], None]) -> None:
        self._limits = limits
        self._session: LocalSession | None = None
        self._size = 0
        self._allowed = 0.0
        self._announce = announce
        session.announce.say = lambda doing: announce(doing, self._allowed)

    def __call__(self, do: str, seconds: float | None, value: dict[str, Any]) -> Any:
        """Do something, in some seconds of processor time; None: there is no such limit, or one began before."""
        if do in _ON_A_MODEL:
            self._session = None  # before the next one takes memory
            self._size = sum(map(_size, value.values()))
        if seconds is not None:
            self._allowed = self._limits.begin(seconds, self._size)
            self._announce(READING, self._allowed)
        done: Callable[..., Any] = getattr(self, do)
        return done(**value)

    def load(self, data: bytes) -> None:
        """Load a complete model."""
        self._limits.memory(self._size)
        self._session = LocalSession(data)

    def run(self, feed: dict[str, Any]) -> list[NDArray[Any]]:
        """Run the model that was loaded last."""
        if self._session is None:
            raise ModelFileError("onnxruntime cannot run it: it was not loaded")
        return self._session.run(None, feed)

    def read(
        self, path: str | None, data: bytes, what: str, vectors: WordTable | None, **options: Any
    ) -> dict[str, Any]:
        """Read an Elman network from a file, or from bytes, and load what answers as it does."""
        session.announce(READING)
        if path is not None:
            data = load_file(Path(path), what, self._allow)
        model, shown = read_network(data, what=what, vectors=vectors, **options)
        self._session = model.session
        return {"model": replace(model, session=None), "shown": shown}

    def check(self, path: str, what: str) -> bytes:
        """Return a model file of any kind completely, after it was parsed and checked."""
        data = load_file(Path(path), what, self._allow)
        parse_any(data)
        return data

    def describe(self, path: str, what: str, output: str | None) -> TeacherFile:
        """Load a model file of any kind, and describe its inputs and outputs."""
        session.announce(READING)
        model = parse_any(load_file(Path(path), what, self._allow))
        self._session = LocalSession(model.SerializeToString())
        return describe_teacher(model.graph, output)

    def lift(self) -> None:
        """Lift the limits: the model has shown that it behaves."""
        self._limits.end()
        self._limits.machine()

    def _allow(self, size: int) -> None:
        """Allow what a file of some size may take."""
        self._size += size
        self._allowed = self._limits.allow(self._size)
        self._announce(READING, self._allowed)


def _size(value: Any) -> int:
    if isinstance(value, WordTable):
        return value.rows.nbytes + value.matrix.nbytes
    return len(value) if isinstance(value, bytes) else 0


def refusal(e: Exception, what: str) -> str:
    """Return one line about whatever went wrong with a model."""
    if isinstance(e, ConvertError):
        return str(e)
    said = f"{what}: " if what else ""
    if isinstance(e, MemoryError):
        return f"{said}takes more memory to read than a file of its size may"
    # such as what onnx raises for attributes of a wrong type
    return f"{said}cannot be read: {type(e).__name__}: {first_line(e)}"


def serve(requests: BufferedReader, replies: IO[bytes]) -> None:
    """Answer requests until the other process closes its end."""
    limits = Limits()
    worker = Worker(limits, lambda doing, s: send(replies, {"doing": doing, "limit_s": s}))
    while True:
        try:
            header, value = receive(requests)
        except EOFError:
            return
        if header["limit_s"] is None and not header["goes_on"]:
            limits.wait(
                2 * header["wall_s"]
            )  # the other process ends this one in time, while it runs
        try:
            result = worker(header["do"], header["limit_s"], value)
        except Exception as e:  # noqa: BLE001 - a graph can raise anything in onnx, onnxruntime and NumPy
            kind = ProofError.__name__ if isinstance(e, ProofError) else ""
            answer = {"error": refusal(e, value.get("what", "")), "kind": kind}
            result = None
        else:
            answer = {"done": header["do"]}
        if not header["goes_on"]:
            limits.end()
        send(replies, {**answer, "last": header["do"] == "read" and limits.worn()}, result)


def main() -> None:
    """Serve the process that started this one."""
    # Ctrl-C is for the other process, which then closes its end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what onnxruntime prints must not get between the replies
    serve(os.fdopen(0, "rb"), replies)
