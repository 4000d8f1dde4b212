"""Whatever a graph does, reading it ends in one line and bounded time and memory, and who asked goes on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from hostile_graphs import KINDS, disturbed, node, of
from networks import elman, save, weights
from onnx import TensorProto, numpy_helper
from random_graphs import random_graph

from spikewatch.convert.errors import ModelFileError
from spikewatch.convert.read import read_model, read_model_bytes
from spikewatch.convert.read.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

LINE = re.compile(r"m: [^\n]+")


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    """Return a child that gives up after little time, which is all that these files need."""
    made = Runtime(read_s=1)
    yield made
    made.close()


def outcome(runtime: Runtime, data: bytes) -> str:
    """Return the refusal of a model, or an empty text if it is read."""
    options = {"vectors": None, "output": None, "classes": None, "longest": 0, "words": 0}
    try:
        runtime.read(None, data, what="m", **options, seed=0)
    except ModelFileError as e:
        return str(e)
    return ""


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"loops in loops"}))
def test_an_odd_graph_is_read_or_refused_in_one_line(runtime: Runtime, kind: str) -> None:
    refusal = outcome(runtime, KINDS[kind]().SerializeToString())
    assert not refusal or LINE.fullmatch(refusal)
    assert "process ended" not in refusal


def test_a_graph_without_end_is_refused_with_the_limit(runtime: Runtime) -> None:
    refusal = outcome(runtime, KINDS["loops in loops"]().SerializeToString())
    assert refusal == (
        "m: took more than 2 s of processor time, the limit for a file of its size, while reading its graph;"
        " its loops may have too many rounds, or its tensors too many elements"
    )
    assert not outcome(runtime, elman(weights()).SerializeToString())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds the memory of data")
@pytest.mark.parametrize(
    "kind", ["loop whose state doubles", "concatenations of numbers that double"]
)
def test_a_graph_that_grows_takes_no_more_memory_than_it_may(tmp_path: Path, kind: str) -> None:
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from spikewatch.convert import ModelFileError\n"
        "from spikewatch.convert.read import read_model\n"
        "from spikewatch.convert.read.runtime import SHARED\n"
        "try:\n"
        "    read_model(Path(sys.argv[1]))\n"
        "except ModelFileError as e:\n"
        "    print(e)\n"
        "SHARED.close()\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    path = save(KINDS[kind](), tmp_path / "m.onnx")
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    refusal, kilobytes = done.stdout.splitlines()
    assert "Unable to allocate" in refusal
    assert int(kilobytes) < 1_600_000


def test_the_process_that_asks_loads_nothing_of_onnxruntime() -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from spikewatch.convert.read import read_model_bytes\n"
        "print(read_model_bytes(Path(sys.argv[1]).read_bytes(), what='m')[0].classes)\n"
        "assert 'onnxruntime' not in sys.modules"
    )
    path = Path(__file__).parents[1] / "keras" / "tanh.onnx"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) > 1


def test_models_are_read_and_asked_from_threads_without_a_main_guard(tmp_path: Path) -> None:
    """A script as a user writes one: `spawn` would run it again in each child."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, threading\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from spikewatch.convert.read import read_model\n"
        "answers = {}\n"
        "def ask(path):\n"
        "    network, model = read_model(Path(path))\n"
        "    for _ in range(3):\n"
        "        got = model.logits([np.array([1, 2, 3])])\n"
        "        answers.setdefault(path, []).append(np.abs(got - network.logits([np.array([1, 2, 3])])).max())\n"
        "threads = [threading.Thread(target=ask, args=(p,)) for p in sys.argv[1:]]\n"
        "[t.start() for t in threads]\n"
        "[t.join() for t in threads]\n"
        "print(len(answers), max(max(a) for a in answers.values()) < 1e-4)\n"
    )
    files = [str(save(elman(weights(seed)), tmp_path / f"{seed}.onnx")) for seed in range(3)]
    done = subprocess.run(
        [sys.executable, str(script), *files], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["3", "True"]


def test_a_model_goes_on_answering_after_others_were_read_and_their_child_ended() -> None:
    _, first = read_model_bytes(elman(weights(1)).SerializeToString(), what="first")
    asked = [np.array([1, 2, 3]), np.array([4])]
    before = first.logits(asked)
    _, second = read_model_bytes(elman(weights(2)).SerializeToString(), what="second")
    with pytest.raises(ModelFileError):
        read_model_bytes(KINDS["functions that double"]().SerializeToString()[:-9], what="third")
    second.logits(asked)
    assert np.array_equal(first.logits(asked), before)


def test_an_interrupted_reading_ends_the_child() -> None:
    """Otherwise its answer would be taken for that of the next request.  This child presses Ctrl-C when it is asked."""
    code = (
        "import os, signal, sys; sys.stdin.buffer.read(16);"
        " os.kill(os.getppid(), signal.SIGINT); sys.stdin.buffer.read()"
    )
    runtime = Runtime([sys.executable, "-c", code])
    with pytest.raises(KeyboardInterrupt):
        outcome(runtime, elman(weights()).SerializeToString())
    assert runtime.pid is None


class TestExternalData:
    """Weights in other files: each is checked before it is read."""

    def external(self, folder: Path, **entries: str) -> Path:
        """Write a model whose embedding is in `w.bin`, with the entries given instead of the right ones."""
        model = elman(weights())
        tensor = next(t for t in model.graph.initializer if t.name == "embedding")
        (folder / "w.bin").write_bytes(tensor.raw_data)
        right = {"location": "w.bin", "offset": "0", "length": str(len(tensor.raw_data))}
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {**right, **entries}.items():
            if value:
                tensor.external_data.add(key=key, value=value)
        return save(model, folder / "m.onnx")

    def test_what_is_right_is_read(self, tmp_path: Path) -> None:
        assert read_model(self.external(tmp_path))[0].classes == 6
        assert read_model(self.external(tmp_path, offset="", length=""))[0].classes == 6

    @pytest.mark.parametrize(
        ("entries", "reason"),
        [
            ({"offset": "400"}, r"is at 400\.\.904 of 'w\.bin', which has 504 bytes"),
            ({"offset": "-8"}, r"is at -8\.\.496 of 'w\.bin', which has 504 bytes"),
            ({"offset": "x"}, r"is at -1\.\.503 of 'w\.bin', which has 504 bytes"),
            ({"length": "9" * 30}, r"is at 0\.\.9{30} of 'w\.bin', which has 504 bytes"),
            (
                {"length": "500"},
                r"has 500 bytes in 'w\.bin', but its shape and type take 504",
            ),
            ({"location": "../w.bin"}, r"is in '\.\./w\.bin', outside the model's own folder"),
            (
                {"location": "/etc/hostname"},
                "is in '/etc/hostname', outside the model's own folder",
            ),
            ({"location": "."}, r"is in '\.', outside the model's own folder"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, tmp_path: Path, entries: dict[str, str], reason: str
    ) -> None:
        path = self.external(tmp_path, **entries)
        with pytest.raises(ModelFileError, match=rf"^{path}: weight 'embedding' {reason}$"):
            read_model(path)

    def test_a_file_of_holes_is_not_read(self, tmp_path: Path) -> None:
        path = self.external(tmp_path, length="")
        with (tmp_path / "w.bin").open("r+b") as file:
            file.truncate(2**42)
        reason = rf"has {2**42} bytes in 'w\.bin', but its shape and type take 504"
        with pytest.raises(ModelFileError, match=rf"^{path}: weight 'embedding' {reason}$"):
            read_model(path)

    def test_a_weight_as_large_as_its_file_of_holes_is_not_read(self, tmp_path: Path) -> None:
        model = of("Neg", ["z"])
        bad = TensorProto(name="bad", data_type=TensorProto.FLOAT, dims=[2**40])
        bad.data_location = TensorProto.EXTERNAL
        bad.external_data.add(key="location", value="w.bin")
        model.graph.initializer.append(bad)
        path = save(model, tmp_path / "m.onnx")
        with (tmp_path / "w.bin").open("wb") as file:
            file.truncate(2**42)
        reason = r"\d+ bytes with its external data, limit 2147483647"
        with pytest.raises(ModelFileError, match=rf"^{path}: {reason}$"):
            read_model(path)

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        path = self.external(tmp_path)
        (tmp_path / "w.bin").unlink()
        os.mkfifo(tmp_path / "w.bin")
        with pytest.raises(ModelFileError, match=r"weight 'embedding' is at 0\.\.504 of 'w\.bin'"):
            read_model(path)


def test_a_model_file_of_holes_or_a_pipe_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with path.open("wb") as file:
        file.truncate(2**42)
    with pytest.raises(ModelFileError, match=rf"^{path}: {2**42} bytes, limit 2147483647$"):
        read_model(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ModelFileError, match=rf"^{path}: not a regular file$"):
        read_model(path)


def test_an_output_of_texts_is_refused_in_one_line() -> None:
    model = disturbed(
        [
            node("ArgMax", ["z"], ["best"], axis=1, keepdims=0),
            node("Gather", ["names", "best"], ["label"]),
            node("Identity", ["z"], ["extra"]),
        ],
        [numpy_helper.from_array(np.array(list("abcdef"), dtype=object), "names")],
    )
    label = onnx.helper.make_tensor_value_info("label", TensorProto.STRING, ["batch"])
    model.graph.output[0].CopyFrom(label)
    with pytest.raises(ModelFileError, match=r"^m: [^\n]+$"):
        read_model_bytes(model.SerializeToString(), what="m")


def fuzz(runtime: Runtime, seeds: range) -> tuple[int, list[str]]:
    """Read random graphs; return how many were read, and what is wrong with the refusals of others."""
    read, wrong = 0, []
    for seed in seeds:
        refusal = outcome(runtime, random_graph(seed).SerializeToString())
        if not refusal:
            read += 1
        elif not LINE.fullmatch(refusal) or "process ended" in refusal:
            wrong.append(f"{seed}: {refusal}")
    return read, wrong


def test_random_graphs_are_read_or_refused_in_one_line(runtime: Runtime) -> None:
    read, wrong = fuzz(runtime, range(300))
    assert not wrong
    assert 30 < read < 270  # otherwise the grammar is too wild, or too tame


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_many_random_graphs_are_read_or_refused_in_one_line() -> None:
    runtime = Runtime(read_s=20)
    read, wrong = fuzz(runtime, range(1000, 6000))
    runtime.close()
    assert not wrong
    assert read > 500
