"""Golden transcripts of requests in JSON.

Each cites where TF Serving's behaviour is written down: a line of its repository
(tensorflow/serving at 9d981c5), `test` standing for `util/json_tensor_test.cc` and `source` for
`util/json_tensor.cc`; `reader` is RapidJSON's `reader.h` at v1.1.0, which it is built with.
"""

import types

import numpy as np
import pytest
from tensorflow.core.framework import types_pb2

from tfmeta.serve.errors import Code, ServingError
from tfmeta.serve.rest import json_nesting
from tfmeta.serve.rest.requests import predict_request

INT32, FLOAT, DOUBLE = types_pb2.DT_INT32, types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE
STRING, INT64, HALF, BOOL = (
    types_pb2.DT_STRING,
    types_pb2.DT_INT64,
    types_pb2.DT_HALF,
    types_pb2.DT_BOOL,
)
MIXED = {"int_tensor": INT32, "str_tensor": STRING}
NAN, INFINITY = float("nan"), float("inf")
LONE_AND_PAIR = b"\xed\xb2\x80" + "\N{GRINNING FACE}".encode()
LARGEST = "1.7976931348623157e308"


def ask(body, inputs):
    """(arrays, whether by rows) of a request for a signature of these inputs."""
    body = body if isinstance(body, bytes) else body.encode()
    signature = types.SimpleNamespace(inputs=dict(sorted(inputs.items())))
    _, arrays, rows = predict_request(body, lambda _: signature)
    return arrays, rows


ACCEPTED = [
    # (source, request, inputs, arrays as lists, whether by rows)
    ("test:58", '{"instances": [[1,2],[3,4],[5,6]]}', {"d": INT32}, [[1, 2], [3, 4], [5, 6]], True),
    (
        "test:121",
        '{"instances": [1, 2.0, 3, 4, 5.003, 0.007, 0.0]}',
        {"d": FLOAT},
        np.float32([1, 2, 3, 4, 5.003, 0.007, 0]).tolist(),
        True,
    ),
    ("test:149", '{"instances": [1.0, 2, 0.662]}', {"d": DOUBLE}, [1.0, 2.0, 0.662], True),
    ("test:183", '{"instances": [1435774380]}', {"d": FLOAT}, [1435774336.0], True),
    ("test:183", '{"instances": [1435774380.0]}', {"d": FLOAT}, [1435774336.0], True),
    ("test:224", f'{{"instances": [{LARGEST}]}}', {"d": FLOAT}, [INFINITY], True),
    ("test:224", f'{{"instances": [-{LARGEST}]}}', {"d": FLOAT}, [-INFINITY], True),
    ("test:261", '{"instances": [2.2250738585072014e-308]}', {"d": FLOAT}, [0.0], True),
    ("test:326", '{"instances": [[1,2]]}X', {"d": INT32}, [[1, 2]], True),
    (
        "test:357",
        '{"instances": [{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}]}',
        {"d": STRING},
        [b"hello", b"world"],
        True,
    ),
    (
        "test:382",
        '{"instances": [[{"b64": "aGVsbG8="}], [{"b64": "d29ybGQ="}]]}',
        {"d": STRING},
        [[b"hello"], [b"world"]],
        True,
    ),
    (
        "test:408",
        '{"instances": [{"d": [[{"b64": "aGVsbG8="}], [{"b64": "d29ybGQ="}]]}]}',
        {"d": STRING},
        [[[b"hello"], [b"world"]]],
        True,
    ),
    ("test:529", '{"inputs": {"d": [[[1,2],[3,4]]]}}', {"d": INT32}, [[[1, 2], [3, 4]]], False),
    ("test:565", '{"inputs": [[[1,2],[3,4]]]}', {"d": INT32}, [[[1, 2], [3, 4]]], False),
    ("test:607", '{"inputs": {"b64": "aGVsbG8="}}', {"d": STRING}, b"hello", False),
    # RapidJSON's FindMember gives the first of one name.
    ("source:633", '{"inputs": {"d": 1, "d": 2}}', {"d": INT64}, 1, False),
    ("source:675", '{"inputs": [1], "inputs": [2]}', {"d": INT64}, [1], False),
    ("source:350", '{"inputs": 7}', {"d": INT64}, 7, False),
    ("source:349", '{"inputs": [[], []]}', {"d": FLOAT}, [[], []], False),
    ("source:483", '{"inputs": [NaN, Infinity, -Infinity]}', {"d": FLOAT}, None, False),
    ("reader:1189", '{"inputs": [-NaN, Inf, -Inf]}', {"d": FLOAT}, None, False),
    ("reader:1314", '{"inputs": [0.0001e312, 2e308]}', {"d": DOUBLE}, [1e308, INFINITY], False),
    ("reader:1303", '{"inputs": [1e-400, 1e-99999999999]}', {"d": DOUBLE}, [0.0, 0.0], False),
    ("reader:857", '{"inputs": "1e400 -NaN Inf"}', {"d": STRING}, b"1e400 -NaN Inf", False),
    ("reader:880", '{"inputs": "\\udc80\\ud83d\\ude00"}', {"d": STRING}, LONE_AND_PAIR, False),
    ("reader:898", b'{"inputs": "\xff\xc3\xa9"}', {"d": STRING}, b"\xff\xc3\xa9", False),
    ("reader:502", b'{"inputs": 1} 1e400 "\\ud800"', {"d": INT64}, 1, False),
    ("source:316", '{"inputs": 9223372036854775807}', {"d": INT64}, 2**63 - 1, False),
    ("source:321", '{"inputs": [true, false]}', {"d": BOOL}, [True, False], False),
]


