# %% [markdown]
# # A pretrained network, served
#
# You have a few photos of each of your classes, and a network that somebody trained on millions of
# photos. You put a head on the network, export it, and call it over HTTP: each request brings its
# own classes. There is no training.

# %%
import tfmeta  # first, so that TensorFlow starts quietly

import json
import socket
import subprocess
import sys
import time
import urllib.request

import keras
import numpy as np

keras.utils.set_random_seed(0)
WEIGHTS = None  # on your machine: "imagenet", which Keras downloads once
SECONDS = 300  # to wait for the server at most

# %% [markdown]
# ## The network
#
# `with_head` puts the network's own preprocessing inside, freezes the network and adds a head. The
# ridge head is solved exactly from a support set, so it needs no meta-training.
#
# This page ran with random weights, since it runs without a network connection. The accuracy below
# is therefore far from what pretrained weights give.

# %%
backbone = keras.applications.MobileNetV3Small(
    include_top=False, weights=WEIGHTS, input_shape=(64, 64, 3)
)
network = tfmeta.networks.with_head(backbone, ways=5)
learner = tfmeta.head_learner(network, head="ridge")

# %% [markdown]
# ## Photos
#
# Made-up characters stand for photos, in [0, 1]. With your own,
# `tfmeta.tasks.load_image_folder("photos", (64, 64, 3))` reads a folder for each class.

# %%
stream = tfmeta.tasks.glyphs("test", ways=5, shots=3, queries=4, seed=0)
(support_x, support_y, query_x), query_y = next(iter(stream))


def photos(images):
    """Characters [N, 28, 28, 1] as photos [N, 64, 64, 3]."""
    larger = keras.ops.image.resize(images, (64, 64))
    return np.clip(np.repeat(keras.ops.convert_to_numpy(larger), 3, axis=-1), 0, 1)


support_x, query_x = photos(support_x), photos(query_x)
adapted = learner.adapt(support_x, support_y)
answers = np.argmax(adapted.predict(query_x, verbose=0), axis=-1)
print("right:", int(np.sum(answers == query_y.numpy())), "of", len(answers))

# %% [markdown]
# ## Export

# %%
learner.export("exported/photos")

# %% [markdown]
# ## Serve
#
# TensorFlow Serving takes `exported/photos` as it is. On a laptop, the embedded server answers in
# its place, with the same protocols (`pip install '.[serving]'`).

# %%
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
command = [sys.executable, "-m", "tfmeta.serve", "--model_base_path=exported/photos"]
command += ["--model_name=photos", f"--rest_api_port={port}", "--port=0"]
server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
address = f"http://127.0.0.1:{port}/v1/models/photos"
for _ in range(SECONDS):
    try:
        with urllib.request.urlopen(address) as answer:
            state = json.load(answer)["model_version_status"][0]["state"]
        if state == "AVAILABLE":
            break
    except OSError:
        state = "the server starts"
    time.sleep(1)
print(state)

# %% [markdown]
# ## Call it
#
# A request brings labelled examples and queries. The server adapts and answers. It keeps nothing.

# %%
body = {
    "inputs": {
        "support_inputs": support_x.round(3).tolist(),
        "support_targets": np.asarray(support_y).tolist(),
        "query_inputs": query_x.round(3).tolist(),
    }
}
request = urllib.request.Request(f"{address}:predict", json.dumps(body).encode())
with urllib.request.urlopen(request) as answer:
    outputs = json.load(answer)["outputs"]
server.terminate()
served = np.argmax(outputs["predictions"], axis=-1)
print("served answers equal those in process:", bool((served == answers).all()))

# %% [markdown]
# From folders of photos, two commands do the same:
#
# ```bash
# python -m tfmeta.adapt --network=MobileNetV3Small --support=photos --query=new_photos
# python -m tfmeta.export --network=MobileNetV3Small --ways=8 --export_dir=exported/photos
# ```
#
# [A pretrained network](../guides/pretrained.md) has heads, pixel ranges and low-rank updates, and
# [serving](../guides/serving.md) is the operator's guide.
