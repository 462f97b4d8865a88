"""Builds tables of `query` for tests that need no store."""

from typing import Any

import pandas as pd

from lmc_mlflow.findings.condition_table import Frames, prepare, with_overfitting
from lmc_mlflow.findings.evidence import Verdict

SEEDS = (1, 20)
SETTINGS: dict[str, Any] = {
    "dataset": "cifar10",
    "model": "mlp_l1_w126",
    "shift": "label_5050",
    "normalization": "centered",
    "noise": "same",
    "lr": 0.001,
    "batch_size": 32,
    "epochs": 100,
    "init": "same",
    "optimizer": "adam",
    "test_split": "auto",
    "augmentation": "auto",
}
PATH = SETTINGS | {
    "connected": "yes",
    "bn": "interpolate",
    "side_a": "A",
    "side_b": "B",
    "same_initialization": True,
    "test/barrier": 0.0,
    "test/barrier_in_basin": 0.0,
    "test/accuracy_delta": 0.0,
    "train_a/barrier_in_basin": 0.0,
    "train_b/barrier_in_basin": 0.0,
    "angle_deg": 60.0,
    "angle_weights_deg": 70.0,
    "angle_reference_deg": 90.0,
    "train/accuracy": 0.9,
    "test/accuracy": 0.5,
    "train/loss": 0.3,
}
"""A path, and in its last three columns what `frames` gives to its pair."""
ENSEMBLE = SETTINGS | {
    "sampling": "lmc",
    "num_members": 5,
    "bn": "interpolate",
    "pair": "",
    "side": "",
    "wrong_agreement": 0.2,
    "wrong_disagreement": 0.1,
    "majority_vote_accuracy": 0.5,
    "mean_prediction_accuracy": 0.5,
    "member_accuracy": 0.4,
    "cost/train_seconds": 10.0,
}
NUM_IMAGES = 25_000
"""Training images of one side."""
LOST = {"connected": "no", "test/barrier": 1.0, "test/barrier_in_basin": 1.0, "test/accuracy_delta": -0.2}


def runs(usual: dict[str, Any], *rows: dict[str, Any]) -> pd.DataFrame:
    """Return rows that differ from a usual row in the given values, with numbered run ids."""
    frame = pd.DataFrame([usual | row for row in rows], columns=None if rows else list(usual))
    return frame.assign(run_id=[f"run{i:03d}" for i in range(len(frame))])


def paths(*rows: dict[str, Any], seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """Repeat each row for every seed; every second seed has slightly higher numbers, so that deviations are not 0."""
    found = []
    for row in rows:
        for i, seed in enumerate(seeds):
            whole = PATH | row
            hair = {"test/barrier_in_basin": whole["test/barrier_in_basin"] + 0.001 * (i % 2)}
            found.append(whole | {"seed": seed, "seed_a": seed, "seed_b": seed} | hair)
    frame = runs(PATH | {"seed": 1, "seed_a": 1, "seed_b": 1}, *found)
    return frame.assign(pair="pair of " + frame["run_id"]) if len(frame) else frame.assign(pair="")


def frames(
    paths: pd.DataFrame | None = None, ensembles: pd.DataFrame | None = None, pairs: pd.DataFrame | None = None
) -> Frames:
    """Return the tables of a store with these rows; pairs and endpoints are those of the paths unless given."""
    walked = runs(PATH | {"seed": 1, "pair": ""}) if paths is None else paths
    logged = [name for name in walked if name.startswith(("shift/", "train/")) or name == "test/accuracy"]
    if pairs is None:
        pairs = walked[[*SETTINGS, "pair", "seed", *logged]].rename(columns={"pair": "run_id"})
    ends = pairs.assign(pair=pairs["run_id"]).iloc[: len(walked)]
    rates = zip(ends["lr"], ends["batch_size"], strict=True)
    ends = ends.assign(noise_scale=[lr * (NUM_IMAGES / size - 1) for lr, size in rates], shift="label_5050")
    made = runs(ENSEMBLE | {"seed": "1"}) if ensembles is None else ensembles
    walked = walked.drop(columns=logged)
    return with_overfitting(prepare(Frames(pairs, ends, walked, made), {}))


def answers(verdicts: dict[str, dict[str, Verdict]], policy: str = "interpolate") -> dict[str, str]:
    """Map each claim to its answer."""
    return {name: found[policy].answer for name, found in verdicts.items()}
