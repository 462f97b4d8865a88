"""Scores an ensemble of logged networks, and logs the scores."""

import dataclasses
import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lmc_mlflow.config.canonical import fingerprint, to_params
from lmc_mlflow.config.commands import EnsembleConfig
from lmc_mlflow.contract import HEADLINE, SETTING_TAGS, Artifact, Kind, Tag, tag
from lmc_mlflow.data.other_tests import check_other_tests
from lmc_mlflow.predictions.ensembles import Interval, score_ensemble
from lmc_mlflow.query.networks import load_split
from lmc_mlflow.seeds import derive_seed
from lmc_mlflow.tracking.connection.store import beside, open_store
from lmc_mlflow.tracking.descriptions import list_on
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.adopt.given import with_runs
from lmc_mlflow.workflows.ensemble.by_size import log_sizes, size_tables
from lmc_mlflow.workflows.ensemble.calibrated_scores import score_calibrated
from lmc_mlflow.workflows.ensemble.member_places import log_member_places
from lmc_mlflow.workflows.ensemble.members import Members, find_members
from lmc_mlflow.workflows.ensemble.other_scores import log_other_scores
from lmc_mlflow.workflows.ensemble.predictions import predict_members
from lmc_mlflow.workflows.lifecycle.devices import share_work
from lmc_mlflow.workflows.lifecycle.outcome import Outcome
from lmc_mlflow.workflows.lifecycle.run_once import RunStart, new_run
from lmc_mlflow.workflows.networks.dataset_inputs import log_data
from lmc_mlflow.workflows.networks.run_names import group_run_name
from lmc_mlflow.workflows.networks.tags import joined_tags, members_tag

SHOWN = (
    "mean_prediction_accuracy",
    "majority_vote_accuracy",
    "member_accuracy",
    "wrong_agreement",
    "wrong_disagreement",
)
SAMPLINGS = {
    "lmc": ("points", "points of one path"),
    "curve": ("curve points", "points of a trained curve"),
    "seeds": ("networks", "networks trained one by one"),
    "star": ("star points", "points of the segments between a star and its sources"),
}
"""Sampling -> what its members are called in a name, and in a description."""
NUM_NAMED = 6
"""Networks that a description names."""


@dataclass(frozen=True)
class EnsembleOutcome(Outcome):
    """A scored ensemble.

    Attributes:
        scores: with their intervals.
        num_members: of the ensemble.
        num_kept: members whose predictions were read back, without a forward pass.
    """

    scores: dict[str, Interval]
    num_members: int
    num_kept: int


def ensemble(config: EnsembleConfig, parent: TrackedRun | None = None) -> EnsembleOutcome:
    """Predict with every member once, score the ensemble, and log it as a run.

    Args:
        config: which members, which estimates.
        parent: run that the ensemble is nested under.

    Raises:
        ValueError: members that cannot be found, loaded or compared; says how to put it right.
        StoreError: the tracking store cannot be used.
    """
    work = share_work(config.runtime, config.sharing)
    check_other_tests(config.other_data.names)
    config = with_runs(config, "members", ("runs",))
    store = open_store()
    members = find_members(store, config.members)
    for network in members.networks:
        network.refuse_if_diverged()
    for run_id in {network.split_run for network in members.networks if network.knows_training}:
        load_split(store.client, run_id)  # refused before a run is opened
    store = beside(store, members.networks[0].run.info.experiment_id)
    name = ensemble_name(members)
    first_file = (Artifact.MEMBERS, json.dumps(_members(members), indent=1))
    start = RunStart(name, _tags(members, config), to_params(config), first_file)
    with new_run(store, Kind.ENSEMBLE, start, parent) as run:
        predictions = predict_members(store, members, config.members, config.other_data, work)
        log_data(run, predictions.inputs)
        log_probabilities, truth = predictions.outputs.numpy(), predictions.labels.numpy()
        scores = score_ensemble(
            log_probabilities,
            truth,
            config.scores.num_resamples,
            config.scores.confidence,
            np.random.default_rng(derive_seed(config.scores.scores_seed, "bootstrap")),
        )
        temperature, calibrated = score_calibrated(log_probabilities, truth, config.scores)
        scores |= calibrated
        named = {"model": _joined(members, "model"), "num_members": len(members.names)}
        log_sizes(run, members.sampling, named, size_tables(log_probabilities, truth, config.scores))
        log_member_places(run, members, log_probabilities, truth)
        run.log_arrays({"probabilities": np.exp(log_probabilities), "labels": truth}, "predictions.npz")
        metrics = _log_scores(run, members, scores, predictions.num_kept, temperature)
        metrics |= log_other_scores(run, config.scores, predictions, name)
    counts = len(members.names), predictions.num_kept
    return EnsembleOutcome(run.run_id, name, "scored", metrics, run.experiment_id, scores, *counts)


