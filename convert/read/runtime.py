"""Read and run model files in a child process: some graphs end the process that loads them, or take all it has."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from ..errors import ModelFileError, ProofError
from . import messages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from io import BufferedReader
    from pathlib import Path

    from numpy.typing import NDArray

    from .teacher_file import TeacherFile

LIMIT_S: Final = 120.0
"""Longest time in seconds that one call of onnxruntime may take in the child."""

READ_S: Final = 15.0
"""Seconds of processor time that reading a small file may take, the proof included."""

CHECK_S: Final = 5.0
"""Seconds of processor time that parsing a small file may take."""

DESCRIBE_S: Final = 20.0
"""Seconds of processor time until a small file of any kind has shown how it answers."""

_BOOT: Final = "import sys; sys.path[:] = sys.argv[1:]; from {} import main; main()"


def command() -> list[str]:
    """Return the command of the child; it finds our modules where this process does, and needs no main module."""
    module = f"{__package__}.process"
    return [sys.executable, "-P", "-c", _BOOT.format(module), *sys.path]


class RuntimeEnded(ModelFileError):
    """The child has ended, or was ended because it took too long."""


class Runtime:
    """A child process that reads and runs one model at a time; it starts when needed, and again after it has ended.

    Parameters
    ----------
    command
        The command that starts the child; None: the usual one.
    limit_s
        Longest time in seconds that one call of a model may take.
    read_s
        Seconds of processor time that reading a small file may take.

    """

    def __init__(
        self,
        command: Sequence[str] | None = None,
        *,
        limit_s: float = LIMIT_S,
        read_s: float = READ_S,
    ) -> None:
        self._command = command
        self._limit_s = limit_s
        self._read_s = read_s
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._loaded: RemoteSession | None = None
        self.lock = threading.RLock()

    @property
    def pid(self) -> int | None:
        """Id of the child; None: none was started, or it has ended."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the child if it does not run, without waiting until it is ready."""
        with self.lock:
            # the pipes of a child that this process inherited by a fork belong to its parent
            if self._process is not None and self._owner == os.getpid():
                if self._process.poll() is None:
                    return
                self.close()
            self._loaded = None
            self._process = subprocess.Popen(
                command() if self._command is None else list(self._command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # what a library prints when it aborts is not for our users
            )
            self._owner = os.getpid()

    def load(self, data: bytes) -> RemoteSession:
        """Load a complete model, in place of the one before.

        Raises
        ------
        ModelFileError
            onnxruntime cannot load it (RuntimeEnded: its process has ended, or took too long).

        """
        session = RemoteSession(self, data)
        self.use(session)
        return session

    def use(self, session: RemoteSession) -> None:
        """Load the model of a session, unless it is the one that was loaded last.

        Raises
        ------
        ModelFileError
            onnxruntime cannot load it (RuntimeEnded: its process has ended, or took too long).

        """
        with self.lock:
            running = self._process is not None and self._owner == os.getpid()
            if running and self._loaded is session:
                return
            if session.data is None:
                raise RuntimeEnded("onnxruntime's process has ended before running it")
            self.start()
            self.ask("load", {"data": session.data}, doing="loading it")
            self._loaded = session

    @contextmanager
    def session(self, data: bytes) -> Iterator[RemoteSession]:
        """Load a complete model; it can be run inside the block.

        Raises
        ------
        ModelFileError
            onnxruntime cannot load it (RuntimeEnded: its process has ended, or took too long).

        """
        with self.lock:
            yield self.load(data)

    def read(self, path: Path | None, data: bytes, **options: Any) -> tuple[Any, RemoteSession]:
        """Read the network in a file, or in bytes; return its `FloatModel`, and the session that answers as it does.

        Raises
        ------
        ModelFileError
            The file cannot be read or its network is not supported; the message names the file (RuntimeEnded: the child
            has ended, or took too long).

        """
        given = {"path": None if path is None else str(path.absolute()), "data": data, **options}
        with self.lock:
            self.start()
            try:
                found = self.ask("read", given, doing="reading its graph", limit_s=self._read_s)
            except RuntimeEnded as e:
                raise RuntimeEnded(f"{options['what']}: {e}") from None
            session = RemoteSession(self, found["shown"])
            self._loaded = session
        return found["model"], session

    def load_file(self, path: Path) -> bytes:
        """Return a model file of any kind, with the weights that it keeps beside itself.

        Raises
        ------
        ModelFileError
            It cannot be read, or is no network.

        """
        with self.lock:
            self.start()
            given = {"path": str(path.absolute()), "what": str(path)}
            found: bytes = self.ask("check", given, doing="reading its graph", limit_s=CHECK_S)
        return found

    def describe(self, path: Path, output: str | None) -> tuple[TeacherFile, RemoteSession]:
        """Load a model file of any kind, whose calls share one limit until it is lifted (`lift`).

        Parameters
        ----------
        path
            The file.
        output
            Name of the output that will be used; None: not known.

        Raises
        ------
        ModelFileError
            It cannot be read or loaded, takes no word ids, or has no such output (RuntimeEnded: the child has ended, or
            took too long).

        """
        given = {"path": str(path.absolute()), "what": str(path), "output": output}
        with self.lock:
            self.start()
            found = self.ask(
                "describe", given, doing="reading its graph", limit_s=DESCRIBE_S, goes_on=True
            )
            self._loaded = RemoteSession(self, None)
            return found, self._loaded

    def lift(self) -> None:
        """Let the calls of a model that was described take `limit_s` seconds each, and the machine's memory."""
        self.ask("lift", {}, doing="running it", goes_on=True)

    def ask(
        self,
        do: str,
        given: dict[str, Any],
        *,
        doing: str,
        limit_s: float | None = None,
        goes_on: bool = False,
    ) -> Any:
        """Send a request to the child, and return its answer.

        Parameters
        ----------
        do, given
            A method of `process.Worker`, and its arguments.
        doing
            What the child does first, for messages.
        limit_s
            Seconds of processor time for the request; None: what the one before has left, but `limit_s` of this object
            in seconds that pass.
        goes_on
            Whether the requests after it share its time.

        """
        with self.lock:
            process = self._process
            if process is None or process.stdin is None or process.stdout is None:
                raise RuntimeEnded(f"onnxruntime's process has ended before {doing}")
            if do not in {"lift", "run"}:
                self._loaded = None  # the child drops its model before it takes another one
            replies = cast("BufferedReader", process.stdout)
            late = threading.Event()

            def end() -> None:
                late.set()
                process.kill()

            timer = threading.Timer(self._limit_s, end)
            timer.daemon = True
            if limit_s is None:
                timer.start()
            try:
                header = {"do": do, "limit_s": limit_s, "goes_on": goes_on, "wall_s": self._limit_s}
                messages.send(process.stdin, header, given)
                reply, value = messages.receive(replies)
                while "doing" in reply:
                    doing, limit_s = reply["doing"], reply["limit_s"]
                    reply, value = messages.receive(replies)
            except (OSError, EOFError):
                took = self._limit_s if late.is_set() else None
                raise RuntimeEnded(self._ending(process, doing, took, limit_s)) from None
            except BaseException:
                process.kill()  # its answer would be taken for that of the next request
                self.close()
                raise
            finally:
                timer.cancel()
            if reply["last"]:
                self.close()
            if "error" in reply:
                error = ProofError if reply["kind"] == ProofError.__name__ else ModelFileError
                raise error(reply["error"])
            return value

    def _ending(
        self,
        process: subprocess.Popen[bytes],
        doing: str,
        took: float | None,
        limit_s: float | None,
    ) -> str:
        """Clear the child away; return how it ended."""
        self.close()
        if took is not None:
            return f"onnxruntime took longer than {took:g} s while {doing}"
        code = process.returncode
        if code in {-signal.SIGXCPU, -signal.SIGALRM} and limit_s:
            return (
                f"took more than {limit_s:g} s of processor time, the limit for a file of its size, while {doing};"
                " its loops may have too many rounds, or its tensors too many elements"
            )
        how = f"with exit code {code}"
        if code < 0:
            how = f"with signal {-code}"
            if -code in set(signal.Signals):
                how += f" ({signal.Signals(-code).name})"
        return (
            f"onnxruntime's process ended {how} while {doing}; export the model in another way,"
            " in single precision for instance"
        )

    def close(self) -> None:
        """End the child."""
        with self.lock:
            process, self._process = self._process, None
            self._loaded = None
            if process is None or self._owner != os.getpid():
                return
            for stream in (process.stdin, process.stdout):
                try:
                    if stream is not None:
                        stream.close()
                except OSError:
                    pass  # a request was still in the buffer
            try:
                process.wait(timeout=1)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class RemoteSession:
    """A session in the child, with the method of `onnxruntime.InferenceSession` that `FloatModel` calls.

    Parameters
    ----------
    runtime
        The child.
    data
        The complete model, which is loaded again after another one; None: it is in the child only.

    """

    def __init__(self, runtime: Runtime, data: bytes | None) -> None:
        self._runtime = runtime
        self.data = data

    def run(self, _outputs: None, feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the model; return all of its outputs.

        Raises
        ------
        ModelFileError
            onnxruntime cannot run it (RuntimeEnded: its process has ended, or took too long).

        """
        with self._runtime.lock:
            self._runtime.use(self)
            found: list[NDArray[Any]] = self._runtime.ask(
                "run", {"feed": feed}, doing="running it", goes_on=self.data is None
            )
        return found


SHARED: Final = Runtime()
"""The child of this process, for all models that it reads."""

atexit.register(SHARED.close)
