"""The function that a unit applies to its pre-activation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Activation:
    """f of a hidden unit: clip, then the function, then a ReLU's ceiling.

    Attributes
    ----------
    name : {"Relu", "Tanh", "Sigmoid", "HardSigmoid", "Softsign", "Affine"}
    ceiling : float
        Largest value of a Relu; inf: none.
    clip : float
        Bound of the pre-activation's magnitude; inf: none.
    alpha, beta : float
        Slope and offset of a HardSigmoid or an Affine.

    """

    name: str
    ceiling: float = np.inf
    clip: float = np.inf
    alpha: float = 0.2
    beta: float = 0.5

    def is_bound(self) -> bool:
        """Return whether it only bounds its argument to -clip..clip."""
        return self.name == "Affine" and (self.alpha, self.beta) == (1, 0)

    def bounded(self, clip: float) -> Activation:
        """Return the activation of an argument that is bounded to -clip..clip before."""
        if self.name == "Relu":
            return replace(self, ceiling=min(self.ceiling, clip))
        return replace(self, clip=min(self.clip, clip))
