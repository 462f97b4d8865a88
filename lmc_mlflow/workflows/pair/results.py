"""Logs a trained pair: checkpoints, noise check, learning curves, cost and descriptions."""

import pandas as pd

from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.contract import Tag
from lmc_mlflow.data.loading import ShiftedData
from lmc_mlflow.models.parameters import num_parameters
from lmc_mlflow.plots.per_run.first_batch import first_batch_figure
from lmc_mlflow.plots.per_run.learning import learning_figure
from lmc_mlflow.predictions.scores import score_name
from lmc_mlflow.query.runs import latest_metrics, metric_curve
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.training.budget import num_images
from lmc_mlflow.training.first_batch import first_images
from lmc_mlflow.training.noise import noise_stream
from lmc_mlflow.training.noise_trace import EpochTrace, noise_check, noise_digest
from lmc_mlflow.training.optimizers import noise_scale
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.networks.derived import log_checkpoint
from lmc_mlflow.workflows.pair.runs import PairRuns, network_spec, pair_name
from lmc_mlflow.workflows.pair.shift_test import shift_sentence

NUM_SHOWN = 10
"""Images of each side in `figures/first_batch.png`."""


def log_endpoint(
    runs: PairRuns, config: TrainPairConfig, data: ShiftedData, trainee: Trainee, epochs: int | None = None
) -> None:
    """Log the checkpoint, cost and description of one endpoint.

    Args:
        runs: of the pair.
        config: of the pair.
        data: that it was trained on.
        trainee: the endpoint.
        epochs: in which it was trained; None: as the configuration says.
    """
    epochs = config.optimization.epochs if epochs is None else epochs
    run = runs.endpoints[trainee.side]
    digests = {"data": data.digest, "test": data.test.digest, "train": data.side(trainee.side).digest}
    spec = network_spec(config, data)
    log_checkpoint(run, trainee.network.state_dict(), spec, config, trainee.side, runs.pair.run_id, digests)
    num_samples = len(data.side(trainee.side))
    num_seen = num_images(config.optimization, num_samples, epochs - config.starting.parting)
    run.log_once(
        {
            "cost/train_seconds": trainee.train_seconds,
            "cost/images_per_second": num_seen / max(trainee.train_seconds, 1e-9),
            "noise_scale": noise_scale(config.optimization.lr, num_samples, config.optimization.batch_size),
            "num_parameters": num_parameters(trainee.network),
        }
    )
    run.set_tags({Tag.NOISE_DIGEST: noise_digest(trainee.traces)})
    last = latest_metrics(run.client, run.run_id)
    score = score_name(data.test.labels)
    name = score.replace("_", " ")
    run.describe(
        f"**Test {name} {last[f'test/{score}']:.2%}**, test loss {last['test/loss']:.4f}; "
        f"training {name} {last[f'train/{score}']:.2%}, loss {last['train/loss']:.4f}.\n\n"
        f"Side {trainee.side} of pair `{runs.pair.run_id}`: {pair_name(config)}, {num_samples:,} training images, "
        f"{num_parameters(trainee.network):,} parameters, {epochs} epochs."
    )


