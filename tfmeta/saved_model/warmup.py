"""Warmup records: requests that TensorFlow Serving replays before it calls a version available.

One record that fails makes it refuse the whole version, so only requests that were answered by
the finished model, loaded from disk, are written. Their numbers are all equal where the model
answers that, since a message holds such a tensor as one number.
"""

import pathlib
import warnings

import numpy as np
import tensorflow as tf
from tensorflow.python.saved_model.loader_impl import SavedModelLoader  # without a deprecation log

from tfmeta.saved_model.guards import broken_rule

SERVING_DEFAULT = "serving_default"
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
MOST_RECORDS = 1000  # TensorFlow Serving refuses a version with more


def usual_sizes(servable) -> list:
    """The (S, Q) pairs to warm up: the servable's, else one example and one query a class."""
    few = servable.ways if servable.kind == "classification" else 10
    sizes = [tuple(int(size) for size in pair) for pair in servable.usual_sizes]
    return sizes or [(max(few, 1), max(few, 1))]


def write_warmup(path, servable, signatures, sizes):
    """Writes the warmup file of the SavedModel in `path`, each record run against it first.

    Args:
        path: directory of the finished SavedModel.
        servable: its `Servable`.
        signatures: its `Signatures`.
        sizes: (S, Q) pairs.
    """
    if len(sizes) * (len(signatures.functions) + 1) > MOST_RECORDS:
        raise ValueError(
            f"At most {MOST_RECORDS} warmup records are allowed, one a signature and size. "
            f"Received: {len(sizes)} sizes. Give those that most requests have."
        )
    write_answered(
        path,
        lambda run: _answered(run, servable, signatures, sizes),
        default=signatures.serving_default,
    )


def write_answered(path, answered, *, default):
    """Writes the warmup file of the SavedModel in `path`.

    Args:
        path: directory of the finished SavedModel.
        default: name of the signature that `serving_default` stands for; its requests get a second
            record under that name, since a server may tell the two apart.
        answered: function of `run(signature, request) -> answer`, which is the model's, to the
            (signature, request) pairs that it answered.
    """
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    target = pathlib.Path(path) / WARMUP_FILE
    target.parent.mkdir(exist_ok=True)
    model = _Session(path)
    with model, tf.io.TFRecordWriter(str(target)) as writer:
        for signature, request in answered(model.run):
            predict = predict_pb2.PredictRequest()
            for name, value in request.items():
                predict.inputs[name].CopyFrom(_message(value))
            names = [signature]
            if signature == default:
                model.run(SERVING_DEFAULT, request)
                names.append(SERVING_DEFAULT)
            for name in names:
                predict.model_spec.signature_name = name
                log = prediction_log_pb2.PredictionLog(
                    predict_log=prediction_log_pb2.PredictLog(request=predict)
                )
                writer.write(log.SerializeToString())


def _message(value):
    """The `TensorProto` of an array; of one number where all are equal, which fills its shape."""
    value = np.asarray(value)
    if value.dtype.kind in "biuf" and value.size > 1 and np.all(value == value.flat[0]):
        return tf.make_tensor_proto(value.flat[0], dtype=value.dtype, shape=value.shape)
    return tf.make_tensor_proto(value)


def _answered(run, servable, signatures, sizes):
    """(signature, request) pairs that the model answered."""
    for size in dict.fromkeys(sizes):
        zeros = np.zeros(signatures.input_shapes["predict_adapted"]["adapted_weights"], "float32")
        vector = zeros
        for signature in signatures.functions:
            request = None
            for fill, weights in ((_halves, zeros), (_noise, vector), (np.zeros, vector)):
                examples = _examples(servable, signatures, signature, size, fill, weights)
                try:
                    answer = run(signature, examples)
                except tf.errors.InvalidArgumentError as error:
                    reason = broken_rule(error.message)
                    continue
                request = examples
                break
            if request is None:
                warnings.warn(
                    f"No warmup record for {signature} with {size[0]} support and {size[1]} query "
                    f"examples: the model answered halves, noise and zeros with: {reason}",
                    stacklevel=2,
                )
                continue
            vector = answer.get("adapted_weights", vector)
            yield signature, request


def _halves(shape):
    return np.full(shape, 0.5)


def _noise(shape):
    return np.random.default_rng(0).uniform(size=shape)


def _examples(servable, signatures, signature, size, fill, vector):
    """A request of the numbers that `fill` gives for a shape, labels in turn."""
    support, query = size
    request = {}
    for name, shape in signatures.input_shapes[signature].items():
        dtype = signatures.functions[signature].structured_input_signature[1][name].dtype
        free = {"support": support, "query": query}.get(name.split("_")[0])
        tasks = shape[:1] if signature.endswith("_tasks") else ()
        rest = [1 if axis is None else axis for axis in shape[len(tasks) + 1 :]]
        full = (*(1 for _ in tasks), free, *rest)
        if name == "support_targets":
            request[name] = _targets(servable, support, full)
        elif name == "adapted_weights":
            request[name] = vector
        elif name == "weights_fingerprint":
            request[name] = np.array(signatures.fingerprint, np.int64)
        elif name == "inner_steps":
            request[name] = np.array(servable.inner_steps, np.int32)
        elif name == "seed":
            request[name] = np.zeros(shape, np.int32)
        elif name == "inner_rate_scale":
            request[name] = np.array(1.0, np.float32)
        else:
            request[name] = fill(full).astype(str if dtype == tf.string else dtype.as_numpy_dtype)
    return request


def _targets(servable, support, shape):
    if servable.target == "regression":
        return np.zeros(shape, np.float32)
    labels = np.arange(support) % servable.ways
    if servable.target == "sparse":
        flat = labels.reshape((support,) + (1,) * len(servable.target_shape))
        return np.broadcast_to(flat, shape).astype(np.int32)
    hot = np.eye(servable.ways, dtype=np.float32)[labels]
    flat = hot.reshape((support,) + (1,) * (len(servable.target_shape) - 1) + (servable.ways,))
    return np.array(np.broadcast_to(flat, shape))


class _Session:
    """The finished model in a session, as a server loads it, but without graph optimisation.

    Each signature runs once or twice here. To optimise its graph takes longer than these runs.
    """

    def __init__(self, path):
        self._graph = tf.Graph()
        config = tf.compat.v1.ConfigProto()
        config.graph_options.place_pruned_graph = True  # a run prepares its own signature only
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        config.graph_options.optimizer_options.opt_level = tf.compat.v1.OptimizerOptions.L0
        self._session = tf.compat.v1.Session(graph=self._graph, config=config)
        loader = SavedModelLoader(str(path))
        _set_config(loader.get_meta_graph_def_from_tags(["serve"]).graph_def, config)
        with self._graph.as_default():
            meta = loader.load(self._session, ["serve"])
        self._signatures = meta.signature_def

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._session.close()

    def run(self, signature, request):
        definition = self._signatures[signature]
        return self._session.run(
            {name: info.name for name, info in definition.outputs.items()},
            {definition.inputs[name].name: value for name, value in request.items()},
        )


def _set_config(graph_def, config):
    """Gives calls of functions a configuration, in place of the one of the process that saved."""
    text = config.SerializeToString()
    for nodes in (graph_def.node, *(each.node_def for each in graph_def.library.function)):
        for node in nodes:
            if "config_proto" in node.attr:
                node.attr["config_proto"].s = text
