"""Thresholds by which findings judge runs, in the units of tables and figures.

Those that a path is judged by are the defaults of its configuration. `breaks` is the only rule by which numbers break
a connection: printed numbers and ours are judged by it alike.
"""

from lmc_mlflow.config.canonical import parameters
from lmc_mlflow.config.commands import InterpolateConfig

_PATH = {name: parameter.default for name, parameter in parameters(InterpolateConfig).items()}
FLAT_BELOW: float = _PATH["barrier_threshold"]
"""A barrier up to this (nats) is none."""
LOST_BELOW: float = 100 * _PATH["accuracy_delta_threshold"]
"""An accuracy delta (percentage points) below this breaks the connection: the rule behind the bold print of Tables VI
and VIII of Hepburn et al."""
FIG_4_LINE = -5.0
"""Accuracy delta (percentage points) at which Hepburn et al. draw the line of Fig. 4; their bold print follows -6."""
CONNECTED_BELOW_PCT: float = 100 * _PATH["error_barrier_threshold"]
"""Error barrier in percent below which Altintas et al. call two networks connected."""
LEARNT_WITHIN = 0.1
"""Accuracy (fraction) by which a network may be below the best of its kind and still count as trained."""
CONFIDENCE = 0.95
"""Of every interval over seeds (t quantiles). The two one-sided tests of an equivalence are at 5 % each."""
MIN_SEEDS_FOR_NO_DIFFERENCE = 3
"""With fewer seeds a claim that something makes no difference is never supported."""
NEGLIGIBLE = {
    "barrier": 0.01,
    "in_basin": 0.01,
    "train_barrier": 0.01,
    "delta": 0.5,
    "angle": 1.0,
    "angle_weights": 1.0,
    "error_barrier": 0.5,
    "score": 0.001,
    "train_loss": 0.01,
}
"""Measure -> the largest difference of no consequence, however certain: nats, percentage points (delta and
error_barrier), degrees, fractions (score)."""
EQUIVALENT_WITHIN = {"error_barrier": CONNECTED_BELOW_PCT / 2, "barrier": FLAT_BELOW / 2, "score": 0.005}
"""Measure -> the largest difference that "makes no difference" allows: half of what breaks a connection; half a
percentage point of accuracy (score, a fraction)."""


def breaks(barrier_in_basin: float, accuracy_delta: float) -> bool:
    """Tell whether a barrier (nats, in the basin) or an accuracy delta (percentage points) breaks a connection.

    Either alone is enough. An unknown number (NaN) breaks nothing.
    """
    return barrier_in_basin > FLAT_BELOW or accuracy_delta < LOST_BELOW
