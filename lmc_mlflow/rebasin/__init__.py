"""Which permutation of one network's units brings it closest to another network?"""

from lmc_mlflow.rebasin.activation_matching import match_activations
from lmc_mlflow.rebasin.following import derive_symmetry
from lmc_mlflow.rebasin.matching import Matching
from lmc_mlflow.rebasin.sinkhorn import match_sinkhorn
from lmc_mlflow.rebasin.symmetry import (
    Symmetry,
    compose,
    identity_permutations,
    inverse,
    permute,
    random_permutations,
    units_moved,
)
from lmc_mlflow.rebasin.weight_matching import match_weights

__all__ = [
    "Matching",
    "Symmetry",
    "compose",
    "derive_symmetry",
    "identity_permutations",
    "inverse",
    "match_activations",
    "match_sinkhorn",
    "match_weights",
    "permute",
    "random_permutations",
    "units_moved",
]
