"""The tables of docs/benchmarks.md."""

import math

from benchmarks.document_tables.stored import digits, read, span

SPEEDS = {
    "omniglot_5way_1shot": "Omniglot 5-way 1-shot, MAML, 32 tasks, 1 step",
    "omniglot_5way_1shot_first_order": "the same, first order",
    "omniglot_5way_1shot_15queries": "... with 15 queries a class",
    "omniglot_5way_5shot": "Omniglot 5-way 5-shot, MAML, 32 tasks, 1 step, 15 queries a class",
    "omniglot_20way_1shot": "Omniglot 20-way 1-shot, MAML, 16 tasks, 5 steps",
    "mini_imagenet_5way_1shot": "mini-ImageNet 5-way 1-shot, MAML, 4 tasks, 5 steps",
    "mini_imagenet_5way_1shot_first_order": "the same, first order",
    "omniglot_reptile": "Omniglot, Reptile, 5 inner Adam steps, 5 tasks",
    "omniglot_imaml": "Omniglot, iMAML, 16 inner steps, 5 of conjugate gradients",
    "sinusoid_1step": "sinusoid, MAML, 25 tasks, 1 step",
    "sinusoid_5steps": "sinusoid, MAML, 25 tasks, 5 steps",
    "adaptation_5steps_1tasks": "adaptation alone, 5 steps, 1 task",
    "adaptation_5steps_32tasks": "adaptation alone, 5 steps, 32 tasks",
    "adaptation_50steps_32tasks": "adaptation alone, 50 steps, 32 tasks",
}


def contestants(workload):
    """The timed contestants of a workload."""
    return read(f"benchmarks/meta_step_{workload}_2threads.json")["contestants"]


def _ratio(row):
    """A contestant's time as a part of the PyTorch loop's."""
    ratio = row["ratio_median"]
    return f"{ratio:.1f}" if ratio >= 1.995 else f"{ratio:.2f}"


def meta_steps():
    """Seconds of the loop and of tfmeta, and everybody's ratio to the loop."""
    heads = ["workload", "PyTorch loop, s", "tfmeta, s", "tfmeta / PyTorch loop"]
    heads += ["`torch.func.vmap` / loop", "JAX, its best / loop"]
    heads += ["stock `vectorized_map`, `map_fn` / loop", "tfmeta, of a large product's rate"]
    rows = [heads]
    for workload, words in SPEEDS.items():
        timed = contestants(workload)
        jax = min((timed["jax_vmap"], timed["jax_lax_map"]), key=lambda row: row["ratio_median"])
        stock = [timed[name] for name in ("stock_vectorized_map", "stock_map_fn") if name in timed]
        share = timed["tfmeta"]["share_of_large_product"]
        last = [_ratio(jax), ", ".join(map(_ratio, stock)), f"{share:.0%}".replace("%", " %")]
        rows.append([words, *first_columns(timed), *last])
    return rows


def first_columns(timed):
    """Seconds of the loop and of tfmeta, then the ratios of tfmeta and of torch.func.vmap."""
    seconds = [digits(timed[name]["seconds_median"]) for name in ("pytorch_loop", "tfmeta")]
    return [*seconds, _ratio(timed["tfmeta"]), _ratio(timed["torch_func_vmap"])]


GROUPS = {
    "Omniglot 1-shot at 5 and 20 ways, Reptile, iMAML, mini-ImageNet": (
        *("omniglot_5way_1shot", "omniglot_20way_1shot", "omniglot_reptile", "omniglot_imaml"),
        *("mini_imagenet_5way_1shot", "mini_imagenet_5way_1shot_first_order"),
    ),
    "Omniglot 1-shot, first order": ("omniglot_5way_1shot_first_order",),
    "sinusoids": (
        *("sinusoid_1step", "sinusoid_1step_first_order"),
        *("sinusoid_5steps", "sinusoid_5steps_first_order"),
    ),
    "adaptation alone": tuple(
        f"adaptation_{steps}steps_{tasks}tasks" for steps in (1, 5, 50) for tasks in (1, 32)
    ),
    "15 queries a class, 5 shots, or 20 ways at first order": (
        *("omniglot_5way_1shot_15queries", "omniglot_5way_1shot_15queries_first_order"),
        *("omniglot_5way_5shot", "omniglot_5way_5shot_first_order"),
        "omniglot_20way_1shot_first_order",
    ),
}


def times_faster():
    """How many times faster than the loop, by kind of workload."""
    rows = [["workloads", "times"]]
    for words, workloads in GROUPS.items():
        times = [1 / contestants(name)["tfmeta"]["ratio_median"] for name in workloads]
        rows.append([words, span(times, "{:.0f}" if min(times) > 10 else "{:.1f}")])
    return rows


