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
        for row in read("benchmarks/pretrained_heads.json")["results"]
    }
    rows = [["head", "1 photo a class", "5 photos a class"]]
    for head in ("ridge", "linear", "prototypes"):
        rows.append([f"`{head}`", *(percent(stored[head, shots], 1) for shots in (1, 5))])
    return rows
