"""The tables of docs/results.md, but for policies."""

from statistics import mean

from benchmarks.document_tables.stored import (
    accuracy,
    percent,
    plus_minus,
    published,
    read,
    span,
    steps,
)

SHOTS = (5, 10, 20)


def sinusoids():
    """Squared errors after 1, 5 and 10 inner steps, by number of support points."""
    rows = read("sinusoid.json")["rows"]
    stored = {(row["training"], row["shots"]): row["mean"] for row in rows}
    seeds = {row["training"] for row in rows if "seed" in row}

    def errors(training, shots):
        return stored[training, shots][1:] or stored[training, shots]

    def cells(training):
        form = "{:.4f}" if training == "oracle" else "{:.2f}"
        return [" / ".join(map(form.format, errors(training, shots))) for shots in SHOTS]

    def over_seeds(shown):
        grids = ([errors(seed, shots) for seed in seeds] for shots in SHOTS)
        return [" / ".join(map(shown, zip(*grid, strict=True))) for grid in grids]

    own = "MAML, [`sinusoid_maml`](../gin/sinusoid_maml.gin), seed 0, as in the README's command"
    joint = "one network for all tasks, fine-tuned, [`sinusoid_joint`](../gin/sinusoid_joint.gin)"
    return [
        ["training", *(f"K = {shots}" for shots in SHOTS)],
        [own, *cells("MAML, seed 0")],
        ["MAML, mean of seeds 0 to 3", *over_seeds(lambda errors: f"{mean(errors):.2f}")],
        ["MAML, from the best to the worst seed", *over_seeds(span)],
        ["the paper's appendix, from memory, one run", "0.67 / 0.38 / 0.35", "", ""],
        [joint, *cells("joint, fine-tuned at 0.01")],
        ["oracle, given amplitude and phase, no adaptation", *cells("oracle")],
    ]


SINUSOIDS = {
    "maml": "MAML",
    "fomaml": "first-order MAML",
    "metasgd": "Meta-SGD",
    "cavia": "CAVIA, 5 context parameters",
    "imaml": "iMAML",
    "reptile": "Reptile",
}


def sinusoid_learners():
    """Squared errors after 1, 5 and 10 inner steps of learners with recipes of their own."""
    heads = ["learner", "meta-steps", "test tasks", *(f"K = {shots}" for shots in SHOTS)]
    rows = [[*heads, "diverged tasks, K = 5"]]
    for learner, words in SINUSOIDS.items():
        run = f"sinusoid_{learner}"
        stored = {
            shots: read(f"{run}/evaluation{'' if shots == 5 else f'_{shots}shot'}.json")
            for shots in SHOTS
        }
        protocol = stored[5]["protocol"]
        errors = {
            shots: found["results"]["transductive"]["mean_squared_error"]
            for shots, found in stored.items()
        }
        cells = [
            " / ".join(f"{error['mean'][inner_steps]:.2f}" for inner_steps in (1, 5, 10))
            for error in errors.values()
        ]
        diverged = str(errors[5]["diverged"])
        name = f"{words} ([recipe](../gin/{run}.gin), [figures](../results/{run}/evaluation.json))"
        counts = [steps(run), f"{protocol['tasks']:,}"]
        rows.append([name, *counts, *cells, diverged])
    return rows


# By the end of a recipe's name: how the published figures name it.
OMNIGLOT = {
    "maml": ("MAML", "transductive"),
    "maml_nonconv": ("MAML, no conv", "transductive"),
    "fomaml": ("first-order MAML", "transductive"),
    "reptile": ("Reptile", "transductive"),
    "maml_plus_plus": ("MAML++",),
    "mtnet": ("MT-net",),
}


def linked(words, run):
    """The name of a run's learner, with its recipe and its figures."""
    return f"{words} ([recipe](../gin/{run}.gin), [figures](../results/{run}/evaluation.json))"


def omniglot_paper(learner):
    """The published accuracies beside a recipe of Omniglot, 5-way 1-shot."""
    figure = published("omniglot", *OMNIGLOT[learner])
    if learner == "reptile":
        later = published("omniglot", *OMNIGLOT[learner], later=True)
        return f"{figure} ({later} in a later version)"
    return figure + (" (check)" if learner == "mtnet" else "")


def omniglot():
    """Accuracies of learners with an inner loop."""
    heads = ["learner", "meta-steps", "inner steps", "transductive", "inductive"]
    rows = [[*heads, "the paper's"]]
    for learner in OMNIGLOT:
        run, papers = f"omniglot_5way_1shot_{learner}", omniglot_paper(learner)
        if learner == "reptile":
            papers += f", transductive; {published('omniglot', 'Reptile', 'inductive')}"
        elif learner in ("maml", "fomaml", "maml_plus_plus"):
            papers += ", transductive"
        rows.append(
            [
                linked(OMNIGLOT[learner][0].replace("no conv", "no convolutions"), run),
                steps(run),
                str(read(f"{run}/evaluation.json")["protocol"]["inner_steps"]),
                accuracy(run, "transductive"),
                accuracy(run, "inductive"),
                papers,
            ]
        )
    return rows


SHORT = {
    "maml": "MAML",
    "r2d2": "R2-D2",
    "meta_curvature": "Meta-Curvature",
    "proto_maml": "Proto-MAML",
    "unicorn_maml": "UNICORN-MAML",
    "boil": "BOIL",
    "anil": "ANIL",
}


