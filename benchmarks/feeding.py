"""Times the reading of Sentinel-2 patches for training, and measures the memory it needs.

The patches are made up, in the real layout of the archive. The usual way opens every GeoTIFF in every epoch.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from benchmarks.rounds import alternate
from lmc_mlflow.data.pixels import BandSource
from lmc_mlflow.data.readers.bigearthnet.prepare import prepare
from lmc_mlflow.data.readers.bigearthnet.store import PatchStore, open_store
from lmc_mlflow.data.scaling import Scaling
from lmc_mlflow.data.streaming import ScaledSource, StreamedImages, move_to_device
from tests.bigearthnet_archives import write_lmdb, write_v2

BATCH_SIZE = 256
BAND = "B02"
NUM_PATCHES = 3000
NUM_ROUNDS = 3
MEMORY_SIZES = (2_000, 20_000)
CPU = torch.device("cpu")


class GeoTiffs(TorchDataset[torch.Tensor]):
    """One band of an archive, opened file by file."""

    def __init__(self, root: Path, names: list[str], scaling: Scaling) -> None:
        self._files = [root / "BigEarthNet-S2" / name.rsplit("_", 2)[0] / name / f"{name}_{BAND}.tif" for name in names]
        self._scaling = scaling

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> torch.Tensor:
        with rasterio.open(self._files[index]) as file:
            pixels = file.read(1)
        scaled = (torch.from_numpy(pixels.astype(np.float32)) / self._scaling.full_scale - self._scaling.mean[0]) / (
            self._scaling.deviation[0]
        )
        return scaled[None]


def throughput(num_patches: int = NUM_PATCHES, num_rounds: int = NUM_ROUNDS) -> list[dict[str, Any]]:
    """Time one epoch in random order: GeoTIFFs opened each time (0 and 2 workers), and the prepared store."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_v2(root, num_patches, bands=(BAND,))
        prepare(root, root / "lmc_store", [BAND], 1, lambda _: None)
        store = open_store(root)
        streamed = _streamed(store)
        files = GeoTiffs(root, [name.decode() for name in store.names], streamed.pieces[0].scaling)
        order = torch.randperm(num_patches, generator=torch.Generator().manual_seed(0))
        largest = max(
            float((a - b).abs().max())
            for a, b in zip(_loader(files, order, 0), streamed.batches(order, BATCH_SIZE), strict=True)
        )
        ways = {
            "GeoTIFFs each epoch, 0 workers": lambda: drain(_loader(files, order, 0)),
            "GeoTIFFs each epoch, 2 workers": lambda: drain(_loader(files, order, 2)),
            "prepared store": lambda: drain(streamed.batches(order, BATCH_SIZE)),
        }
        times = alternate(ways, num_rounds)
    reference = times["GeoTIFFs each epoch, 0 workers"]
    return [
        {
            "way": name,
            "patches": num_patches,
            "ratio of minima": reference.least / t.least,
            "ratio of medians": reference.median / t.median,
            "largest difference": largest if name == "prepared store" else 0.0,
        }
        for name, t in times.items()
    ]


def memory(sizes: tuple[int, ...] = MEMORY_SIZES) -> list[dict[str, Any]]:
    """Measure how many MiB a process gains over two epochs: store read in batches, and store in memory."""
    rows = []
    for num_patches in sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_lmdb(Path(folder), num_patches, bands=(BAND,))
            prepare(Path(folder), Path(folder) / "lmc_store", [BAND], 1, lambda _: None)
            row: dict[str, Any] = {"patches": num_patches, "float32 MiB": num_patches * 120 * 120 * 4 / 2**20}
            for way, budget in (("read in batches", 0.0), ("in memory", 1000.0)):
                command = [sys.executable, "-m", "benchmarks.feeding", folder, str(budget)]
                row[f"{way}, MiB"] = json.loads(subprocess.check_output(command, text=True))["grown_mib"]
            rows.append(row)
    return rows


def _streamed(store: PatchStore) -> StreamedImages:
    source = BandSource(store, np.arange(len(store.names)), (BAND,))
    return StreamedImages((ScaledSource(source, Scaling.of("centered", source)),), CPU)


def _loader(files: GeoTiffs, order: torch.Tensor, num_workers: int) -> "DataLoader[torch.Tensor]":
    return DataLoader(files, batch_size=BATCH_SIZE, sampler=order.tolist(), num_workers=num_workers)


def drain(batches: Any) -> None:
    """Read all batches."""
    for _ in batches:
        pass


def _grow(folder: str, memory_gb: float) -> None:
    """Read two epochs in this process and print how far its peak resident memory rose."""
    store = open_store(Path(folder))
    pieces = _streamed(store).pieces
    drain(StreamedImages(pieces, CPU).batches(torch.arange(BATCH_SIZE), BATCH_SIZE))
    Path("/proc/self/clear_refs").write_text("5")  # Linux: resets the peak
    before = resident("VmRSS")
    images = move_to_device(pieces, CPU, memory_gb)
    for seed in (0, 1):
        order = torch.randperm(len(store.names), generator=torch.Generator().manual_seed(seed))
        drain(images.batches(order, BATCH_SIZE))
    print(json.dumps({"grown_mib": resident("VmHWM") - before}))


def resident(key: str) -> float:
    """Read an entry of the kernel's status of this process, in MiB."""
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith(key))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    _grow(sys.argv[1], float(sys.argv[2]))
