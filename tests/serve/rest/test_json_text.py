"""Golden transcripts of answers in JSON.

`test` is TF Serving's `util/json_tensor_test.cc`, `source` its `util/json_tensor.cc`
(tensorflow/serving at 9d981c5).
"""

import json

import ml_dtypes
import numpy as np
import pytest

from tfmeta.serve.errors import ServingError
from tfmeta.serve.rest.json_text import answer_body, error_body

TENSOR = np.int32([[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 0], [1, 2]]])


def test_one_output_goes_without_its_name():  # test:832
    rows = answer_body({"int_tensor": TENSOR}, rows=True)
    assert json.loads(rows) == {"predictions": TENSOR.tolist()}
    columns = answer_body({"int_tensor": TENSOR}, rows=False)
    assert json.loads(columns) == {"outputs": TENSOR.tolist()}


def test_a_vector_of_rows_is_one_line():  # g3doc/api_rest.md:470
    body = answer_body({"y": np.float32([3.5, 4.0, 5.5])}, rows=True)
    assert body == b'{\n    "predictions": [3.5, 4.0, 5.5]\n}'


def test_bytes_are_base64_where_the_name_says_so():  # test:897
    texts = np.array([[b"hello", b"world"], [b"tf", b"serving"]], object)
    assert json.loads(answer_body({"text_bytes": texts}, rows=True))["predictions"] == [
        [{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}],
        [{"b64": "dGY="}, {"b64": "c2VydmluZw=="}],
    ]
    assert json.loads(answer_body({"text": texts}, rows=False))["outputs"][0] == ["hello", "world"]


def test_strings_leave_as_the_bytes_they_are():  # source:939, RapidJSON's writer.h at v1.1.0
    texts = np.array([b"\xff\xfe", "\u00e9".encode(), b'"\\/\x00\x1b\n\x7f'], object)
    assert answer_body({"text": texts}, rows=True) == (
        b'{\n    "predictions": ["\xff\xfe", "\xc3\xa9", "\\"\\\\/\\u0000\\u001B\\n\x7f"]\n}'
    )
    assert error_body("a \udcff b") == b'{\n    "error": "a \xff b"\n}'


def test_nothing_of_a_type_that_json_lacks_is_nothing():  # source:975
    assert json.loads(answer_body({"y": np.zeros((0, 2), np.float16)}, rows=True)) == {
        "predictions": []
    }


def test_floats_have_six_digits_where_those_are_enough():  # test:924
    values = np.float32([[9000000, 999999, 0.5], [0.0003, 0.00003, 555557.5]])
    text = answer_body({"f": values}, rows=True).decode()
    assert "[9e+06, 999999.0, 0.5]" in text
    assert "[0.0003, 3e-05, 555557.5]" in text


def test_numbers_that_are_not_finite_are_tokens():  # test:951
    values = np.float32([[np.nan, np.inf], [3, -np.inf]])
    text = answer_body({"f": values}, rows=True).decode()
    assert "[NaN, Infinity]" in text
    assert "[3.0, -Infinity]" in text


def test_several_outputs_are_objects_by_name():  # test:1011
    outputs = {
        "scalar": np.float64([8, 9]),
        "floats": np.float32([[1], [2]]),
        "ints": TENSOR,
        "texts_bytes": np.array([[b"hello"], [b"tf"]], object),
    }
    assert json.loads(answer_body(outputs, rows=True))["predictions"] == [
        {
            "floats": [1.0],
            "ints": TENSOR[0].tolist(),
            "scalar": 8.0,
            "texts_bytes": [{"b64": "aGVsbG8="}],
        },
        {
            "floats": [2.0],
            "ints": TENSOR[1].tolist(),
            "scalar": 9.0,
            "texts_bytes": [{"b64": "dGY="}],
        },
    ]
    columns = json.loads(answer_body(outputs, rows=False))["outputs"]
    assert columns["scalar"] == [8.0, 9.0]
    assert columns["ints"] == TENSOR.tolist()


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"tensor": np.int32(1)}, "Tensor name: tensor has no shape information "),  # source:987
        (
            {"a": np.zeros(2, np.float32), "b": np.zeros(3, np.float32)},
            "Tensor name: b has inconsistent batch size: 3 expecting: 2",  # source:992
        ),
        *(
            (
                {"tensor": np.zeros(2, dtype)},
                f"Failed to write JSON value for tensor type: {name}",  # source:964
            )
            for dtype, name in (
                (np.complex64, "complex64"),
                (np.float16, "half"),
                (ml_dtypes.bfloat16, "bfloat16"),
                (np.uint16, "uint16"),
            )
        ),
    ],
)
def test_rows_need_outputs_of_one_length_and_a_type(outputs, message):
    with pytest.raises(ServingError) as caught:
        answer_body(outputs, rows=True)
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3), (2, 0, 3), (1, 1), ()])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.bool_])
def test_any_shape_reads_back_as_it_was(shape, dtype):
    value = (np.random.default_rng(0).random(shape) * 100).astype(dtype)
    back = json.loads(answer_body({"y": value}, rows=False))["outputs"]
    assert back == value.tolist() or dtype == np.float32
    np.testing.assert_array_equal(np.array(back, dtype).reshape(shape), value)


def test_floats_read_back_bit_for_bit():
    generator = np.random.default_rng(0)
    bits = generator.integers(0, 2**32, 5000, np.uint32)
    values = bits.view(np.float32)
    values = values[np.isfinite(values)]
    back = json.loads(answer_body({"y": values}, rows=False))["outputs"]
    np.testing.assert_array_equal(np.array(back, np.float32), values)


def test_an_error_is_an_object_of_one_key():  # source:1129, g3doc/api_rest.md:497
    body = error_body("Servable not found for request: Latest(half)")
    assert json.loads(body) == {"error": "Servable not found for request: Latest(half)"}
