"""Table V of Hepburn et al.: parameters, counted from the networks themselves."""

import pandas as pd

from lmc_mlflow.models.parameters import num_parameters
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.papers.marks import AGREES, DIFFERS
from lmc_mlflow.papers.printed import printed_table

IMAGES = {
    "mnist": (1, 28, 28, 10, 29_997),
    "cifar10": (3, 32, 32, 10, 25_000),
    "bigearthnet": (1, 120, 120, 19, 384_030),
}
"""Data set -> channels, height, width, classes, and images of one side."""


def table_v() -> pd.DataFrame:
    """Compute one row for each printed network: both counts, parameters per image of both, and whether they agree."""
    rows = []
    for _, line in printed_table("table_v").iterrows():
        channels, height, width, classes, num_images = IMAGES[line["dataset"]]
        network = build_network(NetworkSpec(line["model"], channels, height, width, classes), seed=0)
        count = num_parameters(network)
        ratio = count / num_images
        same = count == line["parameters"] and abs(ratio - line["ratio"]) <= 0.011
        rows.append(
            {
                "dataset": line["dataset"],
                "model": line["model"],
                "parameters": count,
                "paper_parameters": int(line["parameters"]),
                "ratio": round(ratio, 2),
                "paper_ratio": float(line["ratio"]),
                "mark": AGREES if same else DIFFERS,
            }
        )
    return pd.DataFrame(rows)
