"""How are a network's statistics put right at a point of a path? Recalibrated, or repaired (REPAIR)."""

from lmc_mlflow.normalization.recalibration import batch_norms as batch_norms
from lmc_mlflow.normalization.recalibration import recalibrate as recalibrate
