"""Sessions of onnxruntime in this process: `process` and what it calls use them, and nothing else does."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

READING: Final = "reading its graph"
LOADING: Final = "loading it"
RUNNING: Final = "running it"


class Announcer:
    """Says what this process is about to do, so that whoever waits for it knows in what it ended.

    Parameters
    ----------
    say
        Called with a text whenever that changes.

    """

    def __init__(self, say: Callable[[str], None] = lambda _: None) -> None:
        self.say = say
        self._last = ""

    def __call__(self, doing: str) -> None:
        """Report the next step, unless it is the one that was reported last."""
        if doing != self._last:
            self._last = doing
            self.say(doing)


announce = Announcer()
"""Of this process."""


class LocalSession:
    """A session of onnxruntime, on the CPU with one thread.

    Parameters
    ----------
    data
        A complete model.

    Raises
    ------
    ModelFileError
        onnxruntime cannot load it.

    """

    def __init__(self, data: bytes) -> None:
        announce(LOADING)
        try:
            self._session = start_session(data)
        except Exception as e:  # noqa: BLE001 - onnxruntime raises classes of its C++ side, all derived from Exception
            raise ModelFileError(f"onnxruntime cannot run it: {first_line(e)}") from None

    def run(self, _outputs: None, feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the model; return all of its outputs.

        Raises
        ------
        ModelFileError
            onnxruntime cannot run it.

        """
        announce(RUNNING)
        try:
            return [np.asarray(r) for r in self._session.run(None, feed)]
        except Exception as e:  # noqa: BLE001 - classes of onnxruntime's C++ side, derived from Exception
            raise ModelFileError(f"onnxruntime cannot run it: {first_line(e)}") from None


@contextmanager
def session(data: bytes) -> Iterator[LocalSession]:
    """Load a complete model, which can be run inside the block.

    Raises
    ------
    ModelFileError
        onnxruntime cannot load it.

    """
    yield LocalSession(data)
    announce(READING)


def numbers(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the values of an output as float64.

    Raises
    ------
    ModelFileError
        They are texts.

    """
    if values.dtype.kind in "OSU":
        raise ModelFileError("expected numbers as its output, not texts")
    return values.astype(np.float64)


def start_session(data: bytes) -> Any:
    """Start an onnxruntime session for a complete model, on the CPU with one thread."""
    import onnxruntime  # noqa: PLC0415 - the process that starts the other one does not need it

    options = onnxruntime.SessionOptions()
    # one thread, so that logits do not depend on the number of CPUs
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # fatal errors only: failures are raised, and warnings are not for our users
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def first_line(error: Exception) -> str:
    """Return the first line of an error's text."""
    return str(error).strip().partition("\n")[0][:200]
