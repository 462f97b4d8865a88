"""Images read batch by batch equal images in memory to the last bit, within bounded memory."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bigearthnet_archives import patch_names
from conftest import QUICK, ROOT, runs_of_kind
from mlflow import MlflowClient
from numpy.typing import NDArray
from torch import Tensor

from entry_points.interpolate import main as interpolate
from entry_points.matrix import main as matrix
from entry_points.train_pair import main as train_pair
from lmc_mlflow.batches import Images, ResidentImages
from lmc_mlflow.config.canonical import fingerprint
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.config.flags import parse_flags
from lmc_mlflow.data import streaming
from lmc_mlflow.data.loading import load_shifted
from lmc_mlflow.data.pixels import ArraySource, BandSource
from lmc_mlflow.data.readers.bigearthnet.store import PatchStore, open_store
from lmc_mlflow.data.readers.bigearthnet.store_files import (
    PATCHES,
    BandRecord,
    StoreRecord,
    patches_digest,
    sums_file,
    write_record,
)
from lmc_mlflow.data.scaling import Scaling
from lmc_mlflow.data.store.files import pixels_file
from lmc_mlflow.data.streaming import (
    READ_AHEAD,
    ScaledSource,
    StreamedImages,
    join,
    move_to_device,
    move_together,
)
from lmc_mlflow.training.loop import train
from lmc_mlflow.workflows.networks import pair_of_networks
from lmc_mlflow.workflows.pair.runs import make_trainees

CPU = torch.device("cpu")
BATCH = 4
HALF_OF = Scaling(255.0, (0.5,), (0.25,))


def pixels_of(num_patches: int, band: str) -> NDArray[np.uint16]:
    """All of 16 bits; the first patch is constant."""
    generator = np.random.default_rng([num_patches, int(band[1:])])
    pixels = generator.integers(0, 65536, (num_patches, 120, 120), dtype=np.uint16)
    pixels[0] = 60_000
    return pixels


def write_store(root: Path, num_patches: int) -> PatchStore:
    """A prepared store of bands B02 and B08, without an archive that it was made from."""
    names = np.array(patch_names(num_patches), dtype=np.bytes_)
    labels = np.eye(19, dtype=np.uint8)[np.arange(num_patches) % 19]
    official = np.zeros(num_patches, dtype=np.uint8)
    np.savez(root / PATCHES, names=names, labels=labels, official=official)
    bands = {}
    for band in ("B02", "B08"):
        pixels = pixels_of(num_patches, band)
        wide = pixels.reshape(num_patches, -1).astype(np.int64)
        sums = np.stack([wide.sum(axis=1), (wide**2).sum(axis=1)], axis=1)
        np.save(pixels_file(root, band), pixels)
        np.save(sums_file(root, band), sums)
        digest = hashlib.sha256(sums.data).hexdigest()
        bands[band] = BandRecord(digest, (), digest, float(wide.mean()), float(wide.std()), 0, int(wide.max()))
    write_record(root, StoreRecord("fabricated", num_patches, patches_digest(names, labels, official), {}, bands))
    return open_store(root)


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> PatchStore:
    """Ten patches."""
    return write_store(tmp_path_factory.mktemp("store"), 10)


def of_bytes(num_images: int = 10, channels: int = 1, seed: int = 0) -> ArraySource:
    generator = np.random.default_rng(seed)
    return ArraySource(generator.integers(0, 256, (num_images, channels, 6, 5), dtype=np.uint8))


def floats() -> ArraySource:
    return ArraySource(np.random.default_rng(0).standard_normal((10, 3, 2, 2)).astype(np.float32))


def in_bands(store: PatchStore, *bands: str) -> BandSource:
    return BandSource(store, np.arange(10), bands)


def centered(source: ArraySource | BandSource) -> ScaledSource:
    return ScaledSource(source, Scaling.of("centered", source))


PIECES: dict[str, Callable[[PatchStore], tuple[ScaledSource, ...]]] = {
    "bytes": lambda _store: (ScaledSource(of_bytes(), HALF_OF),),
    "bytes in three channels": lambda _store: (centered(of_bytes(channels=3)),),
    "floats": lambda _store: (centered(floats()),),
    "16 bits": lambda store: (centered(in_bands(store, "B08", "B02")),),
    "three pieces": lambda _store: (
        centered(of_bytes(3, seed=1)),
        ScaledSource(of_bytes(2, seed=2), HALF_OF),
        centered(of_bytes(5, seed=3)),
    ),
    "two renderings": lambda store: (centered(in_bands(store, "B02")), centered(in_bands(store, "B08"))),
}
ORDERS: dict[str, Tensor | None] = {
    "as they lie": None,
    "shuffled": torch.tensor([7, 2, 9, 0, 4, 1, 8, 3, 6, 5]),
    "some": torch.tensor([9, 0]),
    "repeated": torch.tensor([3, 3, 0, 9, 3, 9, 9, 0, 1]),
}


def raw_of(source: ArraySource | BandSource) -> NDArray[np.float32]:
    """The raw numbers of a source, read past it."""
    if isinstance(source, ArraySource):
        return source.array.astype(np.float32)
    return np.stack([pixels_of(10, band) for band in source.bands], axis=1).astype(np.float32)


def scaled(piece: ScaledSource) -> NDArray[np.float32]:
    """(x / full scale - mean) / deviation, each step rounded to 32 bits."""
    scaling = piece.scaling
    mean, deviation = (np.array(c, np.float32)[:, None, None] for c in (scaling.mean, scaling.deviation))
    return (raw_of(piece.source) / np.float32(scaling.full_scale) - mean) / deviation


def same_bits(left: Images, right: Images, order: Tensor | None) -> bool:
    one, other = (list(images.batches(order, BATCH)) for images in (left, right))
    return all(torch.equal(*both) for both in zip(one, other, strict=True))


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("kind", PIECES)
def test_resident_and_streamed_images_hand_out_the_same_numbers(
    kind: str, order: Tensor | None, patches: PatchStore
) -> None:
    pieces = PIECES[kind](patches)
    expected = np.concatenate([scaled(piece) for piece in pieces])
    chosen = torch.from_numpy(expected if order is None else expected[order.numpy()])
    for images in (move_to_device(pieces, CPU, memory_gb=4), move_to_device(pieces, CPU, memory_gb=0)):
        assert images.shape == expected.shape
        batches = [batch.clone() for batch in images.batches(order, BATCH)]
        assert all(batch.dtype == torch.float32 for batch in batches)
        assert [len(batch) for batch in batches] == [len(part) for part in torch.split(chosen, BATCH)]
        assert torch.equal(torch.cat(batches), chosen)


def test_ten_images_in_batches_of_four_leave_two_for_the_last() -> None:
    for memory_gb in (0, 4):
        images = move_to_device((ScaledSource(of_bytes(), HALF_OF),), CPU, memory_gb)
        assert [len(batch) for batch in images.batches(None, 4)] == [4, 4, 2]


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_images_are_joined_one_after_the_other_wherever_they_lie(order: Tensor | None) -> None:
    first, second = (ScaledSource(of_bytes(5, seed=seed), HALF_OF) for seed in (1, 2))
    both = move_to_device((first, second), CPU, memory_gb=4)
    assert isinstance(both, ResidentImages)
    for here in (0, 4):
        for there in (0, 4):
            joined = join(move_to_device((first,), CPU, here), move_to_device((second,), CPU, there))
            assert isinstance(joined, ResidentImages) == (here == there == 4)
            assert joined.shape == (10, 1, 6, 5)
            assert same_bits(joined, both, order)


def test_images_stay_on_the_device_where_their_floats_fill_no_more_than_memory_gb() -> None:
    pieces = (ScaledSource(of_bytes(3), HALF_OF), ScaledSource(of_bytes(7), HALF_OF))
    num_bytes = 4 * 10 * 6 * 5  # a float has four
    assert isinstance(move_to_device(pieces, CPU, num_bytes / 2**30), ResidentImages)
    assert isinstance(move_to_device(pieces, CPU, (num_bytes - 1) / 2**30), StreamedImages)


# reading ahead


@dataclass(frozen=True)
class Watched(ArraySource):
    """A source that remembers what was read of it, and fails at one row."""

    read: list[list[int]] = field(default_factory=list)
    fails_at: int | None = None

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        if self.fails_at in rows.tolist():
            raise OSError(f"row {self.fails_at} cannot be read")
        found = super().take(rows)
        self.read.append(rows.tolist())
        return found


def watched(fails_at: int | None = None) -> tuple[Watched, StreamedImages]:
    source = Watched(of_bytes(40).array, fails_at=fails_at)
    return source, StreamedImages((ScaledSource(source, HALF_OF),), CPU)


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_two_batches_lie_ready_while_one_is_used_and_no_more_are_read() -> None:
    assert READ_AHEAD == 2
    source, images = watched()
    for used, _ in enumerate(images.batches(None, BATCH), start=1):
        due = min(10, used + READ_AHEAD)
        deadline = time.monotonic() + 10
        while len(source.read) < due and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.005)
        assert len(source.read) == due
    assert sum(source.read, []) == list(range(40))  # noqa: RUF017


def test_an_error_while_reading_reaches_the_caller_at_its_batch() -> None:
    _, images = watched(fails_at=22)
    batches = images.batches(None, BATCH)
    assert [len(next(batches)) for _ in range(5)] == [BATCH] * 5  # rows 0 to 19
    with pytest.raises(OSError, match="row 22 cannot be read"):
        next(batches)
    assert readers() == []


def test_leaving_the_loop_ends_the_reading_thread() -> None:
    source, images = watched()
    for _ in images.batches(None, BATCH):
        assert len(readers()) == 1
        break
    assert readers() == []
    assert len(source.read) <= 1 + READ_AHEAD


def test_after_the_last_batch_no_thread_is_left() -> None:
    _, images = watched()
    assert len(list(images.batches(None, BATCH))) == 10
    assert readers() == []


def test_nothing_is_read_before_the_first_batch_is_asked_for() -> None:
    source, images = watched()
    batches = images.batches(None, BATCH)
    assert (source.read, readers()) == ([], [])
    assert len(next(batches)) == BATCH


# training


def trained(*flags: str) -> list[dict[str, Tensor]]:
    """Weights of both sides after two epochs."""
    config = parse_flags("train_pair", TrainPairConfig, [*QUICK, "--epochs=2", *flags])
    data = load_shifted(config.data, CPU)
    trainees = make_trainees(config, data, CPU)
    kinds = {type(images) for images in (data.a.images, data.b.images, data.test.images)}
    assert kinds == {StreamedImages if config.data.memory_gb == 0 else ResidentImages}
    train(trainees, (data.test.images, data.test.labels), config.optimization, data.flips, 1, lambda *_: None)
    return [trainee.network.state_dict() for trainee in trainees]


@pytest.mark.parametrize("flags", [["--shift=label_2080", "--augmentation=flip"], ["--shift=corrupt_noise_3"]])
def test_training_on_streamed_images_ends_with_the_same_bits(flags: list[str]) -> None:
    resident, streamed = trained(*flags, "--memory_gb=4"), trained(*flags, "--memory_gb=0")
    for one, other in zip(resident, streamed, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(resident[0]["linear1.weight"], resident[1]["linear1.weight"])


def test_memory_is_no_part_of_a_result_s_identity() -> None:
    here, there = (
        fingerprint(parse_flags("train_pair", TrainPairConfig, [*QUICK, f"--memory_gb={memory}"])) for memory in (0, 4)
    )
    assert here == there


# 16 bits


def test_reflectance_above_the_largest_signed_number_is_not_negative(patches: PatchStore) -> None:
    source = in_bands(patches, "B02")
    raw = source.take(np.array([0]))
    assert raw.dtype == np.int16  # holds 16 unsigned bits
    first = ScaledSource(source.rows(np.array([0])), Scaling.of("unit", source))
    (batch,) = StreamedImages((first,), CPU).batches(None, 1)
    assert torch.equal(batch, torch.full((1, 1, 120, 120), 6.0))  # 60,000 / 10,000
    ends = torch.from_numpy(np.array([0, 1, 32_767, 32_768, 65_535], dtype=np.uint16).view(np.int16))
    units = Scaling.of("unit", source).apply(ends[:, None, None, None]).flatten()
    assert units.tolist() == pytest.approx([0, 0.0001, 3.2767, 3.2768, 6.5535])


@pytest.mark.parametrize("memory_gb", [0.0, 4.0])
def test_centered_bands_have_mean_0_and_deviation_1_over_the_training_patches(
    patches: PatchStore, memory_gb: float
) -> None:
    root = str(patches.root)
    config = DataConfig(dataset="bigearthnet", shift="bands_B02_B08", data_root=root, memory_gb=memory_gb)
    data = load_shifted(config, CPU)
    for side in (data.a, data.b):
        pixels = torch.cat(list(side.images.batches(None, 3))).double()
        assert pixels.shape == (8, 1, 120, 120)  # four fifths
        assert pixels.mean().item() == pytest.approx(0, abs=1e-6)
        assert pixels.std(correction=0).item() == pytest.approx(1, abs=1e-6)


READING = """
import sys
import psutil
import torch
from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.data.loading import load_shifted

