"""Faults of the server."""

# ruff: noqa: E501 (lines of the library, two in one)

from tests.mutations.fault import Faults

FAULTS = Faults()

KEY, OF_KEY = "tfmeta/serve/api_key.py", "tests/serve/test_security.py"
FAULTS.add(
    "any scheme carries the key",
    KEY,
    'return same and scheme.lower() == "bearer"',
    "return same",
    OF_KEY,
    "-k=scheme",
)
FAULTS.add(
    "the scheme is compared with its case",
    KEY,
    'scheme.lower() == "bearer"',
    'scheme == "Bearer"',
    OF_KEY,
    "-k=scheme",
)
FAULTS.add(
    "a key that begins right is right",
    KEY,
    'same = hmac.compare_digest(given.strip(" ").encode(), key.encode())',
    'same = given.strip(" ").startswith(key)',
    OF_KEY,
    "-k=scheme",
)
FAULTS.add(
    "a key may hold a line's end",
    KEY,
    "if not _SENDABLE.fullmatch(key):",
    "if not _SENDABLE.match(key):",
    OF_KEY,
    "-k=no_client_can_send",
)

ADMISSION, OF_ADMISSION = "tfmeta/serve/models/admission.py", "tests/serve/test_limits.py"
FAULTS.add(
    "a place given up as it comes is lost",
    ADMISSION,
    "if turn.is_set():  # the place came while the wait was given up\n                self._pass_on()",
    "if turn.is_set():\n                pass",
    OF_ADMISSION,
    "-k=place",
)
FAULTS.add(
    "a place is kept after a request that failed",
    ADMISSION,
    "        try:\n            yield\n        finally:\n            self._leave()",
    "        yield\n        self._leave()",
    OF_ADMISSION,
    "-k=place",
)
FAULTS.add(
    "the last who came is served first",
    ADMISSION,
    "self._waiting.popleft().set()",
    "self._waiting.pop().set()",
    OF_ADMISSION,
    "-k=place",
)
FAULTS.add(
    "the queue holds one more than it may",
    ADMISSION,
    "if len(self._waiting) >= self._queued:",
    "if len(self._waiting) > self._queued:",
    OF_ADMISSION,
    "-k=place",
)

VERSIONS, OF_VERSIONS = (
    "tfmeta/serve/models/model_versions.py",
    "tests/serve/models/test_model_versions.py",
)
FAULTS.add(
    "a version asked for by number is the newest",
    VERSIONS,
    "chosen = [each for each in good if number in (None, each.number)]",
    "chosen = good",
    OF_VERSIONS,
    "-k=label",
)
FAULTS.add(
    "without a number the oldest version answers",
    VERSIONS,
    "chosen[-1].users += 1\n            return chosen[-1]",
    "chosen[0].users += 1\n            return chosen[0]",
    OF_VERSIONS,
    "-k=label",
)
FAULTS.add(
    "a label means the newest version that has one",
    "tfmeta/serve/models/model_set.py",
    "        return labels[label]",
    "        return max(labels.values())",
    OF_VERSIONS,
    "-k=label",
)
FAULTS.add(
    "a version in use is closed",
    VERSIONS,
    "            while version.users:\n                self._unused.wait()",
    "            pass",
    OF_VERSIONS,
    "-k=in_progress",
)
FAULTS.add(
    "the oldest versions are served",
    "tfmeta/serve/models/version_directories.py",
    "list(found)[-config.latest :]",
    "list(found)[: config.latest]",
    OF_VERSIONS,
    "-k=policy",
)
FAULTS.add(
    "children that are no integers are versions",
    "tfmeta/serve/models/version_directories.py",
    "if not _INTEGER.fullmatch(name)",
    "if not _INTEGER.match(name)",
    OF_VERSIONS,
    "-k=integers",
)

JSON, OF_JSON = "tfmeta/serve/rest/json_text.py", "tests/serve/rest/test_json_text.py"
FAULTS.add(
    "floats lose their last digits",
    JSON,
    "digits = 9 if values.dtype.itemsize == 4 else 17",
    "digits = 8 if values.dtype.itemsize == 4 else 16",
    OF_JSON,
)
FAULTS.add(
    "bytes leave as text",
    JSON,
    'if name.endswith("_bytes"):',
    'if name.endswith("_byte"):',
    OF_JSON,
)
FAULTS.add(
    "a whole float is written as an integer",
    JSON,
    'special.get(text, f"{text}.0")',
    "special.get(text, text)",
    OF_JSON,
)
READ, OF_READ = "tfmeta/serve/rest/requests.py", "tests/serve/rest/test_requests.py"
FAULTS.add(
    "a number beyond 32 bits wraps",
    READ,
    '"int32": (-(2**31), 2**31 - 1),',
    '"int32": (-(2**31), 2**32 - 1),',
    OF_READ,
)
FAULTS.add(
    "a truth value is a number",
    READ,
    "return kinds <= {int, float}",
    "return kinds <= {int, float, bool}",
    OF_READ,
)
FAULTS.add(
    "rows of several tensors are joined and not stacked",
    READ,
    "{name: np.stack(rows) for name, rows in columns.items()}",
    "{name: np.concatenate([np.atleast_1d(r) for r in rows]) for name, rows in columns.items()}",
    OF_READ,
)
PROTOS, OF_PROTOS = (
    "tfmeta/serve/models/tensor_protos.py",
    "tests/serve/models/test_tensor_protos.py",
)
FAULTS.add(
    "values left out are zero",
    PROTOS,
    "np.repeat(values[-1:], elements - len(values))",
    "np.zeros(elements - len(values), values.dtype)",
    OF_PROTOS,
)
FAULTS.add(
    "a short message may ask for many elements",
    PROTOS,
    "if elements * dtype.itemsize > most_bytes:",
    "if elements > most_bytes:",
    OF_PROTOS,
)
FAULTS.add(
    "a status is another HTTP status",
    "tfmeta/serve/errors.py",
    "Code.DEADLINE_EXCEEDED: 504,",
    "Code.DEADLINE_EXCEEDED: 408,",
    "tests/serve/test_limits.py",
    "-k=rest_requests_have_a_deadline",
)
FAULTS.add(
    "a log's lines of one second count for the next",
    "tfmeta/serve/logs.py",
    "self._second, self._seen = self._seen - self._most, second, 0",
    "self._second, self._seen = self._seen - self._most, second, 1",
    "tests/serve/test_logs.py",
    "-k=share",
)
