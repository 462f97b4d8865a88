"""The answers that stand on the front page."""

from analysis.result_pages.numbers import interval, of
from analysis.result_pages.shipped_runs import ShippedRuns
from analysis.result_pages.training_length import FIRST, LAST, on_test_images
from lmc_mlflow.findings.parting import PARTING
from lmc_mlflow.findings.thresholds import FLAT_BELOW


def parts(runs: ShippedRuns) -> dict[str, str]:
    """Write the two strongest answers, each with a link to its page."""
    more = "[All questions and answers](docs/results/README.md), with their runs."
    return {"answers": f"{_grown(runs)} {_chosen(runs)} {more}"}


def _grown(runs: ShippedRuns) -> str:
    barriers = on_test_images(runs)
    own = barriers[barriers["model"] == "mlp_l1_w126"]
    (short, long), (flat, centered) = (
        [
            interval(own.loc[(own["normalization"] == scaling) & (own["epoch"] == epoch), "barrier_in_basin"], 2)
            for epoch in (FIRST, LAST)
        ]
        for scaling in ("unit", "centered")
    )
    return (
        "**Barriers can grow with training**: two halves of CIFAR-10 with pixels in [0, 1] leave a network of one "
        "hidden layer "
        f"with a barrier of {short} nats after {FIRST} epochs and of {long} after {LAST}, where its training "
        f"accuracy is the paper's (printed 0.74 +- 0.43); with centered pixels it goes from {flat} to "
        f"{centered}, of which {FLAT_BELOW:g} would count ([how they grow](docs/results/training_length.md))."
    )


def _chosen(runs: ShippedRuns) -> str:
    paths = runs.paths
    shared = paths[
        (paths["dataset"] == "mnist") & (paths[PARTING].astype(float) <= 1) & (paths["model"] == "mlp_l3_w128")
    ]
    apart, together = (shared[shared[PARTING].astype(float) == k]["connected"] for k in (0, 1))
    return (
        f"**The basin is chosen early**: of pairs with three hidden layers on MNIST, "
        f"{of((apart == 'yes').sum(), len(apart))} that see different data and "
        f"noise from the start are connected, and {of((together == 'yes').sum(), len(together))} that share one "
        f"epoch of eight ([when](docs/results/when.md))."
    )