config = DataConfig(dataset="bigearthnet", shift="bands_B02_B08", data_root=sys.argv[1], memory_gb=0.0)
data = load_shifted(config, torch.device("cpu"))
process = psutil.Process()
next(data.a.images.batches(None, 8))
before = process.memory_info().rss
for _ in range(2):
    for part in (data.a, data.b, data.test):
        num_read, highest = 0, 0
        for batch in part.images.batches(torch.randperm(part.images.shape[0]), 8):
            num_read += len(batch)
            highest = max(highest, process.memory_info().rss)
        print(num_read, highest - before)
"""


def test_a_process_that_reads_a_store_does_not_grow_by_it(tmp_path: Path) -> None:
    write_store(tmp_path, 1000)
    found = subprocess.run(
        [sys.executable, "-c", READING, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        timeout=120,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    lines = [line.split() for line in found.stdout.splitlines()]
    assert [int(num_read) for num_read, _ in lines] == [800, 800, 400] * 2
    size = sum(path.stat().st_size for path in tmp_path.glob("B0?.npy"))
    assert size > 57_000_000
    assert max(int(growth) for _, growth in lines) < size / 2


@pytest.mark.parametrize("normalization", ["centered", "unit"])
def test_sides_laid_together_are_the_same_images_and_joined_without_a_copy(normalization: str) -> None:
    config = DataConfig(dataset="digits", shift="label_2080", normalization=normalization)
    apart, together = load_shifted(config, CPU), load_shifted(config, CPU, together=True)
    for name in ("a", "b", "test"):
        expected, found = (getattr(data, name).images.tensor for data in (apart, together))
        assert torch.equal(expected, found)
    joined = join(together.a.images, together.b.images)
    assert isinstance(joined, ResidentImages)
    assert isinstance(together.a.images, ResidentImages)
    assert joined.tensor.data_ptr() == together.a.images.tensor.data_ptr()
    assert torch.equal(joined.tensor, apart.side("both").images.tensor)
    backwards = join(together.b.images, together.a.images)
    assert torch.equal(backwards.tensor, join(apart.b.images, apart.a.images).tensor)


def test_a_side_that_would_begin_at_an_odd_address_lies_alone() -> None:
    odd = tuple(
        (ScaledSource(ArraySource(np.full((count, 1, 3, 3), count, dtype=np.uint8)), Scaling(1.0, (0.0,), (1.0,))),)
        for count in (5, 16)
    )
    alone = move_together(odd[0], odd[1], CPU, 1.0)
    assert all(isinstance(images, ResidentImages) and images.whole is None for images in alone)
    behind = move_together(odd[1], odd[0], CPU, 1.0)
    assert all(isinstance(images, ResidentImages) and images.whole is not None for images in behind)


def test_images_that_do_not_fit_into_the_free_memory_are_streamed_and_a_line_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = (ScaledSource(ArraySource(np.ones((16, 1, 4, 4), dtype=np.uint8)), Scaling(1.0, (0.0,), (1.0,))),)
    monkeypatch.setattr(streaming, "free_bytes", lambda _: 16 * 16 * 4)
    assert isinstance(move_to_device(source, CPU, 1.0), ResidentImages)
    assert caplog.messages == []
    assert all(isinstance(images, StreamedImages) for images in move_together(source * 2, source * 2, CPU, 1.0))
    assert "so they are read batch by batch" in caplog.messages[0]


def test_a_path_or_matrix_within_a_pair_reads_its_data_once(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train_pair([*QUICK, "--epochs=1", "--shift=label_2080"]) == 0
    read = []

    def load(*arguments: Any) -> Any:
        read.append(arguments)
        return load_shifted(*arguments)

    monkeypatch.setattr(pair_of_networks, "load_shifted", load)
    pair = runs_of_kind(store, "pair")[0].info.run_id
    assert interpolate([f"--pair={pair}", "--num_alphas=3", "--device=cpu"]) == 0
    assert len(read) == 1
    ends = ",".join(run.info.run_id for run in runs_of_kind(store, "endpoint"))
    assert matrix([f"--runs={ends}", "--num_alphas=3", "--bn=recalibrate", "--device=cpu"]) == 0
    assert len(read) == 2
