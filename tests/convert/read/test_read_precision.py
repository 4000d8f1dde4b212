"""Models of half precision, and models whose weights are stored in 8 bits."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from networks import elman, save, weights
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, matmul_nbits_quantizer, quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16

from spikewatch.convert.errors import ModelFileError
from spikewatch.convert.read import read_model

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

HALF = TensorProto.FLOAT16
BFLOAT = TensorProto.BFLOAT16


def _float_model(**options: Any) -> onnx.ModelProto:
    return elman(weights(), lengths=False, **options)


def _questions() -> list[NDArray[np.int64]]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 21, n) for n in (1, 2, 5, 9, 20)]


def _asked(path: Path) -> NDArray[np.float64]:
    """Return a file's logits as a user asks it."""
    session = onnxruntime.InferenceSession(str(path))
    return np.concatenate([session.run(None, {"ids": q[:, None]})[0] for q in _questions()]).astype(
        np.float64
    )


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("blocked", [[], ["RNN"], ["Gemm"]])
@pytest.mark.parametrize("activation", ["Tanh", "Relu"])
def test_converted_float16_is_read_and_runs_as_it_is(
    tmp_path: Path, activation: str, blocked: list[str], *, keep: bool
) -> None:
    model = convert_float_to_float16(
        _float_model(activation=activation), keep_io_types=keep, op_block_list=blocked
    )
    path = save(model, tmp_path / "m.onnx")
    read, float_model = read_model(path)
    assert (float_model.precision, float_model.runs_as_stored) == ("float16", True)
    np.testing.assert_array_equal(float_model.logits(_questions()), _asked(path))
    np.testing.assert_allclose(read.logits(_questions()), _asked(path), atol=0.02)
    assert float_model.rounding() == (
        "the file computes in float16, and so does the stage float;"
        " the network was read and proved in single precision"
    )


def _with_type(kind: int) -> onnx.ModelProto:
    """Return a model whose initialisers, output and casts are all of a floating-point type."""
    model = _float_model()
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor).astype(dtype)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    model.graph.output[0].type.tensor_type.elem_type = kind
    model.opset_import[0].version = 22  # the first whose RNN takes bfloat16
    model.ir_version = 10
    return model


def test_bfloat16_that_onnxruntime_lacks_is_answered_in_single_precision(tmp_path: Path) -> None:
    path = save(_with_type(BFLOAT), tmp_path / "m.onnx")
    read, float_model = read_model(path)
    assert (float_model.precision, float_model.runs_as_stored) == ("bfloat16", False)
    rounded = weights()["embedding"].astype(ml_dtypes.bfloat16).astype(np.float64)
    np.testing.assert_array_equal(read.embedding[read.rows], rounded)
    np.testing.assert_allclose(
        float_model.logits(_questions()), read.logits(_questions()), atol=1e-5
    )
    assert "which onnxruntime cannot run" in (float_model.rounding() or "")


@pytest.mark.parametrize("kind", [HALF, BFLOAT])
@pytest.mark.parametrize("of", ["embedding", "h"])
def test_casts_to_half_precision_and_back_are_read(tmp_path: Path, of: str, kind: int) -> None:
    model = _float_model()
    nodes = list(model.graph.node)
    casts = [
        helper.make_node("Cast", [of], ["half"], to=kind),
        helper.make_node("Cast", ["half"], ["single"], to=TensorProto.FLOAT),
    ]
    at = next(i for i, n in enumerate(nodes) if of in n.input)
    nodes[at].input[list(nodes[at].input).index(of)] = "single"
    nodes[at:at] = casts
    graph = model.graph
    made = helper.make_graph(nodes, "casts", graph.input, graph.output, graph.initializer)
    model = helper.make_model(made, opset_imports=model.opset_import, ir_version=8)
    path = save(model, tmp_path / "m.onnx")
    read, float_model = read_model(path)
    assert float_model.runs_as_stored
    np.testing.assert_allclose(read.logits(_questions()), _asked(path), atol=0.05)


