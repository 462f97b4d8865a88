"""The table of corruptions of images, and rotation: bytes in, bytes of the same shape out."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from lmc_mlflow.config.choices import lookup
from lmc_mlflow.seeds import derive_seed

if TYPE_CHECKING:
    from torch import Tensor

Pixels = NDArray[np.uint8]

CHUNK_VALUES = 2**21
"""Pixel values worked on at once: 16 MiB as float64, whatever the number of images."""


@dataclass(frozen=True)
class Corruption:
    """A kind of corruption: its constant at severities 1 to 5, and what that does to images (N, C, H, W)."""

    meaning: str
    constants: tuple[float, float, float, float, float]
    apply: Callable[[Pixels, float, np.random.Generator], Pixels]


def corrupt(images: Pixels, kind: str, severity: int, seed: int) -> Pixels:
    """Corrupt the images as CIFAR-10-C does (Hendrycks & Dietterich 2019, their constants).

    Theirs truncates to bytes, this rounds half up.

    Args:
        images: (N, C, H, W).
        kind: a row of CORRUPTIONS.
        severity: 1 (slight) to 5.
        seed: of the noise, the only random one; the draws are the same at every severity, and image i's do
            not depend on how many images follow it.

    Raises:
        ValueError: unknown kind, a severity outside 1 to 5, or `jpeg` of images with other than 1 or 3 channels.
    """
    constant = constant_of(kind, severity)
    corruption = CORRUPTIONS[kind]
    rng = np.random.default_rng(derive_seed(seed, "corrupt/noise"))
    return _in_chunks(images, f"corrupting by {kind}", lambda chunk: corruption.apply(chunk, constant, rng))


def constant_of(kind: str, severity: int) -> float:
    """Return the constant of a kind at a severity of 1 to 5; its unit stands in the kind's row.

    Raises:
        ValueError: there is no such kind or severity; the message lists those there are.
    """
    corruption = lookup(CORRUPTIONS, kind, "corruption")
    if severity not in range(1, 6):
        raise ValueError(f"corruption {kind!r}: severity {severity} is unknown; choose from 1, 2, 3, 4, 5")
    return corruption.constants[severity - 1]


def rotate(images: Pixels, degrees: float) -> Pixels:
    """Turn the images (N, C, H, W) counter-clockwise about their centre: bilinear, zeros outside, the same size.

    Raises:
        ValueError: the angle is infinite or no number.
    """
    from torchvision.transforms.v2 import functional as transforms

    if not math.isfinite(degrees):
        raise ValueError(f"rotation by {degrees} degrees: the angle must be a finite number")

    def turn(chunk: Pixels) -> Pixels:
        bilinear = transforms.InterpolationMode.BILINEAR
        return _bytes(transforms.rotate(_tensor(chunk), degrees, interpolation=bilinear).numpy())

    return _in_chunks(images, "rotating", turn)


def _in_chunks(images: Pixels, task: str, apply: Callable[[Pixels], Pixels]) -> Pixels:
    assert images.dtype == np.uint8, f"bytes, not {images.dtype}"
    assert images.ndim == 4, f"(N, C, H, W), not {images.shape}"
    step = max(1, CHUNK_VALUES // max(1, math.prod(images.shape[1:])))
    out = np.empty(images.shape, dtype=np.uint8)
    with tqdm(total=len(images), desc=task, unit="img", leave=False, disable=None) as bar:
        for start in range(0, len(images), step):
            chunk = images[start : start + step]
            out[start : start + step] = apply(chunk)
            bar.update(len(chunk))
    return out


def _noise(images: Pixels, deviation: float, rng: np.random.Generator) -> Pixels:
    return _bytes(images + 255 * deviation * rng.standard_normal(images.shape))


def _blur(images: Pixels, sigma: float, _rng: np.random.Generator) -> Pixels:
    from torch.nn import functional
    from torchvision.transforms.v2 import functional as transforms

    # As scipy's gaussian_filter in CIFAR-10-C: cut at 4 sigma, edges repeated. torchvision mirrors its edges,
    # so they are repeated before and what it made of the outside is cut off.
    radius = int(4 * sigma + 0.5)
    wide = functional.pad(_tensor(images), [radius] * 4, mode="replicate")
    size, sigmas = 2 * radius + 1, [sigma] * 2
    along_rows = transforms.gaussian_blur(wide, [size, 1], sigmas)  # one axis after the other: ten times as fast
    blurred = transforms.gaussian_blur(along_rows, [1, size], sigmas)
    return _bytes(blurred[..., radius:-radius, radius:-radius].numpy())


def _contrast(images: Pixels, factor: float, _rng: np.random.Generator) -> Pixels:
    mean = images.mean(axis=(2, 3), keepdims=True)
    return _bytes(mean + factor * (images - mean))


def _brightness(images: Pixels, shift: float, _rng: np.random.Generator) -> Pixels:
    return _bytes(images + 255 * shift)


def _jpeg(images: Pixels, quality: float, _rng: np.random.Generator) -> Pixels:
    channels = images.shape[1]
    if channels not in (1, 3):
        raise ValueError(f"corruption 'jpeg': images have {channels} channels; JPEG takes 1 (grey) or 3 (colour)")
    compressed = np.empty(images.shape, dtype=np.uint8)
    for out, image in zip(compressed, images, strict=True):
        rows = image[0] if channels == 1 else image.transpose(1, 2, 0)
        with BytesIO() as file:
            # Pillow as in CIFAR-10-C; torchvision's own coder is deprecated.
            Image.fromarray(np.ascontiguousarray(rows)).save(file, format="JPEG", quality=int(quality))
            with Image.open(file) as decoded:
                out[:] = np.asarray(decoded).reshape(*rows.shape[:2], channels).transpose(2, 0, 1)
    return compressed


def _tensor(images: Pixels) -> "Tensor":
    """Convert to double precision, where no order of summation moves a value across a half: any chunk, same bytes."""
    import torch

    return torch.from_numpy(images.astype(np.float64))


def _bytes(values: NDArray[np.floating[Any]]) -> Pixels:
    """Round half up, so that a shift by 25.5 moves even and odd bytes alike."""
    rounded: Pixels = np.floor(np.clip(values, 0, 255) + 0.5).astype(np.uint8)
    return rounded


CORRUPTIONS: Mapping[str, Corruption] = {
    "noise": Corruption(
        "Gaussian noise of this standard deviation, of pixels in [0, 1]", (0.04, 0.06, 0.08, 0.09, 0.10), _noise
    ),
    "blur": Corruption("Gaussian blur of this sigma in pixels", (0.4, 0.6, 0.7, 0.8, 1.0), _blur),
    "contrast": Corruption(
        "distances from the image's mean of each channel times this factor", (0.75, 0.5, 0.4, 0.3, 0.15), _contrast
    ),
    "brightness": Corruption(
        "this much of [0, 1] added to all channels (in CIFAR-10-C: to the value of HSV, the same for grey)",
        (0.05, 0.1, 0.15, 0.2, 0.3),
        _brightness,
    ),
    "jpeg": Corruption("compressed and read back at this JPEG quality", (80, 65, 58, 50, 40), _jpeg),
}
