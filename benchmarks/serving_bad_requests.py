"""Bad requests by the thousand, for `serving_faults`: fuzzed, ragged, huge, wrong."""

import collections
import json
import random
import time

import numpy as np

from benchmarks.serving_process import PREDICT, good_inputs, images

PATIENCE_SECONDS = 300


class BadRequests:
    """Faults in what is asked; each method named "fault_..." gives `{answer: count}`.

    Args:
        server: `ServerProcess`.
        base_path: directory of the model's versions, of which 1 is good.
        scale: factor of the repetitions.

    Attributes:
        server: as given.
        base: as given, `base_path`.
        random: a `random.Random`.
        good: inputs of a good request.
        json: a good request in JSON.
    """

    def __init__(self, server, base_path, scale):
        self.server, self.base, self._scale = server, base_path, scale
        self.random, self._numpy = random.Random(0), np.random.default_rng(0)
        self.good = good_inputs(self._numpy)
        small = good_inputs(self._numpy, 1)
        self._proto = server.request(small).SerializeToString()
        columns = {name: value.tolist() for name, value in small.items()}
        self.json = json.dumps({"inputs": columns}).encode()

    def fault_fuzzed_protos(self):
        return self.count(2000, lambda: self.server.send_bytes(self.mutated(self._proto)))

    def fuzzed_json(self, text):
        return self.server.rest(self.mutated(text))

    def fault_fuzzed_json(self):
        return self.count(1000, lambda: self.fuzzed_json(self.json))

    def fault_fuzzed_short_json(self):
        texts = [b'{"inputs": {"support_inputs": [[1, 2], [3]], "x": {"b64": "AA=="}}}']
        texts += [b'{"signature_name": "predict", "instances": [{"query_inputs": [[[1.0]]]}, 2]}']
        return self.count(2000, lambda: self.fuzzed_json(self.random.choice(texts)))

    def fault_ragged_and_deep_arrays(self):
        def ask():
            rows = [[1.0] * self.random.randint(0, 4) for _ in range(self.random.randint(0, 4))]
            depth = self.random.choice([0, 3, 50, 5000])
            text = "[" * depth + json.dumps(rows) + "]" * depth
            return self.server.rest(
                f'{{"inputs": {{"query_inputs": {text}, "support_inputs": 1}}}}'
            )

        return self.count(300, ask)

    def fault_huge_arrays(self):
        def ask():
            if self.random.random() < 0.5:
                return self.server.rest(b"[" + b"1," * self.random.choice([1_000_000, 20_000_000]))
            size = self.random.choice([1_000_000, 12_000_000])
            inputs = {**self.good, "query_inputs": np.zeros(size, np.float32)}
            return self.server.predict(self.server.request(inputs))

        return self.count(20, ask)

    def fault_small_messages_of_huge_tensors(self):
        def ask():
            request = self.server.request(self.good)
            tensor = request.inputs["query_inputs"]
            tensor.ClearField("tensor_content")
            tensor.float_val.append(1.0)
            tensor.tensor_shape.dim[0].size = 2 ** self.random.randint(20, 62)
            return self.server.predict(request)

        return self.count(300, ask)

    def fault_wrong_ranks_types_and_labels(self):
        good = self.good
        changes = [
            {"support_inputs": good["support_inputs"][0]},
            {"support_inputs": np.float32(1)},
            {"query_inputs": np.zeros((2, 29, 28, 1), np.float32)},
            {"query_inputs": np.array(["text"])},
            {"support_targets": good["support_targets"].astype(np.int64)},
            {"support_targets": good["support_targets"] + 5},
            {"support_targets": good["support_targets"][:-1]},
            {
                "support_inputs": images(2000, self._numpy),
                "support_targets": np.zeros(2000, "int32"),
            },
            {"stranger": np.float32(1)},
        ]
        return self.count(
            600,
            lambda: self.server.predict(
                self.server.request({**good, **self.random.choice(changes)})
            ),
        )

    def fault_numbers_that_are_not_finite(self):
        def ask():
            inputs = {name: value.copy() for name, value in self.good.items()}
            name = self.random.choice(["support_inputs", "query_inputs"])
            value = self.random.choice([np.nan, np.inf, -np.inf])
            inputs[name].reshape(-1)[self.random.randrange(784)] = value
            return self.server.predict(self.server.request(inputs))

        return self.count(300, ask)

    def fault_huge_step_counts(self):
        def ask():
            steps = np.int32(self.random.choice([-1, 1001, 2**31 - 1, -(2**31)]))
            inputs = {**self.good, "inner_steps": steps, "inner_rate_scale": np.float32(1)}
            return self.server.predict(self.server.request(inputs, "adapt_and_predict_with"))

        return self.count(300, ask)

    def fault_long_adaptations_with_short_deadlines(self):
        inputs = {**self.good, "inner_steps": np.int32(1000), "inner_rate_scale": np.float32(0)}
        request = self.server.request(inputs, "adapt_and_predict_with")
        return self.count(20, lambda: self.server.predict(request, timeout=0.3))

    def fault_strange_names_and_paths(self):
        def ask():
            name = "".join(self.random.choices("../%2e\\~$:abc0", k=self.random.randint(1, 40)))
            path = self.random.choice(
                [f"/v1/models/{name}:predict", f"{PREDICT}{name}", f"/v1/{name}"]
            )
            method = self.random.choice(["GET", "POST", "PUT", "DELETE"])
            return self.server.rest(self.json, path, method)

        return self.count(600, ask)

    def good_answer(self):
        """The outcome of a good request, asked again while the server says that it is full."""
        end = time.monotonic() + PATIENCE_SECONDS
        code = "RESOURCE_EXHAUSTED"
        while code == "RESOURCE_EXHAUSTED" and time.monotonic() < end:
            code = self.server.predict(self.server.request(self.good), wait_for_ready=True)
        return code

    def count(self, times, ask):
        """Asks again and again, and counts the answers."""
        return collections.Counter(ask() for _ in range(max(1, round(times * self._scale))))

    def mutated(self, text):
        text = bytearray(text)
        for _ in range(self.random.randint(1, 6)):
            start = self.random.randrange(len(text))
            end = min(len(text), start + self.random.randint(1, 16))
            noise = self.random.randbytes(end - start)
            text[start:end] = self.random.choice([b"\0", noise, bytes(text[start:end]) * 3])
        return bytes(text)
