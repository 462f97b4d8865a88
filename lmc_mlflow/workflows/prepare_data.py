"""Converts a raw archive of images to a store that training reads fast, or verifies such a store."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lmc_mlflow.config.commands import PrepareDataConfig
from lmc_mlflow.contract import LAUNCHER_RUN
from lmc_mlflow.data.readers.bigearthnet.bands import BANDS, bands_of
from lmc_mlflow.data.readers.bigearthnet.prepare import prepare
from lmc_mlflow.data.readers.bigearthnet.store import open_store, verify
from lmc_mlflow.data.readers.bigearthnet.store_files import StoreRecord
from lmc_mlflow.data.store.files import DEFAULT_FOLDER
from lmc_mlflow.parallel import num_cores
from lmc_mlflow.terminal.closing import next_step
from lmc_mlflow.terminal.style import strip_paint
from lmc_mlflow.tracking.connection.store import open_store as open_tracking
from lmc_mlflow.tracking.launcher_run import name_launcher_run


@dataclass(frozen=True)
class PrepareDataOutcome:
    """Where the store is, what it holds, what was done to these bands, and the data_root that finds it."""

    store: Path
    record: StoreRecord
    bands: tuple[str, ...]
    how: str
    data_root: Path


def prepare_data(config: PrepareDataConfig, on_estimate: Callable[[str], None]) -> PrepareDataOutcome:
    """Prepare the bands that are asked for, or verify the checksums of prepared ones (`verify`).

    Args:
        config: of the command.
        on_estimate: takes one line about how much there is to do, before it starts.
    """
    wanted = config.prepare
    launched = open_tracking() if LAUNCHER_RUN in os.environ else None
    root = Path(wanted.data_root)
    folder = Path(wanted.store) if wanted.store else root / DEFAULT_FOLDER
    data_root = folder if wanted.store else root
    if wanted.verify:
        store = open_store(data_root)
        verify(store, bands_of(wanted.bands))
        outcome = PrepareDataOutcome(store.root, store.record, bands_of(wanted.bands), "verified", data_root)
    else:
        processes = num_cores() if wanted.processes is None else wanted.processes
        report = prepare(root, folder, wanted.bands, processes, on_estimate)
        how = f"converted {', '.join(report.converted)}" if report.converted else "all there already"
        outcome = PrepareDataOutcome(report.store, report.record, report.bands, how, data_root)
    if launched is not None:
        name = f"prepare_data: {wanted.dataset} {' '.join(outcome.bands)}"
        name_launcher_run(launched, name, "\n".join(f"    {strip_paint(line)}" for line in prepare_lines(outcome)), {})
    return outcome


def prepare_lines(outcome: PrepareDataOutcome) -> list[str]:
    """Describe a prepared store in lines to print, and say what to type next."""
    record = outcome.record
    lines = [f"bigearthnet {record.version}: {record.num_patches:,} patches in {outcome.store} ({outcome.how})"]
    lines += [f"  dropped: {count:,} patches {reason}" for reason, count in record.dropped.items()]
    lines.append("  band    nm      mean  deviation  minimum  maximum")
    for band in outcome.bands:
        row = record.bands[band]
        lines.append(
            f"  {band:4} {BANDS[band].wavelength:5} {row.mean:9.2f}  {row.deviation:9.2f}  {row.minimum:7}  "
            f"{row.maximum:7}"
        )
    values = {"dataset": "bigearthnet", "shift": "bands_B02_B08", "model": "vgg_like"}
    return [
        *lines,
        *next_step("train on it", "train_pair", **values, data_root=str(outcome.data_root)),
    ]
