"""Thresholds by which findings judge runs, in the units of tables and figures.

Those that a path is judged by are the defaults of its configuration.
"""

from lmc_mlflow.config.canonical import parameters
from lmc_mlflow.config.commands import InterpolateConfig

_PATH = {name: parameter.default for name, parameter in parameters(InterpolateConfig).items()}
FLAT_BELOW: float = _PATH["barrier_threshold"]
"""A barrier up to this (nats) is none."""
LOST_BELOW: float = 100 * _PATH["accuracy_delta_threshold"]
"""An accuracy delta (percentage points) below this breaks the connection: the rule behind the bold print of Tables VI
and VIII of Hepburn et al."""
CONNECTED_BELOW_PCT: float = 100 * _PATH["error_barrier_threshold"]
"""Error barrier in percent below which Altintas et al. call two networks connected."""
LEARNT_WITHIN = 0.1
"""Accuracy (fraction) by which a network may be below the best of its kind and still count as trained."""
NEGLIGIBLE = {
    "barrier": 0.01,
    "in_basin": 0.01,
    "train_barrier": 0.01,
    "delta": 0.5,
    "angle": 1.0,
    "angle_weights": 1.0,
    "error_barrier": 0.5,
    "score": 0.001,
}
"""Measure -> the largest difference of no consequence, however certain: nats, percentage points (delta and
error_barrier), degrees, fractions (score)."""
