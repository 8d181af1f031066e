"""Small SavedModels: the one that TF Serving's own tests use, and one of many types."""

import tensorflow as tf


class HalfPlusTwo(tf.Module):
    """y = x / 2 + 2: TF Serving's `saved_model_half_plus_two`."""

    def __init__(self, offset=2.0):
        super().__init__()
        self.offset = tf.Variable(offset)

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, name="x")])
    def half(self, x):
        return {"y": x / 2.0 + self.offset}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, name="a"),
            tf.TensorSpec([None], tf.int64, name="b"),
        ]
    )
    def both(self, a, b):
        return {"sum": a + tf.cast(b, tf.float32), "b": b}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.string, name="text")])
    def echo(self, text):
        return {"text": text, "text_bytes": text}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int64, name="rounds")])
    def count(self, rounds):
        """Adds `rounds` numbers, one after the other: a request of any length."""
        total = tf.while_loop(
            lambda index, _: index < rounds,
            lambda index, total: (index + 1, total + tf.sin(tf.cast(index, tf.float32))),
            (tf.constant(0, tf.int64), tf.constant(0.0)),
        )[1]
        return {"total": total}


def save(path, offset=2.0):
    """Writes the model of `HalfPlusTwo` as a version directory."""
    model = HalfPlusTwo(offset)
    signatures = {
        "serving_default": model.half,
        "both": model.both,
        "echo": model.echo,
        "count": model.count,
    }
    tf.saved_model.save(model, str(path), signatures)
    return path
