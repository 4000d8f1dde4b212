"""Read an Elman RNN from an ONNX file, and prove the reading against onnxruntime.

The graph runs once with unknowns in place of the words (`interpreter`), so that it does not matter which operators an
exporter chose: an RNN node, a loop, or separate nodes for every word.  The expressions that arrive at the logits must
be those of an Elman network (`recurrence`).  That network and onnxruntime must then give equal logits for random
sequences (`proof.prove`).
"""

from __future__ import annotations

from .float_model import FloatModel
from .inputs import Cut, InputLayout
from .padding import ignores_its_mask, ignores_padding
from .reader import prepare, read_model, read_model_bytes

__all__ = [
    "Cut",
    "FloatModel",
    "InputLayout",
    "ignores_its_mask",
    "ignores_padding",
    "prepare",
    "read_model",
    "read_model_bytes",
]
