#!/usr/bin/env bash
# onnx 1.23.2, ReferenceEvaluator: GRU and LSTM with the input sequence_lens, a batch of sequences of different
# lengths.
#
# Guess: the reference implementation follows the operator's text: Y_h is the state after the last step of each
#   sequence, and Y is 0 beyond it, as in onnxruntime.
# Instead: it takes no notice of sequence_lens and runs each sequence over the padding, without any message.
# Seen 2026-11-30: its Y_h is the one of onnxruntime 1.32.0 without sequence_lens.
set -euo pipefail

python3 -m venv venv
venv/bin/pip install --quiet onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
venv/bin/python - > seen.txt <<'PY'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, reference

rng = np.random.default_rng(0)
x = rng.normal(size=(5, 2, 2)).astype("f")
for operator, gates in (("GRU", 3), ("LSTM", 4)):
    shapes = {"W": (1, gates * 3, 2), "R": (1, gates * 3, 3)}
    weights = [numpy_helper.from_array(rng.normal(size=s).astype("f"), n) for n, s in shapes.items()]

    def model(lengths):
        node = helper.make_node(operator, ["x", "W", "R", "", lengths], ["", "h"], hidden_size=3)
        given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [5, 2, 2])]
        given += [helper.make_tensor_value_info(lengths, TensorProto.INT32, [2])] if lengths else []
        state = helper.make_tensor_value_info("h", TensorProto.FLOAT, [1, 2, 3])
        graph = helper.make_graph([node], "g", given, [state], weights)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
        onnx.checker.check_model(made)
        return made

    feeds = {"x": x, "lengths": np.array([5, 2], np.int32)}
    (got,) = reference.ReferenceEvaluator(model("lengths")).run(None, feeds)
    for lengths in ("lengths", ""):
        session = onnxruntime.InferenceSession(model(lengths).SerializeToString())
        (right,) = session.run(None, feeds if lengths else {"x": x})
        equal = np.allclose(got, right, atol=1e-5)
        print(f"{operator}, onnxruntime {'with' if lengths else 'without'} lengths: {equal}")
PY

cat > expected.txt <<'END'
GRU, onnxruntime with lengths: False
GRU, onnxruntime without lengths: True
LSTM, onnxruntime with lengths: False
LSTM, onnxruntime without lengths: True
END
diff expected.txt seen.txt
