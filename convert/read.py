"""Read an Elman RNN from an ONNX file, and prove the reading against onnxruntime.

The graph is walked from the `RNN` node: upstream through plumbing to the embedding (`Gather` of a constant, or a
`Gather` of rows before it, where words share vectors), downstream from the final state to the head (`Gemm`, or
`MatMul` and `Add`).  What was read is then run in NumPy beside onnxruntime on random sequences: plumbing that does
more than it seems to fails that proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnx import TensorProto, numpy_helper

from .elman import ACTIVATIONS, ElmanNetwork
from .errors import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

TOLERANCE: Final = 1e-4
"""Largest difference between the network as read and onnxruntime, on any logit of the proof."""

PROOF_SEQUENCES: Final = 64
PROOF_LENGTH: Final = 20
"""Random sequences of the proof, and the longest of them in words."""

_BATCH: Final = 512

_PLUMBING: Final = {"Identity", "Transpose", "Squeeze", "Unsqueeze", "Cast", "Reshape", "Dropout"}
_ENDINGS: Final[dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {
    "": lambda x: x,
    "LogSoftmax": lambda x: x - _log_sum(x),
    "Softmax": lambda x: np.exp(x - _log_sum(x)),
}
"""What may stand after the linear head; none of it changes which class is largest."""
_OTHER_RECURRENCES: Final = {"LSTM", "GRU", "Loop", "Scan"}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FloatModel:
    """The float network as onnxruntime runs it: the truth that every stage is compared with.

    Attributes
    ----------
    session : onnxruntime.InferenceSession
        One thread, CPU.
    data : bytes
        The ONNX file, with everything in it.
    ids, lengths : str
        Names of the inputs; `lengths` is empty where the model takes none.
    batch_first : bool
        Whether `ids` is (batch, time).
    ids_type, lengths_type : type
        NumPy types of the inputs.
    ending : {"", "Softmax", "LogSoftmax"}
        What the model applies to the logits.

    """

    session: Any
    data: bytes
    ids: str
    lengths: str
    batch_first: bool
    ids_type: Any
    lengths_type: Any
    ending: str

    def logits(self, questions: list[NDArray[np.int64]]) -> NDArray[np.float64]:
        """Run questions of at least one word each; return the outputs, float64 (n, classes)."""
        lengths = np.array([len(q) for q in questions])
        # without an input for lengths, only questions of one length may share a batch
        groups = [np.arange(len(questions))]
        if not self.lengths:
            groups = [np.flatnonzero(lengths == n) for n in np.unique(lengths)]
        pieces = [g[i : i + _BATCH] for g in groups for i in range(0, len(g), _BATCH)]
        results = [self._run([questions[i] for i in piece]) for piece in pieces]
        logits = np.empty((len(questions), results[0].shape[-1]))
        for piece, result in zip(pieces, results, strict=True):
            logits[piece] = result
        return logits

    def _run(self, questions: list[NDArray[np.int64]]) -> NDArray[np.float64]:
        lengths = np.array([len(q) for q in questions], dtype=self.lengths_type)
        table = np.zeros((len(questions), lengths.max()), dtype=self.ids_type)
        for i, q in enumerate(questions):
            table[i, : len(q)] = q
        feed = {self.ids: table if self.batch_first else np.ascontiguousarray(table.T)}
        if self.lengths:
            feed[self.lengths] = lengths
        try:
            result = np.asarray(self.session.run(None, feed)[0], dtype=np.float64)
        except Exception as e:  # noqa: BLE001 - classes of onnxruntime's C++ side, derived from Exception
            raise ModelFileError(f"onnxruntime cannot run it: {_first_line(e)}") from None
        return result.reshape(len(questions), -1)


def read_model(path: Path, *, seed: int = 0) -> tuple[ElmanNetwork, FloatModel]:
    """Read an Elman RNN from an ONNX file (see `read_model_bytes`).

    Parameters
    ----------
    path
        The model file; initialisers stored outside it are read only from its own folder.
    seed
        Seed of the proof's random sequences.

    Raises
    ------
    ModelFileError
        The file cannot be read, or as `read_model_bytes`.

    """
    try:
        data = path.read_bytes()
        model = onnx.load_model_from_string(data)
        outside = [i for i in model.graph.initializer if i.data_location == TensorProto.EXTERNAL]
        if outside:
            onnx.load_external_data_for_model(model, str(path.parent))
            data = model.SerializeToString()
    except OSError as e:
        raise ModelFileError(f"{path}: {e.strerror or e}") from None
    except (DecodeError, onnx.checker.ValidationError, ValueError) as e:
        raise ModelFileError(f"{path}: not a valid ONNX file: {_first_line(e)}") from None
    return read_model_bytes(data, what=str(path), seed=seed)


def read_model_bytes(data: bytes, *, what: str, seed: int = 0) -> tuple[ElmanNetwork, FloatModel]:
    """Read an Elman RNN from the bytes of an ONNX file, and prove the reading against onnxruntime.

    Parameters
    ----------
    data
        The model, complete.
    what
        Its name, for error texts.
    seed
        Seed of the proof's random sequences.

    Raises
    ------
    ModelFileError
        Not ONNX, not a supported network (naming the node), weights that are not finite, or a reading that differs
        from onnxruntime by more than TOLERANCE.

    """
    try:
        model = onnx.load_model_from_string(data)
        onnx.checker.check_model(model)
        reader = _Reader(model.graph)
        reader.check_operators()
        session = _session(data)
    except ModelFileError as e:
        raise ModelFileError(f"{what}: {e}") from None
    except (DecodeError, onnx.checker.ValidationError, ValueError) as e:
        raise ModelFileError(f"{what}: not a valid ONNX file: {_first_line(e)}") from None
    except Exception as e:  # noqa: BLE001 - onnxruntime raises classes of its C++ side, all derived from Exception
        raise ModelFileError(f"{what}: onnxruntime cannot run it: {_first_line(e)}") from None
    try:
        network, float_model = reader.read(session, data)
        _prove(network, float_model, seed)
    except ModelFileError as e:
        raise ModelFileError(f"{what}: {e}") from None
    return network, float_model


class _Reader:
    """Walk one graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        self.producer = {name: node for node in graph.node for name in node.output if name}
        self.inputs = {i.name: i for i in graph.input if i.name not in self.constants}
        self.ending = ""

    def read(self, session: Any, data: bytes) -> tuple[ElmanNetwork, FloatModel]:
        node = self._recurrent_node()
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        activation, direction = self._check_attributes(node, attributes)
        names = [*node.input, *[""] * (6 - len(node.input))]
        W = self._weight(node, names[1])
        U = self._weight(node, names[2])
        n = U.shape[1]
        b = self._weight(node, names[3])[0] if names[3] else np.zeros(2 * n)
        self._check_zero_state(node, names[5])
        embedding, rows, ids, transposed = self._embedding(names[0], node)
        head, bias = self._head(node, n)
        network = ElmanNetwork(
            embedding=embedding,
            rows=rows,
            W=W[0],
            U=U[0],
            b=b[:n] + b[n:],
            activation=activation,
            clip=float(attributes.get("clip", 0)) or float("inf"),
            direction=direction,
            C=head,
            c=bias,
        )
        batch_first = transposed != (int(attributes.get("layout", 0)) == 1)
        inputs = self._float_inputs(ids, names[4])
        return network, FloatModel(
            session=session, data=data, batch_first=batch_first, ending=self.ending, **inputs
        )

    def check_operators(self) -> None:
        """Refuse networks of another kind by the name of their node."""
        for node in self.graph.node:
            if node.op_type in _OTHER_RECURRENCES:
                raise ModelFileError(
                    f"node {node.name or node.op_type!r}: operator {node.op_type} is not supported,"
                    " only one RNN (Elman) layer is"
                )

    def _recurrent_node(self) -> onnx.NodeProto:
        found: list[onnx.NodeProto] = [n for n in self.graph.node if n.op_type == "RNN"]
        if len(found) != 1:
            raise ModelFileError(f"{len(found)} RNN nodes, expected exactly one Elman layer")
        return found[0]

    def _check_attributes(
        self, node: onnx.NodeProto, attributes: Mapping[str, Any]
    ) -> tuple[str, Any]:
        direction = attributes.get("direction", b"forward").decode()
        if direction not in {"forward", "reverse"}:
            raise ModelFileError(
                f"node {node.name or 'RNN'!r}: direction {direction!r} is not supported, forward and reverse are"
            )
        activation = attributes.get("activations", [b"Tanh"])[0].decode()
        if activation not in ACTIVATIONS:
            raise ModelFileError(
                f"node {node.name or 'RNN'!r}: activation {activation!r} is not supported, {', '.join(ACTIVATIONS)} are"
            )
        return activation, direction

    def _weight(self, node: onnx.NodeProto, name: str) -> NDArray[np.float64]:
        if name not in self.constants:
            raise ModelFileError(
                f"node {node.name or node.op_type!r}: input {name!r} is not a constant weight"
            )
        values = self.constants[name].astype(np.float64)
        if not np.isfinite(values).all():
            raise ModelFileError(f"weight {name!r}: holds values that are not finite")
        return values

    def _check_zero_state(self, node: onnx.NodeProto, name: str) -> None:
        if name and not (name in self.constants and not self.constants[name].any()):
            raise ModelFileError(
                f"node {node.name or 'RNN'!r}: an initial state other than constant zero"
            )

    def _embedding(
        self, name: str, node: onnx.NodeProto
    ) -> tuple[NDArray[np.float64], NDArray[np.int32], str, bool]:
        """Walk upstream to the token ids; return the table, the row of each word, the input, and if transposed."""
        source, transposed = self._upstream(name)
        gather = self.producer.get(source)
        if gather is None or gather.op_type != "Gather" or gather.input[0] not in self.constants:
            raise ModelFileError(
                f"node {node.name or 'RNN'!r}: its input is not an embedding (Gather of a constant by token ids)"
            )
        table = self._weight(gather, gather.input[0])
        if table.ndim != 2:
            raise ModelFileError(
                f"embedding {gather.input[0]!r}: {table.ndim} dimensions, expected 2"
            )
        rows = np.arange(len(table), dtype=np.int64)
        source, also = self._upstream(gather.input[1])
        transposed ^= also
        while (inner := self.producer.get(source)) is not None and inner.op_type == "Gather":
            if inner.input[0] not in self.constants:
                break
            rows = rows[self.constants[inner.input[0]].astype(np.int64)]
            source, also = self._upstream(inner.input[1])
            transposed ^= also
        if source not in self.inputs:
            raise ModelFileError(
                f"embedding {gather.input[0]!r}: its indices are not an input of the model"
            )
        return table, rows.astype(np.int32), source, transposed

    def _upstream(self, name: str) -> tuple[str, bool]:
        """Walk up through plumbing; return where it starts and whether it swaps time and batch."""
        swapped = False
        while (node := self.producer.get(name)) is not None and node.op_type in _PLUMBING:
            if node.op_type == "Transpose":
                swapped = not swapped
            name = node.input[0]
        return name, swapped

    def _head(self, rnn: onnx.NodeProto, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Walk upstream from the model's output to the final state; return C and c."""
        output = self.graph.output[0].name
        node = self._skip(output, _PLUMBING)
        if node is not None and node.op_type in _ENDINGS:
            self.ending = node.op_type
            node = self._skip(node.input[0], _PLUMBING)
        bias: NDArray[np.float64] | None = None
        if node is not None and node.op_type == "Add":
            weights = [i for i in node.input if i in self.constants]
            if len(weights) == 1:
                bias = self._weight(node, weights[0]).reshape(-1)
                node = self._skip(next(i for i in node.input if i != weights[0]), _PLUMBING)
        if node is None or node.op_type not in {"Gemm", "MatMul"}:
            raise ModelFileError(
                f"output {output!r}: comes from {node.op_type if node else 'an input'},"
                " expected a linear head (Gemm, or MatMul and Add)"
            )
        C = self._linear(node)
        if node.op_type == "Gemm" and len(node.input) > 2 and node.input[2]:
            beta = _attribute(node, "beta", 1.0)
            bias = beta * self._weight(node, node.input[2]).reshape(-1)
        state = self._upstream(node.input[0])[0]
        if len(rnn.output) < 2 or state != rnn.output[1]:
            raise ModelFileError(
                f"node {node.name or node.op_type!r}: the head must read the final state (Y_h) of the RNN"
            )
        if C.shape[1] != n:
            raise ModelFileError(
                f"head: reads {C.shape[1]} values, but the RNN has {n} hidden units"
            )
        c = np.zeros(len(C)) if bias is None else np.broadcast_to(bias, (len(C),)).copy()
        return C, c

    def _linear(self, node: onnx.NodeProto) -> NDArray[np.float64]:
        weight = self._weight(node, node.input[1])
        if node.op_type == "MatMul":
            return weight.T
        weight = weight if _attribute(node, "transB", 0) else weight.T
        return np.asarray(weight * _attribute(node, "alpha", 1.0))

    def _skip(self, name: str, kinds: set[str]) -> onnx.NodeProto | None:
        node = self.producer.get(name)
        while node is not None and node.op_type in kinds:
            node = self.producer.get(node.input[0])
        return node

    def _float_inputs(self, ids: str, lengths: str) -> dict[str, Any]:
        if lengths:
            lengths = self._upstream(lengths)[0]
            if lengths not in self.inputs:
                raise ModelFileError(f"RNN: sequence_lens {lengths!r} is not an input of the model")
        if unknown := sorted(set(self.inputs) - {ids, lengths}):
            raise ModelFileError(f"input {unknown[0]!r}: expected only token ids and lengths")
        return {
            "ids": ids,
            "lengths": lengths,
            "ids_type": self._input_type(ids),
            "lengths_type": self._input_type(lengths) if lengths else np.int64,
        }

    def _input_type(self, name: str) -> Any:
        return onnx.helper.tensor_dtype_to_np_dtype(
            self.inputs[name].type.tensor_type.elem_type
        ).type


def _prove(network: ElmanNetwork, model: FloatModel, seed: int) -> None:
    """Compare the network as read with onnxruntime on random sequences of different lengths."""
    rng = np.random.default_rng(seed)
    lengths = 1 + np.arange(PROOF_SEQUENCES) % PROOF_LENGTH
    questions = [rng.integers(0, len(network.rows), n) for n in lengths]
    wanted = model.logits(questions)
    got = network.logits(questions)
    if wanted.shape != got.shape:
        raise ModelFileError(
            f"head: {wanted.shape[1]} outputs in onnxruntime, {got.shape[1]} as read"
        )
    got = _ENDINGS[model.ending](got)
    difference = float(np.abs(wanted - got).max())
    if not difference <= TOLERANCE:
        raise ModelFileError(
            f"the network as read differs from onnxruntime by {difference:.3g} on random sequences,"
            f" limit {TOLERANCE:g}"
        )


def _log_sum(x: NDArray[np.float64]) -> NDArray[np.float64]:
    top = x.max(axis=1, keepdims=True)
    return np.asarray(top + np.log(np.exp(x - top).sum(axis=1, keepdims=True)))


def _session(data: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _attribute(node: onnx.NodeProto, name: str, default: float) -> float:
    for attribute in node.attribute:
        if attribute.name == name:
            return float(onnx.helper.get_attribute_value(attribute))
    return default


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
