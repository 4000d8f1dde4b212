"""Run onnxruntime sessions for another process, so that a graph that ends onnxruntime ends this process only.

`runtime` starts this file as a script, which imports nothing of ours.  Messages in both directions are a length, a JSON
header and the bytes of arrays; nothing in them can run code.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import struct
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LENGTHS: Final = struct.Struct("<QQ")


def send(stream: IO[bytes], header: dict[str, Any], body: bytes = b"") -> None:
    """Write a message: a header that JSON can hold, and bytes."""
    text = json.dumps(header).encode()
    stream.write(_LENGTHS.pack(len(text), len(body)) + text + body)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """Read a message.

    Raises
    ------
    EOFError
        The other process has closed its end.

    """
    head, body = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    return json.loads(_exactly(stream, head)), _exactly(stream, body)


def _exactly(stream: IO[bytes], n: int) -> bytes:
    data = stream.read(n)
    if len(data) < n:
        raise EOFError
    return data


def packed(arrays: dict[str, NDArray[Any]]) -> tuple[list[list[Any]], bytes]:
    """Return name, type and shape of each array, for a header, and the bytes of all of them."""
    described = [[name, a.dtype.str, list(a.shape)] for name, a in arrays.items()]
    return described, b"".join(np.ascontiguousarray(a).tobytes() for a in arrays.values())


def unpacked(described: list[list[Any]], body: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of a message by name."""
    arrays, start = {}, 0
    for name, kind, shape in described:
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(body, np.dtype(kind), count, start).reshape(shape)
        start += arrays[name].nbytes
    return arrays


def start_session(data: bytes) -> Any:
    """Start an onnxruntime session for a complete model, on the CPU with one thread."""
    import onnxruntime  # noqa: PLC0415 - it may be what ends the process

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


def serve(requests: IO[bytes], replies: IO[bytes], limit_s: int) -> None:
    """Answer requests until the other process closes its end; the first request must load a model."""
    session = None
    while True:
        try:
            header, body = receive(requests)
        except EOFError:
            return
        # ends this process if onnxruntime hangs after the other process has gone
        signal.alarm(limit_s)
        described: list[list[Any]] = []
        sent = b""
        try:
            if header["do"] == "load":
                session = start_session(body)
            else:
                results = session.run(None, unpacked(header["arrays"], body))  # type: ignore[union-attr]
                described, sent = packed({str(i): np.asarray(r) for i, r in enumerate(results)})
        except Exception as e:  # noqa: BLE001 - onnxruntime raises classes of its C++ side, derived from Exception
            send(replies, {"error": first_line(e)})
        else:
            send(replies, {"arrays": described}, sent)
        signal.alarm(0)


def _limit_memory() -> None:
    """Let requests for more memory than the machine has fail here, instead of ending some process when it is used."""
    if sys.platform != "linux":
        return
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = whole if most == resource.RLIM_INFINITY else min(whole, most)
    resource.setrlimit(resource.RLIMIT_AS, (limit, most))
    # if memory runs out all the same, this process is the one to end
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def main() -> None:
    """Serve the process that started this one."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit_memory()
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is for the other process, which then closes its end
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what onnxruntime prints must not get between the replies
    import onnxruntime  # noqa: F401, PLC0415 - while the other process still reads the graph

    serve(sys.stdin.buffer, replies, int(sys.argv[1]))


if __name__ == "__main__":
    main()
