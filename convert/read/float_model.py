"""The float network as onnxruntime runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx

from .session import numbers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ..network.elman import ElmanNetwork
    from .inputs import InputLayout
    from .tail import Threshold

_BATCH: Final = 512
"""Questions that one call of onnxruntime gets, unless the model fixes their number."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FloatModel:
    """The float network as onnxruntime runs it: the reference that every stage is compared with.

    In onnxruntime, a model that was exported for one length takes questions of that length only (see
    `InputLayout.can_run`).  The network that was read from it, and proved against it, answers the other questions.

    Attributes
    ----------
    session : RemoteSession or LocalSession
        onnxruntime, on the CPU with one thread; its only output are the logits, before any Softmax.
    data : bytes
        The complete ONNX file, with all initialisers in it.
    layout : InputLayout
        How it takes questions.
    network : ElmanNetwork
        The network that was read from it.
    threshold : Threshold or None
        How the file's single logit decides between two classes; None: it has a logit for each class.
    skipped : frozenset of int
        Word ids that the model skips wherever they are in a question: it answers as if they were not there.
    unusable : dict
        Word ids that the model neither skips everywhere nor takes for words, each with what it does to them ("which the
        model takes for padding at the end of a question only"): no word of a question may have such an id.
    precision : str
        The half precision that the file computes in, "float16" or "bfloat16"; empty: it computes in single precision.
    runs_as_stored : bool
        Whether onnxruntime runs the file in that precision; if not, `session` has it in single precision.

    """

    session: Any
    data: bytes
    layout: InputLayout
    network: ElmanNetwork
    threshold: Threshold | None = None
    skipped: frozenset[int] = frozenset()
    unusable: Mapping[int, str] = field(default_factory=dict)
    precision: str = ""
    runs_as_stored: bool = True

    def can_run(self, question: NDArray[np.int64]) -> bool:
        """Return whether onnxruntime itself can answer a question."""
        return self.layout.can_run(len(question))

    def limit(self, questions: Sequence[NDArray[np.int64]]) -> str | None:
        """Return a line on the lengths that the file itself takes; None if it takes any."""
        length = self.layout.length
        if length is None:
            return None
        others = sum(not self.can_run(q) for q in questions)
        most = "at most " if self.layout.padding is not None else ""
        return (
            f"the file itself answers questions of {most}{length} words only; others are answered by the recurrence"
            f" as read: {others} of {len(questions)} calibration questions"
        )

    def rounding(self) -> str | None:
        """Return a line on the precision that the file computes in; None if it is single precision."""
        if not self.precision:
            return None
        how = (
            "and so does the stage float" if self.runs_as_stored else "which onnxruntime cannot run"
        )
        return f"the file computes in {self.precision}, {how}; the network was read and proved in single precision"

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
        if self.layout.padding is None and self.layout.length is None:
            groups = [np.flatnonzero(lengths == n) for n in np.unique(lengths)]
        size = self._batch()
        pieces = [g[i : i + size] for g in groups for i in range(0, len(g), size)]
        results = [self._run_batch([questions[i] for i in piece]) for piece in pieces]
        logits = np.empty((len(questions), results[0].shape[-1]))
        for piece, result in zip(pieces, results, strict=True):
            logits[piece] = result
        return logits

    def _batch(self) -> int:
        return 1 if self.layout.one_at_a_time else self.layout.batch or _BATCH

    def _run_batch(self, questions: list[NDArray[np.int64]]) -> NDArray[np.float64]:
        asked = list(questions)
        if self.layout.batch is not None:
            # a batch of fixed size is filled up with copies of its first question
            asked += [questions[0]] * (self.layout.batch - len(questions))
        return self.answer(self.layout.feed(asked), len(asked))[: len(questions)]

    def answer(self, feed: Mapping[str, NDArray[Any]], n: int) -> NDArray[np.float64]:
        """Run the model once, on its inputs for `n` questions; return the logits, float64 (n, classes).

        Raises
        ------
        ModelFileError
            onnxruntime cannot run the model.

        """
        result = numbers(self.session.run(None, dict(feed))[0]).reshape(n, -1)
        if self.threshold is None:
            return result
        return self.threshold.logits(result[:, 0])


def with_output(model: onnx.ModelProto, tensor: str) -> bytes:
    """Return a complete model whose only output is the tensor `tensor` of its outermost graph."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    outputs = {o.name: o for o in shown.graph.output}
    del shown.graph.output[:]
    shown.graph.output.append(outputs.get(tensor, onnx.ValueInfoProto(name=tensor)))
    return bytes(shown.SerializeToString())
