"""A small preset, as tests write it: all that a preset says of itself, and nothing to say."""

import json

from tfmeta.presets import Preset

INFO = {
    "schema_version": 1,
    "name": "small",
    "learner": {},
    "export": {},
    "training": {},
    "evaluation": {},
    "made_with": {},
    "license": "MIT",
    "data_license": None,
    "limits": [],
}


def preset_of(learner, **changes):
    """The preset of a learner; `changes` replace entries of its information."""
    # Tests of files alone need no TensorFlow.
    from tfmeta.learners.keras_model.preset_learner import preset_arrays, preset_config

    config = json.loads(json.dumps(preset_config(learner)))
    return Preset({**INFO, "learner": config, **changes}, preset_arrays(learner))