def _log_scores(
    run: TrackedRun, members: Members, scores: dict[str, Interval], num_kept: int, temperature: dict[str, float]
) -> dict[str, float]:
    metrics: dict[str, float] = {"num_members": len(members.names), "num_cached_members": num_kept, **temperature}
    metrics["cost/train_seconds"] = sum(n.run.data.metrics.get("cost/train_seconds", 0.0) for n in members.networks)
    metrics["cost/train_seconds"] += 0.0 if members.curve is None else members.curve.train_seconds
    metrics[HEADLINE] = scores["mean_prediction_accuracy"].value
    for name, interval in scores.items():
        metrics |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    run.log_metrics(metrics)
    table = pd.DataFrame([{"score": name, **dataclasses.asdict(interval)} for name, interval in scores.items()])
    run.log_json(table.to_dict(orient="split", index=False), "scores.json")
    run.describe(_description(members, scores, metrics["cost/train_seconds"]))
    if members.sampling == "lmc":
        told = f"ensemble `{run.run_id}` of {len(members.names)} points: accuracy {metrics[HEADLINE]:.2%}"
        list_on(run.client, members.networks[0].split_run, told)
    return metrics


def ensemble_name(members: Members) -> str:
    """Name the run of an ensemble."""
    return group_run_name(f"{len(members.names)} {SAMPLINGS[members.sampling][0]}", members.networks)


def _joined(members: Members, key: str) -> str:
    return joined_tags(members.networks, (key,))[tag(key)]


def _members(members: Members) -> dict[str, object]:
    return {
        "sampling": members.sampling,
        "runs": [network.run.info.run_id for network in members.networks],
        "alphas": list(members.alphas),
        **({"others": list(members.others)} if members.others else {}),
        **({"curve": members.curve.run_id} if members.curve is not None else {}),
    }


def ensemble_fingerprint(config: EnsembleConfig) -> str:
    """Digest how an ensemble is made and scored, whatever its members."""
    return fingerprint(config, without=("pair", "runs", "query", "star", "curve"))


def _tags(members: Members, config: EnsembleConfig) -> dict[str, str]:
    tags = joined_tags(members.networks, (*SETTING_TAGS, "side"))
    tags[Tag.MEMBERS] = members_tag(members.names)
    tags[Tag.SAMPLING] = members.sampling
    tags[Tag.FINGERPRINT] = ensemble_fingerprint(config)
    if members.sampling == "lmc":
        tags[Tag.PAIR] = members.networks[0].split_run
    return tags | members.curve_tags


def _made_of(members: Members) -> str:
    """Name the pair, the curve, the star, or the first of the networks that the members are."""
    if members.sampling == "lmc":
        return f"Pair: `{members.networks[0].split_run}`."
    if members.curve is not None:
        return f"Curve: `{members.curve.run_id}`."
    ids = [f"`{network.run.info.run_id}`" for network in members.networks]
    more = f" and {len(ids) - NUM_NAMED} more" if len(ids) > NUM_NAMED else ""
    return f"{'Star and sources' if members.sampling == 'star' else 'Networks'}: {', '.join(ids[:NUM_NAMED])}{more}."


def _description(members: Members, scores: dict[str, Interval], train_seconds: float) -> str:
    first = scores["mean_prediction_accuracy"]
    rows = "\n".join(f"| {name} | {s.value:.4f} | {s.low:.4f} | {s.high:.4f} |" for name, s in scores.items())
    return (
        f"**Accuracy {first.value:.2%}** ({first.low:.2%} to {first.high:.2%}) by averaged probabilities, "
        "majority vote "
        f"{scores['majority_vote_accuracy'].value:.2%}, members alone {scores['member_accuracy'].value:.2%}; "
        f"wrong agreement {scores['wrong_agreement'].value:.4f}, wrong disagreement "
        f"{scores['wrong_disagreement'].value:.4f}.\n\n"
        f"{len(members.names)} members, {SAMPLINGS[members.sampling][1]}; training them took {train_seconds:.0f} s. "
        f"{_made_of(members)}\n\n"
        f"| score | value | low | high |\n|---|---|---|---|\n{rows}"
    )
