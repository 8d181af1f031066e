"""The leading terms of three meta-gradients, checked as the inner rate goes to 0.

    python -m benchmarks.reptile_expansion [--write]

Nichol et al. 2018, section 5.1: for k minibatches of a task, in every order, and inner rate a,

    E[MAML]             =   AvgGrad - 2 (k - 1)     a AvgGradInner + O(a^2)
    E[first-order MAML] =   AvgGrad -   (k - 1)     a AvgGradInner + O(a^2)
    E[Reptile]          = k AvgGrad - k (k - 1) / 2 a AvgGradInner + O(a^2)

with AvgGrad the mean of the minibatches' gradients g_i at the initialisation and AvgGradInner the
mean of H_i g_j over pairs of different ones. MAML descends k - 1 minibatches and takes the loss of
the k-th; Reptile, here divided by a, descends all k. A tanh network in float64; the orders are the
tasks of one batch, all k! of them, so the expectation is exact and what is left is the O(a^2).
`--write` stores coefficients and residuals in results/reptile_expansion.json and draws them.
"""

import itertools
import json
import sys
from pathlib import Path

import numpy as np
from absl import app, flags
from matplotlib.figure import Figure

from benchmarks import report
from benchmarks.reptile_terms import SIZE, TERMS, order, row

_WRITE = flags.DEFINE_bool("write", False, "Store the figures and the picture in results/.")

RESULT = report.ROOT / "results" / "reptile_expansion.json"
RATES = tuple(0.1 * 2.0**-n for n in range(7))
MINIBATCHES = (2, 3, 4)


# Colours that a colour-blind reader tells apart (Okabe and Ito); lines differ in style as well, so
# that of two equal curves both are seen.
STYLES = {
    "MAML": {"color": "#0072B2", "linestyle": "-", "marker": "o", "linewidth": 1.5},
    "first-order MAML": {"color": "#E69F00", "linestyle": "-", "marker": "s", "linewidth": 4},
    "Reptile": {"color": "#000000", "linestyle": "--", "marker": "v", "linewidth": 1.5},
}


def draw(rows: list[dict], path: Path) -> None:
    """Residuals over rates, a panel for each number of inner steps, beside a line of slope 2."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    panels = figure.subplots(1, len(MINIBATCHES), sharey=True)
    guide = np.array(RATES)
    for panel, k in zip(panels, MINIBATCHES, strict=True):
        for name, style in STYLES.items():
            own = [row for row in rows if (row["gradient"], row["k"]) == (name, k)]
            rates, residuals = zip(*((row["rate"], row["residual"]) for row in own), strict=True)
            panel.loglog(rates, residuals, markersize=4, label=name, **style)
        panel.loglog(guide, guide**2, ":", color="gray", label="slope 2")
        panel.set(xlabel="inner rate", title=f"{k} inner steps")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("error of the expansion,\nas a part of AvgGrad")
    panels[0].legend(fontsize="small")
    figure.suptitle("What is left of a meta-gradient after its two terms")
    figure.savefig(path, dpi=120)


def main(_):
    rows = []
    for name, k in itertools.product(TERMS, MINIBATCHES):
        own = [row(name, k, rate) for rate in RATES]
        print(
            f"{name:<18} k = {k}: c = {own[-1]['c']:g}, measured {own[-1]['c_measured']:.4f} at "
            f"rate {RATES[-1]:.4g}; residual falls as rate^{order(own):.3f}",
            flush=True,
        )
        rows += own
    if _WRITE.value:
        document = {
            "command": report.command("benchmarks.reptile_expansion", sys.argv[1:]),
            "protocol": {
                "network": "2-4-2, tanh, float64",
                "loss": f"mean squared error of minibatches of {SIZE}",
                "expectation": "over all k! orders",
                "residual": "norm over that of AvgGrad",
            },
            "orders": {
                f"{name}, k = {k}": order(
                    [row for row in rows if (row["gradient"], row["k"]) == (name, k)]
                )
                for name, k in itertools.product(TERMS, MINIBATCHES)
            },
            "rows": rows,
        }
        RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        draw(rows, RESULT.with_suffix(".png"))


if __name__ == "__main__":
    app.run(main)
