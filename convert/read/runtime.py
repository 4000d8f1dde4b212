"""Run onnxruntime in a child process first: some graphs end the process that loads them."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import ModelFileError
from . import session_process

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

LIMIT_S: Final = 120.0
"""Longest time in seconds that one call of onnxruntime may take in the child."""

COMMAND: Final = (sys.executable, "-P", str(Path(session_process.__file__)), str(int(LIMIT_S) + 60))


class RuntimeEnded(ModelFileError):
    """onnxruntime's process has ended, or was ended because it took too long."""


class Runtime:
    """A child process that runs one session at a time; it is started when needed, and again after it has ended.

    Parameters
    ----------
    command
        The command that starts the child.
    limit_s
        Longest time in seconds that one call may take.

    """

    def __init__(self, command: Sequence[str] = COMMAND, *, limit_s: float = LIMIT_S) -> None:
        self._command = list(command)
        self._limit_s = limit_s
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._lock = threading.RLock()

    @property
    def pid(self) -> int | None:
        """Id of the child; None: none was started, or it has ended."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the child if it does not run, without waiting until it is ready."""
        with self._lock:
            # the pipes of a child that this process inherited by a fork belong to its parent
            if self._process is not None and self._owner == os.getpid():
                if self._process.poll() is None:
                    return
                self.close()
            self._process = subprocess.Popen(
                self._command,
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
        with self._lock:
            self.start()
            self.ask({"do": "load"}, data, doing="loading it")
            return RemoteSession(self)

    @contextmanager
    def session(self, data: bytes) -> Iterator[RemoteSession]:
        """Load a complete model; it can be run inside the block.

        Raises
        ------
        ModelFileError
            onnxruntime cannot load it (RuntimeEnded: its process has ended, or took too long).

        """
        with self._lock:
            yield self.load(data)

    def ask(self, header: dict[str, Any], body: bytes, *, doing: str) -> list[NDArray[Any]]:
        """Send a request to the child, and return the arrays of its reply."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise RuntimeEnded(f"onnxruntime's process has ended before {doing}")
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self._limit_s, end)
        timer.daemon = True
        timer.start()
        try:
            session_process.send(process.stdin, header, body)
            reply, sent = session_process.receive(process.stdout)
        except (OSError, EOFError):
            raise RuntimeEnded(self._ending(process, doing, late=late.is_set())) from None
        finally:
            timer.cancel()
        if "error" in reply:
            raise ModelFileError(f"onnxruntime cannot run it: {reply['error']}")
        return list(session_process.unpacked(reply["arrays"], sent).values())

    def _ending(self, process: subprocess.Popen[bytes], doing: str, *, late: bool) -> str:
        """Clear the child away; return how it ended."""
        self.close()
        if late:
            return f"onnxruntime took longer than {self._limit_s:g} s while {doing}"
        code = process.returncode
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
        with self._lock:
            process, self._process = self._process, None
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
    """A session in the child, with the method of `onnxruntime.InferenceSession` that `FloatModel` calls."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def run(self, _outputs: None, feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the model; return all of its outputs.

        Raises
        ------
        ModelFileError
            onnxruntime cannot run it (RuntimeEnded: its process has ended, or took too long).

        """
        described, body = session_process.packed(feed)
        return self._runtime.ask({"do": "run", "arrays": described}, body, doing="running it")


SHARED: Final = Runtime()
"""The child of this process, for all models that it reads."""

atexit.register(SHARED.close)
