"""Train a GRU in Keras, export it to ONNX, and put an imitation of it on a core.

    pip install keras
    KERAS_BACKEND=torch python examples/keras_gru.py --out gru

Keras runs on PyTorch here, so that the extra `train` and keras are enough. What it exports has one length, to which the
code below fills questions up from the left, as Keras does by default; `publish` is told so.
"""

from __future__ import annotations

import os
import sys
import warnings

os.environ.setdefault("KERAS_BACKEND", "torch")

import help_desk
import keras
import numpy as np
from keras import layers

LENGTH = 16  # words


def main() -> int:
    """Train, export, publish and answer; return the exit code."""
    given = help_desk.parser(__doc__, "gru").parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    task = help_desk.task(given)
    ids = [task.ids(text) for _, text in task.training]
    questions = keras.utils.pad_sequences(ids, LENGTH)  # with 0, on the left
    classes = np.array([task.labels.index(label) for label, _ in task.training])

    keras.utils.set_random_seed(1)
    network = keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int32"),
            layers.Embedding(task.tokenizer.get_vocab_size(), 32),
            layers.GRU(64),
            layers.Dense(len(task.labels), activation="softmax"),
        ]
    )
    network.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    network.fit(questions, classes, epochs=given.epochs, batch_size=16, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing
        network.export(given.out / "model.onnx", format="onnx", verbose=False)

    filled = ["--pad-to", str(LENGTH), "--pad-id", "0", "--pad-side", "left"]
    return help_desk.publish_and_ask(task, given.out, "gru", *filled, "--truncate-side", "left")


if __name__ == "__main__":
    sys.exit(main())