def short_runs():
    """Accuracies of learners after the same short training."""
    heads = ["learner", "inner steps", "transductive", "inductive"]
    rows = []
    for learner, words in SHORT.items():
        run = f"omniglot_5way_1shot_3000_steps/{learner}"
        recipe = f"[recipe](../gin/omniglot_5way_1shot_{learner}.gin)"
        inner = str(read(f"{run}/evaluation.json")["protocol"]["inner_steps"])
        cells = [accuracy(run, mode) for mode in heads[2:]]
        figures = f"[figures](../results/{run}/evaluation.json)"
        rows.append([f"{words} ({recipe}, {figures})", inner, *cells])
    return [heads, *sorted(rows, key=lambda row: row[2], reverse=True)]


def statistics():
    """Accuracies of the same weights by the statistics of the whole query set, and without them."""
    rows = [["learner", "transductive", "inductive"]]
    for learner in ("maml", "fomaml", "reptile"):
        run = f"omniglot_5way_1shot_{learner}"
        cells = [accuracy(run, mode) for mode in rows[0][1:]]
        rows.append([OMNIGLOT[learner][0], *cells])
    return rows


def second_derivatives():
    """Accuracy with exact and with stock second derivatives."""
    figures = read("exact_against_stock.json")["summary"]
    difference = {"mean": figures["difference"], "interval95": figures["interval95"]}
    return [
        ["second derivatives", "accuracy in %"],
        ["exact", f"{100 * figures['exact']:.2f}"],
        ["TensorFlow's own", f"{100 * figures['stock']:.2f}"],
        ["paired difference, in points", percent(difference)],
    ]


BASELINES = {
    "prototypical": "prototypical network",
    "nearest_neighbor": "nearest neighbour",
    "finetuning_head": "fine-tuning of the head",
    "matching": "matching network",
}


def baselines_omniglot():
    """Accuracies of the baselines on Omniglot."""
    rows = [["Omniglot 5-way 1-shot", "steps", "reached here"]]
    for name, words in BASELINES.items():
        run = f"omniglot_5way_1shot_{name}"
        cell = accuracy(run, read(f"{run}/evaluation.json")["protocol"]["trained_normalization"])
        rows.append([linked(words, run), steps(run), cell])
    return rows


def baselines_mini_imagenet():
    """Accuracies of the baselines on mini-ImageNet."""
    rows = [["mini-ImageNet 5-way 1-shot", "steps", "reached here", "published"]]
    for name in ("nearest_neighbor", "finetuning_head", "matching", "prototypical"):
        run, words = f"mini_imagenet_5way_1shot_{name}", BASELINES[name]
        mode = read(f"{run}/evaluation.json")["protocol"]["trained_normalization"]
        if name == "finetuning_head":
            papers = published("mini_imagenet", "fine-tuning") + " (all weights)"
        else:
            papers = published("mini_imagenet", words, "running" if name == "prototypical" else "")
        cells = [steps(run), accuracy(run, mode), papers]
        rows.append([linked(words, run), *cells])
    return rows


def inner_gradients():
    """Accuracies of training with combinations of inner gradients."""
    figures = read("gradient_combinations.json")["after_training"]
    words = {
        "g1": "the first gradient alone",
        "g1 + g2": "the sum of two",
        "g1 + g2 + g3": "the sum of three",
        "g1 + g2 + g3 + g4": "the sum of four",
        "g4": "the fourth alone",
    }
    return [
        ["what the outer step uses", "accuracy"],
        *([text, plus_minus(*figures[key].values(), 1)] for key, text in words.items()),
    ]


def inner_gradients_by_steps():
    """The same in the page of Reptile, last gradients beside sums."""
    figures = read("gradient_combinations.json")["after_training"]
    count = range(1, 5)
    last = [plus_minus(*figures[f"g{k}"].values(), 1) for k in count]
    sums = (" + ".join(f"g{i}" for i in range(1, k + 1)) for k in count[1:])
    return [
        ["inner steps $k$", *map(str, count)],
        ["the last gradient, $g_k$", *last],
        [
            r"the sum, $g_1 + \dots + g_k$ (Reptile)",
            "the same",
            *(plus_minus(*figures[name].values(), 1) for name in sums),
        ],
    ]


def sinusoid_likelihoods():
    """Negative log-likelihoods on sinusoids."""
    learners = read("probabilistic_sinusoid/steps_15000.json")["learners"]

    def cell(learner, figure):
        return plus_minus(
            learners[learner][figure]["mean"], learners[learner][figure]["interval95"], 3
        )

    rows = [["learner", "nats", "minus MAML's, paired"]]
    for name in ("platipus", "bmaml", "bfa", "llama"):
        figures = [cell(name, "negative_log_likelihood"), cell(name, "minus_maml")]
        rows.append([name.upper(), *figures])
    return [*rows, ["MAML", cell("maml", "negative_log_likelihood"), ""]]


def omniglot_calibration():
    """Calibration errors without convolutions."""
    learners = read("probabilistic_omniglot/nonconv_steps_3000.json")["learners"]
    words = {
        "recipe": "as they are",
        "tempered": "with inner steps and temperature chosen on validation tasks",
    }
    errors = {
        choice: [learners[name][choice]["calibration_error"]["value"] for name in ("llama", "maml")]
        for choice in words
    }
    return [
        ["answers", "calibration error of LLAMA, in %", "of MAML"],
        *(
            [words[choice], *(f"{100 * one:.1f}" for one in pair)]
            for choice, pair in errors.items()
        ),
    ]


def demo():
    """Accuracies of the demo's model on characters drawn again."""
    stored = {(row["ways"], row["drawings"]): row for row in read("demo_replay.json")["episodes"]}
    kinds = {
        "strokes as the page places them": "drawn again from their pen strokes",
        "test set's images": "the test set's own images",
    }
    return [
        ["episodes", *kinds.values()],
        *(
            [f"{ways}-way", *(plus_minus(*stored[ways, kind]["accuracy"], 1) for kind in kinds)]
            for ways in (5, 3)
        ),
    ]
