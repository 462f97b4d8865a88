"""Converts raw images to a store that training reads fast, or verifies such a store."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lmc_mlflow.config.commands import PrepareDataConfig
from lmc_mlflow.config.data import PrepareConfig
from lmc_mlflow.contract import LAUNCHER_RUN
from lmc_mlflow.data.readers.bigearthnet.bands import BANDS, bands_of
from lmc_mlflow.data.readers.bigearthnet.prepare import prepare
from lmc_mlflow.data.readers.bigearthnet.store import open_store, verify
from lmc_mlflow.data.readers.bigearthnet.store_files import StoreRecord
from lmc_mlflow.data.readers.picture_store.prepare import prepare_pictures
from lmc_mlflow.data.readers.picture_store.store import find_pictures, verify_pictures
from lmc_mlflow.data.store.files import DEFAULT_FOLDER
from lmc_mlflow.parallel import num_cores
from lmc_mlflow.terminal.closing import next_step
from lmc_mlflow.terminal.style import strip_paint
from lmc_mlflow.tracking.connection.store import open_store as open_tracking
from lmc_mlflow.tracking.launcher_run import name_launcher_run


@dataclass(frozen=True)
class PrepareDataOutcome:
    """What a store holds and what was done to it, in lines to print, and the values with which a pair is trained on it.

    Attributes:
        content: the images, in a few words.
        lines: what the store holds.
        training: parameters of train_pair.
    """

    content: str
    lines: list[str]
    training: dict[str, str]


@dataclass(frozen=True)
class _Places:
    """Where the raw images and the store are, and the data_root that finds the store."""

    raw: Path
    store: Path
    data_root: Path


def prepare_data(config: PrepareDataConfig, on_estimate: Callable[[str], None]) -> PrepareDataOutcome:
    """Prepare the images that are asked for, or verify the checksums of prepared ones (`verify`).

    Args:
        config: of the command.
        on_estimate: takes one line about how much there is to do, before it starts.
    """
    wanted = config.prepare
    launched = open_tracking() if LAUNCHER_RUN in os.environ else None
    root = Path(wanted.data_root)
    store = Path(wanted.store) if wanted.store else root / DEFAULT_FOLDER
    places = _Places(root, store, store if wanted.store else root)
    outcome = PREPARED[wanted.dataset](wanted, places, on_estimate)
    if launched is not None:
        name = f"prepare_data: {wanted.dataset} {outcome.content}"
        name_launcher_run(launched, name, "\n".join(f"    {strip_paint(line)}" for line in prepare_lines(outcome)), {})
    return outcome


def prepare_lines(outcome: PrepareDataOutcome) -> list[str]:
    """Describe a prepared store in lines to print, and say what to type next."""
    return [*outcome.lines, *next_step("train on it", "train_pair", **outcome.training)]


def _processes(wanted: PrepareConfig) -> int:
    return num_cores() if wanted.processes is None else wanted.processes


def _bands(wanted: PrepareConfig, places: _Places, on_estimate: Callable[[str], None]) -> PrepareDataOutcome:
    """Prepare or verify bands of BigEarthNet."""
    if wanted.verify:
        store = open_store(places.data_root)
        bands, how = bands_of(wanted.bands), "verified"
        verify(store, bands)
        root, record = store.root, store.record
    else:
        report = prepare(places.raw, places.store, wanted.bands, _processes(wanted), on_estimate)
        root, record, bands = report.store, report.record, report.bands
        how = f"converted {', '.join(report.converted)}" if report.converted else "all there already"
    lines = _band_lines(root, record, bands, how)
    values = {"dataset": "bigearthnet", "shift": "bands_B02_B08", "model": "vgg_like"}
    return PrepareDataOutcome(" ".join(bands), lines, {**values, "data_root": str(places.data_root)})


def _band_lines(root: Path, record: StoreRecord, bands: tuple[str, ...], how: str) -> list[str]:
    lines = [f"bigearthnet {record.version}: {record.num_patches:,} patches in {root} ({how})"]
    lines += [f"  dropped: {count:,} patches {reason}" for reason, count in record.dropped.items()]
    lines.append("  band    nm      mean  deviation  minimum  maximum")
    for band in bands:
        row = record.bands[band]
        lines.append(
            f"  {band:4} {BANDS[band].wavelength:5} {row.mean:9.2f}  {row.deviation:9.2f}  {row.minimum:7}  "
            f"{row.maximum:7}"
        )
    return lines


def _pictures(wanted: PrepareConfig, places: _Places, on_estimate: Callable[[str], None]) -> PrepareDataOutcome:
    """Prepare or verify the pictures of an image folder."""
    if wanted.verify:
        found = find_pictures(places.data_root)
        if found is None:
            raise ValueError(f"imagefolder: no prepared store in {places.data_root}; leave verify out to make it")
        verify_pictures(found)
        store, record, how = found.root, found.record, "verified"
    else:
        store = places.store
        record, decoded = prepare_pictures(places.raw, store, wanted.image_size, _processes(wanted), on_estimate)
        how = "decoded" if decoded else "all there already"
    channels, height, width = record.shape
    counts = " and ".join(f"{part.num_pictures:,} for {name}ing" for name, part in record.parts.items())
    line = (
        f"imagefolder: {record.num_pictures:,} pictures of {channels} x {height} x {width} in {store} ({how}): "
        f"{counts}, {len(record.classes):,} classes"
    )
    values = {"dataset": "imagefolder", "data_root": str(places.data_root)}
    if record.image_size is not None:
        values["image_size"] = str(record.image_size)
    content = f"{record.num_pictures:,} pictures"
    return PrepareDataOutcome(content, [line], {**values, "model": "resnet18_w64", "augmentation": "flip_resized_crop"})


PREPARED: Mapping[str, Callable[[PrepareConfig, _Places, Callable[[str], None]], PrepareDataOutcome]] = {
    "bigearthnet": _bands,
    "imagefolder": _pictures,
}
"""Data set -> what prepares it."""
