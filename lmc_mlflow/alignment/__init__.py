"""Matches the units of one network to those of another and permutes them."""

from lmc_mlflow.alignment.derivation.derive import derive_symmetry
from lmc_mlflow.alignment.matching import Matching
from lmc_mlflow.alignment.methods.activations import match_activations
from lmc_mlflow.alignment.methods.inputs import LabelledSample, MatchingInputs
from lmc_mlflow.alignment.methods.sinkhorn import match_sinkhorn
from lmc_mlflow.alignment.methods.table import align
from lmc_mlflow.alignment.methods.weights import match_weights
from lmc_mlflow.alignment.ordering import permute
from lmc_mlflow.alignment.symmetry import (
    Symmetry,
    blocks_moved,
    compose,
    identity_permutations,
    inverse,
    random_permutations,
    units_moved,
)

__all__ = [
    "LabelledSample",
    "Matching",
    "MatchingInputs",
    "Symmetry",
    "align",
    "blocks_moved",
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
