"""Predicts test sets with each member of an ensemble, and keeps the predictions with the members' runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from lmc_mlflow.config.choices import lookup
from lmc_mlflow.config.ensemble_and_prune import MembersConfig
from lmc_mlflow.config.other_data import OtherDataConfig
from lmc_mlflow.query.prediction_cache import kept_predictions
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.tracking.prediction_cache import keep_predictions
from lmc_mlflow.workflows.ensemble.kinds import (
    KINDS_OF_MEMBERS,
    LOGGED,
    Asked,
    MeasuredMembers,
    Member,
    MemberPredictor,
    Task,
    place_of,
)
from lmc_mlflow.workflows.ensemble.members import Members
from lmc_mlflow.workflows.lifecycle.devices import SharedWork
from lmc_mlflow.workflows.networks.dataset_inputs import InputImages

Outputs = dict[str, dict[int, Tensor]]
"""Test set -> number of a member -> outputs (N, K)."""


@dataclass(frozen=True)
class Predictions:
    """What the members predict.

    Attributes:
        outputs: (M, N, K) log-probabilities on the logged test set.
        labels: (N,).
        num_kept: members whose predictions on it were read back.
        inputs: context -> images that the predictions depend on.
        others: further test set -> the same outputs and labels of it.
    """

    outputs: Tensor
    labels: Tensor
    num_kept: int
    inputs: Mapping[str, InputImages]
    others: Mapping[str, tuple[Tensor, Tensor]]


def predict_members(
    store: Store, members: Members, config: MembersConfig, others: OtherDataConfig, work: SharedWork
) -> Predictions:
    """Predict with every member.

    A member's predictions are computed once and kept with its run, if the store allows it; from then on they are read
    back.
    """
    known: dict[int, Member] = {}
    tasks: list[Task] = []
    outputs: Outputs = {}
    inputs: dict[str, InputImages] = {}
    look_up = lookup(KINDS_OF_MEMBERS, members.sampling, "sampling").look_up
    for i, member in enumerate(look_up(store, members, Asked(config, others, work.device))):
        known[i] = member
        named = {test or "test": used for test, used in member.tests.items()}
        inputs = {**member.inputs, **named}
        missing = []
        for test, used in member.tests.items():
            key, shape = member.keys[test], (len(used.images), members.networks[0].spec.num_classes)
            kept = kept_predictions(store.client, member.run_id, key, shape) if key in member.kept else None
            if kept is None:
                missing.append(test)
            else:
                outputs.setdefault(test, {})[i] = kept
        if missing:
            tasks.append((i, tuple(missing)))
    num_kept = len(outputs.get(LOGGED, {}))
    if tasks:
        _predict(store, members, config.bn, known, tasks, work, outputs)
    joined = {test: torch.stack([own[i] for i in sorted(own)]) for test, own in outputs.items()}
    labels = {test: used.images.labels.cpu() for test, used in known[0].tests.items()}
    further = {test: (joined[test], labels[test]) for test in labels if test != LOGGED}
    return Predictions(joined[LOGGED], labels[LOGGED], num_kept, inputs, further)


def _predict(
    store: Store,
    members: Members,
    bn: str,
    known: Mapping[int, Member],
    tasks: list[Task],
    work: SharedWork,
    outputs: Outputs,
) -> None:
    """Predict with some members, keep the predictions and add them to the outputs (in place)."""
    can_keep = True
    tests = {place_of(i, test): known[i].tests[test].images for i, missing in tasks for test in missing}
    options: dict[str, Any] = {"initial": len(members.names) - len(tasks), "total": len(members.names)}
    with work.workers(MeasuredMembers(members, bn, tests, known[tasks[0][0]].calibration)) as workers:
        found = workers.map(MemberPredictor.member, tasks)
        for place, predicted in tqdm(found, desc="members", unit="network", leave=False, disable=None, **options):
            i = tasks[place][0]
            for test, own in predicted.items():
                if own.isnan().any():
                    raise ValueError(
                        f"member {members.names[i]} predicts values that are no numbers; leave it out (its batch norm "
                        "may have met a variance below 0: bn=recalibrate)"
                    )
                can_keep = can_keep and keep_predictions(store.client, known[i].run_id, known[i].keys[test], own)
                outputs.setdefault(test, {})[i] = own
