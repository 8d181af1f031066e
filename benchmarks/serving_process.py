"""An embedded server as a process, and the clients that the faults of `serving_faults` need."""

import http.client
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

NAME = "glyphs"
PREDICT = f"/v1/models/{NAME}:predict"
_READY = re.compile(r"serving .+: gRPC (\S+), REST http://127.0.0.1:(\d+)")
_NO_ANSWER_SECONDS = 60


class ServerProcess:
    """`python -m tfmeta.serve` on one model; its log goes where nothing can be written.

    Args:
        base_path: of the model.
        flags: more flags.
        program: what the interpreter runs.
        environment: variables beside this process' own.
    """

    def __init__(self, base_path, *flags, program=("-m", "tfmeta.serve"), environment=None):
        self._program, self._environment = program, {**os.environ, **(environment or {})}
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._flags = (f"--model_base_path={base_path}", f"--model_name={NAME}", *flags)
        self.start()
        options = [("grpc.max_receive_message_length", -1)]
        self.channel = grpc.insecure_channel(self.address, options)
        self._predict = prediction_service_pb2_grpc.PredictionServiceStub(self.channel).Predict
        self._status = model_service_pb2_grpc.ModelServiceStub(self.channel).GetModelStatus

    def start(self):
        """Starts the process, on the same gRPC port each time."""
        full = pathlib.Path("/dev/full")
        with open(full if full.exists() else "/dev/null", "w") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, *self._program, f"--port={self._port}"),
                    *("--rest_api_port=0", *self._flags),
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
                text=True,
            )
        self.address, port = _READY.fullmatch(self._process.stdout.readline().strip()).groups()
        self.rest_port = int(port)

    def kill(self):
        """Kills the process without a warning."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._process.stdout.close()

    def stop(self) -> int:
        """Ends the process; gives its exit status."""
        self.channel.close()
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(timeout=90)
        self._process.stdout.close()
        return code

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    @property
    def resident_mib(self) -> float:
        """Resident memory."""
        text = pathlib.Path(f"/proc/{self._process.pid}/status").read_text()
        return round(int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024, 1)

    @property
    def processor_seconds(self) -> float:
        """Processor time that the process has used."""
        fields = pathlib.Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1]
        return sum(map(int, fields.split()[11:13])) / os.sysconf("SC_CLK_TCK")

    def request(self, inputs, signature=""):
        """A PredictRequest of arrays."""
        request = predict_pb2.PredictRequest()
        request.model_spec.name = NAME
        request.model_spec.signature_name = signature
        for key, value in inputs.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
        return request

    def predict(self, request, timeout=_NO_ANSWER_SECONDS, **options):
        """The code of a gRPC predict call, "OK" or another."""
        return self.code_of(self._predict.future(request, timeout=timeout, **options))

    def send(self, request, timeout=_NO_ANSWER_SECONDS):
        """A gRPC predict call under way."""
        return self._predict.future(request, timeout=timeout)

    def ask(self, request, timeout=_NO_ANSWER_SECONDS):
        """The answer to a gRPC predict call, waited for as a client with one request does."""
        return self._predict(request, timeout=timeout)

    def send_bytes(self, message):
        """The code of a gRPC predict call of any bytes."""
        call = self.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        return self.code_of(call.future(message, timeout=_NO_ANSWER_SECONDS))

    @staticmethod
    def code_of(call) -> str:
        """The code of a call, once it has ended."""
        return call.code().name

    def states(self) -> dict:
        """`{version: (state, error message)}`."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = NAME
        name = get_model_status_pb2.ModelVersionStatus.State.Name
        return {
            each.version: (name(each.state), each.status.error_message)
            for each in self._status(request, timeout=30).model_version_status
        }

    def rest(self, body, path=PREDICT, method="POST") -> str:
        """The HTTP status of a call, with its words where those are not TF Serving's JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=60)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        if response.status == 200 or b'"error"' in text:
            return f"{response.status}"
        return f"{response.status} {text.decode()[:40]}".strip()

    def connect(self, receive_buffer=None):
        """A bare connection to the REST port."""
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", self.rest_port))
        return connection


def images(examples, generator):
    """Examples of the model's shape."""
    return generator.random((examples, 28, 28, 1), np.float32)


def good_inputs(generator, queries=5):
    """A request of five ways, one shot."""
    return {
        "support_inputs": images(5, generator),
        "support_targets": np.arange(5, dtype=np.int32),
        "query_inputs": images(queries, generator),
    }
