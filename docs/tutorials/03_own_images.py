# %% [markdown]
# # Your own images
#
# You have a folder of images with a folder for each class, and later a few images of classes that
# were not there in training. This tutorial makes such a folder first, so that you can run it as it is.

# %%
import tfmeta  # first, so that TensorFlow starts quietly

from pathlib import Path

import keras
import numpy as np
from PIL import Image

keras.utils.set_random_seed(0)
STEPS = 120
CLASSES = 40

# %% [markdown]
# ## The folder
#
# Replace this cell with your own images. Any format that Pillow reads will do, of any size, and
# classes may lie in nested folders. [Your own images](../guides/own_images.md) lists what is read.

# %%
folder = Path("my_images")
pool = tfmeta.tasks.glyphs("train", ways=CLASSES, shots=1, queries=7, seed=0)
(first, labels, others), other_labels = next(iter(pool))
images = np.concatenate([first, others])
labels = np.concatenate([labels, other_labels])
for number, (image, label) in enumerate(zip(images, labels)):
    path = folder / f"character_{int(label):02d}" / f"{number}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.uint8(255 * (1 - image[..., 0]))).save(path)
print(len(list(folder.iterdir())), "classes,", len(images), "images")

# %% [markdown]
# ## Tasks from the folder
#
# Without folders named `train` and `test`, a fixed shuffle keeps a fifth of the classes for
# validation and a fifth for test. Test tasks then show new classes.

# %%
options = {"ways": 5, "shots": 1, "queries": 3, "image_shape": (28, 28, 1)}
train = tfmeta.tasks.from_directory(str(folder), "train", seed=0, **options)
test = tfmeta.tasks.from_directory(str(folder), "test", seed=1, count=40, **options)

# %% [markdown]
# ## Train and evaluate
#
# `normalization="inductive"` answers each query alone, as a service must. The default,
# `"transductive"`, uses the statistics of all queries together, as the MAML authors' code does.

# %%
network = tfmeta.networks.conv4(ways=5, image_shape=(28, 28, 1), filters=32)
learner = tfmeta.MAML(network, inner_rate=0.5, inner_steps=2, normalization="inductive")
learner.compile(
    keras.optimizers.Adam(2e-3),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    ["accuracy"],
)
learner.fit(train.batch(8), steps_per_epoch=STEPS, verbose=0)
print(learner.evaluate(test.batch(8), verbose=0, return_dict=True))

# %% [markdown]
# ## New classes, one example each
#
# At serving time the classes are new. `adapt` takes one image of each, with labels 0 to 4.

# %%
(support_x, support_y, query_x), query_y = next(iter(test))
adapted = learner.adapt(support_x, support_y)
answers = np.argmax(adapted.predict(query_x, verbose=0), axis=-1)
print("right:", int(np.sum(answers == np.asarray(query_y))), "of", len(answers))

# %% [markdown]
# ## From the command line
#
# A recipe does the same in one command, with checkpoints, evaluation and export:
#
# ```bash
# python -m tfmeta.train --gin_file=images_5way_1shot_maml.gin --gin_param="from_directory.path = 'my_images'"
# ```
#
# `python -m tfmeta.adapt` then takes a folder of labelled images and a folder of unlabelled images,
# and writes `predictions.csv` and `predictions.png`.
