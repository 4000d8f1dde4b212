"""The float network as onnxruntime runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
import onnxruntime

from ..errors import ModelFileError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..network.elman import ElmanNetwork

_BATCH: Final = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How a model takes its questions.

    Attributes
    ----------
    ids : str
        Name of the input of word ids.
    ids_type : type
        Its NumPy type.
    batch_axis : {0, 1} or None
        Axis of `ids` along which questions lie; None: it takes one question, (time,).
    batch : int or None
        Questions that it takes at once, where that is fixed.
    length : int or None
        Words that a question has, where that is fixed.
    lengths : str
        Name of the input of lengths; empty: none.
    lengths_type : type
        Its NumPy type.
    lengths_rank : int
        Its dimensions, 0 or 1.
    padding : int or None
        Word id that fills a question up: 0 where there are lengths, the id that the model itself skips, or None
        where the model takes padding for words.

    """

    ids: str
    ids_type: Any
    batch_axis: int | None
    batch: int | None
    length: int | None
    lengths: str = ""
    lengths_type: Any = np.int64
    lengths_rank: int = 1
    padding: int | None = None

    def runs(self, length: int) -> bool:
        """Tell whether the model can be asked about questions of that many words."""
        if self.length is None or length == self.length:
            return True
        return self.padding is not None and length < self.length

    def feed(self, questions: list[NDArray[np.int64]]) -> dict[str, NDArray[Any]]:
        """Lay questions out as the model's inputs."""
        counts = np.array([len(q) for q in questions], dtype=self.lengths_type)
        width = int(counts.max()) if self.length is None else self.length
        table = np.full((len(questions), width), self.padding or 0, dtype=self.ids_type)
        for i, q in enumerate(questions):
            table[i, : len(q)] = q
        if self.batch_axis is None:
            table = table[0]
        elif self.batch_axis == 1:
            table = np.ascontiguousarray(table.T)
        feed = {self.ids: table}
        if self.lengths:
            feed[self.lengths] = counts if self.lengths_rank else counts[0]
        return feed


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FloatModel:
    """The float network as onnxruntime runs it: the truth that every stage is compared with.

    A model that was exported for one length runs in onnxruntime at that length only (see `Layout.runs`); for other
    questions the recurrence that was read from it, and proved against it, takes its place.

    Attributes
    ----------
    session : onnxruntime.InferenceSession
        One thread, CPU; its output are the logits, before any Softmax.
    data : bytes
        The ONNX file, with everything in it.
    layout : Layout
        How it takes questions.
    network : ElmanNetwork
        The network that was read from it.

    """

    session: Any
    data: bytes
    layout: Layout
    network: ElmanNetwork

    def runs(self, question: NDArray[np.int64]) -> bool:
        """Tell whether onnxruntime itself can answer a question."""
        return self.layout.runs(len(question))

    def logits(self, questions: list[NDArray[np.int64]]) -> NDArray[np.float64]:
        """Run questions of at least one word each; return the logits, float64 (n, classes)."""
        logits = np.empty((len(questions), self.network.classes))
        itself = np.array([self.runs(q) for q in questions], dtype=bool)
        for run, chosen in (
            (self.run, np.flatnonzero(itself)),
            (self.network.logits, np.flatnonzero(~itself)),
        ):
            if len(chosen):
                logits[chosen] = run([questions[i] for i in chosen])
        return logits

    def run(self, questions: list[NDArray[np.int64]]) -> NDArray[np.float64]:
        """Run questions in onnxruntime; all of them must be of a length that it can take.

        Raises
        ------
        ModelFileError
            onnxruntime cannot run the model.

        """
        lengths = np.array([len(q) for q in questions])
        # without padding only questions of one length may share a batch
        groups = [np.arange(len(questions))]
        if not self.layout.lengths and self.layout.length is None:
            groups = [np.flatnonzero(lengths == n) for n in np.unique(lengths)]
        size = self._batch()
        pieces = [g[i : i + size] for g in groups for i in range(0, len(g), size)]
        results = [self._run_batch([questions[i] for i in piece]) for piece in pieces]
        logits = np.empty((len(questions), results[0].shape[-1]))
        for piece, result in zip(pieces, results, strict=True):
            logits[piece] = result
        return logits

    def _batch(self) -> int:
        layout = self.layout
        if layout.batch_axis is None or (layout.lengths and layout.lengths_rank == 0):
            return 1
        return layout.batch or _BATCH

    def _run_batch(self, questions: list[NDArray[np.int64]]) -> NDArray[np.float64]:
        asked = list(questions)
        if self.layout.batch is not None:
            asked += [questions[0]] * (self.layout.batch - len(questions))
        try:
            result = self.session.run(None, self.layout.feed(asked))[0]
        except Exception as e:  # noqa: BLE001 - classes of onnxruntime's C++ side, derived from Exception
            line = str(e).strip().partition("\n")[0][:200]
            raise ModelFileError(f"onnxruntime cannot run it: {line}") from None
        result = np.asarray(result, dtype=np.float64).reshape(len(asked), -1)
        return result[: len(questions)]


def start_session(model: onnx.ModelProto, logits: str) -> Any:
    """Start onnxruntime on a model, with one tensor of its outermost graph as the only output."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    outputs = {o.name: o for o in shown.graph.output}
    del shown.graph.output[:]
    shown.graph.output.append(outputs.get(logits, onnx.ValueInfoProto(name=logits)))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        shown.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
