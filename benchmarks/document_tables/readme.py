"""The README's two tables of figures."""

from benchmarks.document_tables.measurements import SPEEDS, contestants, first_columns
from benchmarks.document_tables.results import omniglot_paper, sinusoids
from benchmarks.document_tables.stored import accuracy, published, steps

IMAGES = (
    ("maml", "MAML on Omniglot", "transductive"),
    ("maml", "MAML on Omniglot", "inductive"),
    ("maml_nonconv", "MAML without convolutions on Omniglot", "transductive"),
    ("fomaml", "first-order MAML on Omniglot", "transductive"),
    ("reptile", "Reptile on Omniglot", "transductive"),
    ("maml_plus_plus", "MAML++ on Omniglot", "transductive"),
)
WORKLOADS = (
    "omniglot_5way_1shot",
    "omniglot_5way_1shot_first_order",
    "omniglot_20way_1shot",
    "mini_imagenet_5way_1shot",
    "sinusoid_1step",
    "adaptation_5steps_32tasks",
)


def results():
    """Eight rows of what was reached, beside the papers."""
    errors = {row[0]: row[1] for row in sinusoids()}
    (own,) = (error for words, error in errors.items() if "seed 0," in words)
    (papers,) = (error for words, error in errors.items() if "from memory" in words)
    words = "MAML on sinusoids, K = 5: squared error after 1 / 5 / 10 steps"
    rows = [
        ["learner", "steps of the full run", "here", "paper"],
        [words, steps("sinusoid_maml"), own, f"{papers} (from memory)"],
    ]
    for learner, words, mode in IMAGES:
        run = f"omniglot_5way_1shot_{learner}"
        papers = omniglot_paper(learner) if mode == "transductive" else ""
        rows.append([f"{words}, {mode}", steps(run), accuracy(run, mode), papers])
    nearest = "mini_imagenet_5way_1shot_nearest_neighbor"
    figures = [accuracy(nearest, "running"), published("mini_imagenet", "nearest neighbour")]
    return [*rows, ["nearest neighbour on mini-ImageNet", steps(nearest), *figures]]


def speed():
    """Six workloads, with the loop and torch.func.vmap beside tfmeta."""
    heads = [
        "workload",
        "PyTorch loop, s",
        "tfmeta, s",
        "tfmeta / loop",
        "`torch.func.vmap` / loop",
    ]
    return [heads, *([SPEEDS[name], *first_columns(contestants(name))] for name in WORKLOADS)]