def log_pair(
    runs: PairRuns, config: TrainPairConfig, data: ShiftedData, trainees: list[Trainee], wall_seconds: float
) -> None:
    """Log the noise check, learning curves, cost and description of the pair."""
    pair = runs.pair
    log_noise_check(pair, {t.side: t.traces for t in trainees})
    score = score_name(data.test.labels)
    curves = learning_curves(runs, score)
    pair.log_figure(learning_figure(curves, pair_name(config)), "figures/learning_curves.png")
    if not config.starting.parting:  # else the first batch of these networks is that of their common past
        _log_first_batch(pair, config, data, trainees)
    pair.log_once({"cost/wall_seconds": wall_seconds, "cost/train_seconds": sum(t.train_seconds for t in trainees)})
    last = {side: latest_metrics(run.client, run.run_id) for side, run in runs.endpoints.items()}
    rows = "\n".join(
        f"| {side} | {last[side][f'test/{score}']:.2%} | {last[side]['test/loss']:.4f} | "
        f"{last[side]['train/loss']:.4f} "
        f"| {len(data.side(side)):,} | `{run.run_id}` |"
        for side, run in runs.endpoints.items()
    )
    name = score.replace("_", " ")
    a, b = (last[side] for side in ("A", "B"))
    pair.describe(
        f"**Test {name} {a[f'test/{score}']:.2%} on side A, {b[f'test/{score}']:.2%} on side B**; test loss "
        f"{a['test/loss']:.4f} and {b['test/loss']:.4f}.\n\n"
        f"| side | test {name} | test loss | training loss | images | run |\n"
        "|---|---|---|---|---|---|\n"
        f"{rows}\n\n{shift_sentence(latest_metrics(pair.client, pair.run_id))}Two `{config.model.model}` from "
        f"{_origin(config)} "
        f"(seed {config.model.seed}) on the two sides of `{config.data.shift}` of {config.data.dataset}, "
        f"{config.noise.noise} noise, "
        f"{_epochs(runs, config)} epochs, {wall_seconds:.0f} s. Join them with `-e interpolate -P "
        f"pair={pair.run_id}`."
    )


def _epochs(runs: PairRuns, config: TrainPairConfig) -> int:
    """Count the epochs that were logged: fewer than were allowed where a training loss or accuracy ended them."""
    return max(metric_curve(runs.pair.client, runs.pair.run_id, "test/loss"), default=config.optimization.epochs)


def _origin(config: TrainPairConfig) -> str:
    """Say what both networks come from."""
    own, shared = config.starting, ""
    if own.shared_epochs:
        shared = f", one network on the images of {own.shared_data} for {own.shared_epochs} epochs,"
    if own.start:
        after = f" after epoch {own.start_epoch}" if own.start_epoch else ""
        return f"network `{own.start}`{after}{shared}"
    return f"{'one initialization' if config.model.init == 'same' else 'two initializations'}{shared}"


def log_noise_check(pair: TrackedRun, traces: dict[str, list[EpochTrace]]) -> None:
    """Log what both sides drew in each epoch, and whether it was the same.

    Args:
        pair: the pair's run.
        traces: side -> the draws of its epochs, equally many on both sides.
    """
    check = noise_check(traces)
    pair.log_json(check, "noise_check.json")
    same = all(check[name] for name in ("same_positions", "same_flips", "same_translations"))
    pair.set_tags({Tag.SAME_NOISE: "true" if same else "false"})


def _log_first_batch(run: TrackedRun, config: TrainPairConfig, data: ShiftedData, trainees: list[Trainee]) -> None:
    """Log a figure of the images that the networks got first; their noise is drawn again from its start."""
    images, names = {}, {}
    for t in trainees:
        noise = noise_stream(config.noise, config.model.seed, t.side, t.labels.device, data.translate, data.boxed)
        seen, labels = first_images(t, noise, config.optimization.batch_size, data.flips, NUM_SHOWN)
        images[t.side] = seen.numpy()
        # Where an image has several labels their number is shown: their names do not fit below it.
        names[t.side] = [
            data.classes[int(label)] if labels.ndim == 1 else f"{int(label.sum())} labels" for label in labels
        ]
    title = f"{pair_name(config)}: first images of epoch 1, as the networks got them"
    run.log_figure(first_batch_figure(images, names, title), "figures/first_batch.png")


def learning_curves(runs: PairRuns, score: str) -> pd.DataFrame:
    """Read both sides' curves as logged: columns epoch, side, split, loss, and accuracy or average_precision."""
    tables = []
    for side, run in runs.endpoints.items():
        for split in ("train", "test"):
            columns = {name: metric_curve(run.client, run.run_id, f"{split}/{name}") for name in ("loss", score)}
            table = pd.DataFrame(columns).rename_axis("epoch").reset_index()
            tables.append(table.assign(side=side, split=split))
    return pd.concat(tables, ignore_index=True)
