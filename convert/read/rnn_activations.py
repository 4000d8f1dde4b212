"""Activations of ONNX's RNN operator, as onnxruntime 1.32.0 computes them.

Where the operator's text or onnx's reference implementation differ, onnxruntime is right: it computes the `float`
stage.  `docs/networks.md` has the table, and every row of it is a test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from .activation import Activation
from .affine import Unsupported

if TYPE_CHECKING:
    from collections.abc import Sequence

PLAIN: Final = ("Relu", "Tanh", "Sigmoid", "Softsign", "Softplus")
"""Activations without parameters."""

DEFAULTS: Final[dict[str, tuple[float, ...]]] = {
    "Affine": (0.0, 0.0),
    "Elu": (1.0,),
    "HardSigmoid": (0.2, 0.5),
    "LeakyRelu": (0.01,),
    "ScaledTanh": (0.0, 0.0),
    "ThresholdedRelu": (0.0,),
}
"""What onnxruntime takes for alpha and beta (if the activation has it) where the node leaves them out."""

RECTIFIERS: Final = {"Elu", "LeakyRelu", "ThresholdedRelu"}
"""Activations that are a ReLU if their alpha is 0."""

FITS: Final = (
    "where a neuron's spikes follow one line between two bounds;"
    " Relu, Tanh, Sigmoid, HardSigmoid, Softsign, ScaledTanh and Affine fit"
)
"""Why an activation is refused, and which ones can be converted."""


def rnn_activation(
    names: Sequence[str],
    alphas: Sequence[float],
    betas: Sequence[float],
    clip: float | None,
    direction: int,
) -> tuple[Activation, float, float]:
    """Return the activation of one direction of an RNN node.

    Parameters
    ----------
    names, alphas, betas, clip
        The node's attributes `activations`, `activation_alpha`, `activation_beta` and `clip`.
    direction : {0, 1}
        Which direction; 1 is the second one of a bidirectional node.

    Returns
    -------
    Activation, float and float
        f, and the factors of its argument and of its result: a ScaledTanh is a Tanh with factors.

    Raises
    ------
    Unsupported
        The activation is unknown, or cannot be converted.

    """
    at = direction % len(names)
    name = names[at]
    # names are case-sensitive in onnxruntime, which refuses others when it loads the model
    if name not in PLAIN and name not in DEFAULTS:
        known = ", ".join(sorted({*PLAIN, *DEFAULTS}))
        raise Unsupported(f"activation {name!r} is unknown to onnxruntime, which has {known}")
    if clip == 0:
        raise Unsupported(
            "its clip is 0, and then onnxruntime takes every pre-activation as 0; leave clip out for no bound"
        )
    bound = clip if clip is not None and clip > 0 else np.inf  # a negative clip is none
    given = _parameters(names, at, (alphas, betas))
    if name in RECTIFIERS and given[0] == 0:
        name = "Relu"
    if name == "ScaledTanh":
        return _scaled_tanh(given[0], given[1], bound)
    if name == "Relu":  # the reader wants the bound of a ReLU as the ceiling of its state
        return Activation(name="Relu", ceiling=bound), 1.0, 1.0
    if name in {"Tanh", "Sigmoid", "Softsign"}:
        return Activation(name=name, clip=bound), 1.0, 1.0
    if name == "Affine" and given[0] == 0:
        raise _constant(name)
    if name in {"HardSigmoid", "Affine"}:
        return Activation(name=name, clip=bound, alpha=given[0], beta=given[1]), 1.0, 1.0
    shown = f" with alpha {given[0]:g}" if given else ""
    raise Unsupported(f"activation {name}{shown} does not fit a core, {FITS}")


def _parameters(
    names: Sequence[str], at: int, lists: tuple[Sequence[float], Sequence[float]]
) -> list[float]:
    """Return alpha and beta of the activation `names[at]`, as far as it has them."""
    found = []
    for i, default in enumerate(DEFAULTS.get(names[at], ())):
        # a list holds one value for each activation that has this parameter, in the order of the names
        turn = sum(len(DEFAULTS.get(n, ())) > i for n in names[:at])
        found.append(float(lists[i][turn]) if turn < len(lists[i]) else default)
    return found


def _scaled_tanh(alpha: float, beta: float, bound: float) -> tuple[Activation, float, float]:
    if alpha == 0 or beta == 0:
        raise _constant("ScaledTanh")
    # the larger state must stay the larger one, for heads that read the largest
    inner = beta if alpha > 0 else -beta
    return Activation(name="Tanh", clip=bound * abs(beta)), inner, abs(alpha)


def _constant(name: str) -> Unsupported:
    return Unsupported(
        f"activation {name} has alpha or beta 0, onnxruntime's default, so that every state is the same"
    )
