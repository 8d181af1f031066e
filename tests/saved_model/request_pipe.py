"""Requests to a model that lives in another process, over its standard input and output.

A message is 8 bytes of length and an `.npz`. The child is one of the `serve_with_*` programs
beside this file; it imports neither tfmeta nor, for the C API, tensorflow.
"""

import dataclasses
import io
import json
import os
import pathlib
import struct
import subprocess
import sys

import numpy as np

SIGNATURE, CODE, MESSAGE = "__signature__", "__code__", "__message__"
MODULES = "__modules__"
OK, INVALID_ARGUMENT = 0, 3
STEPS = {"inner_steps": np.array(5, np.int32), "inner_rate_scale": np.array(0.5, np.float32)}


class RequestError(Exception):
    """What a child's `run` raises: TensorFlow's code and message."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


@dataclasses.dataclass
class Answer:
    """What came back: TensorFlow's code, its message, and the outputs where the code is 0."""

    code: int
    message: str
    outputs: dict

    def __getitem__(self, name):
        assert self.code == OK, self.message
        return self.outputs[name]


class ModelProcess:
    """A program beside this file that has loaded an export and answers requests.

    Args:
        program: its file name without ".py".
        export: version directory.
        names: `{signature: {"inputs": {name: tensor}, "outputs": {name: tensor}}}`.
        arguments: more arguments of the program.
        python: the interpreter that runs it.
    """

    def __init__(self, program, export, names, *arguments, python=sys.executable):
        script = pathlib.Path(__file__).with_name(f"{program}.py")
        self._process = subprocess.Popen(
            [python, str(script), str(export), json.dumps(names), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=script.parent,
        )

    def __call__(self, signature, request) -> Answer:
        """Asks a signature with a dict of arrays."""
        write(self._process.stdin, {SIGNATURE: np.array(signature), **request})
        answer = read(self._process.stdout)
        assert answer is not None, f"the process ended with {self._process.wait()}"
        code, message = int(answer.pop(CODE)), str(answer.pop(MESSAGE))
        return Answer(code, message, answer)

    def imported(self) -> set:
        """Top-level modules that the process has imported."""
        return set(self(MODULES, {}).outputs["modules"].tolist())

    def close(self):
        """Ends the process; its exit status must be 0."""
        self._process.stdin.close()
        assert self._process.wait(timeout=60) == 0


def serve(run):
    """A child's loop: answers each request by `run(signature, inputs) -> outputs`."""
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the messages
    while (request := read(sys.stdin.buffer)) is not None:
        signature = str(request.pop(SIGNATURE))
        answer = {CODE: np.array(OK), MESSAGE: np.array("")}
        try:
            if signature == MODULES:
                answer["modules"] = np.array(sorted({name.split(".")[0] for name in sys.modules}))
            else:
                answer.update(run(signature, request))
        except RequestError as error:
            answer = {CODE: np.array(error.code), MESSAGE: np.array(str(error))}
        write(pipe, answer)


def write(pipe, arrays):
    """Writes one message."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    pipe.write(struct.pack("<Q", buffer.tell()) + buffer.getvalue())
    pipe.flush()


def read(pipe):
    """Reads one message, or None at the end."""
    header = pipe.read(8)
    if len(header) < 8:
        return None
    with np.load(io.BytesIO(pipe.read(*struct.unpack("<Q", header)))) as arrays:
        return dict(arrays)


def requests_of_all(model: ModelProcess, request: dict) -> dict:
    """`{signature: inputs}`: the task of an `adapt_and_predict` request put to each signature."""
    support = {name: value for name, value in request.items() if name.startswith("support_")}
    query = {name: value for name, value in request.items() if name.startswith("query_")}
    adapted = model("adapt", support)
    vector = {name: adapted[name] for name in ("adapted_weights", "weights_fingerprint")}
    return {
        "serving_default": request,
        "adapt_and_predict": request,
        "adapt_and_predict_with": {**request, **STEPS},
        "adapt_and_predict_tasks": {name: value[np.newaxis] for name, value in request.items()},
        "adapt": support,
        "predict_adapted": {**vector, **query},
        "predict": query,
    }
