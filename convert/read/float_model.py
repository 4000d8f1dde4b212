"""The float network as onnxruntime runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
import onnxruntime

from ..errors import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ..network.elman import ElmanNetwork

_BATCH: Final = 512
"""Questions that one call of onnxruntime gets, unless the model fixes their number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InputLayout:
    """How a model takes its questions: names, types, axes and sizes of its inputs.

    Attributes
    ----------
    ids : str
        Name of the input of word ids.
    ids_type : type
        Its NumPy type.
    batch_axis : {0, 1} or None
        Axis of `ids` along which the questions are; None: it takes a single question, (time,).
    batch : int or None
        Number of questions that it takes at once; None: any.
    length : int or None
        Number of words that a question must have; None: any.
    lengths : str
        Name of the input of lengths; empty: there is none.
    lengths_type : type
        Its NumPy type.
    lengths_rank : int
        Its number of dimensions, 0 or 1.
    padding : int or None
        Word id that fills up short questions: 0 if there is an input of lengths, or else the id that the model itself
        skips; None: the model would take padding for words.

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

    def can_run(self, length: int) -> bool:
        """Return whether the model takes questions of `length` words."""
        if self.length is None or length == self.length:
            return True
        return self.padding is not None and length < self.length

    def feed(self, questions: list[NDArray[np.int64]]) -> dict[str, NDArray[Any]]:
        """Return the model's inputs for some questions, by name."""
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
    """The float network as onnxruntime runs it: the reference that every stage is compared with.

    In onnxruntime, a model that was exported for one length takes questions of that length only (see
    `InputLayout.can_run`).  The network that was read from it, and proved against it, answers the other questions.

    Attributes
    ----------
    session : onnxruntime.InferenceSession
        On the CPU with one thread; its only output are the logits, before any Softmax.
    data : bytes
        The complete ONNX file, with all initialisers in it.
    layout : InputLayout
        How it takes questions.
    network : ElmanNetwork
        The network that was read from it.
    skipped : frozenset of int
        Word ids that the model skips wherever they are in a question: it answers as if they were not there.
    unusable : dict
        Word ids that the model neither skips everywhere nor takes for words, each with what it does to them ("which the
        model takes for padding at the end of a question only"): no word of a question may have such an id.

    """

    session: Any
    data: bytes
    layout: InputLayout
    network: ElmanNetwork
    skipped: frozenset[int] = frozenset()
    unusable: Mapping[int, str] = field(default_factory=dict)

    def can_run(self, question: NDArray[np.int64]) -> bool:
        """Return whether onnxruntime itself can answer a question."""
        return self.layout.can_run(len(question))

    def logits(self, questions: list[NDArray[np.int64]]) -> NDArray[np.float64]:
        """Run questions of at least one word each; return the logits, float64 (n, classes)."""
        logits = np.empty((len(questions), self.network.classes))
        runs = np.array([self.can_run(q) for q in questions], dtype=bool)
        for run, chosen in (
            (self.run, np.flatnonzero(runs)),
            (self.network.logits, np.flatnonzero(~runs)),
        ):
            if len(chosen):
                logits[chosen] = run([questions[i] for i in chosen])
        return logits

    def run(self, questions: list[NDArray[np.int64]]) -> NDArray[np.float64]:
        """Run questions in onnxruntime, all of a length that it takes; return the logits, float64 (n, classes).

        Raises
        ------
        ModelFileError
            onnxruntime cannot run the model.

        """
        lengths = np.array([len(q) for q in questions])
        # without padding, only questions of equal length can share a batch
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
            # a batch of fixed size is filled up with copies of its first question
            asked += [questions[0]] * (self.layout.batch - len(questions))
        try:
            result = self.session.run(None, self.layout.feed(asked))[0]
        except Exception as e:  # noqa: BLE001 - classes of onnxruntime's C++ side, derived from Exception
            line = str(e).strip().partition("\n")[0][:200]
            raise ModelFileError(f"onnxruntime cannot run it: {line}") from None
        result = np.asarray(result, dtype=np.float64).reshape(len(asked), -1)
        return result[: len(questions)]


def start_session(model: onnx.ModelProto, logits: str) -> Any:
    """Start an onnxruntime session whose only output is the tensor `logits` of the outermost graph."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    outputs = {o.name: o for o in shown.graph.output}
    del shown.graph.output[:]
    shown.graph.output.append(outputs.get(logits, onnx.ValueInfoProto(name=logits)))
    options = onnxruntime.SessionOptions()
    # one thread, so that logits do not depend on the number of CPUs
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # fatal errors only: failures are raised, and warnings are not for our users
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        shown.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
