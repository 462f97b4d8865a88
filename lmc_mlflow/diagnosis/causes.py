"""The table of causes of a barrier: what each is called, what it means, and the command that takes it away."""

from collections.abc import Mapping
from dataclasses import dataclass

from lmc_mlflow.diagnosis.remedies import ALIGN, CALIBRATE, RECALIBRATE, RESCALE

OTHER_DATA = "other_data"
SINGLE_LAYER = "single_layer"
UNDERTRAINED = "undertrained_end"
WORSE_END = "worse_end"
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
        "adopt -P model=<its URI> -P dataset=<its data set> -P normalization=<its own scaling>",
    ),
    COARSE_GRID: Cause(
        "too coarse a grid",
        "The barrier lies between the points that were measured first.",
        "interpolate -P run_a={a} -P run_b={b} -P alphas=adaptive",
    ),
    "batch_norm_statistics": Cause(
        "batch-norm statistics",
        "The running means and variances of batch norm do not fit the weights between the networks.",
        "interpolate -P run_a={a} -P run_b={b} -P bn=recalibrate",
        RECALIBRATE,
    ),
    "permutation": Cause(
        "permutation of units",
        "B has its hidden units in another order than A. In A's order B lies closer to A, and computes the same.",
        "interpolate -P run_a={a} -P run_b={b} -P align=weights",
        ALIGN,
    ),
    "scale_of_units": Cause(
        "scale of units",
        "B's hidden units have larger or smaller incoming weights than A's, and outgoing weights that make up for it. "
        "A ReLU network computes the same with both.",
        "align -P run_a={a} -P run_b={b} -P rescale=true",
        RESCALE,
    ),
    "overconfidence": Cause(
        "overconfidence",
        "Networks on the path are more confident than they are accurate. With the best softmax temperature of each, "
        "which changes no chosen class, the loss is lower.",
        "interpolate -P run_a={a} -P run_b={b} -P calibrate=true",
        CALIBRATE,
    ),
    SINGLE_LAYER: Cause(
        "a single layer",
        "With this one layer of A in B, there is hardly a barrier.",
        "interpolate -P run_a={a} -P run_b={b} -P layers=each,complement",
    ),
    UNDERTRAINED: Cause(
        "an end that is not fully trained",
        "One of the two networks has a much higher loss than the other, even on its own training images. A barrier "
        "over the mean of both ends is at least half of this difference.",
        "train_pair -P start=<its run> -P epochs=<more>",
    ),
    WORSE_END: Cause(
        "an end that is worse",
        "One of the two networks has a much higher loss than the other on test images. Nobody knows what it was "
        "trained on, so that too little training and overfitting cannot be told apart.",
        "adopt -P model=<its URI> -P dataset=<its data set> -P shift=<its shift> -P trained_on=<its side>",
    ),
    OVERFITTING: Cause(
        "overfitting",
        "The networks fit their training images better than test images, so the barrier on test images differs from "
        "that on training images.",
        "interpolate -P run_a={a} -P run_b={b} -P splits=test,train_a,train_b",
    ),
    ANOTHER_BASIN: Cause(
        "another basin",
        "What no remedy takes away: the two networks are different solutions. A curve may connect them: the command "
        "trains one. Pairs that share their first epochs (shared_epochs of train_pair) more often end in one basin.",
        "interpolate -P run_a={a} -P run_b={b} -P path=bezier -P bn=recalibrate",
    ),
}
"""Name -> cause."""


def cause_of(remedy: str) -> str:
    """Name the cause that a remedy takes away."""
    return next(name for name, cause in CAUSES.items() if cause.remedy == remedy)
