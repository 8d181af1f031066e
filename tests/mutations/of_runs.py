"""Faults of runs, recipes, evaluation, calibration and comparison."""

# ruff: noqa: E501 (lines of the library, two in one)

from tests.mutations.fault import Faults

FAULTS = Faults()

CALIBRATION, OF_CALIBRATION = (
    "tfmeta/evaluation/calibration.py",
    "tests/evaluation/test_calibration.py",
)
FAULTS.add(
    "the interval of a likelihood divides by the number of tasks",
    CALIBRATION,
    "/ math.sqrt(len(values)) if known",
    "/ len(values) if known",
    OF_CALIBRATION,
)
FAULTS.add(
    "ten bins of confidence in place of fifteen",
    CALIBRATION,
    "BINS = 15",
    "BINS = 10",
    OF_CALIBRATION,
)
FAULTS.add(
    "bins weigh alike whatever they hold",
    CALIBRATION,
    "error += inside.mean() * abs(confidence - accuracy)",
    "error += abs(confidence - accuracy) / BINS",
    OF_CALIBRATION,
)
FAULTS.add(
    "an interval of a quantile reaches to one side",
    CALIBRATION,
    "widths = np.abs(2 * np.ravel(quantiles) - 1)",
    "widths = np.abs(np.ravel(quantiles) - 0.5)",
    OF_CALIBRATION,
)
FAULTS.add(
    "a mixture's density is the sum of its parts",
    CALIBRATION,
    "np.logaddexp.reduce(each, axis=1) - math.log(samples.shape[1])",
    "np.logaddexp.reduce(each, axis=1)",
    OF_CALIBRATION,
)

EVALUATION_CURVES = "tfmeta/evaluation/curves.py"
EVALUATION_METRICS = "tfmeta/evaluation/metrics.py"
OF_EVALUATION = "tests/evaluation/test_evaluation.py"
FAULTS.add(
    "the interval of an evaluation is one standard error",
    EVALUATION_CURVES,
    "1.96 * spread / math.sqrt",
    "1.0 * spread / math.sqrt",
    OF_EVALUATION,
)
FAULTS.add(
    "the spread over tasks divides by their number",
    EVALUATION_CURVES,
    "kept.std(axis=0, ddof=1)",
    "kept.std(axis=0)",
    OF_EVALUATION,
)
FAULTS.add(
    "diverged tasks leave an accuracy too",
    EVALUATION_CURVES,
    "kept = values if metric == ACCURACY else values[~diverged]",
    "kept = values[~diverged]",
    OF_EVALUATION,
)
FAULTS.add(
    "a last batch counts whole",
    EVALUATION_CURVES,
    "np.concatenate([row[name] for row in rows])[:tasks]",
    "np.concatenate([row[name] for row in rows])",
    OF_EVALUATION,
)
FAULTS.add(
    "a binary answer is cut at 0.5 though it is a logit",
    EVALUATION_METRICS,
    "threshold = 0.0 if kind.from_logits else 0.5",
    "threshold = 0.5",
    OF_EVALUATION,
)

