"""Write the Keras networks of this folder; needs tensorflow-cpu and tf2onnx, which the tests do not need."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
import tf2onnx

keras = tf.keras
layers = keras.layers


def save(name: str, stack: list[object], shape: tuple[int | None, ...], dtype: object) -> None:
    """Build a network and export it as Keras users do, through tf2onnx."""
    x = given = keras.Input(shape, dtype=dtype)
    for layer in stack:
        x = layer(x)
    signature = [tf.TensorSpec((None, *shape), dtype)]
    function = tf.function(keras.Model(given, x), input_signature=signature)
    path = Path(__file__).with_name(f"{name}.onnx")
    tf2onnx.convert.from_function(
        function, input_signature=signature, opset=17, output_path=str(path)
    )


def rnn(**options: object) -> list[object]:
    """Return an embedding and a SimpleRNN."""
    return [layers.Embedding(21, 6), layers.SimpleRNN(8, **options)]


def head() -> list[object]:
    """Return a classifying head."""
    return [layers.Dense(5, activation="softmax")]


def main() -> None:
    """Write all networks."""
    keras.utils.set_random_seed(0)
    free = (None,)
    masked = [layers.Embedding(21, 6, mask_zero=True), layers.SimpleRNN(8)]
    both = [layers.Embedding(21, 6), layers.Bidirectional(layers.SimpleRNN(8))]
    mean, largest = layers.GlobalAveragePooling1D(), layers.GlobalMaxPooling1D()
    save("tanh", [*rnn(), layers.Dense(5)], free, tf.int32)
    save("relu-softmax", [*rnn(activation="relu"), *head()], free, tf.int32)
    save("mask", [*masked, *head()], free, tf.int32)
    save("reverse", [*rnn(go_backwards=True), *head()], free, tf.int32)
    save("mean", [*rnn(return_sequences=True), mean, *head()], free, tf.int32)
    save("max", [*rnn(return_sequences=True), largest, *head()], free, tf.int32)
    save("bi", [*both, *head()], free, tf.int32)
    save("hard", [*rnn(activation="hard_sigmoid"), *head()], free, tf.int32)
    save("sigmoid", [*rnn(activation="sigmoid", use_bias=False), *head()], free, tf.int32)
    save("unroll", [*rnn(unroll=True), *head()], (7,), tf.int32)
    save("fixed", [*rnn(), *head()], (7,), tf.int32)
    save("vectors", [layers.SimpleRNN(8), *head()], (None, 6), tf.float32)
    save("lstm", [layers.Embedding(21, 6), layers.LSTM(8), *head()], free, tf.int32)


if __name__ == "__main__":
    main()
