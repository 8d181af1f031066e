"""Faults of tasks and networks."""

from tests.mutations.fault import Faults

FAULTS = Faults()

EPISODES, OF_EPISODES = "tfmeta/tasks/episodes.py", "tests/tasks/test_episodes.py"
FAULTS.add(
    "labels follow the order of the classes in the pool",
    EPISODES,
    "classes = choose(bits, ways)  # [T, ways]",
    "classes = tf.sort(choose(bits, ways), axis=-1)",
    OF_EPISODES,
)
FAULTS.add(
    "sets are not shuffled",
    EPISODES,
    "order = choose(random_bits(keys[purpose], first, tasks, number), number)",
    "order = tf.tile(tf.range(number)[None], [tasks, 1])",
    OF_EPISODES,
)
FAULTS.add(
    "support and query set are shuffled by one key",
    EPISODES,
    'query_x, query_y = gather_set(chosen[:, :, shots:], "query order")',
    'query_x, query_y = gather_set(chosen[:, :, shots:], "support order")',
    OF_EPISODES,
)
FAULTS.add(
    "image tasks are drawn without their split",
    EPISODES,
    "draw_key(seed, name, split, purpose)",
    "draw_key(seed, name, purpose)",
    OF_EPISODES,
)
FAULTS.add(
    "image tasks are drawn without the data set's name",
    EPISODES,
    "draw_key(seed, name, split, purpose)",
    "draw_key(seed, split, purpose)",
    OF_EPISODES,
)
FAULTS.add(
    "a query may be a support example",
    EPISODES,
    "gather_set(chosen[:, :, shots:], ",
    "gather_set(chosen[:, :, :-shots], ",
    OF_EPISODES,
)
FAULTS.add(
    "classes turn by 0 or 180 degrees only",
    EPISODES,
    "ways) & 3",
    "ways) & 2",
    OF_EPISODES,
)
FAULTS.add(
    "examples beyond a class's own are drawn",
    EPISODES,
    "choose(scores, shots + queries, tf.gather(counts, classes))",
    "choose(scores, shots + queries)",
    OF_EPISODES,
)
FAULTS.add(
    "white is 255 / 256",
    EPISODES,
    "SCALE = 1.0 / 255.0",
    "SCALE = 1.0 / 256.0",
    OF_EPISODES,
)

SINUSOID, OF_SINUSOID = "tfmeta/tasks/sinusoid.py", "tests/tasks/test_sinusoid.py"
FAULTS.add(
    "curves are drawn without their split",
    SINUSOID,
    'key = draw_key(seed, "sinusoid", split, "curves")',
    'key = draw_key(seed, "sinusoid", "curves")',
    OF_SINUSOID,
)
FAULTS.add(
    "inputs are drawn without their split",
    SINUSOID,
    'key = draw_key(seed, "sinusoid", split, "inputs")',
    'key = draw_key(seed, "sinusoid", "inputs")',
    OF_SINUSOID,
)
FAULTS.add(
    "inputs and curves share a key",
    SINUSOID,
    'key = draw_key(seed, "sinusoid", split, "inputs")',
    'key = draw_key(seed, "sinusoid", split, "curves")',
    OF_SINUSOID,
)
FAULTS.add(
    "phases reach 3 and not pi",
    SINUSOID,
    "PHASES = (0.0, math.pi)",
    "PHASES = (0.0, 3.0)",
    OF_SINUSOID,
)
FAULTS.add(
    "phases are added",
    SINUSOID,
    "x[..., :, None, :] - phase[..., None, :, :]",
    "x[..., :, None, :] + phase[..., None, :, :]",
    OF_SINUSOID,
)
FAULTS.add(
    "queries are the support inputs",
    SINUSOID,
    "x[:, shots:]), y[:, shots:]",
    "x[:, :shots]), y[:, shots:]",
    OF_SINUSOID,
)

FAULTS.add(
    "seeds beyond 32 bits fold",
    "tfmeta/tasks/draws.py",
    "[str(seed.__index__()), *purpose]",
    "[str(seed.__index__() % 2**32), *purpose]",
    "tests/tasks/test_draws.py",
)
FAULTS.add(
    "tasks of many words share counters",
    "tfmeta/tasks/draws.py",
    "start = tf.cast(first, tf.uint64) * tf.constant(counters, tf.uint64)",
    "start = tf.cast(first, tf.uint64)",
    "tests/tasks/test_draws.py",
)
FAULTS.add(
    "a stream ignores its start in batches",
    "tfmeta/tasks/stream.py",
    "left = tf.cast(self._start + count, tf.int64) - first",
    "left = tf.cast(count, tf.int64) - first",
    "tests/tasks/test_stream.py",
)
FAULTS.add(
    "validation characters are taken from the end",
    "tfmeta/tasks/splits.py",
    '"validation": order[train : train + validation],',
    '"validation": order[train + test :],',
    "tests/tasks/test_splits.py",
)
FAULTS.add(
    "a class keeps its images in the order of the array",
    "tfmeta/tasks/pool.py",
    "images = images[order]",
    "images = images[order[::-1]]",
    "tests/tasks/test_pool.py",
    "tests/tasks/test_from_arrays.py",
)
FAULTS.add(
    "test glyphs are training glyphs",
    "tfmeta/tasks/glyphs.py",
    "characters = range(first, first + CLASSES[split])",
    "characters = range(CLASSES[split])",
    "tests/tasks/test_glyphs.py",
)
FAULTS.add(
    "a cached pool is not compared with its checksum",
    "tfmeta/tasks/cache.py",
    'hexdigest() != content["sha256"]',
    'hexdigest() == ""',
    "tests/tasks/test_cache.py",
)
FAULTS.add(
    "transparent pixels become black",
    "tfmeta/tasks/image_folder.py",
    'Image.new("RGBA", image.size, "white")',
    'Image.new("RGBA", image.size, "black")',
    "tests/tasks/test_image_folder.py",
)
FAULTS.add(
    "photographs stay on their side",
    "tfmeta/tasks/image_folder.py",
    "image = ImageOps.exif_transpose(opened)",
    "image = opened.copy()",
    "tests/tasks/test_image_folder.py",
)
FAULTS.add(
    "Omniglot's drawings are counted by rotation and named alike",
    "tfmeta/tasks/omniglot.py",
    'names = [f"{name}@{90 * turns}" for turns in range(4)',
    'names = [f"{name}@{90 * turns}" for turns in (0, 0, 0, 0)',
    "tests/tasks/test_omniglot.py",
)
FAULTS.add(
    "a T-net's activation comes before its matrix",
    "tfmeta/networks/t_net.py",
    '{**config, "activation": None} if layer.name in warped else config',
    "config",
    "tests/networks/test_networks.py",
)
FAULTS.add(
    "the Omniglot network has five blocks",
    "tfmeta/networks/conv4.py",
    "for block in range(1, 5):",
    "for block in range(1, 6):",
    "tests/networks/test_networks.py",
)
FAULTS.add(
    "a float64 network has a float32 input",
    "tfmeta/networks/mlp.py",
    'inputs = keras.Input((input_dim,), name="inputs", dtype=input_dtype(dtype))\n    x = inputs',
    'inputs = keras.Input((input_dim,), name="inputs")\n    x = inputs',
    "tests/networks/test_networks.py",
)
