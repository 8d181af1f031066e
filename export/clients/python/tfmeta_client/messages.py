"""The messages of TensorFlow Serving that a prediction needs, declared here field by field.

Names and field numbers are those of the public API (tensorflow/core/framework/{tensor,types,
tensor_shape}.proto, tensorflow/core/protobuf/meta_graph.proto, tensorflow_serving/apis/{model,
predict,get_model_metadata}.proto); fields that no prediction uses are left out, and protocol
buffers skip those. The packages that bring the whole API bring TensorFlow too. A pool of its own
keeps these apart from TensorFlow's where a program has both.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_FILE = "tfmeta_client.proto"
_PACKAGE = "tfmeta_client"
_SCALARS = {
    name: getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{name.upper()}")
    for name in ("bool", "bytes", "double", "float", "int32", "int64", "string", "uint32", "uint64")
}
# message -> field -> (number, type); "[]" repeated, "{}" a map from strings.
_MESSAGES = {
    "Dimension": {"size": (1, "int64")},
    "TensorShape": {"dim": (2, "[]Dimension"), "unknown_rank": (3, "bool")},
    "Tensor": {
        "dtype": (1, "int32"),
        "tensor_shape": (2, "TensorShape"),
        "tensor_content": (4, "bytes"),
        "float_val": (5, "[]float"),
        "double_val": (6, "[]double"),
        "int_val": (7, "[]int32"),
        "string_val": (8, "[]bytes"),
        "int64_val": (10, "[]int64"),
        "bool_val": (11, "[]bool"),
        "uint32_val": (16, "[]uint32"),
        "uint64_val": (17, "[]uint64"),
    },
    "TensorInfo": {"dtype": (2, "int32"), "tensor_shape": (3, "TensorShape")},
    "Signature": {"inputs": (1, "{}TensorInfo"), "outputs": (2, "{}TensorInfo")},
    "SignatureMap": {"signature_def": (1, "{}Signature")},
    "Any": {"type_url": (1, "string"), "value": (2, "bytes")},
    "Version": {"value": (1, "int64")},
    "ModelSpec": {
        "name": (1, "string"),
        "version": (2, "Version"),
        "signature_name": (3, "string"),
        "version_label": (4, "string"),
    },
    "PredictRequest": {
        "model_spec": (1, "ModelSpec"),
        "inputs": (2, "{}Tensor"),
        "output_filter": (3, "[]string"),
    },
    "PredictResponse": {"outputs": (1, "{}Tensor"), "model_spec": (2, "ModelSpec")},
    "MetadataRequest": {"model_spec": (1, "ModelSpec"), "metadata_field": (2, "[]string")},
    "MetadataResponse": {"model_spec": (1, "ModelSpec"), "metadata": (2, "{}Any")},
}


def _add_field(message, name, number, kind):
    field = message.field.add(name=name, number=number)
    field.label = field.LABEL_REPEATED if kind[:2] in ("[]", "{}") else field.LABEL_OPTIONAL
    if kind.startswith("{}"):
        entry = message.nested_type.add(name="".join(map(str.title, name.split("_"))) + "Entry")
        entry.options.map_entry = True
        _add_field(entry, "key", 1, "string")
        _add_field(entry, "value", 2, kind[2:])
        field.type = field.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{message.name}.{entry.name}"
        return
    kind = kind.removeprefix("[]")
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = field.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{kind}"


def _classes():
    file = descriptor_pb2.FileDescriptorProto(name=_FILE, package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(message, field, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }


_MADE = _classes()
MetadataRequest = _MADE["MetadataRequest"]
MetadataResponse = _MADE["MetadataResponse"]
PredictRequest = _MADE["PredictRequest"]
PredictResponse = _MADE["PredictResponse"]
SignatureMap = _MADE["SignatureMap"]
Tensor = _MADE["Tensor"]
