"""The tables of the pages of explanations: papers, probabilistic learners, the task axis."""

import numpy as np

from benchmarks.document_tables.stored import percent, plus_minus, read, span


def fine_tuning_rates():
    """Accuracies of fine-tuning on validation tasks, after the best number of inner steps."""
    stored = read("fine_tuning_rates/mini_imagenet_5way_1shot_finetuning.json")
    rows = [["what adapts", "rate", "inner steps", "accuracy in %", "diverged tasks"]]
    for row in sorted(stored["accuracy_after_each_step"], key=lambda row: -max(row["mean"])):
        best = row["mean"].index(max(row["mean"]))
        figure = {key: row[key][best] for key in ("mean", "interval95")}
        words = "all weights" if row["adapted"] == "all" else "head"
        cells = [f"{row['inner_rate']:g}", str(best), percent(figure, 1)]
        rows.append([words, *cells, str(row["diverged"] or "")])
    return rows


SAMPLERS = {
    "platipus": "PLATIPUS",
    "bfa": "BFA, 5 particles",
    "bmaml": "BMAML, 5 particles",
    "llama": "LLAMA",
}


def _sinusoids():
    """The learners of the run of 15,000 steps, each by seed."""
    learners = read("probabilistic_sinusoid/steps_15000.json")["learners"]
    return {name: row["by_seed"] for name, row in learners.items()}


def sinusoid_likelihoods():
    """Negative log-likelihoods minus MAML's, by seed."""
    stored = _sinusoids()
    rows = [["learner", *(f"seed {seed}" for seed in range(2)), "diverged tasks"]]
    for name, words in SAMPLERS.items():
        figures = [row["minus_maml"] for row in stored[name]]
        cells = [plus_minus(figure["mean"], figure["interval95"], 3) for figure in figures]
        rows.append([words, *cells, ", ".join(str(row["diverged"]) for row in stored[name])])
    return rows


def sinusoid_samples():
    """What the samples are worth beside their mean, and the error of the mean."""
    stored = _sinusoids()
    heads = ["learner", "minus the likelihood of one Gaussian around the samples' mean"]
    rows = [[*heads, "mean squared error"]]
    for name, words in {**SAMPLERS, "maml": "MAML"}.items():
        seeds = stored[name]
        gain = [f"{row['minus_own_mean']['mean']:.3f}" for row in seeds if "minus_own_mean" in row]
        errors = [f"{row['mean_squared_error']['mean']:.3f}" for row in seeds]
        rows.append([words.split(",")[0], ", ".join(gain), ", ".join(errors)])
    return rows


def _omniglot(run, learner, choice):
    """A learner's figures and MAML's, by how their inner steps were chosen."""
    learners = read(f"probabilistic_omniglot/{run}.json")["learners"]
    return learners[learner][choice], learners["maml"][choice]


def _points(figure, digits=1):
    return plus_minus(100 * figure["mean"], 100 * figure["interval95"], digits)


def _error(row):
    return f"{100 * row['calibration_error']['value']:.1f}"


def _nats(figure):
    return plus_minus(figure["mean"], figure["interval95"], 3)


def omniglot_particles():
    """BFA against MAML on Omniglot, small and short runs."""
    heads = ["inner steps", "accuracy, difference in points"]
    heads += ["negative log-likelihood, difference in nats"]
    rows = [[*heads, "calibration error of BFA in %", "of MAML"]]
    for choice in ("recipe", "validated"):
        own, maml = _omniglot("steps_1000", "bfa", choice)
        words = "as trained"
        if choice == "validated":
            steps = maml["by_seed"][0]["inner_steps"], own["by_seed"][0]["inner_steps"]
            words = f"chosen on validation tasks (MAML {steps[0]}, BFA {steps[1]})"
        difference = own["minus_maml"]
        cells = [_points(difference["accuracy"]), _nats(difference["negative_log_likelihood"])]
        rows.append([words, *cells, _error(own), _error(maml)])
    return rows


