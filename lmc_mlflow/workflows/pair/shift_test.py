"""Measures the shift between the two sides of a pair, on the images as their networks get them."""

import logging
from collections.abc import Mapping, Sequence

import torch

from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.data.loading import LabelledImages, ShiftedData
from lmc_mlflow.data.shifts.sides import Indices
from lmc_mlflow.data.shifts.two_sample import (
    SideSample,
    choose,
    label_divergence,
    two_sample,
)
from lmc_mlflow.query.runs import latest_metrics
from lmc_mlflow.tracking.run import TrackedRun

DIVERGENCE = "shift/label_divergence"
ACCURACY = "shift/c2st_accuracy"
logger = logging.getLogger(__name__)


def log_shift(runs: Sequence[TrackedRun], config: TrainPairConfig, data: ShiftedData) -> None:
    """Log the classifier two-sample test between the sides and the divergence of their labels, where it is missing.

    Args:
        runs: pair runs of one configuration and of any seeds: the shift depends on the data and split_seed alone.
        config: of one of them.
        data: as all of them load it; the images are scaled as the networks get them.
    """
    missing = [run for run in runs if DIVERGENCE not in latest_metrics(run.client, run.run_id)]
    if config.shift_test.c2st_samples > 0 and missing:
        metrics = _measure(config, data)
        for run in missing:
            run.log_metrics(metrics)


def _measure(config: TrainPairConfig, data: ShiftedData) -> dict[str, float]:
    labels_a, labels_b = data.a.labels.cpu().numpy(), data.b.labels.cpu().numpy()
    metrics = {DIVERGENCE: label_divergence(labels_a, labels_b, len(data.classes))}
    seed = config.data.split_seed
    samples = config.shift_test.c2st_samples
    chosen = choose(labels_a, labels_b, data.sides.a, data.sides.b, samples, seed)
    a, b = _sample(data.a, data.sides.a, chosen[0]), _sample(data.b, data.sides.b, chosen[1])
    found = two_sample(a, b, seed)
    if found is None:
        logger.warning("too few images with a class in common for a two-sample test of the sides; left out")
    else:
        metrics |= {
            ACCURACY: found.accuracy,
            f"{ACCURACY}_low": found.low,
            f"{ACCURACY}_high": found.high,
            "shift/c2st_samples": found.num_samples,
        }
    return metrics


def shift_sentence(metrics: Mapping[str, float]) -> str:
    """Describe what was measured in a sentence; give an empty text where nothing was."""
    if DIVERGENCE not in metrics:
        return ""
    text = f"Labels diverge by {metrics[DIVERGENCE]:.3f} bits"
    if ACCURACY in metrics:
        text += (
            f"; a small classifier tells the sides' images apart {metrics[ACCURACY]:.1%} of the time "
            f"({metrics[f'{ACCURACY}_low']:.1%} to {metrics[f'{ACCURACY}_high']:.1%}; 50 %: no shift)"
        )
    return f"{text}.\n\n"


def _sample(side: LabelledImages, samples: Indices, positions: Indices) -> SideSample:
    order = torch.from_numpy(positions)
    images = torch.cat([batch.cpu() for batch in side.images.batches(order, 100)]) if len(order) else torch.empty(0)
    return SideSample(images.numpy(), side.labels.cpu().numpy()[positions], samples[positions])
