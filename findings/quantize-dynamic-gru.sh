#!/usr/bin/env bash
# onnxruntime 1.32.0, quantize_dynamic: weights of a network to int8.
#
# Guess: it treats the three recurrent operators alike, as PyTorch's quantize_dynamic does.
# Instead: LSTM becomes DynamicQuantizeLSTM, with int8 weights. GRU and RNN stay as they are, with float weights, and
#   no message says so; embedding and output layer around them are quantised, so the file looks converted.
# Seen 2026-11-30: as in expected.txt below.
set -euo pipefail

python3 -m venv venv
venv/bin/pip install --quiet onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
venv/bin/python - > seen.txt 2> messages.txt <<'PY'
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic

rng = np.random.default_rng(0)
size = 64
for operator, gates in (("RNN", 1), ("GRU", 3), ("LSTM", 4)):
    shapes = {"W": (1, gates * size, size), "R": (1, gates * size, size), "E": (100, size), "C": (size, 6)}
    tensors = [numpy_helper.from_array(rng.normal(0, 0.1, s).astype("f"), n) for n, s in shapes.items()]
    tensors += [numpy_helper.from_array(np.array([axis]), f"axis{axis}") for axis in (0, 1)]
    nodes = [
        helper.make_node("Gather", ["E", "ids"], ["e"]),
        helper.make_node("Unsqueeze", ["e", "axis1"], ["x"]),
        helper.make_node(operator, ["x", "W", "R"], ["", "h"], hidden_size=size),
        helper.make_node("Squeeze", ["h", "axis0"], ["s"]),
        helper.make_node("MatMul", ["s", "C"], ["out"]),
    ]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["words"])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 6])
    graph = helper.make_graph(nodes, "g", [ids], [out], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, "a.onnx")
    quantize_dynamic("a.onnx", "b.onnx")
    kinds = [TensorProto.DataType.Name(t.data_type) for t in onnx.load("b.onnx").graph.initializer if len(t.dims) > 1]
    print(operator, sorted(kinds))
PY
if grep -iE "gru|rnn|skip|not supported" messages.txt; then exit 1; fi

cat > expected.txt <<'END'
RNN ['FLOAT', 'FLOAT', 'INT8', 'UINT8']
GRU ['FLOAT', 'FLOAT', 'INT8', 'UINT8']
LSTM ['INT8', 'INT8', 'INT8', 'UINT8']
END
diff expected.txt seen.txt
