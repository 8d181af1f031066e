# %% [markdown]
# # Reproduce a row of a paper
#
# Each row of the papers' tables is a *recipe*: a gin file with the paper's settings. One command
# trains it, evaluates it by the paper's protocol, draws pictures and exports the model. This
# tutorial takes MAML's sinusoids, which need no data, at a part of their length.

# %%
import json
import subprocess
import sys
from pathlib import Path

from matplotlib import image
from matplotlib import pyplot as plt

STEPS = 3000


def tfmeta(command, *flags):
    """Runs `python -m tfmeta.COMMAND` and shows the last lines that it prints."""
    arguments = [sys.executable, "-m", f"tfmeta.{command}", *flags]
    done = subprocess.run(arguments, capture_output=True, text=True)
    print("\n".join((done.stdout + done.stderr).splitlines()[-6:]))
    done.check_returncode()


# %% [markdown]
# ## Train
#
# `python -m tfmeta.train --help` lists the recipes. `--gin_param` changes one value. The paper's
# length is 70,000 steps; leave the second flag out to get it.

# %%
run = ("--gin_file=sinusoid_maml.gin", "--workdir=runs/sinusoid")
tfmeta("train", *run, f"--gin_param=train.steps = {STEPS}")

# %% [markdown]
# ## Read the result
#
# `evaluation.json` has the protocol and, for each inner step, the mean and its 95 % interval. The
# paper prints the squared error after 1, 5 and 10 steps: 0.67, 0.38 and 0.35.

# %%
evaluation = json.loads(Path("runs/sinusoid/evaluation.json").read_text())
print({key: evaluation["protocol"][key] for key in ("tasks", "shots", "inner_steps", "step")})
metrics = next(iter(evaluation["results"].values()))
name, curve = next(iter(metrics.items()))
for step in (1, 5, 10):
    print(
        f"{name} after {step} steps: {curve['mean'][step]:.2f} +- {curve['interval95'][step]:.2f}"
    )

plt.figure(figsize=(8, 3))
plt.imshow(image.imread("runs/sinusoid/adaptation.png"))
plt.axis("off")
plt.show()

# %% [markdown]
# ## Evaluate in another way
#
# Another protocol gets a file of its own. It never overwrites the recipe's result.

# %%
tfmeta("evaluate", "--workdir=runs/sinusoid", "--gin_param=evaluate.tasks = 100")
print(sorted(path.name for path in Path("runs/sinusoid").glob("evaluation*.json")))

# %% [markdown]
# ## Resume
#
# The same command again goes on where the run stopped, or says that it is complete. A run that was
# killed ends with the same bits as a run that was not.

# %%
tfmeta("train", *run, f"--gin_param=train.steps = {STEPS}")

# %% [markdown]
# ## Put it beside the paper
#
# `python -m tfmeta.table --workdirs=runs --output=table` writes `table.md`, `table.csv` and
# `table.png`: your runs beside published figures, and what differs.
#
# Omniglot and mini-ImageNet work in the same way, once the data is there
# ([installing](../guides/installing.md)):
#
# ```bash
# python -m tfmeta.train --gin_file=omniglot_5way_1shot_maml.gin --workdir=runs/omniglot
# ```
#
# [Results](../results.md) has what the recipes reached, and [sources and
# papers](../explanations/papers.md) has what the papers leave open.
