"""What the export of a run says of itself."""

from tfmeta.runs import building, exporting, recipe
from tfmeta.runs.recipe import config
from tfmeta.saved_model import read_description

SMALL = ("MAML.network = @nonconv()", "nonconv.ways = 5", "nonconv.hidden = (4,)")


def exported(tmp_path, gin_file, *params):
    with config.configured(recipe.read_recipe([gin_file], params)) as settings:
        learner = building.build_learner(settings, building.make_strategy("one_device"))
        return exporting.export(settings, learner, tmp_path)


def test_an_export_says_how_pictures_become_inputs(tmp_path):
    # That of a regression has none: `test_run.py`.
    directory = exported(tmp_path, "glyphs_5way_1shot_maml.gin", *SMALL)
    description = read_description(directory)
    preprocessing = description["preprocessing"]
    assert preprocessing == {
        "height": 28,
        "width": 28,
        "channels": 1,
        "scale": 1 / 255,
        "invert": True,
        "resize": "lanczos",
    }
    assert description["extra"]["recipe"] == "glyphs_5way_1shot_maml"
    assert description["extra"]["tasks"]["name"] == "glyphs"


def test_the_usual_request_is_as_large_as_a_held_out_task():
    assert exporting.usual_size({"shots": 5, "queries": 10}) == (5, 10)
    assert exporting.usual_size({"ways": 20, "shots": 5, "queries": 1}) == (100, 20)
    assert exporting.usual_size({"ways": 5, "shots": 1, "queries": 0}) == (5, 1)
