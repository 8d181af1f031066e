"""Hand-written servables: tiny Keras networks that adapt by gradient descent in a `while_loop`."""

import keras
import numpy as np
import tensorflow as tf

from tfmeta.saved_model import InputSpec, Servable

IMAGE_SHAPE = (6, 6, 1)


def regression(dtype="float32", **changes):
    """An MLP 1-8-1 with three inner steps on the mean squared error."""
    keras.utils.set_random_seed(1)
    network = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(8, activation="relu", name="hidden_1", dtype=dtype),
            keras.layers.Dense(1, name="head", dtype=dtype),
        ]
    )
    settings = {
        "loss": lambda outputs, targets: tf.reduce_mean(tf.square(outputs - targets)),
        "rate": 0.05,
        "dtype": dtype,
        "inputs": InputSpec((1,), dtype),
        "target": "regression",
        "target_shape": (1,),
        "output_shape": (1,),
        "kind": "regression",
        "link": "identity",
        "inner_steps": 3,
    }
    return gradient_descent(network, **{**settings, **changes})


def classification(dtype="float32", ways=3, layers=None, **changes):
    """A convolution, a batch normalisation and a dense layer, two inner steps."""
    keras.utils.set_random_seed(2)
    layers = layers or [
        keras.layers.Conv2D(4, 3, strides=2, activation="relu", name="conv_1", dtype=dtype),
        keras.layers.BatchNormalization(name="norm_1", dtype=dtype),
        keras.layers.Flatten(),
    ]
    head = keras.layers.Dense(ways, name="head", dtype=dtype)
    network = keras.Sequential([keras.Input(IMAGE_SHAPE), *layers, head])
    settings = {
        "loss": sparse_cross_entropy,
        "rate": 0.4,
        "dtype": dtype,
        "inputs": InputSpec(IMAGE_SHAPE, dtype),
        "target": "sparse",
        "output_shape": (ways,),
        "kind": "classification",
        "link": "softmax",
        "inner_steps": 2,
        "usual_sizes": [(ways, 4)],
    }
    return gradient_descent(network, **{**settings, **changes})


def two_inputs(**changes):
    """A regression on a dict of a float vector and an integer token, with one-hot-like extras."""
    keras.utils.set_random_seed(3)
    number = keras.Input((2,), name="number")
    token = keras.Input((), name="token", dtype="int32")
    embedded = keras.layers.Embedding(5, 3, name="embedding")(token)
    hidden = keras.layers.Dense(4, activation="tanh", name="hidden_1")(
        keras.layers.Concatenate()([number, embedded])
    )
    network = keras.Model(
        {"number": number, "token": token}, keras.layers.Dense(1, name="head")(hidden)
    )
    settings = {
        "loss": lambda outputs, targets: tf.reduce_mean(tf.square(outputs - targets)),
        "rate": 0.1,
        "inputs": {"number": InputSpec((2,)), "token": InputSpec((), "int32")},
        "target": "regression",
        "target_shape": (1,),
        "output_shape": (1,),
        "kind": "regression",
        "link": "identity",
        "inner_steps": 1,
    }
    return gradient_descent(network, **{**settings, **changes})


def sparse_cross_entropy(outputs, labels):
    """Mean cross-entropy of logits."""
    return tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=outputs)
    )


def gradient_descent(network, *, loss, rate, inductive=False, adapted=None, **fields):
    """The servable of a Keras network, adapted by plain gradient descent."""
    weights = list(network.trainable_variables)
    state = list(network.non_trainable_variables)
    chosen = list(range(len(weights))) if adapted is None else adapted

    def call(values, statistics, inputs):
        return network.stateless_call(values, statistics, inputs, training=True)[0]

    def step(values, inputs, targets, scale, statistics):
        with tf.GradientTape() as tape:
            tape.watch(values)
            value = loss(call(values, statistics, inputs), targets)
        gradients = tape.gradient(value, [values[index] for index in chosen])
        moved = list(values)
        for index, gradient in zip(chosen, gradients, strict=True):
            gradient = tf.convert_to_tensor(gradient)
            moved[index] = values[index] - scale * tf.cast(rate, gradient.dtype) * gradient
        return moved, value

    def adapt(parameters, inputs, targets, inner_steps, rate_scale, statistics):
        losses = tf.TensorArray(parameters[0].dtype, size=inner_steps + 1, element_shape=())

        def body(index, values, losses):
            moved, value = step(values, inputs, targets, rate_scale, statistics)
            return index + 1, moved, losses.write(index, value)

        _, values, losses = tf.while_loop(
            lambda index, *_: index < inner_steps, body, (0, list(parameters), losses)
        )
        last = loss(call(values, statistics, inputs), targets)
        return values, losses.write(inner_steps, last).stack()

    def outputs(values, statistics, query, support):
        if not inductive:
            return call(values, statistics, query)
        return tf.map_fn(
            lambda one: call(values, statistics, tf.concat([support, one[tf.newaxis]], axis=0))[-1],
            query,
            fn_output_signature=tf.TensorSpec(fields["output_shape"], query.dtype),
        )

    return Servable(
        parameters=weights,
        state=state,
        adapt=adapt,
        outputs=outputs,
        initial_weights=list,
        weight_paths=[variable.path.split("/", 1)[1] for variable in weights],
        weight_shapes=[tuple(variable.shape) for variable in weights],
        adapted=chosen,
        normalization="inductive" if inductive else "transductive",
        needs_support=inductive,
        learner="gradient descent",
        **{"inner_rate": rate, **fields},
    )


def classification_request(support=6, query=4, ways=3, seed=0):
    """A request of random images, with labels in turn."""
    generator = np.random.default_rng(seed)
    return {
        "support_inputs": generator.random((support, *IMAGE_SHAPE), np.float32),
        "support_targets": (np.arange(support) % ways).astype(np.int32),
        "query_inputs": generator.random((query, *IMAGE_SHAPE), np.float32),
    }


def regression_request(support=5, query=7, seed=0):
    """A request of random points of a parabola."""
    generator = np.random.default_rng(seed)
    points = generator.uniform(-1, 1, (support, 1)).astype(np.float32)
    return {
        "support_inputs": points,
        "support_targets": points**2,
        "query_inputs": generator.uniform(-1, 1, (query, 1)).astype(np.float32),
    }
