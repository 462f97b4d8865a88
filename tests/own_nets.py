"""Networks, images and splits as a user would write them in a module of their own."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

LABELS = "lmc"


class Block(nn.Module):
    """A skip connection around two convolutions with batch norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x))))))


def build(channels: int, height: int, width: int, num_classes: int, depth: int = 1) -> nn.Module:
    blocks = [Block(6) for _ in range(depth)]
    ends = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, num_classes))
    return nn.Sequential(nn.Conv2d(channels, 6, 3, stride=2), *blocks, *ends)


def plain(channels: int, height: int, width: int, num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, 8), nn.ReLU(), nn.Linear(8, num_classes))


def too_narrow(channels: int, height: int, width: int, num_classes: int) -> nn.Module:
    return plain(channels, height, width, num_classes - 1)


def restless(channels: int, height: int, width: int, num_classes: int) -> nn.Module:
    network = plain(channels, height, width, num_classes)
    network[1].bias.data[0] = np.random.default_rng().random()
    return network


def elsewhere(channels: int, height: int, width: int, num_classes: int) -> nn.Module:
    return plain(channels, height, width, num_classes).to("meta")


def sharing(channels: int, height: int, width: int, num_classes: int) -> nn.Module:
    network = nn.Sequential(*plain(channels, height, width, num_classes), nn.Linear(num_classes, num_classes))
    network.append(nn.Linear(num_classes, num_classes))
    network[5].weight = network[4].weight
    return network


def lazy(channels: int, height: int, width: int, num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))


def frozen(channels: int, height: int, width: int, num_classes: int) -> nn.Module:
    return plain(channels, height, width, num_classes).requires_grad_(False)


class Named(nn.Module):
    """Scores under a name that nobody knows."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"scores": self.body(x)}


def named_scores(channels: int, height: int, width: int, num_classes: int) -> nn.Module:
    return Named(plain(channels, height, width, num_classes))


def raising(channels: int, height: int, width: int, num_classes: int) -> nn.Module:
    raise KeyError("no such layer")


def nothing(channels: int, height: int, width: int, num_classes: int) -> None:
    """Returns no network."""


def digits() -> tuple[np.ndarray, np.ndarray]:
    images, labels = load_digits(return_X_y=True)
    return (images.reshape(-1, 8, 8) * 15).astype(np.uint8), labels


def load(data_root: str) -> Any:
    images, labels = digits()
    return (images[:400], labels[:400]), (images[400:600], labels[400:600])


def load_floats(data_root: str) -> Any:
    (images, labels), (test, test_labels) = load(data_root)
    return (images / 255, labels), (test / 255, test_labels)


def load_tensors(data_root: str) -> Any:
    (images, labels), (test, test_labels) = load(data_root)
    return tuple(
        (torch.from_numpy(x)[:, None], torch.from_numpy(y)) for x, y in ((images, labels), (test, test_labels))
    )


class Rows(torch.utils.data.Dataset):
    """A torch Dataset of pictures."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        from PIL import Image

        return Image.fromarray(self.images[i]), int(self.labels[i])


def load_dataset(data_root: str) -> Any:
    return tuple(Rows(*part) for part in load(data_root))


def load_rows(data_root: str) -> Any:
    return tuple([{"image": x, "label": y} for x, y in zip(*part, strict=True)] for part in load(data_root))


def load_mixed_shapes(data_root: str) -> Any:
    train, test = load_rows(data_root)
    train[3] = {"image": np.zeros((9, 8), np.uint8), "label": 0}
    return train, test


def load_gap(data_root: str) -> Any:
    (images, labels), test = load(data_root)
    return (images, np.where(labels == 9, 11, labels)), test


def load_wild_floats(data_root: str) -> Any:
    (images, labels), (test, test_labels) = load(data_root)
    return (images * 3.0, labels), (test * 3.0, test_labels)


def load_no_images(data_root: str) -> Any:
    return [1, 2], [3]


def load_raising(data_root: str) -> Any:
    return Path(data_root, "missing.bin").read_bytes()


def split(labels: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    order = generator.permutation(len(labels))
    return order[:150], order[150:]


def bright(labels: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return split(labels, generator)


bright.render = lambda images, generator: np.minimum(images, 200) + 50  # type: ignore[attr-defined]


def split_outside(labels: np.ndarray, generator: np.random.Generator) -> tuple[list[int], list[int]]:
    return [0, 1], [len(labels)]


def split_twice(labels: np.ndarray, generator: np.random.Generator) -> tuple[list[int], list[int]]:
    return [0, 0], [1]


def split_one(labels: np.ndarray, generator: np.random.Generator) -> list[int]:
    return [0, 1, 2]


def load_bytes_and_floats(data_root: str) -> Any:
    images = np.arange(0, 241, 15, dtype=np.uint8)[:16].reshape(1, 4, 4).repeat(2, 0)
    images[0, 0, 0] = 240
    return (images, np.array([0, 1])), (images / 255, np.array([0, 1]))


class Branching(nn.Module):
    """A network whose code looks at the values of its images, which no trace can."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) if x.sum() > 0 else self.body(-x)


class OneByOne(Branching):
    """A network that goes through its images one by one, so that a trace holds their number."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.body(image[None]) for image in x])


def branching(channels: int, height: int, width: int, num_classes: int) -> nn.Module:
    return Branching(plain(channels, height, width, num_classes))


def one_by_one(channels: int, height: int, width: int, num_classes: int) -> nn.Module:
    return OneByOne(plain(channels, height, width, num_classes))


def load_several_labels(data_root: str) -> Any:
    (images, labels), (test, test_labels) = load(data_root)
    return tuple(
        (x, np.stack([y % 2, y > 4, y < 3], 1).astype(np.uint8)) for x, y in ((images, labels), (test, test_labels))
    )
