"""Random graphs of a grammar: an Elman network whose logits depend on something random besides.

Types are right, so that onnx accepts nearly all of them; shapes, axes, sizes and numbers of rounds often are not.
What ends onnxruntime's process is left out: trip counts that hold no number, divisions of whole numbers by -1, and
branches that a constant chooses inside of others, whose nodes are not all read.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from hostile_graphs import BOOL, FLOAT, INT64, constant, disturbed, info, node
from onnx import helper

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx

SMALL: Final = (0, 1, 1, 2, 3, 4)
"""Sizes that may be right."""

HUGE: Final = (2**31, 2**33, 2**40, 2**62)
"""Sizes that no machine has room for."""

_UNARY: Final = (
    *("Abs", "Ceil", "Cos", "Elu", "Erf", "Exp", "Floor", "HardSigmoid", "Identity", "LeakyRelu", "Log", "Neg"),
    *("Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Tanh"),
)  # fmt: skip
_BINARY: Final = ("Add", "Div", "Max", "Mean", "Min", "Mul", "PRelu", "Pow", "Sub", "Sum")
_REDUCING: Final = (
    "ReduceL1",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceSumSquare",
)


class Grammar:
    """Grows a graph node by node.

    Parameters
    ----------
    seed
        Decides everything.

    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.known: dict[int, list[str]] = {FLOAT: ["z", "z", "x", "h"], INT64: ["ids"], BOOL: []}
        self.wild = self.random.random() < 0.5
        self._named = 0
        self._depth = 0

    def name(self) -> str:
        """Return a new name."""
        self._named += 1
        return f"v{self._named}"

    def size(self) -> int:
        """Return the size of a dimension, which in a wild graph may be huge or negative."""
        if self.wild and self.random.random() < 0.1:
            return self.random.choice((-1, *HUGE))
        return self.random.choice(SMALL)

    def axis(self) -> int:
        """Return an axis, which in a wild graph may be none."""
        if self.wild and self.random.random() < 0.1:
            return self.random.choice((-9, 7, 2**40))
        return self.random.choice((-1, 0, 0, 1))

    def constant(self, value: Any, kind: Any) -> str:
        """Return the name of a new constant."""
        name = self.name()
        self.constants.append(constant(name, value, kind))
        return name

    def sizes(self, least: int = 1) -> str:
        """Return the name of a constant that is a shape."""
        n = self.random.randint(least, 3)
        return self.constant([self.size() for _ in range(n)], np.int64)

    def floats(self) -> str:
        """Return a tensor of floats: one that is there, or a constant."""
        if self.random.random() < 0.7:
            return self.random.choice(self.known[FLOAT])
        shape = [self.random.choice((1, 1, 2, 3, 6)) for _ in range(self.random.randint(0, 3))]
        numbers = [
            self.random.choice((0.0, 1.0, -2.5, 1e-3, 1e30)) for _ in range(int(np.prod(shape)))
        ]
        return self.constant(np.reshape(numbers, shape), np.float32)

    def wholes(self) -> str:
        """Return a tensor of whole numbers."""
        if self.random.random() < 0.6:
            return self.random.choice(self.known[INT64])
        return self.constant([self.random.choice((0, 1, 5, 20, 99))], np.int64)

    def add(self, kind: int, operator: str, inputs: list[str], **attributes: Any) -> None:
        """Add a node with one result."""
        made = self.name()
        self.nodes.append(node(operator, inputs, [made], **attributes))
        self.known[kind].append(made)

    def grow(self) -> None:
        """Add a random node."""
        chosen = self.random.choice(_RULES)
        chosen(self)

    def inside(self, states: list[str]) -> tuple[list[onnx.NodeProto], list[str]]:
        """Return the nodes of a body, and its results, one for each state."""
        outer, known = self.nodes, {k: list(v) for k, v in self.known.items()}
        self.nodes, self.known[FLOAT] = [], [*self.known[FLOAT], *states, *states]
        self._depth += 1
        for _ in range(self.random.randint(1, 3)):
            self.grow()
        self._depth -= 1
        results = []
        for _ in states:
            self.add(FLOAT, "Identity", [self.random.choice(self.known[FLOAT])])
            results.append(self.known[FLOAT][-1])
        nodes, self.nodes, self.known = self.nodes, outer, known
        return nodes, results

    def nests(self) -> bool:
        """Return whether another body may begin here."""
        return self._depth < 3


