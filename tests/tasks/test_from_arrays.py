"""Tasks from arrays."""

import numpy as np
import pytest

import tfmeta


def numbered(classes=10, examples=4):
    """Images whose value is their class; labels are strings, in mixed order."""
    order = np.random.RandomState(0).permutation(classes * examples)
    classes_of = np.repeat(np.arange(classes), examples)[order]
    images = np.tile(classes_of[:, None, None, None], (1, 3, 5, 2)).astype(np.uint8)
    return images, np.asarray([f"class {label}" for label in classes_of])


def stream(images, labels, *args, **options):
    options = {"ways": 3, "shots": 1, "queries": 2} | options
    return tfmeta.tasks.from_arrays(images, labels, *args, **options)


def test_a_label_means_one_class_of_the_arrays():
    (support_x, support_y, query_x), query_y = stream(*numbered()).sample(0)
    assert support_x.shape == (3, 3, 5, 2)
    classes = dict(zip(support_y.numpy(), support_x.numpy()[:, 0, 0, 0], strict=True))
    assert len(set(classes.values())) == 3
    assert [classes[label] for label in query_y.numpy()] == list(query_x.numpy()[:, 0, 0, 0])


def test_splits_share_no_class_and_all_has_every_class():
    images, labels = numbered()
    seen = {}
    for split in ("train", "validation", "test", "all"):
        tasks = stream(images, labels, split, ways=2).batch(100)
        (support_x, _, _), _ = next(iter(tasks))
        seen[split] = set(np.rint(support_x.numpy()[..., 0, 0, 0].ravel() * 255).astype(int))
    assert [len(seen[split]) for split in ("train", "validation", "test")] == [6, 2, 2]
    assert seen["train"] | seen["validation"] | seen["test"] == seen["all"] == set(range(10))


def test_floats_are_kept_as_bytes_and_come_back():
    images, labels = numbered()
    whole, part = stream(images, labels), stream(images.astype(np.float32) / 255, labels)
    np.testing.assert_array_equal(whole.sample(0)[0][0], part.sample(0)[0][0])
    assert whole.info["data_sha256"] == part.info["data_sha256"]


def test_grey_images_may_come_without_a_channel_axis():
    images, labels = numbered()
    assert stream(images[..., 0], labels).info["image_shape"] == [3, 5, 1]


def test_changing_the_arrays_afterwards_changes_no_task():
    images, labels = numbered()
    order = np.argsort(labels, kind="stable")
    images, labels = images[order], labels[order]
    tasks = stream(images, labels)
    before = tasks.sample(0)[0][0].numpy()
    images[:] = 0
    np.testing.assert_array_equal(tasks.sample(0)[0][0], before)


@pytest.mark.parametrize(
    ("inputs", "options", "dtype"),
    [
        (np.arange(40.0).reshape(40, 1), {}, "float64"),
        (np.float32(np.arange(240).reshape(40, 3, 2)) / 100 - 1, {}, "float32"),  # windows
        (np.float32(np.arange(240).reshape(40, 3, 2)) / 240, {"dtype": "float32"}, "float32"),
        (np.arange(80).reshape(40, 2), {}, "int64"),
        (np.uint8(np.arange(80).reshape(40, 2)), {}, "uint8"),
        (np.uint8(np.arange(240).reshape(40, 3, 2)), {"dtype": "uint8"}, "uint8"),
        (np.uint8(np.arange(240).reshape(40, 3, 2)), {"dtype": "float32"}, "float32"),
        (np.arange(40) % 2 == 0, {}, "bool"),
        (np.array([f"text {number}" for number in range(40)]), {}, "string"),
        (np.array([f"text {number}" for number in range(40)], object), {}, "string"),
    ],
)
def test_arrays_that_are_no_images_keep_values_and_type(inputs, options, dtype):
    labels = np.repeat(np.arange(10), 4)
    tasks = stream(inputs, labels, **options)
    (support_x, support_y, query_x), query_y = tasks.sample(3)
    assert (support_x.dtype.name, query_x.dtype.name) == (dtype, dtype)
    assert support_x.shape[1:] == inputs.shape[1:]
    assert "image_shape" not in tasks.info
    flat = [str(v) for v in inputs.astype(support_x.numpy().dtype if dtype != "string" else str)]
    shown = {}
    for x, y in ((support_x, support_y), (query_x, query_y)):
        for value, label in zip(x.numpy(), y.numpy(), strict=True):
            text = value.decode() if dtype == "string" else str(value)
            if dtype != "bool":
                assert shown.setdefault(label, labels[flat.index(text)]) == labels[flat.index(text)]


@pytest.mark.parametrize(
    ("images", "labels", "options", "message"),
    [
        (np.zeros((6, 4, 4, 1), np.uint8), np.zeros(5), {}, r"labels \(5,\) for inputs \(6,"),
        (np.zeros((6, 0), np.uint8), np.zeros(6), {}, r"not empty\. Received: uint8 \(6, 0\)"),
        (np.full((6, 4, 4, 1), np.nan), np.zeros(6), {}, r"finite .* nan at \[0, 0, 0, 0\]"),
        (np.array([1, None, "a"]), np.zeros(3), {}, r"inputs must be .* object \(3,\)"),
        (np.zeros((3, 2)), [0, 1, None], {}, r"labels must be .* object \(3,\)"),
        (np.zeros((3, 2)), [0, 1, np.nan], {}, r"labels must hold finite numbers.* at \[2\]"),
        (np.zeros((3, 2)), ["a", "b", np.nan], {}, "labels must hold texts or numbers.* nan among"),
        (np.zeros((3, 2)), [1, "1", "b"], {}, "labels must hold texts or numbers.* 1 among texts"),
        (np.ma.masked_equal([1, 2, 3], 2), np.zeros(3), {}, "inputs must hold no masked.* 1 of th"),
        (
            np.float32([0, 0.5]),
            [0, 1],
            {"dtype": "uint8"},
            r"uint8 can hold. .* 0\.5 at \[1\]",
        ),
        (np.int64([0, 300]), [0, 1], {"dtype": "uint8"}, r"uint8 can hold. .* 300 at \[1\]"),
        (np.float64([0, 1e39]), [0, 1], {"dtype": "float32"}, "that float32 can hold. .* 1e"),
        ([[1], [1, 2]], [0, 1], {}, "inputs must be an array.* parts of different shapes"),
        (*numbered(), {"ways": 11}, r"arrays all, which has 10\. Received: ways=11"),
        (*numbered(), {"queries": 4}, r"1 \+ 4 examples\. Received: class 'class 0'"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(images, labels, options, message):
    with pytest.raises(ValueError, match=message):
        stream(images, labels, **options)
