"""How are two logged networks joined by a straight line, and what is logged of it?"""

from dataclasses import dataclass

import pandas as pd

from lmc_mlflow import weights
from lmc_mlflow.config.canonical import fingerprint, to_params
from lmc_mlflow.config.commands import InterpolateConfig
from lmc_mlflow.interpolation.barriers import alpha_grid, connected, summary_keys
from lmc_mlflow.interpolation.path import Path, walk
from lmc_mlflow.models.parameters import trainable, weight_arrays
from lmc_mlflow.models.registry import build_network
from lmc_mlflow.plots.paths import path_figure, polar_figure
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.seeds import derive_seed
from lmc_mlflow.tracking.artifacts import TrackedRun
from lmc_mlflow.tracking.runs import ending, open_run, probe_artifacts
from lmc_mlflow.tracking.store import open_store
from lmc_mlflow.workflows.machine import prepare_machine
from lmc_mlflow.workflows.path_ends import both_training_sides, load_ends, load_splits

Ends = tuple[LoggedNetwork, LoggedNetwork]


@dataclass(frozen=True)
class PathOutcome:
    """A logged path: its run, its verdict, and the numbers of each split."""

    path: str
    name: str
    connected: str
    metrics: dict[str, float]
    experiment_id: str


def interpolate(config: InterpolateConfig, parent: TrackedRun | None = None) -> PathOutcome:
    """Walk between two logged networks and log the path as a run.

    Args:
        config: which networks, which grid, which splits.
        parent: run to hang the path under.

    Raises:
        ValueError: a run, checkpoint or data set that cannot be used; says how to put it right.
        StoreError: the tracking store cannot be used.
    """
    device = prepare_machine(config.runtime)
    store = open_store()
    ends = load_ends(store, config.ends)
    splits = load_splits(store, ends, config.ends.data_root, device)
    with ending() as keep:
        run = keep(open_run, store, "path", path_name(ends, config.path.bn), _tags(ends, config), parent)
        probe_artifacts(run, f"A {ends[0].run.info.run_id}\nB {ends[1].run.info.run_id}\n", "ends.txt")
        run.log_params(to_params(config))
        for name in config.path.splits:
            part, data = splits[name], ends[0].config.data
            run.log_dataset(f"{data.dataset} {name}", part.digest, data.data_root, {"num_images": len(part)}, name)
        path = walk(
            ends[0].network().to(device),
            ({k: v.to(device) for k, v in ends[0].state.items()}, {k: v.to(device) for k, v in ends[1].state.items()}),
            alpha_grid(config.path.num_alphas),
            {name: (splits[name].images, splits[name].labels) for name in config.path.splits},
            config.path.bn,
            both_training_sides(splits) if config.path.bn == "recalibrate" else None,
            config.path.path_engine,
        )
        return _log_path(run, config, ends, path)


def _log_path(run: TrackedRun, config: InterpolateConfig, ends: Ends, path: Path) -> PathOutcome:
    verdict = connected(path.summaries, config.path.barrier_threshold, config.path.accuracy_delta_threshold)
    name = path_name(ends, config.path.bn)
    metrics = {
        f"{split}/{key}": value
        for split, summary in path.summaries.items()
        for key, value in summary_keys(summary, path.score).items()
    }
    metrics |= similarity(ends)
    curves = {}
    for split in path.losses:
        for key, values in (("path_loss", path.losses[split]), (f"path_{path.score}", path.scores[split])):
            curves[f"{split}/{key}"] = [
                (round(1000 * alpha), float(v)) for alpha, v in zip(path.alphas, values, strict=True)
            ]
    run.log_metrics(metrics)
    run.log_curves(curves)
    table = path_table(path)
    run.log_json(table.to_dict(orient="split", index=False), "path.json")
    run.log_figure(path_figure(table, name), "figures/path.png")
    run.log_figure(polar_figure(table, name), "figures/polar.png")
    run.set_tags({"lmc.connected": verdict, "lmc.engine": path.engine})
    run.describe(_description(ends, config, path, verdict, metrics))
    run.seal()
    run.finish()
    return PathOutcome(run.run_id, name, verdict, metrics, run.experiment_id)


