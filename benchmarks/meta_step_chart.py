"""Gathers the results of `benchmarks.meta_step` into a page of tables and a chart.

    python -m benchmarks.meta_step_chart --write
    python -m benchmarks.meta_step_chart --gpu --write

Prints the page; `--write` stores results/benchmarks/README.md and meta_step.png. With `--gpu` it is
of `benchmarks.meta_step_gpu`'s results, GPU.md and meta_step_gpu.png.
"""

import json

from absl import app, flags

from benchmarks import meta_step_page, report
from benchmarks.workloads import WORKLOADS

_THREADS = flags.DEFINE_integer("threads", 2, "Which results: of so many threads.", 1)
_GPU = flags.DEFINE_bool("gpu", False, "Results of a GPU: of meta_step_gpu.json.")
_WRITE = flags.DEFINE_bool("write", False, "Store the page and the chart in results/benchmarks/.")


def main(argv):
    del argv
    if _GPU.value:
        documents = json.loads((report.RESULTS / "meta_step_gpu.json").read_text())
        return store(meta_step_page.gpu_markdown(documents), documents, "GPU.md", "meta_step_gpu")
    documents = gathered(_THREADS.value)
    if not documents:
        raise app.UsageError(
            f"There must be results of {_THREADS.value} threads in results/benchmarks/. "
            "Received: none. Run python -m benchmarks.meta_step --write first."
        )
    page = meta_step_page.markdown(documents, _THREADS.value, _agreement())
    return store(page, documents, "README.md", "meta_step")


def store(page, documents, file, chart):
    print(page)
    if _WRITE.value:
        (report.RESULTS / file).write_text(page)
        meta_step_page.figure(documents).savefig(report.RESULTS / f"{chart}.png", dpi=110)


def gathered(threads) -> dict:
    """Stored results by workload, in the order of registration."""
    found = {}
    for name in WORKLOADS:
        path = report.RESULTS / f"meta_step_{name}_{threads}threads.json"
        document = json.loads(path.read_text()) if path.exists() else {}
        # Results of an older form lack what the tables show.
        if "yardsticks" in document:
            found[name] = document
        elif document:
            print(f"{path.name} is of an older form and left out: measure {name} again.")
    return found


def _agreement() -> str:
    """What `benchmarks.meta_step_agreement` found, if it was run."""
    path = report.RESULTS / "agreement.json"
    if not path.exists():
        return ""
    document = json.loads(path.read_text())
    distances = [far for row in document["distances"].values() for far in row.values()]
    numbers = [far for far in distances if not isinstance(far, str)]
    return (
        f"In float64, losses and meta-gradients (for adaptation: outputs) of {len(numbers)} of "
        f"{len(distances)} pairs of workload and contestant were compared with the first "
        f"contestant's: the largest distance is {max(numbers):.1e} "
        f"(`{document['command']}`, code {document['code']}).\n"
    )


if __name__ == "__main__":
    app.run(main)
