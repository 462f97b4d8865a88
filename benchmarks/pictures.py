"""What do the usual ways train and test on? Made-up images, through what torchvision does to each sample."""

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
    """What torchvision's MNIST and CIFAR10 do for each sample: an array, a PIL image, the transforms."""

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
    """All of them, scaled, as the project holds them (without flips)."""
    images, labels = next(iter(DataLoader(pictures, batch_size=len(pictures))))
    return ResidentImages(images.to(device)), labels.to(device)