def path_table(path: Path) -> pd.DataFrame:
    """One row an alpha and split: the content of `path.json`."""
    tables = [
        pd.DataFrame(
            {
                "alpha": path.alphas,
                "split": split,
                "loss": path.losses[split],
                path.score: path.scores[split],
                "angle_deg": path.angles_deg,
                "manhattan": path.manhattan,
            }
        )
        for split in path.losses
    ]
    return pd.concat(tables, ignore_index=True)


def similarity(ends: Ends) -> dict[str, float]:
    """How far apart the ends are, beside how far apart two random initializations of the network are."""
    network = ends[0].network()
    names, kernels = trainable(network), weight_arrays(network)
    a, b = ends[0].state, ends[1].state
    random = [build_network(ends[0].spec, derive_seed(0, "reference", i)).state_dict() for i in (0, 1)]
    return {
        "cosine": weights.cosine(a, b, names),
        "angle_deg": weights.angle_deg(a, b, names),
        "angle_weights_deg": weights.angle_deg(a, b, kernels),
        "angle_reference_deg": weights.angle_deg(random[0], random[1], names),
        "manhattan": weights.manhattan(a, b, names),
        "euclidean_squared": weights.euclidean_squared(a, b, names),
    }


def path_name(ends: Ends, bn: str) -> str:
    """What a person would call the path."""
    a, b = ends
    model = a.config.model.model
    left, right = (_end_name(end, ends) for end in ends)
    how = "" if bn == "interpolate" else f" ({bn})"
    shift = (
        a.config.data.shift
        if a.config.data.shift == b.config.data.shift
        else f"{a.config.data.shift} to {b.config.data.shift}"
    )
    return f"path {a.config.data.dataset} {model} {shift} {left} to {right}{how}"


def _end_name(end: LoggedNetwork, ends: Ends) -> str:
    seeds = {e.config.model.seed for e in ends}
    return f"seed {end.config.model.seed} {end.side}" if len(seeds) > 1 or end is ends[0] else end.side


def _tags(ends: Ends, config: InterpolateConfig) -> dict[str, str]:
    a, b = ends
    tags = {"lmc.run_a": a.run.info.run_id, "lmc.run_b": b.run.info.run_id, "lmc.bn": config.path.bn}
    tags["lmc.fingerprint"] = path_fingerprint(config)
    for key in ("dataset", "model", "shift", "seed", "noise", "lr", "batch_size"):
        left, right = (end.run.data.tags.get(f"lmc.{key}", "") for end in ends)
        tags[f"lmc.{key}"] = left if left == right else f"{left}, {right}"
    if a.split_run == b.split_run:
        tags["lmc.pair"] = a.split_run
    return tags


def path_fingerprint(config: InterpolateConfig) -> str:
    """Digest of how the path is walked, whatever its ends: with them it tells whether a path was walked before."""
    return fingerprint(config, without=("pair", "run_a", "run_b"))


def _description(ends: Ends, config: InterpolateConfig, path: Path, verdict: str, metrics: dict[str, float]) -> str:
    split, first = next(iter(path.summaries.items()))
    score = path.score.replace("_", " ")
    rows = "\n".join(
        f"| {name} | {s.barrier:.4f} | {s.barrier_in_basin:.4f} | {s.accuracy_delta:+.2%} | "
        f"{s.min_accuracy_delta:+.2%} "
        f"| {s.alpha_at_barrier:.2f} |"
        for name, s in path.summaries.items()
    )
    return (
        f"**Connected: {verdict}.** On {split}: barrier {first.barrier:.4f}, in the basin "
        f"{first.barrier_in_basin:.4f}, "
        f"{score} delta {first.accuracy_delta:+.2%} at alpha {first.alpha_at_barrier:.2f}; "
        f"angle {metrics['angle_deg']:.1f} degrees (random initializations {metrics['angle_reference_deg']:.1f}).\n\n"
        f"| split | barrier | in basin | {score} delta | worst | at alpha |\n|---|---|---|---|---|---|\n{rows}\n\n"
        f"A: `{ends[0].run.info.run_id}`, B: `{ends[1].run.info.run_id}`; batch norm: {config.path.bn}. "
        f"No if a barrier in the basin exceeds {config.path.barrier_threshold:g} or the {score} delta falls below "
        f"{config.path.accuracy_delta_threshold:.0%} on test data; apparent if so on training data alone."
    )
