# %% [markdown]
# # Tables and series
#
# Sixty shops have 20 to 60 rows of sales each. A new shop opens, with three rows. This tutorial
# trains on old shops and forecasts the new one. Then it does the same for windows of a sensor.

# %%
import tfmeta  # first, so that TensorFlow starts quietly

import keras

keras.utils.set_random_seed(0)
STEPS = 300

# %% [markdown]
# ## The table
#
# `sales_table` is made up, so that the right answer is known. Yours may be a CSV file or a
# DataFrame. `group` names the column that says which rows belong together: each group is a task.

# %%
table = tfmeta.tasks.sales_table(shops=60, rows=(20, 60))
options = {"group": "shop", "target": "sales", "shots": 5, "queries": 15}
train = tfmeta.tasks.from_table(table, "train", seed=0, **options)
test = tfmeta.tasks.from_table(table, "test", seed=1, count=40, **options)

# %% [markdown]
# Test tasks are shops that training never saw. Numbers are standardised by the training shops,
# categories become columns, and `info["columns"]` keeps how.
#
# ## Train

# %%
columns = train.info["columns"]
learner = tfmeta.MAML(tfmeta.networks.mlp(input_dim=9), inner_rate=0.05, inner_steps=5)
learner.compile(keras.optimizers.Adam(1e-3), "mse")
before = learner.evaluate(test.batch(8), verbose=0)
learner.fit(train.batch(16), steps_per_epoch=STEPS, verbose=0)
after = learner.evaluate(test.batch(8), verbose=0)
print(f"squared error (standardised): {before:.3f} before training, {after:.3f} after")

# %% [markdown]
# ## Forecast a new shop
#
# `encode_rows` turns the rows that you know, and the rows that you ask about, into arrays. The
# forecast comes back in the units of the table.

# %%
known = {
    "price": [2.0, 4.0, 3.0],
    "promotion": [0, 1, 0],
    "weekday": ["Monday", "Friday", "Sunday"],
    "sales": [21.0, 24.0, 19.0],
}
asked = {"price": [3.0], "promotion": [1], "weekday": ["Sunday"]}
support_x, support_y = tfmeta.tasks.encode_rows(known, columns)
query_x, _ = tfmeta.tasks.encode_rows(asked, columns)
forecast = learner.adapt(support_x, support_y).predict(query_x, verbose=0)
print("forecast:", tfmeta.tasks.decode_targets(forecast, columns))

# %% [markdown]
# ## Windows of a sensor
#
# Labelled arrays of any shape make tasks too. Here an example is a window `[time, channels]` of a
# sensor, and a class is a kind of motion.

# %%
stream = tfmeta.tasks.sensor_windows("train", ways=5, shots=1, queries=5, seed=0)
held_out = tfmeta.tasks.sensor_windows("test", ways=5, shots=1, queries=5, seed=1, count=40)
classifier = tfmeta.MAML(tfmeta.networks.window_conv(ways=5), inner_rate=0.5, inner_steps=3)
classifier.compile(
    keras.optimizers.Adam(2e-3),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    ["accuracy"],
)
classifier.fit(stream.batch(8), steps_per_epoch=STEPS, verbose=0)
print(classifier.evaluate(held_out.batch(8), verbose=0, return_dict=True))

# %% [markdown]
# With your own arrays:
#
# ```python
# tfmeta.tasks.from_arrays(windows, labels, "train", ways=5, shots=1, dtype="float32")
# ```
#
# [Your own tasks](../guides/own_tasks.md) says what is refused and what is filled in.
