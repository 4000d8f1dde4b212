"""ONNX's RNN operator (layout 0) on affine expressions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .affine import Affine, Unsupported, add, constant, multiply_right, scale, stack
from .operators import affine, attribute, weight
from .rnn_activations import rnn_activation

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from .activation import Activation
    from .operators import Frame


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Direction:
    """One direction: `factor` f(W x + R h + b)."""

    W: NDArray[np.float64]
    R: NDArray[np.float64]
    b: NDArray[np.float64]
    activation: Activation
    factor: float


def rnn(frame: Frame, node: onnx.NodeProto, values: list[Any]) -> list[Any]:
    """Apply the operator; return Y and Y_h."""
    # trailing inputs may be absent
    X, _, _, B, lengths, start = [*values, *[None] * (6 - len(values))][:6]
    W, R = weight(node, 1, values), weight(node, 2, values)
    directions, _, n = R.shape
    b = np.zeros((directions, 2 * n)) if B is None else weight(node, 3, values)
    x = affine(X)
    time, batch = x.shape[:2]
    if isinstance(lengths, Affine):
        lengths = frame.unknowns.decided(lengths)
        if lengths is None:
            raise Unsupported(f"sequence_lens {node.input[4]!r} depends on the question's words")
    lengths = np.full(batch, time) if lengths is None else lengths.astype(int)
    kind = attribute(node, "direction", b"forward").decode()
    initial = constant(np.zeros((directions, batch, n))) if start is None else affine(start)
    states: list[Affine] = []
    for d in range(directions):
        activation, before, after = _activation(node, d)
        layer = _Direction(
            W=W[d] * before,
            R=R[d] * before,
            b=(b[d, :n] + b[d, n:]) * before,
            activation=activation,
            factor=after,
        )
        reverse = kind == "reverse" or d == 1  # the second direction of a bidirectional node
        for i in range(batch):
            inputs = multiply_right(x.rearranged(x.index[:, i]), layer.W.T)
            h0 = initial.rearranged(initial.index[d, i])
            states += _run(frame, node, layer, inputs, h0, int(lengths[i]), reverse=reverse)
    parts = stack(states)
    # each sequence contributes its states at all times, and its final state as one more
    index = np.stack([p.index for p in parts]).reshape(directions, batch, time + 1, n)
    Y = index[:, :, :-1].transpose(2, 0, 1, 3)
    return [parts[0].rearranged(Y), parts[0].rearranged(index[:, :, -1])]


def _run(
    frame: Frame,
    node: onnx.NodeProto,
    layer: _Direction,
    inputs: Affine,
    h: Affine,
    length: int,
    *,
    reverse: bool,
) -> list[Affine]:
    """Run one sequence; return the state at every time, zero after its end, and then the final state."""
    time = inputs.shape[0]
    found: dict[int, Affine] = {}
    for t in reversed(range(length)) if reverse else range(length):
        before = multiply_right(h, layer.R.T)
        pre = add(add(inputs.rearranged(inputs.index[t]), before), constant(layer.b))
        h = frame.unknowns.activate(pre, layer.activation, node=node.name or node.op_type)
        if layer.factor != 1:
            h = scale(h, np.array(layer.factor))
        found[t] = h
    zero = constant(np.zeros(h.shape))
    return [*[found.get(t, zero) for t in range(time)], h]


def _activation(node: onnx.NodeProto, direction: int) -> tuple[Activation, float, float]:
    names = [n.decode() for n in attribute(node, "activations", [b"Tanh"])]
    alphas, betas = (attribute(node, f"activation_{kind}", []) for kind in ("alpha", "beta"))
    return rnn_activation(names, alphas, betas, attribute(node, "clip"), direction)
