"""What earlier versions of tfmeta exported is still served, with the same answers."""

import numpy as np
import pytest
from kept_exports import MODELS, answers

import tfmeta
import tfmeta.saved_model

# Another build of TensorFlow may add up float32 numbers in another order.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.mark.parametrize(
    "program", [pytest.param("serve_with_session", marks=pytest.mark.slow), "serve_with_c_api"]
)
@pytest.mark.parametrize("model", MODELS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_kept_export_answers_as_it_once_did(start_process, model, program):
    process = start_process(model / "1", program)
    for signature, (inputs, expected) in answers(model).items():
        answer = process(signature, inputs)
        assert set(answer.outputs) == set(expected), answer.message
        for name, value in expected.items():
            np.testing.assert_allclose(answer[name], value, **CLOSE, err_msg=f"{signature} {name}")


def test_this_version_reads_the_descriptions_of_all_and_has_kept_its_own():
    assert {path.parent.name for path in MODELS} >= {tfmeta.__version__}
    for model in MODELS:
        description = tfmeta.saved_model.read_description(model / "1")
        assert description["kind"] == model.name, model
