"""Networks as LiteRT files: the interpreter answers as the learner does."""

import keras
import numpy as np
import pytest

import tfmeta
from tfmeta.saved_model.litert.agreement import interpreter_of

WAYS = 3
# fmt: off
ACTIVATIONS = (
    "celu", "elu", "exponential", "gelu", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu",
    "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus",
    "softsign", "squareplus", "tanh", "tanh_shrink",
)
# fmt: on


def compiled(network, loss=None, **options):
    learner = tfmeta.MAML(network, inner_steps=2, **{"inner_rate": 0.1, **options})
    loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    learner.compile(optimizer=keras.optimizers.Adam(1e-3), loss=loss)
    return learner


def batch(shape, support=2, query=4, tasks=2):
    """Tasks whose classes differ in the mean of their inputs."""
    random = np.random.default_rng(0)
    labels = np.tile(np.arange(WAYS), (tasks, support)).astype("int32")
    queries = random.integers(0, WAYS, (tasks, query)).astype("int32")

    def inputs(labels):
        noise = random.uniform(0, 1, (*labels.shape, *shape))
        return (noise + labels.reshape(*labels.shape, *[1] * len(shape)) / 2).astype("float32")

    return (inputs(labels), labels, inputs(queries)), queries


def compared(learner, tasks, folder, atol=1e-4):
    """The interpreter's logits beside those of `learner.adapt`; refused files raise before."""
    version = learner.export(folder, format="litert", tasks=tasks)
    with open(f"{version}/model.tflite", "rb") as file:
        run = interpreter_of(file.read()).get_signature_runner("adapt_and_predict")
    (support_x, support_y, query_x), _ = tasks
    for i in range(len(query_x)):
        answer = run(
            support_inputs=support_x[i], support_targets=support_y[i], query_inputs=query_x[i]
        )
        expected = learner.adapt(support_x[i], support_y[i])(query_x[i]).numpy()
        largest = np.abs(expected).max()
        assert np.abs(answer["logits"] - expected).max() <= atol * largest
    return tfmeta.saved_model.read_description(version)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        pytest.param((28, 28, 1), {"filters": 16}, marks=pytest.mark.product),
        pytest.param(
            (30, 30, 3),
            {"filters": 8, "downsampling": "max_pool", "head": "flatten"},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_conv4_on_trained_weights(shape, options, tmp_path):
    keras.utils.set_random_seed(0)
    network = tfmeta.networks.conv4(ways=WAYS, image_shape=shape, **options)
    learner = compiled(network, inner_rate=0.4)
    tasks = batch(shape)
    learner.fit(*tasks, epochs=10, batch_size=2, verbose=0)
    description = compared(learner, tasks, tmp_path)
    assert description["agreement"]["adapt_and_predict"]["logits"]["float64_distance"] > 0


@pytest.mark.slow
def test_a_frozen_backbone_with_a_head(tmp_path):
    keras.utils.set_random_seed(0)
    backbone = keras.applications.MobileNetV3Small(
        input_shape=(32, 32, 3),
        weights=None,
        include_top=False,
        pooling="avg",
        alpha=0.5,
        include_preprocessing=False,
        minimalistic=True,
    )
    # As made, a backbone's features are near 1e-9: its averages are those of the data here.
    tasks = batch((32, 32, 3))
    images = np.concatenate([tasks[0][0][0], tasks[0][2][0]])
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    backbone(images, training=True)
    backbone.trainable = False
    inputs = keras.Input((32, 32, 3))
    network = keras.Model(inputs, keras.layers.Dense(WAYS, name="head")(backbone(inputs)))
    assert np.abs(backbone(images)).max() > 0.1
    learner = compiled(network, adapted=["head/*"], normalization="running")
    description = compared(learner, tasks, tmp_path)
    assert {row["path"] for row in description["adapted_weights"]["layout"]} == {
        "head/kernel",
        "head/bias",
    }


@pytest.mark.slow
def test_every_activation_of_a_dense_network(tmp_path):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    hidden = [keras.layers.Dense(4, activation=name)(inputs) for name in ACTIVATIONS]
    joined = keras.layers.LayerNormalization()(keras.layers.Concatenate()(hidden))
    network = keras.Model(inputs, keras.layers.Dense(WAYS)(joined))
    compared(compiled(network, first_order=True), batch((4,)), tmp_path)


@pytest.mark.slow
def test_layers_for_images(tmp_path):
    layers = keras.layers
    keras.utils.set_random_seed(0)
    inputs = keras.Input((9, 8, 2))
    branches = [
        layers.Conv2D(3, 3, strides=2, padding="same", activation="tanh"),
        layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="tanh"),
        layers.SeparableConv2D(3, (3, 2), strides=(2, 2), activation="tanh"),
        layers.Conv2DTranspose(2, 3, strides=2, activation="tanh"),
    ]
    pools = [
        layers.MaxPooling2D(3, strides=2, padding="same"),
        layers.AveragePooling2D(3, strides=2, padding="same"),
        layers.UpSampling2D(2),
        layers.UpSampling2D(2, interpolation="bilinear"),
    ]
    outputs = []
    for branch, pool in zip(branches, pools, strict=True):
        x = pool(layers.Conv2D(2, 2, padding="same")(branch(inputs)))
        outputs.append(layers.Flatten()(x))
    joined = layers.Concatenate()(outputs)
    network = keras.Model(inputs, layers.Dense(WAYS)(joined))
    compared(compiled(network, first_order=True, inner_rate=0.01), batch((9, 8, 2)), tmp_path)


@pytest.mark.slow
def test_series_and_inductive_normalization(tmp_path):
    layers = keras.layers
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((12, 2)),
            layers.Conv1D(4, 3, padding="causal"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling1D(2),
            layers.Flatten(),
            layers.Dense(WAYS, activation="softmax"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy()
    learner = compiled(network, loss=loss, normalization="inductive")
    tasks = batch((12, 2))
    version = learner.export(tmp_path, format="litert", tasks=tasks)
    with open(f"{version}/model.tflite", "rb") as file:
        interpreter = interpreter_of(file.read())
    signatures = interpreter.get_signature_list()
    assert "support_inputs" in signatures["predict_adapted"]["inputs"]
    (support_x, support_y, query_x), _ = tasks
    answer = interpreter.get_signature_runner("adapt_and_predict")(
        support_inputs=support_x[0], support_targets=support_y[0], query_inputs=query_x[0]
    )
    expected = learner.adapt(support_x[0], support_y[0])(query_x[0]).numpy()
    np.testing.assert_allclose(answer["predictions"], expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda network: tfmeta.R2D2(network), "Matrix"),
        (lambda network: tfmeta.MAML(network, inner_rate=0.1, dropout=True), "StatelessRandom"),
    ],
)
def test_what_a_phone_lacks_is_refused(make, named, tmp_path):
    layers = keras.layers
    network = keras.Sequential(
        [keras.Input((4,)), layers.Dense(8), layers.Dropout(0.5), layers.Dense(WAYS, name="head")]
    )
    learner = make(network)
    learner.compile(
        optimizer="adam", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    with pytest.raises(ValueError, match=f"builtin operations.*{named}"):
        learner.export(tmp_path, format="litert", tasks=batch((4,)))
    assert not list(tmp_path.iterdir())
