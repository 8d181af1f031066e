"""T-net (Lee and Choi 2018): every layer's output is warped by a matrix that does not adapt."""

import keras

_WARPED = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


def t_net(network: keras.Model, *, name: str | None = None) -> keras.Model:
    """Builds a copy of a network with a matrix T behind each dense or convolution layer.

    y = f(T (W x + b)), with T a square matrix over the units (over the channels of each position:
    a 1 x 1 convolution), before the layer's activation or normalisation, as the authors' code has
    it; the head has one too. T begins as the identity and weights as the network's, so the copy
    begins as the same function.

    A T-net is MAML with the matrices left out of adaptation, so that they warp the metric of the
    others' descent: a step of rate a on W moves T W by a T T' times the gradient.

    Example:
        >>> import tfmeta
        >>> network = tfmeta.networks.t_net(tfmeta.networks.mlp(hidden=(40, 40)))
        >>> learner = tfmeta.MAML(network, inner_rate=0.01, adapted="!*_warp/*")
        >>> learner.adapted_paths[:2]
        ['hidden_1/kernel', 'hidden_1/bias']

    Args:
        network: a functional or sequential `keras.Model`.
        name: of the copy; None: the network's, with "t_net_" in front.

    Returns:
        A functional `keras.Model` with layers "<layer>_warp" beside those of the network.

    Raises:
        ValueError: if the network is subclassed, or has no layer to warp.
    """
    if not getattr(network, "inputs", None):
        raise ValueError(
            "A T-net is built along the layers of a functional or sequential model. "
            f"Received: {type(network).__name__}. In a subclassed model put a bias-free Dense "
            'layer, kernel_initializer="identity", behind each layer yourself.'
        )
    if isinstance(network, keras.Sequential):
        network = keras.Model(network.inputs[0], network.outputs[0], name=network.name)
    warped = {
        layer.name: layer.activation for layer in network.layers if isinstance(layer, _WARPED)
    }
    if not warped:
        raise ValueError(
            "A T-net needs a dense or convolution layer. Received: "
            f"{network.name!r} with {', '.join(layer.name for layer in network.layers)}."
        )

    def linear(layer):
        config = layer.get_config()
        return layer.from_config({**config, "activation": None} if layer.name in warped else config)

    def call(layer, *args, **kwargs):
        outputs = layer(*args, **kwargs)
        return _warped(layer, warped[layer.name], outputs) if layer.name in warped else outputs

    copy = keras.models.clone_model(network, clone_function=linear, call_function=call)
    # Inputs of a sequential model may have another name in the copy.
    for layer in (layer for layer in network.layers if layer.weights):
        copy.get_layer(layer.name).set_weights(layer.get_weights())
    copy.name = name or f"t_net_{network.name}"
    return copy


def _warped(layer, activation, outputs):
    options = {"dtype": layer.dtype_policy}
    matrix = keras.layers.Dense(
        outputs.shape[-1],
        use_bias=False,
        kernel_initializer="identity",
        name=f"{layer.name}_warp",
        **options,
    )
    outputs = matrix(outputs)
    if activation is keras.activations.linear:
        return outputs
    return keras.layers.Activation(activation, name=f"{layer.name}_activation", **options)(outputs)