def _unary(g: Grammar) -> None:
    g.add(FLOAT, g.random.choice(_UNARY), [g.floats()])


def _binary(g: Grammar) -> None:
    g.add(FLOAT, g.random.choice(_BINARY), [g.floats(), g.floats()])


def _of_wholes(g: Grammar) -> None:
    if g.random.random() < 0.5:
        g.add(INT64, g.random.choice(("Add", "Mul", "Sub")), [g.wholes(), g.wholes()])
        return
    by = g.constant(g.random.choice((0, 1, 2, 7)) if g.wild else 7, np.int64)
    g.add(INT64, g.random.choice(("Div", "Mod")), [g.wholes(), by])


def _compare(g: Grammar) -> None:
    take = g.random.choice((g.floats, g.wholes))
    g.add(BOOL, g.random.choice(("Equal", "Greater", "LessOrEqual")), [take(), take()])


def _where(g: Grammar) -> None:
    if not g.known[BOOL]:
        _compare(g)
    g.add(FLOAT, "Where", [g.random.choice(g.known[BOOL]), g.floats(), g.floats()])


def _cast(g: Grammar) -> None:
    kinds = [k for k in (FLOAT, INT64, BOOL) if g.known[k]]
    given, to = g.random.choice(kinds), g.random.choice((FLOAT, FLOAT, INT64, BOOL))
    g.add(to, "Cast", [g.random.choice(g.known[given])], to=to)


def _product(g: Grammar) -> None:
    g.add(FLOAT, g.random.choice(("MatMul", "Gemm")), [g.floats(), g.floats()])


def _shape(g: Grammar) -> None:
    operator = g.random.choice(("Expand", "Reshape", "Tile"))
    if operator == "Reshape" and g.random.random() < 0.5:
        g.add(
            FLOAT, "Reshape", [g.floats(), g.constant([-1, g.random.choice((1, 2, 6))], np.int64)]
        )
        return
    g.add(FLOAT, operator, [g.floats(), g.sizes()])


def _axes(g: Grammar) -> None:
    operator = g.random.choice(("Squeeze", "Unsqueeze", "ReduceSum"))
    g.add(FLOAT, operator, [g.floats(), g.constant([g.axis()], np.int64)])


def _reduce(g: Grammar) -> None:
    g.add(
        FLOAT,
        g.random.choice(_REDUCING),
        [g.floats()],
        axes=[g.axis()],
        keepdims=g.random.randint(0, 1),
    )


def _one_axis(g: Grammar) -> None:
    operator = g.random.choice(("Flatten", "LogSoftmax", "Softmax", "Hardmax"))
    g.add(FLOAT, operator, [g.floats()], axis=g.axis())


def _transpose(g: Grammar) -> None:
    rank = g.random.randint(1, 3)
    g.add(FLOAT, "Transpose", [g.floats()], perm=g.random.sample(range(rank), rank))


def _concat(g: Grammar) -> None:
    parts = [g.floats()] * g.random.choice((2, 3, 16)) if g.wild else [g.floats(), g.floats()]
    g.add(FLOAT, "Concat", parts, axis=g.axis())


def _gather(g: Grammar) -> None:
    g.add(FLOAT, "Gather", [g.floats(), g.wholes()], axis=g.axis())


def _slice(g: Grammar) -> None:
    step = g.random.choice((1, 1, 2, -1, 0) if g.wild else (1,))
    names = [g.constant([v], np.int64) for v in (0, g.size(), g.axis(), step)]
    g.add(FLOAT, "Slice", [g.floats(), *names])