def omniglot_laplace():
    """LLAMA against MAML on Omniglot, without convolutions."""
    heads = ["answers", "accuracy of MAML, LLAMA in %", "difference in points"]
    heads += ["likelihood, difference in nats", "calibration error of MAML, LLAMA in %"]
    rows = [[*heads, "difference in points"]]
    for choice in ("recipe", "validated", "tempered"):
        own, maml = _omniglot("nonconv_steps_3000", "llama", choice)
        first = [row["by_seed"][0] for row in (maml, own)]
        steps = [row["inner_steps"] for row in first]
        words = {
            "recipe": f"{steps[0]} inner steps",
            "validated": f"inner steps chosen ({steps[0]}; {steps[1]})",
            "tempered": "inner steps and temperature chosen ("
            + "; ".join(f"{row['inner_steps']} at {row['temperature']:.1f}" for row in first)
            + ")",
        }
        difference = own["minus_maml"]
        accuracies = ", ".join(f"{100 * row['accuracy']['mean']:.1f}" for row in (maml, own))
        calibration = difference["calibration_error"]
        low, high = (100 * value for value in calibration["interval95"])
        rows.append(
            [
                words[choice],
                accuracies,
                _points(difference["accuracy"]),
                _nats(difference["negative_log_likelihood"]),
                f"{_error(maml)}, {_error(own)}",
                f"{round(100 * calibration['value'], 1) + 0.0:.1f} ({low:.1f} to {high:.1f})",
            ]
        )
    return rows


def threads():
    """The time of one thread an operation, as a part of the time of as many as there are cores."""
    ratios = {
        name.removesuffix(".gin"): row["ratio_of_one_thread"]
        for name, row in read("benchmarks/threads.json")["recipes"].items()
    }
    reptile = {name: ratio for name, ratio in ratios.items() if name.endswith("reptile")}
    others = [ratio for name, ratio in ratios.items() if name not in reptile]
    rows = [["learner", "part of the time"], ["MAML and iMAML", span(others)]]
    for start, words in (
        ("sinusoid", "Reptile, sinusoids"),
        ("omniglot", "Reptile, Omniglot"),
        ("mini_imagenet", "Reptile, mini-ImageNet"),
    ):
        rows.append([words, span([r for name, r in reptile.items() if name.startswith(start)])])
    return rows


def memory():
    """Peak memory of a task's meta-step by inner steps."""
    stored = read("memory.json")["rows"]
    learners = {
        "maml": "MAML",
        "maml_rematerialized": "MAML, `rematerialize=True`",
        "imaml": "iMAML",
    }
    rows = [["inner steps", *learners.values()]]
    for steps in sorted({int(name.split("/")[1]) for name in stored}):
        found = (stored.get(f"{learner}/{steps}") for learner in learners)
        rows.append([str(steps), *(f"{row['step_mib']:.0f}" if row else "" for row in found)])
    return rows


def scaling():
    """With which power of each size the time of a meta-step grows."""
    stored = read("benchmarks/scaling.json")
    rows = [["size", "range", "power"]]
    for axis, power in stored["exponents"].items():
        values = [row["value"] for row in stored["rows"] if row["axis"] == axis]
        size = axis.replace("_", " ")
        rows.append([size, f"{min(values)} to {max(values)}", f"{power:.2f}"])
    return rows


def trunk():
    """What a frozen backbone costs, beside the goals."""
    stored = read("benchmarks/trunk.json")
    goals = stored["goals"]
    many = stored["served"]["20 steps"]
    forward, one = (
        many[f"processor_seconds, of {name}"][1] for name in ("forward pass", "1 steps")
    )
    beyond = stored["export"][0]["beyond_twice_the_weights"]

    def most(part):
        return f"{max(row['processor_seconds'] for row in stored[part]):.1f} s of processor time"

    return [
        ["what", "measured", "goal"],
        ["served adaptation, 20 steps, of 1 step", f"{one:.2f}", f"{goals['20 steps, of 1 step']}"],
        [
            "served adaptation, 20 steps, of a forward pass of the same 30 images",
            f"{forward:.2f}",
            f"{goals['20 steps, of the forward pass']}",
        ],
        [
            "SavedModel with warmup records, bytes beyond twice the weights",
            f"{beyond / 1e6:.1f} million",
            f"{goals['export, bytes beyond twice the weights'] / 1e6:.0f} million",
        ],
        ["first step of `fit`", most("first_step"), f"{goals['first step, seconds']} s, idle"],
        ["export", most("export"), f"{goals['export, seconds']} s, two idle cores"],
    ]


def prototypical_start():
    """Mean losses of the first steps of a prototypical network, beside PyTorch's."""
    stored = read("prototypical_start.json")
    losses = stored["losses"]
    rows = [["steps", "loss, tfmeta", "loss, PyTorch"]]
    for first, last in ((1, 1), (2, 20), (21, 100), (101, 200), (201, 300)):
        steps = f"{first} to {last}" if last > first else str(first)
        means = [np.mean(losses[name][first - 1 : last]) for name in ("tfmeta", "pytorch")]
        rows.append([steps, *(f"{mean:.3g}" for mean in means)])
    return rows