@pytest.mark.parametrize(
    ("source", "body", "inputs", "expected", "rows"), ACCEPTED, ids=[each[0] for each in ACCEPTED]
)
def test_a_request_becomes_the_tensor_that_tf_serving_makes_of_it(
    source, body, inputs, expected, rows
):
    arrays, by_rows = ask(body, inputs)
    assert by_rows == rows
    if expected is None:
        np.testing.assert_array_equal(arrays["d"], np.float32([NAN, INFINITY, -INFINITY]))
    else:
        assert arrays["d"].tolist() == expected


def test_rows_of_several_tensors_are_stacked():  # test:439
    body = """{"instances": [
        {"i": [[1,2],[3,4],[5,6]], "s": ["foo", "bar"], "f": [1.0, NaN], "d": [NaN]},
        {"i": [[7,8],[9,0],[1,2]], "s": ["baz", "bat"], "f": [2.0, Infinity], "d": [2.0]}]}"""
    arrays, _ = ask(body, {"i": INT32, "s": STRING, "f": FLOAT, "d": DOUBLE})
    assert arrays["i"].tolist() == [[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 0], [1, 2]]]
    assert arrays["s"].tolist() == [[b"foo", b"bar"], [b"baz", b"bat"]]
    np.testing.assert_array_equal(arrays["f"], np.float32([[1, NAN], [2, INFINITY]]))
    np.testing.assert_array_equal(arrays["d"], [[NAN], [2.0]])