def _filled(g: Grammar) -> None:
    if g.random.random() < 0.5:
        g.add(FLOAT, "ConstantOfShape", [g.sizes()])
        return
    last = g.random.choice((3, -3, 10**18) if g.wild else (3, 5))
    ends = [g.constant(v, np.int64) for v in (0, last, g.random.choice((1, 1, 0)) if g.wild else 1)]
    g.add(INT64, "Range", ends)


def _one_hot(g: Grammar) -> None:
    depth = g.constant(max(1, g.size()), np.int64)
    g.add(FLOAT, "OneHot", [g.wholes(), depth, g.constant([0, 1], np.float32)])


def _cumulated(g: Grammar) -> None:
    g.add(FLOAT, "CumSum", [g.floats(), g.constant(g.axis(), np.int64)])


def _sequence(g: Grammar) -> None:
    made = g.name()
    g.nodes.append(node("SequenceConstruct", [g.floats(), g.floats()], [made]))
    g.add(FLOAT, "ConcatFromSequence", [made], axis=g.axis(), new_axis=g.random.randint(0, 1))


def _loop(g: Grammar) -> None:
    if not g.nests():
        return
    rounds = g.random.choice((1, 2, 5, 9999, 2**40) if g.wild else (1, 2))
    state, going, goes, turn = g.name(), g.name(), g.name(), g.name()
    nodes, results = g.inside([state])
    body = helper.make_graph(
        [node("Identity", [going], [goes]), *nodes],
        "body",
        [info(turn, INT64, []), info(going, BOOL, []), info(state, FLOAT, None)],
        [info(goes, BOOL, []), info(results[0], FLOAT, None)],
    )
    g.add(FLOAT, "Loop", [g.constant(rounds, np.int64), "", g.floats()], body=body)


def _if(g: Grammar) -> None:
    if not g.nests():
        return
    branches = []
    for _ in range(2):
        nodes, results = g.inside([g.random.choice(g.known[FLOAT])])
        branches.append(helper.make_graph(nodes, "branch", [], [info(results[0], FLOAT, None)]))
    g.add(INT64, "Size", ["ids"])
    least = g.constant(g.random.choice((0, 99)), np.int64)
    g.add(BOOL, "Greater", [g.known[INT64][-1], least])
    g.add(FLOAT, "If", [g.known[BOOL][-1]], then_branch=branches[0], else_branch=branches[1])


def _scan(g: Grammar) -> None:
    if not g.nests():
        return
    state, part = g.name(), g.name()
    nodes, results = g.inside([state, part])
    body = helper.make_graph(
        nodes, "body", [info(s, FLOAT, None) for s in (state, part)], [info(r, FLOAT, None) for r in results]
    )  # fmt: skip
    made = g.name()
    inputs = [g.floats(), g.floats()]
    g.nodes.append(node("Scan", inputs, [made, g.name()], num_scan_inputs=1, body=body))
    g.known[FLOAT].append(made)


_RULES: Final[list[Callable[[Grammar], None]]] = [
    *(_unary, _unary, _binary, _binary, _of_wholes, _compare, _where, _cast, _product, _shape),
    *(_axes, _reduce, _one_axis, _transpose, _concat, _gather, _slice, _filled, _one_hot),
    *(_cumulated, _sequence, _loop, _if, _scan),
]


def random_graph(seed: int) -> onnx.ModelProto:
    """Return the graph of a seed."""
    g = Grammar(seed)
    for _ in range(g.random.randint(1, 8 if g.wild else 3)):
        g.grow()
    g.add(FLOAT, "Identity", [g.random.choice(g.known[FLOAT][-3:])])
    g.nodes[-1].output[0] = "extra"
    return disturbed(g.nodes, g.constants, whole=g.random.random() < 0.7)
