"""Reads scikit-learn's handwritten digits, enlarged to 28 x 28."""

import numpy as np

from lmc_mlflow.data.arrays import Parts

TEST_SHARE = 5
"""Every fifth image of a class is for testing."""


def read_digits() -> Parts:
    """Read the 1,797 digits of 8 x 8 pixels, enlarge them to 28 x 28 (bilinear), and set every fifth of a class aside
    for testing."""
    import torch
    from sklearn.datasets import load_digits
    from torch.nn import functional

    raw = load_digits()
    small = torch.from_numpy(np.asarray(raw.images, dtype=np.float32))[:, None] * (255 / 16)
    large = functional.interpolate(small, size=(28, 28), mode="bilinear", align_corners=False)
    images = large.round().clamp(0, 255).to(torch.uint8).numpy()
    labels = np.asarray(raw.target, dtype=np.int64)
    held_out = np.zeros(len(labels), dtype=bool)
    for c in range(10):
        held_out[np.flatnonzero(labels == c)[TEST_SHARE - 1 :: TEST_SHARE]] = True
    classes = tuple(str(c) for c in range(10))
    return Parts(images[~held_out], labels[~held_out], images[held_out], labels[held_out], classes)
