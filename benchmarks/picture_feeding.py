"""Times the reading of pictures for training, and measures the memory it needs.

The usual way is torchvision's ImageFolder with a DataLoader, which decodes every picture in every epoch; it takes the
same boxes, flips and scaling. Pictures are made up, of uneven sizes; real ones are used too where LMC_DATA_ROOT has
`cifar10-images/{train,test}/<class>/`.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmarks.feeding import CPU, drain, resident
from benchmarks.rounds import alternate
from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.data.loading import load_shifted
from lmc_mlflow.data.readers.picture_store.prepare import prepare_pictures
from lmc_mlflow.data.scaling import Scaling
from lmc_mlflow.data.streaming import StreamedImages
from lmc_mlflow.parallel import num_cores
from lmc_mlflow.training.augmentation import flip_in_place
from lmc_mlflow.training.noise import NamedNoise

BATCH_SIZE = 128
NUM_ROUNDS = 3
MADE_UP, SIZE = 1500, 128
MEMORY_SIZES = (1000, 4000)
REAL = "cifar10-images"


def throughput(num_pictures: int = MADE_UP, num_rounds: int = NUM_ROUNDS) -> list[dict[str, Any]]:
    """Time one epoch of resized boxes and flips: ImageFolder with 0 and with 2 workers, and the prepared store.

    Ratios are to ImageFolder with 2 workers.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "pictures"
        write_pictures(root, num_pictures)
        rows = _compare("made up", root, Path(folder) / "store", SIZE, num_rounds)
    real = Path(os.environ.get("LMC_DATA_ROOT", "")) / REAL
    if "LMC_DATA_ROOT" in os.environ and real.is_dir():
        with tempfile.TemporaryDirectory() as folder:
            rows += _compare(REAL, real, Path(folder) / "store", None, num_rounds)
    return rows


def write_pictures(root: Path, num_pictures: int) -> None:
    """Write smooth pictures of about 400 x 300 pixels as JPEG, in two classes, and a few for testing."""
    random = np.random.default_rng(0)
    for part, count in (("train", num_pictures), ("test", 4)):
        for i in range(count):
            where = root / part / "ab"[i % 2]
            where.mkdir(parents=True, exist_ok=True)
            coarse = Image.fromarray(random.integers(0, 256, (30, 40, 3), dtype=np.uint8))
            width, height = random.integers(300, 500), random.integers(250, 350)
            coarse.resize((int(width), int(height)), Image.Resampling.BICUBIC).save(where / f"{i}.jpg", quality=90)


def _compare(name: str, root: Path, store: Path, image_size: int | None, num_rounds: int) -> list[dict[str, Any]]:
    record, _ = prepare_pictures(root, store, image_size, num_cores(), lambda _line: None)
    images, scaling = _streamed(store, image_size)
    num_pictures, size = images.shape[0], record.shape[1]
    ways = {
        "ImageFolder, 0 workers": lambda: _drain_by_one_thread(_loader(root, size, scaling, 0)),
        "ImageFolder, 2 workers": lambda: drain(_loader(root, size, scaling, 2)),
        "prepared store": lambda: drain(_augmented(images)),
    }
    times = alternate(ways, num_rounds)
    usual = times["ImageFolder, 2 workers"]
    return [
        {
            "pictures": f"{name}, {num_pictures:,}",
            "way": way,
            "ratio of minima": usual.least / t.least,
            "ratio of medians": usual.median / t.median,
            "pictures a second": round(num_pictures / t.median),
        }
        for way, t in times.items()
    ]


def _drain_by_one_thread(batches: Any) -> None:
    """Read all batches by one thread, as a loader's worker does; several wait for each other in small operations."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        drain(batches)
    finally:
        torch.set_num_threads(before)


def _streamed(store: Path, image_size: int | None) -> tuple[StreamedImages, Scaling]:
    config = DataConfig(
        dataset="imagefolder",
        data_root=str(store),
        image_size=image_size,
        shift="none",
        augmentation="flip_resized_crop",
    )
    data = load_shifted(config, CPU)
    assert isinstance(data.a.images, StreamedImages)
    return data.a.images, data.scalings[0]


def _augmented(images: StreamedImages, epoch: int = 1) -> Iterator[Tensor]:
    num_pictures, _, height, width = images.shape
    noise = NamedNoise(1, "", CPU, boxed=(height, width))
    with noise.epoch(epoch, num_pictures, BATCH_SIZE, True) as draws:
        batches = images.batches(draws.order, BATCH_SIZE, draws.boxes)
        for (_, flipped), batch in zip(draws.batches(), batches, strict=True):
            assert flipped is not None
            flip_in_place(batch, flipped)
            yield batch


def _loader(root: Path, size: int, scaling: Scaling, num_workers: int) -> "DataLoader[Any]":
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(size),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(scaling.mean, scaling.deviation),
        ]
    )
    return DataLoader(ImageFolder(str(root / "train"), transform), BATCH_SIZE, shuffle=True, num_workers=num_workers)


def memory(sizes: tuple[int, ...] = MEMORY_SIZES) -> list[dict[str, Any]]:
    """Measure how many MiB a process gains over two epochs of a store's pictures, for two numbers of them."""
    rows = []
    for num_pictures in sizes:
        with tempfile.TemporaryDirectory() as folder:
            root, store = Path(folder) / "pictures", Path(folder) / "store"
            write_pictures(root, num_pictures)
            prepare_pictures(root, store, SIZE, num_cores(), lambda _line: None)
            command = [sys.executable, "-m", "benchmarks.picture_feeding", str(store)]
            grown = json.loads(subprocess.check_output(command, text=True))["grown_mib"]
        row = {"pictures": num_pictures, "float32 MiB": num_pictures * 3 * SIZE**2 * 4 / 2**20}
        rows.append({**row, "two epochs, MiB": grown})
    return rows


def _grow(store: str) -> None:
    """Read two epochs in this process and print how far its peak resident memory rose."""
    images, _ = _streamed(Path(store), SIZE)
    next(_augmented(images))
    Path("/proc/self/clear_refs").write_text("5")  # Linux: resets the peak
    before = resident("VmRSS")
    for epoch in (1, 2):
        drain(_augmented(images, epoch))
    print(json.dumps({"grown_mib": resident("VmHWM") - before}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    _grow(sys.argv[1])