def gpu():
    """The vectorised step on a GPU."""
    words = {
        "omniglot_5way_1shot": "Omniglot 5-way 1-shot",
        "mini_imagenet_5way_1shot": "mini-ImageNet 5-way 1-shot",
        "sinusoid_1step": "sinusoids, one inner step",
    }
    heads = ["workload", "ms", "of the PyTorch loop's time"]
    rows = [[*heads, "of the best other's time (JAX under `vmap`)"]]
    for workload, text in words.items():
        timed = read("benchmarks/meta_step_gpu.json")[workload]["contestants"]
        own = timed["tfmeta_lowered"]
        best = own["seconds_median"] / timed["jax_vmap"]["seconds_median"]
        figures = [f"{1000 * own['seconds_median']:.1f}", f"{own['ratio_median']:.3f}"]
        rows.append([text, *figures, f"{best:.2f}"])
    return rows


def choices():
    """What threads, choices and a run's other work cost."""
    ratios = [
        row["ratio_of_one_thread"] for row in read("benchmarks/threads.json")["recipes"].values()
    ]
    slower = sum(ratio > 1 for ratio in ratios)
    chosen = read("benchmarks/choices.json")["recipes"].values()
    worst = max(row["worst_choice_to_best"] for row in chosen)
    runs = read("benchmarks/whole_run.json")["recipes"].values()
    added = max(row["added_median"] for row in runs)
    return [
        ["question", "answer", "source"],
        [
            "one thread an operation, tasks each by itself, against as many threads as cores",
            f"{span([r for r in ratios if r <= 1], '{:.1f}')} of the time on "
            f"{len(ratios) - slower} recipes; {max(ratios):.2f} on mini-ImageNet with Reptile",
            "`python -m benchmarks.threads --write`, [figures](../results/benchmarks/threads.json)",
        ],
        [
            "does a run choose its fastest execution?",
            f"on {len(chosen)} recipes, asked five times each: the fastest, or one within "
            f"{math.ceil(100 * (worst - 1))} % of it",
            "`python -m benchmarks.choices --write`, [figures](../results/benchmarks/choices.json)",
        ],
        [
            "drawing tasks, logs and checkpoints",
            f"up to {100 * added:.0f} % of a run's steps on {len(runs)} recipes, in the median "
            "of three rounds that scatter by as much and more",
            "`python -m benchmarks.whole_run --write`, "
            "[figures](../results/benchmarks/whole_run.json)",
        ],
    ]


def drawn_tasks():
    """Tasks drawn a second."""
    words = {
        ("sinusoid", None): "sinusoids",
        ("omniglot", 1): "Omniglot 5-way 1-shot",
        ("mini_imagenet", 15): "mini-ImageNet 5-way 1-shot, 15 queries a class",
    }
    rows = {}
    for row in read("tasks_per_second.json")["rows"]:
        options = row["options"]
        rows.setdefault((row["source"], options.get("queries")), row["tasks_per_second"])
    figures = (
        [text, digits(rows[key], 3 if rows[key] > 1e5 else 2)] for key, text in words.items()
    )
    return [["tasks", "drawn a second"], *figures]


def requests():
    """One request, of the embedded server and of others."""
    ways = read("serving_latency.json")["ways"]
    own, ratio = ways["grpc"]["milliseconds"]["p50"], ways["grpc"]["ratio_to_session"]["median"]
    return [
        ["request", "result"],
        ["adapt and predict, median", f"{own:.1f} ms"],
        [
            "the same, of the bare session call's time",
            digits(ratio),
        ],
        [
            "a PyTorch server that fine-tunes by autograd, of tfmeta's time",
            f"{ways['pytorch']['milliseconds']['p50'] / own:.1f}",
        ],
        [
            "a prediction with weights adapted before",
            f"{ways['grpc predict_adapted']['milliseconds']['p50']:.1f} ms",
        ],
    ]


def load():
    """Many clients at once."""
    stored = read("serving_load.json")
    rows = [["clients", "result"]]
    for protocol, good in (("gRPC", "OK"), ("REST", "200")):
        (row,) = (row for row in stored["protocols"][protocol] if row["clients"] == 4)
        errors = sum(row["codes"].values()) - row["codes"][good]
        rate = f"{row['requests_per_second']:.0f} requests a second"
        rows.append(
            [f"four over {protocol}", f"{rate}, {errors or 'no'} error{'s' * (errors > 1)}"]
        )
    overload = stored["overload"]
    refused = overload["codes"]["RESOURCE_EXHAUSTED"] / sum(overload["codes"].values())
    return [
        *rows,
        [
            f"memory after {stored['memory']['requests']:,} requests",
            f"{100 * stored['memory']['growth']:+.1f} %",
        ],
        [
            f"{overload['clients']} against room for 6",
            f"RESOURCE_EXHAUSTED for {100 * refused:.0f} % of the requests",
        ],
    ]
