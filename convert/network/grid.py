"""A network on the grid of a core, and its form as an ordinary float ONNX model.

The model has the form that any user could have trained: two Gathers (word id to row, row to activities), one
RNN node and one Gemm. Its RNN clips at 1.0, which is exactly the largest activity of the core.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .spread import Spread

__all__ = ["ACTIVITY_MAX", "GridNetwork", "to_onnx"]

ACTIVITY_MAX: Final = 15
"""Largest activity: 16 levels, one spike for each of the 15 ticks of a step."""

_OPSET: Final = 17
_IR_VERSION: Final = 8  # read by every onnxruntime since 1.14


@dataclass(frozen=True, kw_only=True, slots=True)
class GridNetwork:
    """A trained network, in the numbers that a core can hold.

    Attributes
    ----------
    rows
        int32 [vocabulary]: for each word id, its row of `codes`.
    codes
        uint8 [distinct, n_in], 0..15: activities of the input lines.
    weights
        int8 [n_hidden, n_in + n_hidden], -8..7: weight levels of the input lines, then of the hidden lines.
    scale
        float64 [n_hidden]: a hidden unit's weights are `scale * weights`.
    bias
        float64 [n_hidden], in units of full activity.
    head
        int8 [classes, n_hidden], -8..7: weight levels of the readout.
    head_scale, head_bias
        float64 [classes]: the readout computes `head_scale * (head @ state) + head_bias`.
    readout
        The state that the readout takes: after the last word, or the mean of those after all words.
    direction
        Order of reading.
    spread
        Cores that the hidden units are spread over; None: all are on one.
    """

    rows: NDArray[np.int32]
    codes: NDArray[np.uint8]
    weights: NDArray[np.int8]
    scale: NDArray[np.float64]
    bias: NDArray[np.float64]
    head: NDArray[np.int8]
    head_scale: NDArray[np.float64]
    head_bias: NDArray[np.float64]
    readout: Literal["last", "mean"] = "last"
    direction: Literal["forward", "reverse"] = "reverse"
    spread: Spread | None = None

    @property
    def n_in(self) -> int:
        """Number of input lines."""
        return int(self.codes.shape[1])

    @property
    def n_hidden(self) -> int:
        """Number of hidden units."""
        return len(self.weights)


def to_onnx(network: GridNetwork) -> onnx.ModelProto:
    """Build the float model; only its weights and codes are rounded, its activities are not.

    Inputs are `ids` int64 [time, batch] and `lengths` int32 [batch]; the output is `logits` float32
    [batch, classes]. Ids beyond a question's length are ignored.
    """
    n_in, n_hidden, n_classes = network.n_in, network.n_hidden, network.head.shape[0]
    weights = network.scale[:, None] * network.weights
    constants: dict[str, NDArray[Any]] = {
        "rows": network.rows.astype(np.int64),
        "embedding": (network.codes / ACTIVITY_MAX).astype(np.float32),
        "W": weights[None, :, :n_in].astype(np.float32),
        "R": weights[None, :, n_in:].astype(np.float32),
        # ONNX has two biases for each unit, of inputs and of recurrence; only their sum matters.
        "B": np.concatenate([network.bias, np.zeros(n_hidden)])[None].astype(np.float32),
        "head": (network.head_scale[:, None] * network.head).astype(np.float32),
        "head_bias": network.head_bias.astype(np.float32),
    }
    if network.readout == "last":
        constants["direction_axis"] = np.zeros(1, dtype=np.int64)
    else:
        constants["time_and_direction"] = np.array([0, 1], dtype=np.int64)
        constants["last_axis"] = np.full(1, -1, dtype=np.int64)
    nodes = [
        helper.make_node("Gather", ["rows", "ids"], ["row"], name="word"),
        helper.make_node("Gather", ["embedding", "row"], ["activity"], name="encoder"),
        helper.make_node(
            "RNN",
            ["activity", "W", "R", "B", "lengths"],
            # of the two outputs only one is needed: Y, all states, or Y_h, the last one
            ["states"] if network.readout == "mean" else ["", "last"],
            name="hidden",
            direction=network.direction,
            activations=["Relu"],
            clip=1.0,
            hidden_size=n_hidden,
        ),
        *_state(network.readout),
        helper.make_node("Gemm", ["state", "head", "head_bias"], ["logits"], name="head", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "elman",
        [
            helper.make_tensor_value_info("ids", TensorProto.INT64, ["time", "batch"]),
            helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]),
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", n_classes])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(
        graph,
        producer_name="spikewatch-convert",
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _state(readout: str) -> list[onnx.NodeProto]:
    """Return the nodes between the hidden layer and the head."""
    if readout == "last":
        return [helper.make_node("Squeeze", ["last", "direction_axis"], ["state"], name="state")]
    # beyond a question's length the states are zero, so that their sum is that of its own words
    return [
        helper.make_node(
            "ReduceSum", ["states", "time_and_direction"], ["total"], name="total", keepdims=0
        ),
        helper.make_node("Cast", ["lengths"], ["words"], name="words", to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["words", "last_axis"], ["words_column"], name="column"),
        helper.make_node("Div", ["total", "words_column"], ["state"], name="state"),
    ]
