"""Read an Elman RNN from an ONNX file, and prove the reading against onnxruntime.

The graph is run once with unknowns in place of the words (`interpreter`), so that it does not matter which operators
an exporter chose: an RNN node, a loop, or one node after the other for every word.  What its logits are made of must
be an Elman network (`recurrence`).  That network is then run beside onnxruntime on random sequences (`proof`).
"""

from __future__ import annotations

from .reader import read_model, read_model_bytes
from .session import FloatModel, Layout

__all__ = ["FloatModel", "Layout", "read_model", "read_model_bytes"]
