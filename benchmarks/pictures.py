"""Made-up images, loaded the usual way (with torchvision transforms for each sample) or held in memory."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms

from lmc_mlflow.batches import ResidentImages

NUM_CLASSES = 10
MEAN, DEVIATION = 0.5, 0.25


class Pictures(TorchDataset[tuple[Tensor, int]]):
    """A data set that does what torchvision's MNIST and CIFAR10 do for each sample: array, PIL image, transforms."""

    def __init__(self, shape: tuple[int, int, int], count: int, seed: int, flips: bool = False) -> None:
        random = np.random.default_rng(seed)
        channels, height, width = shape
        self._pixels: NDArray[np.uint8] = random.integers(0, 256, (count, height, width, channels), dtype=np.uint8)
        self._labels: list[int] = random.integers(0, NUM_CLASSES, count).tolist()
        scaling: list[Any] = [
            transforms.ToTensor(),
            transforms.Normalize((MEAN,) * channels, (DEVIATION,) * channels),
        ]
        self._transform = transforms.Compose([*[transforms.RandomHorizontalFlip()] * flips, *scaling])

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        pixels = self._pixels[index]
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        return self._transform(image), self._labels[index]


def in_memory(pictures: Pictures, device: torch.device) -> tuple[ResidentImages, Tensor]:
    """Return all images, scaled, as this project holds them (without flips), and their labels."""
    images, labels = next(iter(DataLoader(pictures, batch_size=len(pictures))))
    return ResidentImages(images.to(device)), labels.to(device)
