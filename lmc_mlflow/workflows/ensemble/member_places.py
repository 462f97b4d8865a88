"""Logs where every member of an ensemble lies, seen from the first network, with its own loss and accuracy."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from lmc_mlflow import weights
from lmc_mlflow.contract import Artifact
from lmc_mlflow.models.parameters import trainable
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.weights import State
from lmc_mlflow.workflows.ensemble.members import Members

COLUMNS = ["member", "name", "alpha", "angle_deg", "manhattan", "loss", "accuracy"]


def log_member_places(
    run: TrackedRun,
    members: Members,
    log_probabilities: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]",
    labels: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]",
) -> None:
    """Log angle, Manhattan distance, test loss and accuracy of every member (`member_places.json`).

    Angles and distances are over all trainable parameters, from the network at alpha 0 of a path or curve, from the
    star, or from the first member. A member whose parameters have other shapes has none.

    Args:
        run: of the ensemble.
        members: all.
        log_probabilities: (M, N, K) of the members on the test set.
        labels: (N,).
    """
    first = members.networks[0]
    names = trainable(first.network())
    alphas = members.alphas or (None,) * len(members.names)
    rows: list[list[Any]] = []
    for i, state in enumerate(_states(members)):
        alike = all(name in state and state[name].shape == first.state[name].shape for name in names)
        angle = weights.angle_deg(first.state, state, names) if alike else math.nan
        distance = weights.manhattan(first.state, state, names) if alike else math.nan
        own = log_probabilities[i]
        loss = -float(own[np.arange(len(labels)), labels].mean(dtype=np.float64))
        accuracy = float((own.argmax(axis=1) == labels).mean())
        numbers = [value if math.isfinite(value) else None for value in (angle, distance, loss, accuracy)]
        rows.append([i, members.names[i], alphas[i], *numbers])
    run.log_json({"columns": COLUMNS, "data": rows}, Artifact.MEMBER_PLACES)


def _states(members: Members) -> Iterator[State]:
    """Yield the parameters of every member."""
    if members.sampling == "seeds":
        yield from (network.state for network in members.networks)
    elif members.sampling == "star":
        for other, alpha in zip(members.others, members.alphas, strict=True):
            yield Segment(members.networks[0].state, members.networks[other].state).point(alpha)
    else:
        path = members.path_on(torch.device("cpu"))
        yield from (path.point(alpha) for alpha in members.alphas)
