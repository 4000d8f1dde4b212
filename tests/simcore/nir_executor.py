"""Run NIR graphs by the equations of their nodes, one unit of time after the other.

The equations are those of the NIR paper (Pedersen et al., Nature Communications 15, 8122, 2024): the inputs of a node
are added; Linear y = W x; Affine y = W x + b; Delay y(t) = x(t - tau); IF dv/dt = r i, a spike where v > v_threshold,
then v = v_reset.  Spikes and currents change only at whole units of time, so the steps are exact.  Names of nodes mean
nothing.
"""

from __future__ import annotations

from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

import nir
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def run_graph(graph: Any, spikes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return what each output shows in each unit of time, float64 (ticks, outputs), for spikes (ticks, inputs)."""
    sources: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        sources[target].append(source)
    before = {  # a delay of at least one unit shows nothing of this one, so it may close a loop
        name: [] if isinstance(graph.nodes[name], nir.Delay) else found
        for name, found in sources.items()
    }
    order = list(TopologicalSorter(before).static_order())
    steps = {name: _step(node) for name, node in graph.nodes.items()}
    (inputs,) = (name for name, node in graph.nodes.items() if isinstance(node, nir.Input))
    (outputs,) = (name for name, node in graph.nodes.items() if isinstance(node, nir.Output))
    delays = [name for name in order if isinstance(graph.nodes[name], nir.Delay)]
    shown = []
    for line in spikes:
        now: dict[str, Any] = {}
        for name in order:
            if name in delays:
                now[name] = steps[name].now()
            elif name == inputs:
                now[name] = line.astype(np.float64)
            else:
                # a node that nothing drives has no size to add zeros of
                now[name] = steps[name](sum(now[s] for s in sources[name]))
        for name in delays:
            steps[name].put(sum(now[s] for s in sources[name]))
        shown.append(np.broadcast_to(now[outputs], _width(graph.nodes[outputs])))
    return np.array(shown)


def _width(node: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in node.output_type["output"])


def _step(node: Any) -> Any:
    """Return a function of a node's input in one unit of time, which keeps the node's state."""
    match node:
        case nir.Input() | nir.Output():
            return lambda x: x
        case nir.Affine():
            return lambda x: node.weight @ x + node.bias
        case nir.Linear():
            return lambda x: node.weight @ x
        case nir.IF():
            return _Neurons(node)
        case nir.Delay():
            return _Line(node)
    raise TypeError(f"no equation for {type(node).__name__}")


class _Neurons:
    """The state of an IF node."""

    def __init__(self, node: Any) -> None:
        self.node = node
        self.v = np.zeros(node.r.shape)

    def __call__(self, current: Any) -> NDArray[np.float64]:
        self.v = self.v + self.node.r * current
        fired = self.v > self.node.v_threshold
        self.v = np.where(fired, self.node.v_reset, self.v)
        return fired.astype(np.float64)


class _Line:
    """What is under way in a Delay node."""

    def __init__(self, node: Any) -> None:
        self.delay = node.delay.astype(int)
        assert (self.delay == node.delay).all(), "delays are whole units of time"
        assert (self.delay >= 1).all(), "a delay of 0 is no delay"
        self.past: list[NDArray[np.float64]] = []

    def now(self) -> NDArray[np.float64]:
        at = len(self.past) - self.delay
        values = [self.past[t][j] if t >= 0 else 0.0 for j, t in enumerate(at)]
        return np.array(values)

    def put(self, x: NDArray[np.float64]) -> None:
        self.past.append(x)
