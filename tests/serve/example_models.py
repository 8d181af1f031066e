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


def save_with_fixed_shapes(path):
    """Writes half plus two as a program of TensorFlow 1 does: tensors declare [None, 1].

    `serving_default` feeds x in the middle of the graph, behind the parsing of examples;
    `placeholder` feeds a placeholder; `product` multiplies it by a matrix, so that the graph itself
    needs two axes; `passed_on` gives x back.
    """
    v1 = tf.compat.v1
    builder = v1.saved_model.Builder(str(path))
    with v1.Session(graph=tf.Graph()) as session:
        half = v1.get_variable("half", initializer=0.5, use_resource=False)
        texts = v1.placeholder(tf.string, [None], "tf_example")
        parsed = v1.parse_example(texts, {"x": v1.FixedLenFeature([1], tf.float32)})
        x = tf.identity(parsed["x"], "x")
        direct = v1.placeholder(tf.float32, [None, 1], "direct")
        pairs = (
            ("serving_default", x, tf.identity(half * x + 2.0, "y")),
            ("placeholder", direct, tf.identity(half * direct + 2.0, "y2")),
            ("product", direct, tf.matmul(direct, [[0.5, 1.0]], name="y3")),
            ("passed_on", x, x),
        )
        signatures = {
            name: v1.saved_model.predict_signature_def({"x": taken}, {"y": given})
            for name, taken, given in pairs
        }
        signatures["regress_x_to_y"] = v1.saved_model.regression_signature_def(texts, pairs[0][2])
        session.run(v1.global_variables_initializer())
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
    builder.save()
    return path


class OneNumber(tf.Module):
    """Half plus two of TensorFlow 2, whose input declares the shape [1]."""

    @tf.function(input_signature=[tf.TensorSpec([1], tf.float32, name="x")])
    def half(self, x):
        return {"y": x / 2.0 + 2.0, "size": tf.size(x)}