RUN = "tests/runs/test_run.py"
FAULTS.add(
    "every held-out stream is of the test split",
    "tfmeta/runs/building.py",
    "return _stream(settings, stream, split=split, seed=seed, **options)",
    'return _stream(settings, stream, split="test", seed=seed, **options)',
    RUN,
    "-k=read_their_own",
)
FAULTS.add(
    "validation reads the evaluation's split",
    "tfmeta/runs/chief.py",
    "building.held_out_stream(self.settings, validate.split, validate.seed),",
    "building.held_out_stream(self.settings, self.settings.evaluate.split, validate.seed),",
    RUN,
    "-k=read_their_own",
)
FAULTS.add(
    "validation reads the evaluation's tasks",
    "tfmeta/runs/chief.py",
    "building.held_out_stream(self.settings, validate.split, validate.seed),",
    "building.held_out_stream(self.settings, validate.split, self.settings.evaluate.seed),",
    RUN,
    "-k=read_their_own",
)
FAULTS.add(
    "a run trains on the validation split",
    "tfmeta/runs/building.py",
    'settings.train.stream, split="train", seed=settings.train.seed',
    'settings.train.stream, split="validation", seed=settings.train.seed',
    RUN,
    "-k=read_their_own",
)
CHECKPOINTS, OF_CHECKPOINTS = "tfmeta/runs/checkpoints.py", "tests/runs"
FAULTS.add(
    "the oldest checkpoints stay",
    CHECKPOINTS,
    "self.steps()[-self.keep :]",
    "self.steps()[: self.keep]",
    "tests/runs/test_checkpoints.py",
)
FAULTS.add(
    "the best checkpoint is removed with the old ones",
    CHECKPOINTS,
    '*(each["step"] for each in self.ranking())}',
    "}",
    "tests/runs/test_checkpoints.py",
)
FAULTS.add(
    "the largest error is the best",
    CHECKPOINTS,
    "sign = -1 if metric in HIGHER_IS_BETTER else 1",
    "sign = -1",
    "tests/runs/test_ensemble.py",
    "tests/runs/test_checkpoints.py",
)
FAULTS.add(
    "a checkpoint that lacks a variable is read",
    CHECKPOINTS,
    "status.assert_consumed()",
    "status.expect_partial()",
    "tests/runs/test_checkpoints.py",
)
FAULTS.add(
    "a text is written in place",
    "tfmeta/runs/files.py",
    'temporary = path.with_name(f".{path.name}.tmp")\n    with open',
    "temporary = path\n    with open",
    "tests/runs/test_files.py",
)
FAULTS.add(
    "a new directory that failed is left behind",
    "tfmeta/runs/files.py",
    "    finally:\n        shutil.rmtree(temporary, ignore_errors=True)",
    "    finally:\n        pass",
    "tests/runs/test_files.py",
)
FAULTS.add(
    "rows after the checkpoint stay in the log",
    "tfmeta/runs/metrics_log.py",
    'if int(row["step"]) <= step]',
    'if row["step"]]',
    "tests/runs/test_metrics_log.py",
)
FAULTS.add(
    "a chief beside workers has no place of its own",
    "tfmeta/runs/distributed/cluster.py",
    'return index + (job == "worker") * len(jobs.get("chief", []))',
    "return index",
    "tests/runs/distributed/test_cluster.py",
)
FAULTS.add(
    "an ensemble leaves its last member's weights in the learner",
    "tfmeta/runs/ensemble.py",
    "        self._assign(own)\n        outputs, losses",
    "        outputs, losses",
    "tests/runs/test_ensemble.py",
)
FAULTS.add(
    "handlers of signals are not given back",
    "tfmeta/runs/signals.py",
    "        with request._interrupts:\n            yield request\n    finally:\n        request.leave()",
    "        with request._interrupts:\n            yield request\n        request.leave()\n    finally:\n        pass",
    "tests/test_scopes.py",
)
FAULTS.add(
    "bindings of training may change from session to session",
    "tfmeta/runs/recipe/comparing.py",
    "if binding.argument and owner not in FREE_TO_CHANGE:",
    "if binding.argument and owner in FREE_TO_CHANGE:",
    "tests/runs/recipe/test_comparing.py",
)
FAULTS.add(
    "a macro's change is no difference",
    "tfmeta/runs/recipe/comparing.py",
    "compared[binding.key] = repr(values[binding.key])",
    "compared[binding.key] = repr(binding.value)",
    "tests/runs/recipe/test_comparing.py",
)
FAULTS.add(
    "an ensemble larger than what is kept is let through",
    "tfmeta/runs/recipe/settings.py",
    "self.evaluate.ensemble > self.log.keep_best",
    "self.evaluate.ensemble > self.log.keep_best + 1",
    "tests/runs/test_ensemble.py",
    "tests/runs/recipe/test_config.py",
)

SECTIONS, OF_COMPARISON = "tfmeta/runs/comparison/sections.py", "tests/runs/comparison"
FAULTS.add(
    "every published figure is marked to be checked",
    "tfmeta/runs/comparison/published.py",
    'check=line["check"] == "check",',
    'check=line["check"] != "check",',
    OF_COMPARISON,
)
FAULTS.add(
    "published rows are bold and runs are not",
    "tfmeta/runs/comparison/writing.py",
    "if not row.published:\n        cells[:2]",
    "if row.published:\n        cells[:2]",
    OF_COMPARISON,
)
FAULTS.add(
    "figures to be checked are black in the picture",
    "tfmeta/runs/comparison/chart.py",
    '"0.6" if row.check else "black"',
    '"black"',
    OF_COMPARISON,
)
FAULTS.add(
    "the mark of a figure to be checked is lost in the text",
    "tfmeta/runs/comparison/row.py",
    "{' (check)' if row.check else ''}",
    "",
    OF_COMPARISON,
)
FAULTS.add(
    "the worst accuracy comes first",
    SECTIONS,
    'return (0, -row.value if task[3] == "accuracy" else row.value)',
    "return (0, row.value)",
    OF_COMPARISON,
)
FAULTS.add(
    "a run's counterpart is a row to be checked",
    SECTIONS,
    "            row.check,\n",
    "            not row.check,\n",
    OF_COMPARISON,
)
FAULTS.add(
    "the spread over seeds is that of a population",
    "tfmeta/runs/comparison/seeds.py",
    "spread=statistics.stdev(values)",
    "spread=statistics.pstdev(values)",
    OF_COMPARISON,
)