@pytest.mark.parametrize("levels", [999, 1001, 10_000])
def test_lists_may_be_nested_at_any_depth(levels):  # test:75, 92
    nested = "[" * levels + "]" * levels
    for body in (f'{{"instances": [1], "nested": {nested}}}', f'{{"a": {nested}, "inputs": [1]}}'):
        assert ask(body, {"d": INT32})[0]["d"].tolist() == [1]
    with pytest.raises(ServingError, match="key must be a string value"):
        ask(f'{{"signature_name": {nested}}}', {"d": INT32})
    objects = '{"x": [1, {}, {"y": ' * (levels // 9) + "-2.5e1" + "}, 3]}" * (levels // 9)
    assert ask(f'{{"a": {objects}, "inputs": 7, "inputs": 8}}', {"d": INT32})[0]["d"] == 7
    for mistake, words in (
        ("[1,]", "Invalid value."),
        ("[1 2]", "Missing a comma or ']' after an array element."),
        ('{"x" 1}', "Missing a colon after a name of object member."),
        ("{1}", "Missing a name for object member."),
        ("1e400", BIG),
    ):
        body = f'{{"a": {"[" * levels}{mistake}'
        with pytest.raises(ServingError) as caught:
            ask(body, {"d": INT32})
        assert caught.value.message.startswith(f"JSON Parse error: {words} at offset: ")
        assert int(caught.value.message.split()[-1]) >= levels + 6


def test_levels_have_a_limit(monkeypatch):
    # Python's own parser goes down to 1,000 levels, from 3.13 on to less than 10,000.
    monkeypatch.setattr(json_nesting, "MOST_LEVELS", 20_000)
    with pytest.raises(ServingError, match="Terminate parsing due to nesting"):
        ask('{"inputs": ' + "[" * 30_000, {"d": INT32})


def test_names_that_the_signature_lacks_are_ignored_in_columns():  # source:631
    arrays, _ = ask('{"inputs": {"d": [1], "stranger": "x"}}', {"d": INT32})
    assert list(arrays) == ["d"]


BIG = "Number too big to be stored in double."
HEX = "Incorrect hex digit after \\u escape in string."
PAIR = "The surrogate pair in string is invalid."
REFUSED = [
    # (source, request, inputs, message or its start)
    ("source:475", "", {"d": INT32}, "JSON Parse error: The document is empty"),
    (
        "test of http_rest_api_handler:298",
        "instances = [1, 2]",
        {"d": FLOAT},
        "JSON Parse error: Invalid value. at offset: 0",
    ),
    (
        "source:487",
        '{"inputs": [1, 2}',
        {"d": FLOAT},
        "JSON Parse error: Missing a comma or ']' after an array element. at offset: 16",
    ),
    (
        "source:487",
        '{"inputs": [1, 2]',
        {"d": FLOAT},
        "JSON Parse error: Missing a comma or '}' after an object member. at offset: 17",
    ),
    (
        "source:487",
        '{"inputs": "x',
        {"d": STRING},
        "JSON Parse error: Missing a closing quotation mark in string. at offset: 13",
    ),
    ("source:498", "[1, 2]", {"d": FLOAT}, "JSON Value: [1, 2] Is not object"),
    *(
        (source, body, {"d": FLOAT}, f"JSON Parse error: {words} at offset: {offset}")
        for source, body, words, offset in (
            ("reader:1318", '{"inputs": [1e400]}', BIG, 12),
            ("reader:1318", '{"inputs": ["e309", 1, -1.5E+0400]}', BIG, 23),
            ("reader:1318", '{"ignored": 1e309, "inputs": [1]}', BIG, 12),
            ("reader:1235", f'{{"inputs": [{"9" * 310}]}}', BIG, 12),
            ("reader:1235", f'{{"inputs": [1, {"9" * 5000}]}}', BIG, 15),
            ("reader:1247", '{"inputs": [1.]}', "Miss fraction part in number.", 14),
            ("reader:1323", '{"inputs": [1e]}', "Miss exponent in number.", 14),
            ("reader:1323", '{"inputs": [Inf, 2.5e-]}', "Miss exponent in number.", 22),
            ("reader:1202", '{"inputs": [-]}', "Invalid value.", 13),
            ("reader:714", '{"inputs": [nul]}', "Invalid value.", 15),
            ("reader:1752", '{"inputs": [1,]}', "Invalid value.", 14),
            ("reader:1722", '{"inputs": 1,}', "Missing a name for object member.", 13),
            ("reader:1812", '{"inputs" [1]}', "Missing a colon after a name of object member.", 10),
            ("reader:884", '{"inputs": "\\q"}', "Invalid escape character in string.", 12),
            ("reader:895", '{"inputs": "\n"}', "Invalid escape character in string.", 12),
            ("reader:768", '{"inputs": "\\u12g4"}', HEX, 12),
            ("reader:874", '{"inputs": "\\ud800"}', PAIR, 12),
            ("reader:874", '{"a": "\u00e9\\ud800", "b": 1e400}', PAIR, 9),
            ("reader:1808", " ", "The document is empty.", 1),
        )
    ),
    (
        "source:280, test:654",
        '{"signature_name": 5, "instances": [[1,2]]}',
        {"d": INT32},
        'JSON Value: {\n    "signature_name": 5,\n    "instances": [[1, 2]]\n} not formatted '
        "correctly. 'signature_name' key must be a string value.",
    ),
    ("source:668", '{"inputs": [1]}', {}, "Failed to get input map for signature: DEFAULT"),
    (
        "source:679, test:663",
        '{"instances": [1], "inputs": [1]}',
        {"d": INT32},
        'JSON Value: {\n    "instances": [1],\n    "inputs": [1]\n} Not formatted correctly '
        "expecting only one of 'inputs' or 'instances' keys to exist ",
    ),
    (
        "source:684",
        '{"instances": 1}',
        {"d": INT32},
        "JSON Value: {\n    \"instances\": 1\n} Expecting 'instances' to be an list/array",
    ),
    (
        "source:688",
        '{"instances": []}',
        {"d": INT32},
        "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array",
    ),
    ("source:704", "{}", {"d": INT32}, "Missing 'inputs' or 'instances' key"),
    (
        "source:635",
        '{"inputs": {"int_tensor": [1]}}',
        MIXED,
        "Missing named input: str_tensor in 'inputs' object.",
    ),
    ("source:619", '{"inputs": [1]}', MIXED, "inputs is a plain value/list, but expecting an obj"),
    ("source:527", '{"instances": [1]}', MIXED, "instances is a plain list, but expecting list"),
    (
        "source:424",
        '{"inputs": [[1,2],[3]]}',
        {"d": INT32},
        "Encountered list at unexpected size: 1 at level: 1 expected size: 2",
    ),
    (
        "source:418",
        '{"inputs": [1, [2]]}',
        {"d": INT32},
        "Encountered list at unexpected level: 1 expected < 1",
    ),
    (
        "source:399",
        '{"inputs": [[1], 2]}',
        {"d": INT32},
        "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
    ),
    (
        "source:262, 316",
        '{"inputs": [1, 1.0]}',
        {"d": INT64},
        "JSON Value: 1.0 Type: Number is not of expected type: int64",
    ),
    (
        "source:307",
        '{"inputs": [2147483648]}',
        {"d": INT32},
        "JSON Value: 2147483648 Type: Number is not of expected type: int32",
    ),
    (
        "source:294",
        '{"inputs": [true]}',
        {"d": FLOAT},
        "JSON Value: true Type: True is not of expected type: float",
    ),
    (
        "source:294",
        '{"inputs": [null]}',
        {"d": DOUBLE},
        "JSON Value: null Type: Null is not of expected type: double",
    ),
    (
        "source:408",
        '{"inputs": [{}]}',
        {"d": FLOAT},
        "JSON Value: {} Type: Object is not of expected type: float",
    ),
    (
        "source:269",
        '{"inputs": [{"b65": "x"}]}',
        {"d": STRING},
        'JSON Value: {\n    "b65": "x"\n} not formatted correctly for base64 data',
    ),
    ("source:386", '{"inputs": [{"b64": "*"}]}', {"d": STRING}, "Unable to base64 decode"),
    (
        "source:463, test:672",
        '{"instances": [[1,2],[3,4,5]]}',
        {"d": INT32},
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting "
        "tensor size: 2 but got: 3",
    ),
    (
        "source:466, test:680",
        '{"instances": [[1,2],[[5,6]]]}',
        {"d": INT32},
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting "
        "shape [2] but got: [1,2]",
    ),
    (
        "source:553, test:756",
        '{"instances": [{"int_tensor": [1], "str_tensor": "a"}, [1]]}',
        MIXED,
        "Expecting object but got list at item 1 of input list",
    ),
    (
        "source:576, test:777",
        '{"instances": [["a"], {"d": ["b"]}]}',
        {"d": STRING},
        "Expecting value/list but got object at item 1 of input list",
    ),
    (
        "source:449",
        '{"instances": [{"int_tensor": 1, "other": "a"}]}',
        MIXED,
        "Failed to process element: 0 key: other of 'instances' list. Error: INVALID_ARGUMENT: "
        "JSON object: does not have named input: other",
    ),
    (
        "source:569",
        '{"instances": [{"int_tensor": 1}]}',
        MIXED,
        "Failed to process element: 0 of 'instances' list. JSON object: {\n    \"int_tensor\": 1\n}"
        " keys must be equal to: int_tensor,str_tensor",
    ),
]


@pytest.mark.parametrize(
    ("source", "body", "inputs", "message"), REFUSED, ids=[each[0] for each in REFUSED]
)
def test_a_request_is_refused_in_tf_servings_words(source, body, inputs, message):
    with pytest.raises(ServingError) as caught:
        ask(body, inputs)
    assert caught.value.code == Code.INVALID_ARGUMENT
    assert caught.value.message.startswith(message)


def test_a_type_that_json_cannot_carry_is_unimplemented():  # source:337
    with pytest.raises(
        ServingError, match=r"Conversion of JSON Value: 1\.5 to type: half"
    ) as caught:
        ask('{"inputs": [1.5]}', {"d": HALF})
    assert caught.value.code == Code.UNIMPLEMENTED


def test_an_error_shows_at_most_some_256_characters_of_the_value():  # source:225
    with pytest.raises(ServingError) as caught:
        ask('{"signature_name": 5, "inputs": [' + "1, " * 10_000 + "1]}", {"d": INT32})
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"inputs": [' + b"9" * 100_000 + b"]}",
        b'{"inputs": ["\xff\xfe"]}',
        b'{"inputs": ["\\ud800"]}',
        b"\xff\xfe\x00",
        b"\x00" * 100,
    ],
    ids=["deep", "long number", "not UTF-8", "half a surrogate", "binary", "zeros"],
)
def test_what_only_an_attacker_sends_is_refused_too(body):
    with pytest.raises(ServingError) as caught:
        ask(body, {"d": INT32})
    assert caught.value.code == Code.INVALID_ARGUMENT
