"""The tables of the guides: outlier scores, presets, pretrained networks."""

from benchmarks.document_tables.stored import percent, read, steps


def outliers():
    """What the demo page's threshold finds, by the number of classes."""
    heads = ["classes", "area under the ROC curve, in %", "strangers found, in %"]
    rows = [[*heads, "false alarms, in %"]]
    for row in read("demo_outliers.json")["rows"]:
        figures = (row[name] for name in ("auroc", "recall", "false_alarms"))
        rows.append([str(row["ways"]), *(percent(figure, 1) for figure in figures)])
    return rows


PRESETS = {
    "sinusoid_maml": "MAML on sinusoids",
    "glyphs_5way_1shot_maml": "MAML on characters that the program draws",
    "omniglot_demo": "MAML, inductive; the demo page's model",
    "omniglot_5way_1shot_fomaml": "first-order MAML",
    "omniglot_5way_1shot_maml_nonconv": "MAML without convolutions",
}


def presets():
    """Presets that come with tfmeta, with the result on each card."""
    rows = [["name", "what", "meta-steps", "transductive", "inductive"]]
    for name, words in PRESETS.items():
        results = read(f"{name}/evaluation.json")["results"]
        taken = steps(name)
        if "mean_squared_error" in results["transductive"]:
            curve = results["transductive"]["mean_squared_error"]["mean"]
            error = f"squared error {curve[1]:.2f} after 1 step, {curve[10]:.2f} after 10"
            rows.append([f"`{name}`", words, taken, error, "the same"])
            continue
        cells = []
        for mode in ("transductive", "inductive"):
            figure = results[mode]["accuracy"]
            last = {key: figure[key][-1] for key in ("mean", "interval95")}
            cells.append(f"{percent(last)} %")
        rows.append([f"`{name}`", words, taken, *cells])
    return rows


def pretrained_heads():
    """Accuracies of heads on a pretrained network."""
    stored = {
        (row["head"], row["shots"]): row["accuracy"]
        for row in read("benchmarks/pretrained_heads_mini_imagenet_val.json")["results"]
    }
    rows = [["head", "1 photo a class", "5 photos a class"]]
    for head in ("ridge", "linear", "prototypes"):
        rows.append([f"`{head}`", *(percent(stored[head, shots], 1) for shots in (1, 5))])
    return rows


TEST_CLASSES = {
    "mini-ImageNet": "benchmarks/pretrained_heads_mini_imagenet_test.json",
    "Omniglot": "benchmarks/pretrained_heads_omniglot_test.json",
}


def heads_by_ways():
    """Accuracies of heads on a pretrained network by the number of classes."""
    heads = ("ridge", "linear", "prototypes")
    rows = [["data", "classes", "images a class", *(f"`{head}`" for head in heads)]]
    for data, file in TEST_CLASSES.items():
        stored = {
            (row["ways"], row["shots"], row["head"]): row["accuracy"]
            for row in read(file)["results"]
        }
        for ways, shots in sorted({key[:2] for key in stored}):
            figures = (percent(stored[ways, shots, head], 1) for head in heads)
            rows.append([data, str(ways), str(shots), *figures])
    return rows


def strangers_of_heads():
    """What outlier scores of heads on a pretrained network find."""
    heads = ["area under the ROC curve", "strangers found", "false alarms"]
    rows = [["data", "head", "images a class", "score", *heads]]
    for data, file in TEST_CLASSES.items():
        for row in read(file)["outliers"]:
            figures = (row["test"][name] for name in ("auroc", "recall", "false_alarms"))
            cells = [data, f"`{row['head']}`", str(row["shots"]), f"`{row['score']}`"]
            rows.append([*cells, *(percent(figure, 1) for figure in figures)])
    return rows


LITERT_NETWORKS = {
    "mlp": "sinusoids, 10 + 100, 10 steps",
    "conv4": "Conv4, 28 x 28, strides, 5 + 75, 5 steps",
    "conv4_max_pool": "Conv4, 84 x 84, max pooling, 32 filters, 5 + 75, 5 steps",
    "mobilenet": "frozen MobileNetV3Small, 96 x 96, head adapts, 25 + 5, 5 steps",
}


def litert():
    """A LiteRT file beside the SavedModel of the same learner."""
    names = ("adapt", "predict_adapted", "adapt_and_predict")
    rows = [["network", "file, kB", *(f"`{name}`, ms" for name in names), "distance"]]
    networks = read("litert.json")["networks"]
    for name, words in LITERT_NETWORKS.items():
        row = networks[name]
        times = [row["processor_milliseconds_a_call"][each] for each in names]
        pairs = [(row["litert_bytes"] / 1e3, row["saved_model_bytes"] / 1e3)]
        pairs += [(each["litert"], each["saved_model"]) for each in times]
        cells = (" / ".join(_short(figure) for figure in pair) for pair in pairs)
        rows.append([words, *cells, f"{row['distance']:.0e}"])
    return rows


def _short(figure: float) -> str:
    """A number with two figures, or all before the point."""
    return f"{figure:,.0f}" if figure >= 10 else f"{figure:.2g}"
