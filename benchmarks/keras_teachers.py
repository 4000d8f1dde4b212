"""Train a Keras classifier on encoded sentences, and export it: keras_teachers.py KIND FOLDER SEED.

FOLDER/encoded.json has the sentences; the result is FOLDER/model.onnx.  Runs alone, with Keras, TensorFlow and tf2onnx.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers


def network(kind: str, words: int, classes: int, pad_to: int) -> keras.Model:
    """Build a classifier; the last word id pads."""
    middle = {
        "keras-lstm": [layers.LSTM(128)],
        "keras-gru": [layers.GRU(128)],
        "keras-cnn": [layers.Conv1D(128, 3, activation="relu"), layers.GlobalMaxPooling1D()],
    }[kind]
    length = pad_to if kind == "keras-cnn" else None
    stack = [layers.Embedding(words + 1, 64), layers.Dropout(0.4), *middle, layers.Dropout(0.4)]
    given = keras.Input((length,), dtype="int32", name="ids")
    x = given
    for layer in [*stack, layers.Dense(classes, activation="softmax")]:
        x = layer(x)
    return keras.Model(given, x)


def main(kind: str, folder: str, seed: str) -> None:
    """Train and export."""
    data = json.loads(Path(folder, "encoded.json").read_text())
    keras.utils.set_random_seed(int(seed))
    rng = np.random.default_rng(int(seed))
    net = network(kind, data["words"], data["classes"], data["pad_to"])
    net.compile("adam", "sparse_categorical_crossentropy")
    net.optimizer.learning_rate = 2e-3
    labels = np.array(data["labels"])
    ids = [np.array(i[: data["pad_to"]], np.int32) for i in data["ids"]]
    if kind == "keras-cnn":
        ids = [np.pad(i, (0, data["pad_to"] - len(i)), constant_values=data["words"]) for i in ids]
    lengths = np.array([len(i) for i in ids])
    for epoch in range(data["epochs"]):
        net.optimizer.learning_rate = 2e-3 * (1 - epoch / data["epochs"])
        pieces = [
            piece
            for length in np.unique(lengths)
            for chosen in [rng.permutation(np.flatnonzero(lengths == length))]
            for piece in np.array_split(chosen, -(-len(chosen) // 48))
        ]
        for k in rng.permutation(len(pieces)):
            table = np.stack([ids[i] for i in pieces[k]])
            unknown = (rng.random(table.shape) < data["unknown"]) & (table != data["words"])
            net.train_on_batch(np.where(unknown, 0, table), labels[pieces[k]])
    net.export(str(Path(folder, "model.onnx")), format="onnx", verbose=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
