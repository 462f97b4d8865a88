"""Options of a diagnosis: the path that is explained, and when a number counts as a barrier."""

from dataclasses import dataclass

from lmc_mlflow.config.options import Section, option


@dataclass(frozen=True)
class DiagnosingConfig(Section):
    """What a diagnosis measures, and how sure it has to be."""

    num_alphas: int = option(
        11, "evenly spaced points of each path; more where a barrier may hide between them", minimum=3, maximum=101
    )
    num_training_images: int = option(
        2000,
        "images of each side's training subset that are looked at and recalibrate batch norm; always the same ones",
        minimum=10,
    )
    barrier_threshold: float = option(0.1, "nats: a larger barrier needs a reason", minimum=0.0)
    accuracy_delta_threshold: float = option(
        -0.06, "a fraction: a lower accuracy delta (as in interpolate) needs a reason", maximum=0.0
    )
    num_resamples: int = option(
        1000,
        "bootstrap resamples of the images; a cause is named where its interval lies above 0",
        minimum=100,
        maximum=100_000,
        identity=False,
    )
    confidence: float = option(
        0.95, "share of the resamples that an interval holds", above=0.0, maximum=0.9999, identity=False
    )
    resamples_seed: int = option(0, "seed of the resamples", minimum=0, identity=False)
