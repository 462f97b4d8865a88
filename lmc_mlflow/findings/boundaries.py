"""Computes the decision boundaries of two logged networks of points in the plane, and of their average."""

import numpy as np
import pandas as pd
import torch

from lmc_mlflow.alignment import derive_symmetry, match_weights, permute
from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.data.datasets import load_dataset
from lmc_mlflow.data.scaling import Scaling
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.models.decision_regions import decide, grid_over
from lmc_mlflow.models.parameters import trainable
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.query.networks import LoggedNetwork, load_network
from lmc_mlflow.query.runs import default_client
from lmc_mlflow.weights import State

COLUMNS = ["panel", "kind", "x", "y", "probability", "region", "label", "loss", "accuracy"]
PANELS = ("network A", "network B", "average", "average, B aligned")


def decision_boundaries(networks: pd.DataFrame, resolution: int = 150, uri: str | None = None) -> pd.DataFrame:
    """Compute what two networks, their average, and their average after weight matching decide over the plane.

    One row a point: `kind` is `grid` (with the probability of class 1 and the number of the linear region) or
    `test` (a test point with its label); `loss` and `accuracy` are the panel's on the test set. Coordinates are as
    the networks see them.

    Args:
        networks: rows of `query.endpoints()`: the first two of a data set of two dimensions and two classes, as
            `moons` is; with fewer than two the table is empty.
        resolution: points along each axis.
        uri: of the tracking server; None: MLflow's own settings.

    Raises:
        ValueError: the networks do not take points of the plane, or do not fit each other.
    """
    if len(networks) < 2:
        return pd.DataFrame(columns=COLUMNS)
    client = default_client(uri)
    a, b = (load_network(client, run_id) for run_id in networks["run_id"].iloc[:2])
    _check(a, b)
    dataset = load_dataset(a.config.data)
    scaling = Scaling.for_config(a.config.data, dataset.train)
    points = scaling.apply(torch.from_numpy(dataset.test.take(np.arange(len(dataset.test_labels)))))
    labels = torch.from_numpy(dataset.test_labels)
    grid = grid_over(points, resolution)
    tables = []
    for panel, state in zip(PANELS, _states(a, b, points), strict=True):
        network = a.network()
        network.load_state_dict(state)
        probability, region = decide(network.eval(), grid)
        loss, accuracy = evaluate(network, ResidentImages(points), labels)
        xs, ys = grid[:, 0, 0, 0].numpy(), grid[:, 1, 0, 0].numpy()
        over = pd.DataFrame({"kind": "grid", "x": xs, "y": ys, "probability": probability, "region": region})
        own = pd.DataFrame(
            {"kind": "test", "x": points[:, 0, 0, 0].numpy(), "y": points[:, 1, 0, 0].numpy(), "label": labels.numpy()}
        )
        tables.append(pd.concat([over, own], ignore_index=True).assign(panel=panel, loss=loss, accuracy=accuracy))
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def _check(a: LoggedNetwork, b: LoggedNetwork) -> None:
    shape = (a.spec.channels, a.spec.height, a.spec.width, a.spec.num_classes)
    if shape != (2, 1, 1, 2):
        raise ValueError(
            f"run {a.run.info.run_id} was trained on {a.config.data.dataset}: decision boundaries are drawn for two "
            "classes of points in the plane, as dataset=moons"
        )
    scalings = a.config.data.scaling, b.config.data.scaling
    difference = a.spec.difference(b.spec)
    if scalings[0] != scalings[1]:
        difference = f"normalization: {scalings[0]} vs {scalings[1]}"
    if difference is not None:
        raise ValueError(f"runs {a.run.info.run_id} and {b.run.info.run_id} cannot be averaged: {difference}")


def _states(a: LoggedNetwork, b: LoggedNetwork, points: torch.Tensor) -> list[State]:
    network = a.network()
    symmetry = derive_symmetry(network, points[:2])
    matching = match_weights(symmetry, a.state, b.state, seed=0, include=trainable(network))
    aligned = permute(symmetry, b.state, matching.permutations)
    return [a.state, b.state, Segment(a.state, b.state).point(0.5), Segment(a.state, aligned).point(0.5)]