def test_half_precision_that_leaves_the_range_of_float16_is_refused(tmp_path: Path) -> None:
    w = weights()
    w["embedding"] = w["embedding"] * 1e4
    w["W"] = w["W"] * 100
    model = convert_float_to_float16(elman(w, lengths=False, activation="Relu"))
    with pytest.raises(
        ModelFileError, match=r"m\.onnx: it computes in float16, and there its logits differ"
    ):
        read_model(save(model, tmp_path / "m.onnx"))


def _quantised(
    names: dict[str, int | None], opset: int, *, kind: Any = np.int8, block: int = 0
) -> onnx.ModelProto:
    """Return a model with some weights in 8 bits behind DequantizeLinear: by one scale, along an axis, or by blocks."""
    model = _float_model()
    graph = model.graph
    nodes, found = list(graph.node), []
    for tensor in graph.initializer:
        if tensor.name not in names:
            found.append(tensor)
            continue
        axis = names[tensor.name]
        values = numpy_helper.to_array(tensor)
        name = tensor.name
        spread = tuple(i for i in range(values.ndim) if i != axis) if axis is not None else None
        scale = (np.abs(values).max(axis=spread) / 100).astype(np.float32)
        options: dict[str, Any] = {} if axis is None else {"axis": axis}
        shape = [1] * values.ndim
        if axis is not None:
            shape[axis] = -1
        wide = np.broadcast_to(scale.reshape(shape), values.shape)
        if block:
            lead = np.abs(values).reshape(*values.shape[:-1], -1, block).max(-1)
            scale = (lead / 100).astype(np.float32)
            wide = np.repeat(scale, block, -1)
            options = {"axis": values.ndim - 1, "block_size": block}
        zero = 3 if kind is np.int8 else 128
        stored = np.clip(np.round(values / wide) + zero, np.iinfo(kind).min, np.iinfo(kind).max)
        found += [
            numpy_helper.from_array(stored.astype(kind), f"{name}_q"),
            numpy_helper.from_array(scale, f"{name}_scale"),
            numpy_helper.from_array(np.full(scale.shape, zero, kind), f"{name}_zero"),
        ]
        inputs = [f"{name}_q", f"{name}_scale", f"{name}_zero"]
        nodes.insert(0, helper.make_node("DequantizeLinear", inputs, [name], **options))
    made = helper.make_graph(nodes, "int8", graph.input, graph.output, found)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(made, opset_imports=opsets, ir_version=10)


EVERY = {"embedding": None, "W": None, "R": None, "C": None}
BY_AXIS = {"embedding": 0, "W": 1, "R": 1, "C": 0}


@pytest.mark.parametrize("opset", [13, 17, 19, 21, 23])
@pytest.mark.parametrize("names", [EVERY, BY_AXIS], ids=["tensor", "axis"])
@pytest.mark.parametrize("kind", [np.int8, np.uint8])
def test_int8_weights_are_read_at_any_operator_set(
    tmp_path: Path, names: dict[str, int | None], opset: int, kind: Any
) -> None:
    path = save(_quantised(names, opset, kind=kind), tmp_path / "m.onnx")
    read, float_model = read_model(path)
    np.testing.assert_array_equal(float_model.logits(_questions()), _asked(path))
    np.testing.assert_allclose(read.logits(_questions()), _asked(path), atol=1e-5)


def test_int8_weights_by_blocks_are_read(tmp_path: Path) -> None:
    path = save(_quantised({"R": 1, "C": 0}, 21, block=4), tmp_path / "m.onnx")
    read, _ = read_model(path)
    np.testing.assert_allclose(read.logits(_questions()), _asked(path), atol=1e-5)


