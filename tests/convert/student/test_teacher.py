"""What a teacher's inputs and outputs are is found by asking it; files that cannot teach are refused in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from teachers import Network, Placed, asked, exported

from spikewatch.convert.errors import ModelFileError
from spikewatch.convert.read.runtime import Runtime
from spikewatch.convert.student.teacher import open_teacher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    made = Runtime()
    yield made
    made.close()


def logits(network: Network, questions: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Return the logits of each question alone, less their mean."""
    with torch.no_grad():
        found = [network(torch.from_numpy(q)[None]).reshape(-1).double().numpy() for q in questions]
    return centred(np.array(found))


def centred(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(values - values.mean(axis=1, keepdims=True))


@pytest.mark.parametrize("kind", ["lstm", "gru", "attention", "cnn"])
def test_a_network_of_any_kind_answers(tmp_path: Path, runtime: Runtime, kind: str) -> None:
    network, path = Network(kind), tmp_path / "model.onnx"
    path.write_bytes(exported(network))
    teacher = open_teacher(path, runtime, asked(), 3)
    assert (teacher.kind, teacher.classes) == ("logits", 3)
    np.testing.assert_allclose(
        centred(teacher.logits(asked())), logits(network, asked()), atol=1e-4
    )


def test_the_fewest_words_that_a_file_takes_are_found(tmp_path: Path, runtime: Runtime) -> None:
    (tmp_path / "model.onnx").write_bytes(exported(Network("cnn")))
    teacher = open_teacher(tmp_path / "model.onnx", runtime, asked(), 3)
    assert teacher.shortest == 3  # the width of its kernel
    assert not teacher.logits([np.array([5, 6])]).any()


def test_the_most_words_that_a_file_takes_are_found_beyond_the_questions(
    tmp_path: Path, runtime: Runtime
) -> None:
    (tmp_path / "model.onnx").write_bytes(exported(Placed(50)))
    assert open_teacher(tmp_path / "model.onnx", runtime, asked(), 3).longest == 50


@pytest.mark.parametrize(
    ("tail", "kind"),
    [
        (lambda z: z.softmax(-1), "probabilities"),
        (lambda z: z.log_softmax(-1), "logits"),
        (torch.sigmoid, "shares"),
        (lambda z: (z.softmax(-1), z), "logits"),
        (lambda z: (z.argmax(-1), z.softmax(-1)), "probabilities"),
    ],
)
def test_outputs_become_logits(
    tmp_path: Path, runtime: Runtime, tail: Callable[[Any], Any], kind: str
) -> None:
    (tmp_path / "model.onnx").write_bytes(exported(Network("lstm", tail=tail)))
    teacher = open_teacher(tmp_path / "model.onnx", runtime, asked(), 3)
    assert teacher.kind == kind
    plain = logits(Network("lstm"), asked())
    np.testing.assert_allclose(centred(teacher.logits(asked())), plain, atol=1e-3)


@pytest.mark.parametrize("tail", [None, torch.sigmoid, lambda z: z.squeeze(-1)])
def test_one_logit_decides_between_two_classes(
    tmp_path: Path, runtime: Runtime, tail: Callable[[Any], Any] | None
) -> None:
    (tmp_path / "model.onnx").write_bytes(exported(Network("gru", 1, tail)))
    teacher = open_teacher(tmp_path / "model.onnx", runtime, asked(), 2)
    with torch.no_grad():
        wanted = [float(Network("gru", 1)(torch.from_numpy(q)[None])) > 0 for q in asked()]
    assert teacher.logits(asked()).argmax(axis=1).tolist() == wanted


def test_a_file_of_one_length_gets_the_users_padding(tmp_path: Path, runtime: Runtime) -> None:
    network = Network("lstm")
    (tmp_path / "model.onnx").write_bytes(exported(network, 9))

    def fill(words: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.concatenate([words, np.zeros(9 - len(words), np.int64)])

    teacher = open_teacher(tmp_path / "model.onnx", runtime, asked(), 3, fill=fill)
    wanted = logits(network, [fill(q) for q in asked()])
    np.testing.assert_allclose(centred(teacher.logits(asked())), wanted, atol=1e-4)
    with pytest.raises(ModelFileError, match=r"^takes questions of 9 words only; .* --pad-to 9$"):
        open_teacher(tmp_path / "model.onnx", runtime, asked(), 3)


@pytest.mark.parametrize(
    ("network", "classes", "message"),
    [
        (Network("lstm"), 4, r"none has a value for each of the 4 labels$"),
        (Network("lstm", tail=lambda z: z + torch.rand_like(z)), 3, r"differently each time"),
        (Network("lstm", tail=lambda z: 0 * z), 3, r"the same answer$"),
        (Network("lstm", tail=lambda z: z - z.mean(0)), 3, r"others are asked with it$"),
        (Network("lstm", tail=lambda z: z / 0), 3, r"not finite$"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_teach_is_refused(
    tmp_path: Path, runtime: Runtime, network: Network, classes: int, message: str
) -> None:
    (tmp_path / "model.onnx").write_bytes(exported(network))
    with pytest.raises(ModelFileError, match=message) as refused:
        open_teacher(tmp_path / "model.onnx", runtime, asked(), classes)
    assert "\n" not in str(refused.value)


def test_sequence_labelling_is_refused_by_name(tmp_path: Path, runtime: Runtime) -> None:
    class Tags(Network):
        def forward(self, ids: torch.Tensor) -> Any:
            return self.head(self.lstm(self.embedding(ids))[0])

    (tmp_path / "model.onnx").write_bytes(exported(Tags("lstm")))
    with pytest.raises(ModelFileError, match=r"labels every word of a question"):
        open_teacher(tmp_path / "model.onnx", runtime, asked(), 3)


def test_a_file_that_was_traced_with_one_question_gets_one_at_a_time(
    tmp_path: Path, runtime: Runtime
) -> None:
    class Traced(Network):
        def forward(self, ids: torch.Tensor) -> Any:
            states = self.lstm(self.embedding(ids))[0]
            return self.head(states.reshape(int(ids.shape[0]), -1, 48).amax(1))

    network, path = Traced("lstm"), tmp_path / "model.onnx"
    path.write_bytes(exported(network, traced=1))
    teacher = open_teacher(path, runtime, asked(), 3)
    assert teacher.layout.batch == 1
    np.testing.assert_allclose(
        centred(teacher.logits(asked())), logits(network, asked()), atol=1e-4
    )


def test_a_file_that_was_traced_with_some_words_is_refused_by_their_number(
    tmp_path: Path, runtime: Runtime
) -> None:
    class Traced(Network):
        def forward(self, ids: torch.Tensor) -> Any:
            states = self.lstm(self.embedding(ids))[0]
            return self.head(states.reshape(1, int(ids.shape[1]), 48).amax(1))

    (tmp_path / "model.onnx").write_bytes(exported(Traced("lstm"), traced=1))
    with pytest.raises(ModelFileError, match=r"questions of 7 words only; .*\(--pad-to 7\)$"):
        open_teacher(tmp_path / "model.onnx", runtime, asked(), 3)


def test_the_end_of_the_embedding_is_found(tmp_path: Path, runtime: Runtime) -> None:
    network = Network("lstm")
    (tmp_path / "model.onnx").write_bytes(exported(network))
    some = [*asked(), np.array([5, 39, 4, 6])]
    teacher = open_teacher(tmp_path / "model.onnx", runtime, some, 3, words=40)
    assert teacher.highest == network.embedding.num_embeddings - 1
    beyond = np.array([2, network.embedding.num_embeddings, 3])
    assert not teacher.takes(beyond)
    assert not teacher.logits([beyond]).any()


def test_two_heads_need_a_choice(tmp_path: Path, runtime: Runtime) -> None:
    network, path = Network("lstm", tail=lambda z: (z, -z)), tmp_path / "model.onnx"
    path.write_bytes(exported(network, output_names=["a", "b"]))
    with pytest.raises(ModelFileError, match=r"^outputs 'a' and 'b' may all be the logits"):
        open_teacher(path, runtime, asked(), 3)
    teacher = open_teacher(path, runtime, asked(), 3, output="b")
    np.testing.assert_allclose(
        centred(teacher.logits(asked())), -logits(Network("lstm"), asked()), atol=1e-4
    )
