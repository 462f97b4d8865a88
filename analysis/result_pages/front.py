"""The answers that stand on the front page."""

from analysis.result_pages.numbers import interval, of
from analysis.result_pages.shipped_runs import ShippedRuns
from lmc_mlflow.findings.parting import PARTING

BARRIER = "test/barrier_over_chord"


def parts(runs: ShippedRuns) -> dict[str, str]:
    """Write the two strongest answers, each with a link to its page."""
    paths = runs.paths
    shared = paths[(paths["dataset"] == "mnist") & (paths[PARTING].astype(float) <= 1) & (paths["align"] == "none")]
    apart, together = (shared[shared[PARTING].astype(float) == k]["connected"] for k in (0, 1))
    wide = paths[(paths["align"] == "weights") & (paths["model"] == "mlp_l1_w256")]
    before, after = (interval(wide[name], 3) for name in (f"unaligned/{BARRIER}", BARRIER))
    return {
        "answers": (
            f"**The basin is chosen early**: on MNIST, {of((apart == 'yes').sum(), len(apart))} pairs that see "
            f"different data "
            f"and noise from the start are connected, {of((together == 'yes').sum(), len(together))} that share one "
            f"epoch of "
            "eight ([when](docs/results/when.md)). **Much of a barrier is the order of units**: between two starts "
            "it falls "
            f"from {before} to {after} nats at width 256 when the units are aligned ([up to permutation]"
            "(docs/results/permutation.md)). [All questions and answers](docs/results/README.md), each with its runs."
        )
    }
