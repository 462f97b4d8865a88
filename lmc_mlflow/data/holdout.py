"""Draws the test samples of a data set that has no test set of its own."""

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.seeds import derive_seed

Indices = NDArray[np.int64]


def random80(num_samples: int, split_seed: int) -> tuple[Indices, Indices]:
    """Draw four fifths of the samples for training and keep the rest for testing; both in ascending order.

    The training part holds floor(0.8 N) samples: 384,030 of BigEarthNet's 480,038 (Hepburn et al.).
    It depends on N and split_seed alone.
    """
    shuffled = np.random.default_rng(derive_seed(split_seed, "split/random80")).permutation(num_samples)
    num_train = num_samples * 4 // 5  # in whole numbers: 0.8 is not exact in binary
    return np.sort(shuffled[:num_train]), np.sort(shuffled[num_train:])
