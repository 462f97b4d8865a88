"""The table of causes of a barrier: what each is called, what it means, and the command that takes it away."""

from collections.abc import Mapping
from dataclasses import dataclass

from lmc_mlflow.diagnosis.remedies import ALIGN, CALIBRATE, RECALIBRATE, RESCALE

OTHER_DATA = "other_data"
SINGLE_LAYER = "single_layer"
UNDERTRAINED = "undertrained_end"
OVERFITTING = "overfitting"
COARSE_GRID = "coarse_grid"
ANOTHER_BASIN = "another_basin"


@dataclass(frozen=True)
class Cause:
    """One row of the table.

    Attributes:
        title: in a list of causes.
        meaning: one or two sentences for who meets it for the first time.
        command: entry point and options that show or remove it; `{a}` and `{b}` are the two runs.
        remedy: that takes it away; empty: none of the table of remedies.
    """

    title: str
    meaning: str
    command: str = ""
    remedy: str = ""


CAUSES: Mapping[str, Cause] = {
    OTHER_DATA: Cause(
        "other data or scaling",
        "One network was trained on images that are scaled otherwise than those it is measured on, so that its inputs "
        "are not what it knows. Nothing can be said about basins before both see the same images.",
        "adopt -P model=<its weights> -P normalization=<its own scaling>",
    ),
    COARSE_GRID: Cause(
        "too coarse a grid",
        "The barrier lies between the points that were measured first.",
        "interpolate -P run_a={a} -P run_b={b} -P alphas=adaptive",
    ),
    "batch_norm_statistics": Cause(
        "batch-norm statistics",
        "The weights between the networks meet running means and variances that are not theirs.",
        "interpolate -P run_a={a} -P run_b={b} -P bn=recalibrate",
        RECALIBRATE,
    ),
    "permutation": Cause(
        "permutation of units",
        "B computes with its hidden units in another order; brought into A's order it lies closer to A.",
        "interpolate -P run_a={a} -P run_b={b} -P align=weights",
        ALIGN,
    ),
    "scale_of_units": Cause(
        "scale of units",
        "B's hidden units have other incoming and outgoing scales than A's, which a ReLU network does not notice.",
        "align -P run_a={a} -P run_b={b} -P rescale=true",
        RESCALE,
    ),
    "overconfidence": Cause(
        "overconfidence",
        "Networks on the path choose nearly the same classes with a confidence that their accuracy does not bear; at "
        "the best softmax temperature of each the loss is lower.",
        "interpolate -P run_a={a} -P run_b={b}",
        CALIBRATE,
    ),
    SINGLE_LAYER: Cause(
        "a single layer",
        "With one layer of B replaced by A's there is hardly a barrier.",
        "interpolate -P run_a={a} -P run_b={b} -P layers=each,complement",
    ),
    UNDERTRAINED: Cause(
        "an end that is not trained out",
        "One of the two networks has a much higher loss than the other on the images that it was trained on itself; a "
        "barrier over the mean of both ends is at least half of what the ends differ by.",
        "train_pair -P start=<its run> -P epochs=<more>",
    ),
    OVERFITTING: Cause(
        "overfitting",
        "Test and training images tell different stories: the networks fit their training images, and what is measured "
        "on test images is about what they do not generalize to.",
        "interpolate -P run_a={a} -P run_b={b} -P splits=test,train_a,train_b",
    ),
    ANOTHER_BASIN: Cause(
        "another basin",
        "What is left after all remedies: the two networks are different solutions.",
        "train_pair -P shared_epochs=<k>",
    ),
}
"""Name -> cause."""


def cause_of(remedy: str) -> str:
    """Name the cause that a remedy takes away."""
    return next(name for name, cause in CAUSES.items() if cause.remedy == remedy)
