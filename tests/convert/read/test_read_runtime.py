"""onnxruntime runs in a child process first: its death and its delay are refusals, and no child is left behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from networks import elman, weights
from onnx import helper, numpy_helper

from spikewatch.convert.errors import ModelFileError
from spikewatch.convert.read import read_model_bytes
from spikewatch.convert.read.runtime import Runtime, RuntimeEnded

MODEL = elman(weights()).SerializeToString()
FEED = {"ids": np.array([[3], [5]]), "lengths": np.array([2], dtype=np.int32)}


def python(code: str) -> list[str]:
    """Return the command of a child that runs some Python."""
    return [sys.executable, "-c", code]


def test_a_child_runs_a_model_as_a_session_here_does() -> None:
    runtime = Runtime()
    with runtime.session(MODEL) as session:
        (logits,) = session.run(None, FEED)
    runtime.close()
    assert logits.shape == (1, 6)
    assert np.isfinite(logits).all()


def test_what_onnxruntime_refuses_is_one_line_and_the_child_goes_on() -> None:
    runtime = Runtime()
    refused = pytest.raises(ModelFileError, match=r"^onnxruntime cannot run it: [^\n]*$")
    with refused, runtime.session(b"not a model"):
        pass
    with runtime.session(MODEL) as session:
        with pytest.raises(ModelFileError, match=r"^onnxruntime cannot run it: [^\n]*$"):
            session.run(None, {"ids": FEED["ids"]})
        assert session.run(None, FEED)[0].shape == (1, 6)
    runtime.close()


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGILL])
def test_a_child_that_a_signal_ends_is_a_refusal_in_one_line(number: signal.Signals) -> None:
    code = f"import os, sys; sys.stdin.buffer.read(16); os.kill(os.getpid(), {int(number)})"
    message = (
        rf"^onnxruntime's process ended with signal {int(number)} \({number.name}\) while loading it;"
        " export the model in another way, in single precision for instance$"
    )
    with pytest.raises(RuntimeEnded, match=message), Runtime(python(code)).session(MODEL):
        pass


def test_a_child_that_exits_is_a_refusal() -> None:
    message = r"^onnxruntime's process ended with exit code 3 while loading it; [^\n]*$"
    runtime = Runtime(python("raise SystemExit(3)"))
    with pytest.raises(RuntimeEnded, match=message), runtime.session(MODEL):
        pass


def test_a_child_that_takes_too_long_is_ended() -> None:
    runtime = Runtime(python("import sys; sys.stdin.read()"), limit_s=0.2)
    message = r"^onnxruntime took longer than 0\.2 s while loading it$"
    with pytest.raises(RuntimeEnded, match=message), runtime.session(MODEL):
        pass


def filled(elements: int) -> onnx.ModelProto:
    """Return a network that adds nothing to its logits, by way of a tensor of so many ones."""
    model = elman(weights())
    graph = model.graph
    graph.node[-1].output[0] = "z"
    one = numpy_helper.from_array(np.ones(1, dtype=np.float32))
    graph.initializer.append(numpy_helper.from_array(np.array([elements]), "elements"))
    graph.initializer.append(numpy_helper.from_array(np.float32(0), "zero"))
    graph.node.extend(
        [
            helper.make_node("ConstantOfShape", ["elements"], ["ones"], name="fill", value=one),
            helper.make_node("ReduceSum", ["ones"], ["sum"], keepdims=0),
            helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
            helper.make_node("Add", ["z", "nothing"], ["logits"]),
        ]
    )
    return model


def test_a_graph_that_wants_more_memory_than_there_is_is_refused_by_onnxruntime() -> None:
    runtime = Runtime()
    model = filled(10**13).SerializeToString()
    refused = pytest.raises(ModelFileError, match=r"^onnxruntime cannot run it: [^\n]*$")
    with refused, runtime.session(model) as session:
        session.run(None, FEED)
    with runtime.session(MODEL) as session:
        assert session.run(None, FEED)[0].shape == (1, 6)
    runtime.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads the limits of a process in /proc")
def test_a_child_may_have_as_much_memory_as_the_machine_has() -> None:
    runtime = Runtime()
    with runtime.session(MODEL):
        lines = Path(f"/proc/{runtime.pid}/limits").read_text().splitlines()
        first_to_end = Path(f"/proc/{runtime.pid}/oom_score_adj").read_text()
    runtime.close()
    allowed = next(line for line in lines if line.startswith("Max address space")).split()[3]
    assert int(allowed) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert int(first_to_end) == 1000


def test_a_tensor_too_large_to_be_computed_is_refused_with_its_size() -> None:
    message = (
        r"^m: node 'fill': operator ConstantOfShape fails: makes a tensor of 1000000000000 elements,"
        r" limit 268435456$"
    )
    with pytest.raises(ModelFileError, match=message):
        read_model_bytes(filled(10**12).SerializeToString(), what="m")


def test_after_the_death_of_a_child_the_next_model_gets_a_new_one() -> None:
    runtime = Runtime()
    with runtime.session(MODEL) as session:
        os.kill(runtime.pid or 0, signal.SIGKILL)
        with pytest.raises(RuntimeEnded, match=r"signal 9 \(SIGKILL\) while running it"):
            session.run(None, FEED)
    with runtime.session(MODEL) as session:
        assert session.run(None, FEED)[0].shape == (1, 6)
    runtime.close()


def test_a_child_ends_when_the_process_that_started_it_is_killed() -> None:
    """The parent is a process of its own, which prints the child's id and then waits."""
    code = (
        "import sys\n"
        "from spikewatch.convert.read.runtime import Runtime\n"
        "runtime = Runtime(); runtime.start(); print(runtime.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        python(code), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        descriptor = os.pidfd_open(child)
        parent.kill()
    # readable once the process has ended; select would time out otherwise
    ready, _, _ = select.select([descriptor], [], [], 60)
    os.close(descriptor)
    assert ready
