"""Elman networks whose logits depend on something odd besides: kinds that were found, and random ones of a grammar."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from networks import elman, weights
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Value = tuple[str, str]

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL

info = helper.make_tensor_value_info
node = helper.make_node


def constant(name: str, value: Any, kind: Any = None) -> onnx.TensorProto:
    """Return an initialiser."""
    return numpy_helper.from_array(np.array(value, dtype=kind), name)


def disturbed(
    nodes: Sequence[onnx.NodeProto], constants: Sequence[onnx.TensorProto], *, whole: bool = True
) -> onnx.ModelProto:
    """Return an Elman network to whose logits a tensor `extra` is added, times zero.

    Parameters
    ----------
    nodes
        Nodes that compute `extra` from constants, the logits `z` and the word ids `ids`.
    constants
        Further initialisers.
    whole
        Whether the sum of its elements is added, instead of each of them.

    """
    model = elman(weights(), lengths=False)
    graph = model.graph
    graph.node[-1].output[0] = "z"
    graph.node.extend(nodes)
    added = "extra"
    if whole:
        graph.node.append(node("ReduceSum", ["extra"], ["added"], keepdims=0))
        added = "added"
    graph.node.append(node("Mul", [added, "zero"], ["nothing"]))
    graph.node.append(node("Add", ["z", "nothing"], ["logits"]))
    graph.initializer.extend([constant("zero", 0, np.float32), *constants])
    return model


def body(
    nodes: Sequence[onnx.NodeProto], states: Sequence[str], results: Sequence[str]
) -> onnx.GraphProto:
    """Return the body of a loop that goes on; its other inputs and outputs are floats of any shape."""
    return helper.make_graph(
        [node("Identity", ["going"], ["goes"]), *nodes],
        "body",
        [info("turn", INT64, []), info("going", BOOL, []), *(info(s, FLOAT, None) for s in states)],
        [info("goes", BOOL, []), *(info(r, FLOAT, None) for r in results)],
    )


def nested(depth: int, rounds: int) -> onnx.ModelProto:
    """Return a network with loops inside loops, each of so many rounds."""
    inner = [node("Add", [f"s{depth}", "one"], [f"t{depth}"])]
    for d in range(depth, 0, -1):
        inside = helper.make_graph(
            [node("Identity", [f"c{d}"], [f"g{d}"]), *inner],
            "body",
            [info(f"i{d}", INT64, []), info(f"c{d}", BOOL, []), info(f"s{d}", FLOAT, [])],
            [info(f"g{d}", BOOL, []), info(f"t{d}", FLOAT, [])],
        )
        inner = [node("Loop", ["rounds", "", f"s{d - 1}"], [f"t{d - 1}"], body=inside)]
    inner.append(node("Identity", ["t0"], ["extra"]))
    given = [constant("rounds", rounds), constant("one", 1, np.float32)]
    return disturbed(inner, [*given, constant("s0", 0, np.float32)])


def multiplied(start: str, times: int) -> onnx.ModelProto:
    """Return a network with a tensor that becomes sixteen times as long again and again."""
    names = [start, *(f"longer{i}" for i in range(times - 1)), "extra"]
    nodes = [node("Concat", [a] * 16, [b], axis=0) for a, b in pairwise(names)]
    return disturbed(nodes, [constant("ones", np.ones((64, 64)), np.float32)])


def of(operator: str, inputs: Sequence[str], *constants: Any, **attributes: Any) -> onnx.ModelProto:
    """Return a network with one odd node, whose constants are named p, q, r."""
    given = [
        constant(name, value, None if isinstance(value, np.ndarray | np.generic) else np.int64)
        for name, value in zip("pqr", constants, strict=False)
    ]
    made = [node(operator, inputs, ["odd"], name="odd", **attributes)]
    return disturbed([*made, node("Cast", ["odd"], ["extra"], to=FLOAT)], given)


def edited(change: Callable[[onnx.ModelProto], object]) -> onnx.ModelProto:
    """Return a network after a change."""
    model = of("Neg", ["z"])
    change(model)
    return model


def _weight(name: str, value: NDArray[Any]) -> Callable[[onnx.ModelProto], object]:
    def change(model: onnx.ModelProto) -> None:
        old = next(t for t in model.graph.initializer if t.name == name)
        old.CopyFrom(numpy_helper.from_array(value.astype(np.float32), name))

    return change


def _tensor(**fields: Any) -> Callable[[onnx.ModelProto], object]:
    """Return a change that puts a tensor in place of a constant of the graph."""

    def change(model: onnx.ModelProto) -> None:
        model.graph.node[-4].input[0] = "bad"
        model.graph.initializer.append(TensorProto(name="bad", **fields))

    return change


def _input(
    *dims: int, kind: int = INT64, name: str = "more"
) -> Callable[[onnx.ModelProto], object]:
    return lambda model: model.graph.input.append(info(name, kind, dims))


def _ids(*dims: int) -> Callable[[onnx.ModelProto], object]:
    return lambda model: model.graph.input[0].CopyFrom(info("ids", INT64, dims))


def _branches(*outputs: int) -> onnx.ModelProto:
    """Return a network with an If whose branches have so many outputs."""
    graphs = [
        helper.make_graph(
            [node("Identity", ["z"], [f"{i}{k}"]) for k in range(n)],
            "branch",
            [],
            [info(f"{i}{k}", FLOAT, None) for k in range(n)],
        )
        for i, n in enumerate(outputs)
    ]
    made = node("If", ["p"], ["extra"], then_branch=graphs[0], else_branch=graphs[1])
    return disturbed([made], [constant("p", True)])


def _functions(depth: int) -> onnx.ModelProto:
    """Return a network with functions each of which calls the next one twice."""
    model = disturbed([node("f0", ["z"], ["extra"], domain="own")], [])
    for i in range(depth):
        last = i == depth - 1
        calls = [("Neg", "") if last else (f"f{i + 1}", "own")] * 2
        steps = zip(calls, ("x", "y"), ("y", "w"), strict=True)
        nodes = [node(op, [a], [b], domain=domain) for (op, domain), a, b in steps]
        imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        model.functions.append(helper.make_function("own", f"f{i}", ["x"], ["w"], nodes, imports))
    model.opset_import.append(helper.make_opsetid("own", 1))
    return model


def _sparse(model: onnx.ModelProto) -> None:
    values, at = constant("sparse", [1], np.float32), constant("at", [5], np.int64)
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, at, [2**40]))
    model.graph.node[-4].input[0] = "sparse"


def _two_loop_outputs() -> onnx.ModelProto:
    inside = body([], ["s"], [])
    return disturbed([node("Loop", ["p", "", "z"], ["extra"], body=inside)], [constant("p", 3)])


KINDS: Final[dict[str, Callable[[], onnx.ModelProto]]] = {
    # shapes
    "expand": lambda: of("Expand", ["z", "p"], [2**40, 1, 1]),
    "expand by 2^60": lambda: of("Expand", ["z", "p"], [2**60, 1, 1]),
    "tile": lambda: of("Tile", ["z", "p"], [2**40, 1]),
    "tile by a negative number": lambda: of("Tile", ["z", "p"], [-1, 1]),
    "zeros": lambda: of("ConstantOfShape", ["p"], [2**31, 2**31]),
    "zeros of a negative size": lambda: of("ConstantOfShape", ["p"], [-3]),
    "reshape to two unknown sizes": lambda: of("Reshape", ["z", "p"], [-1, -1]),
    "reshape to a negative size": lambda: of("Reshape", ["z", "p"], [-5, 2]),
    "reshape to sizes kept beyond the rank": lambda: of("Reshape", ["z", "p"], [0, 0, 0, 0]),
    "pad": lambda: of("Pad", ["q", "p"], [2**40] * 4, np.ones((2, 2), np.float32)),
    "outer product": lambda: disturbed(
        [node("MatMul", ["p", "q"], ["extra"])],
        [
            constant("p", np.ones((2**17, 1)), np.float32),
            constant("q", np.ones((1, 2**17)), np.float32),
        ],
    ),
    "axis beyond the rank": lambda: of("Unsqueeze", ["z", "p"], [70]),
    "seventy axes": lambda: of("Unsqueeze", ["z", "p"], list(range(70))),
    "transpose by a permutation that is none": lambda: of("Transpose", ["z"], perm=[0, 0]),
    "words of a huge length": lambda: edited(_ids(2**30, 1)),
    "questions of huge sizes": lambda: edited(_ids(2**40, 2**40)),
    "a huge state": lambda: edited(_input(2**20, 2**20, 2**20, kind=FLOAT, name="h0")),
    # ranges
    "range of no step": lambda: of("Range", ["p", "q", "r"], 0, 5, 0),
    "range of 10^18 steps": lambda: of("Range", ["p", "q", "r"], 0, 10**18, 1),
    "one-hot of a huge depth": lambda: of(
        "OneHot", ["ids", "p", "q"], 2**40, np.array([0, 1], np.float32)
    ),
    "slice of no step": lambda: disturbed(
        [node("Slice", ["z", "p", "q", "", "r"], ["extra"])],
        [constant(n, v, np.int64) for n, v in (("p", [0]), ("q", [2]), ("r", [0]))],
    ),
    "look-up beyond the rows": lambda: of("Gather", ["C", "p"], [99]),
    "split into none": lambda: disturbed(
        [
            node("SplitToSequence", ["z", "p"], ["parts"], axis=1),
            node("ConcatFromSequence", ["parts"], ["extra"], axis=0),
        ],
        [constant("p", 0)],
    ),
    "item of a short sequence": lambda: disturbed(
        [
            node("SequenceConstruct", ["z"], ["items"]),
            node("SequenceAt", ["items", "p"], ["extra"]),
        ],
        [constant("p", 5)],
    ),
    "concatenation of nothing": lambda: disturbed(
        [
            node("SequenceEmpty", [], ["items"]),
            node("ConcatFromSequence", ["items"], ["extra"], axis=0),
        ],
        [],
    ),
    # numbers and types
    "whole numbers divided by zero": lambda: of("Div", ["p", "q"], [1, 2], [0, 0]),
    "word ids divided by zero": lambda: of("Div", ["ids", "p"], [0]),
    "word ids modulo zero": lambda: of("Mod", ["ids", "p"], [0]),
    "word ids compared with 2^62": lambda: of("Equal", ["ids", "p"], 2**62),
    "cast to a type that is none": lambda: of("Cast", ["z"], to=77),
    "cast of texts": lambda: of("Cast", ["p"], np.array(["x", "1e400"], object), to=FLOAT),
    "axis of a scalar": lambda: disturbed(
        [
            node("ReduceSum", ["z"], ["scalar"], keepdims=0),
            node("Softmax", ["scalar"], ["extra"], axis=0),
        ],
        [],
    ),
    "axis that is text": lambda: of("Softmax", ["z"], axis="x"),
    "equation of another rank": lambda: of("Einsum", ["z", "C"], equation="ij,jk,->"),
    "infinite weights": lambda: edited(_weight("C", np.full((6, 8), np.inf))),
    "no rows of words": lambda: edited(_weight("embedding", np.zeros((0, 6)))),
    "vectors of no size": lambda: edited(_weight("embedding", np.zeros((21, 0)))),
    "vectors that are numbers": lambda: edited(_weight("embedding", np.zeros(21))),
    "no classes": lambda: edited(_weight("C", np.zeros((0, 8)))),
    # tensors
    "tensor of too few bytes": lambda: edited(_tensor(data_type=FLOAT, dims=[5], raw_data=b"xx")),
    "tensor of a negative size": lambda: edited(
        _tensor(data_type=FLOAT, dims=[-1], float_data=[1.0])
    ),
    "tensor of 2^40 elements in one": lambda: edited(
        _tensor(data_type=FLOAT, dims=[2**40], float_data=[1.0])
    ),
    "tensor of no elements of 2^62": lambda: edited(
        _tensor(data_type=FLOAT, dims=[0, 2**62], raw_data=b"")
    ),
    "tensor of a type that is none": lambda: edited(_tensor(data_type=77, dims=[1], raw_data=b"x")),
    "sparse tensor": lambda: edited(_sparse),
    # loops and branches
    "loops in loops": lambda: nested(3, 9999),
    "twenty loops in each other": lambda: nested(20, 5),
    "loop without end": lambda: disturbed(
        [
            node(
                "Loop",
                ["", "", "z"],
                ["extra"],
                body=body([node("Neg", ["s"], ["t"])], ["s"], ["t"]),
            )
        ],
        [],
    ),
    "loop whose state doubles": lambda: disturbed(
        [
            node(
                "Loop",
                ["p", "", "z"],
                ["extra"],
                body=body([node("Concat", ["s"] * 16, ["t"], axis=0)], ["s"], ["t"]),
            )
        ],
        [constant("p", 30)],
    ),
    "loop that returns too little": _two_loop_outputs,
    "concatenations of numbers that double": lambda: multiplied("ones", 10),
    "concatenations of states that double": lambda: multiplied("z", 10),
    "branches without outputs": lambda: _branches(0, 0),
    "scan of more than there is": lambda: disturbed(
        [
            node(
                "Scan",
                ["z"],
                ["extra"],
                num_scan_inputs=1,
                scan_input_axes=[7],
                body=helper.make_graph(
                    [node("Neg", ["s"], ["t"])],
                    "body",
                    [info("s", FLOAT, None)],
                    [info("t", FLOAT, None)],
                ),
            )
        ],
        [],
    ),
    # names and versions
    "a name that nothing computes": lambda: of("Add", ["z", "nowhere"]),
    "a name computed twice": lambda: disturbed([node("Neg", ["z"], ["extra"])] * 2, []),
    "a circle": lambda: disturbed([node("Add", ["z", "extra"], ["extra"])], []),
    "operator set 1": lambda: edited(lambda m: setattr(m.opset_import[0], "version", 1)),
    "operator set 9999": lambda: edited(lambda m: setattr(m.opset_import[0], "version", 9999)),
    "format 999": lambda: edited(lambda m: setattr(m, "ir_version", 999)),
    "another's operator": lambda: of("Foo", ["z"], domain="org.example"),
    "no output": lambda: edited(lambda m: m.graph.ClearField("output")),
    "no input": lambda: edited(lambda m: m.graph.ClearField("input")),
    "no graph": lambda: edited(lambda m: m.ClearField("graph")),
    "input of no type": lambda: edited(_input(1, kind=0)),
    "input of an unknown type": lambda: edited(_input(1, kind=99)),
    "input of texts": lambda: edited(_input(1, kind=TensorProto.STRING)),
    "functions that double": lambda: _functions(40),
}
"""Networks by what is odd about them."""
