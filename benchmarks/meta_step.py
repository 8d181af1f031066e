"""Times the meta-step of tfmeta beside other ways to compute it, in turns, on this machine.

    python -m benchmarks.meta_step --torch_python=../torch/bin/python --write

Each contestant is a process of its own. First all must agree on loss and meta-gradient; then they
take turns. `benchmarks/entries.py` registers contestants and workloads.
"""

import json
import sys
import tempfile

import numpy as np
from absl import app, flags

from benchmarks import report, turns
from benchmarks.entries import CONTESTANTS, WORKLOADS
from tests.references import problems

_WORKLOAD = flags.DEFINE_enum("workload", "omniglot_5way_1shot", list(WORKLOADS), "What is timed.")
_CONTESTANTS = flags.DEFINE_list(
    "contestants", ["pytorch_loop", "tfmeta"], f"Of {', '.join(CONTESTANTS)}; the first is 1."
)
_THREADS = flags.DEFINE_integer("threads", 2, "Of each contestant.", 1)
_ROUNDS = flags.DEFINE_integer("rounds", 10, "Turns of each contestant.", 1)
_STEPS = flags.DEFINE_integer("steps", 3, "Timed meta-steps in a turn.", 1)
_TORCH_PYTHON = flags.DEFINE_string("torch_python", sys.executable, "Interpreter that has torch.")
_JAX_PYTHON = flags.DEFINE_string("jax_python", None, "One that has jax; None: --torch_python.")
_TOLERANCE = flags.DEFINE_float(
    "tolerance", 1e-3, "Largest distance of a meta-gradient from the first's, of its norm."
)
_WRITE = flags.DEFINE_bool("write", False, "Store in results/benchmarks/.")
_NOTE = flags.DEFINE_string("note", "", "What a reader of the result should know of the machine.")


def main(argv):
    del argv
    processes = [start(name) for name in _CONTESTANTS.value]
    try:
        agreement = check_agreement(processes)
        seconds, cpu_seconds = turns.take_turns(
            processes, _ROUNDS.value, _STEPS.value, report=_print_turn
        )
        rows = {
            process.name: {
                **agreement[process.name],
                **report.summary(seconds[process.name], seconds[processes[0].name]),
                **report.cpu_summary(cpu_seconds[process.name], cpu_seconds[processes[0].name]),
                **process.ask("describe"),
            }
            for process in processes
        }
    finally:
        for process in processes:
            process.close()
    document = {
        "command": report.command("benchmarks.meta_step", sys.argv[1:]),
        "machine": report.machine(),
        "note": _NOTE.value,
        "workload": _described(WORKLOADS[_WORKLOAD.value]),
        "threads": _THREADS.value,
        "rounds": _ROUNDS.value,
        "steps_a_round": _STEPS.value,
        "contestants": rows,
    }
    print(report.table(rows))
    if _WRITE.value:
        name = f"meta_step_{_WORKLOAD.value}_{_THREADS.value}threads.json"
        path = turns.ROOT / "results" / "benchmarks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1) + "\n")
        print(f"Written to {path}")


def start(name):
    interpreters = {
        "tensorflow": sys.executable,
        "torch": _TORCH_PYTHON.value,
        "jax": _JAX_PYTHON.value or _TORCH_PYTHON.value,
    }
    if name not in CONTESTANTS:
        raise app.UsageError(
            f"--contestants must be of {', '.join(CONTESTANTS)}. Received: {name!r}."
        )
    interpreter = interpreters[CONTESTANTS[name].interpreter]
    return turns.Process(name, _WORKLOAD.value, interpreter, _THREADS.value)


def check_agreement(processes):
    """How far each contestant's meta-gradient is from the first's; ends the run if too far."""
    rows, first = {}, None
    with tempfile.TemporaryDirectory() as folder:
        for process in processes:
            loss, gradient, seconds = turns.gradients(process, folder)
            # The first meta-step traces or compiles on top of that.
            compile_seconds = process.ask("steps", count=1)["seconds"][0]
            first = first or (loss, gradient)
            keyed = dict(enumerate(gradient))
            distance = problems.distance(keyed, dict(enumerate(first[1])))
            rows[process.name] = {
                "loss": loss,
                "gradient_distance": distance,
                "first_gradient_seconds": seconds,
                "first_step_seconds": compile_seconds,
            }
            print(f"{process.name}: loss {loss:.6f}, gradient {distance:.1e} from the first's")
            if not (distance < _TOLERANCE.value and abs(loss - first[0]) < _TOLERANCE.value):
                raise SystemExit(f"{process.name} computes something else: nothing was timed.")
    return rows


def _described(workload):
    problem = workload.problem
    return {
        "name": _WORKLOAD.value,
        "network": {"filters": problem.filters, "max_pool": problem.pooled},
        "image_shape": problem.image_shape,
        **{name: getattr(problem, name) for name in ("tasks", "ways", "shots", "queries")},
        "algorithm": "first-order MAML" if workload.first_order else "MAML, second order",
        "inner_steps": workload.inner_steps,
        "dtype": "float32",
    }


def _print_turn(round_, process, answer):
    median = np.median(answer["seconds"])
    print(f"round {round_ + 1} {process.name}: {median * 1e3:.0f} ms", flush=True)


if __name__ == "__main__":
    app.run(main)