@pytest.mark.parametrize("axis", [None, -1, 2])
def test_rows_of_an_int8_embedding_are_dequantised_after_they_are_looked_up(
    tmp_path: Path, axis: int | None
) -> None:
    model = _quantised({"embedding": None if axis is None else 1}, 17)
    nodes = [copy.deepcopy(n) for n in model.graph.node]
    unpack = nodes.pop(0)
    look_up = next(n for n in nodes if n.op_type == "Gather")
    look_up.input[0], look_up.output[0] = "embedding_q", "row"
    unpack.input[0], unpack.output[0] = "row", "x"
    if axis is not None:
        unpack.attribute[0].i = axis
    nodes.insert(nodes.index(look_up) + 1, unpack)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    path = save(model, tmp_path / "m.onnx")
    read, _ = read_model(path)
    np.testing.assert_allclose(read.logits(_questions()), _asked(path), atol=1e-5)


QUANTISED = (
    r"m\.onnx: node '[^']+': operator {} rounds activations to whole numbers: the model is quantised;"
    r" publish the float model that it was made from$"
)


def test_dynamically_quantised_models_are_refused_as_quantised(tmp_path: Path) -> None:
    source = save(_float_model(head="MatMul"), tmp_path / "float.onnx")
    quantize_dynamic(source, tmp_path / "m.onnx", weight_type=QuantType.QInt8)
    with pytest.raises(ModelFileError, match=QUANTISED.format("DynamicQuantizeLinear")):
        read_model(tmp_path / "m.onnx")


def test_a_dynamically_quantised_embedding_alone_is_read(tmp_path: Path) -> None:
    source = save(_float_model(), tmp_path / "float.onnx")
    quantize_dynamic(source, tmp_path / "m.onnx", op_types_to_quantize=["Gather"])
    kinds = [n.op_type for n in onnx.load(tmp_path / "m.onnx").graph.node]
    assert "DequantizeLinear" in kinds
    read, _ = read_model(tmp_path / "m.onnx")
    np.testing.assert_allclose(read.logits(_questions()), _asked(tmp_path / "m.onnx"), atol=1e-5)


@pytest.mark.parametrize("of", ["x", "h"])
def test_quantised_activations_are_refused_as_quantised(tmp_path: Path, of: str) -> None:
    model = _float_model()
    nodes = [copy.deepcopy(n) for n in model.graph.node]
    at = next(i for i, n in enumerate(nodes) if of in n.input)
    nodes[at].input[list(nodes[at].input).index(of)] = "back"
    nodes[at:at] = [
        helper.make_node("QuantizeLinear", [of, "step"], ["whole"]),
        helper.make_node("DequantizeLinear", ["whole", "step"], ["back"]),
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.05), "step"))
    with pytest.raises(ModelFileError, match=QUANTISED.format("QuantizeLinear")):
        read_model(save(model, tmp_path / "m.onnx"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_weights_packed_in_few_bits_are_read(tmp_path: Path, bits: int, *, symmetric: bool) -> None:
    # onnxruntime's embedding of 8 bits is not packed
    kinds = ("MatMul", "Gather") if bits == 4 else ("MatMul",)
    packed = matmul_nbits_quantizer.MatMulNBitsQuantizer(
        _float_model(head="MatMul"),
        block_size=16,
        bits=bits,
        is_symmetric=symmetric,
        op_types_to_quantize=kinds,
    )
    packed.process()
    path = save(packed.model.model, tmp_path / "m.onnx")
    operators = {n.op_type for n in packed.model.model.graph.node}
    assert {"MatMulNBits", *(["GatherBlockQuantized"] if bits == 4 else [])} <= operators
    read, _ = read_model(path)
    np.testing.assert_allclose(read.logits(_questions()), _asked(path), atol=1e-5)


def test_packed_weights_times_rounded_activations_are_refused_as_quantised(tmp_path: Path) -> None:
    packed = matmul_nbits_quantizer.MatMulNBitsQuantizer(
        _float_model(head="MatMul"), block_size=16, accuracy_level=4
    )
    packed.process()
    with pytest.raises(ModelFileError, match=QUANTISED.format("MatMulNBits")):
        read_model(save(packed.model.model, tmp_path / "m.onnx"))
