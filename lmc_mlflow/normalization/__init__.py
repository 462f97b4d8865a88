"""Statistics of hidden units at a point of a path: recalibrated batch norm, and REPAIR."""

from lmc_mlflow.normalization.recalibration import batch_norms as batch_norms
from lmc_mlflow.normalization.recalibration import recalibrate as recalibrate
