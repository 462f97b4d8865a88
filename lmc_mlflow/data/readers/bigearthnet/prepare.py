"""Converts an archive to a store, chunk by chunk; resumes after a kill, and names a band only once it is whole."""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lmc_mlflow.data.readers.bigearthnet.archives import Archive, open_archive
from lmc_mlflow.data.readers.bigearthnet.bands import bands_of
from lmc_mlflow.data.readers.bigearthnet.conversion import FullSizeReader
from lmc_mlflow.data.readers.bigearthnet.store import exact_statistics
from lmc_mlflow.data.readers.bigearthnet.store_files import (
    PATCHES,
    BandRecord,
    StoreRecord,
    band_part,
    patches_digest,
    read_record,
    sums_file,
    write_record,
)
from lmc_mlflow.data.store.converting import Conversion, Done, convert, jobs_of, locked
from lmc_mlflow.data.store.estimate import counted
from lmc_mlflow.data.store.files import digest_of_digests, partial_file, progress_file, write_whole
from lmc_mlflow.data.store.progress import start_part


@dataclass(frozen=True)
class PrepareReport:
    """What a store holds now, and which of the bands asked for were converted by this call."""

    store: Path
    record: StoreRecord
    bands: tuple[str, ...]
    converted: tuple[str, ...]


def prepare(
    archive_root: Path, store_root: Path, bands: Sequence[str], processes: int, on_estimate: Callable[[str], None]
) -> PrepareReport:
    """Convert the bands that a store does not have yet; what an interrupted call has done is kept.

    Args:
        archive_root: folder of the unpacked archive.
        store_root: folder of the store, made if there is none.
        bands: bands or named combinations of them.
        processes: that convert at once.
        on_estimate: is given one line that says how much there is to do, before it starts.

    Raises:
        ValueError: no archive, a patch that cannot be read, too little disk space, a store of another
            archive, or one that another process is preparing.
    """
    wanted = bands_of(bands)
    archive = open_archive(archive_root)
    names = np.array([name.encode() for name in archive.patches])
    digest = patches_digest(names, archive.labels, archive.official)
    record = _record_of(store_root, digest)
    if record is not None and not _missing(store_root, record, wanted) and (store_root / PATCHES).is_file():
        return PrepareReport(store_root, record, wanted, ())
    store_root.mkdir(parents=True, exist_ok=True)
    with locked(store_root, "bigearthnet"):
        record = _record_of(store_root, digest)  # another process may just have finished
        missing = _missing(store_root, record, wanted)
        content = io.BytesIO()
        np.savez(content, names=names, labels=archive.labels, official=archive.official)
        write_whole(store_root / PATCHES, content.getvalue())
        done = {band: start_part(store_root, band_part(band, len(names)), digest) for band in missing}
        if missing:
            _convert(archive, store_root, done, processes, on_estimate)
        empty = StoreRecord(archive.version, len(names), digest, archive.dropped, {})
        record = _finish(store_root, empty if record is None else record, done)
    return PrepareReport(store_root, record, wanted, missing)


def _record_of(root: Path, digest: str) -> StoreRecord | None:
    record = read_record(root)
    if record is not None and record.patches != digest:
        raise ValueError(
            f"bigearthnet: the store in {root} was made from another archive (other patches, labels or splits); "
            "remove it or give another store=<folder>"
        )
    return record


def _missing(root: Path, record: StoreRecord | None, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """List the bands to convert: not in the store, or with a file that was lost or cut since."""
    if record is None:
        return wanted
    return tuple(
        band for band in wanted if band not in record.bands or not band_part(band, record.num_patches).is_whole(root)
    )


def _convert(archive: Archive, root: Path, done: Done, processes: int, on_estimate: Callable[[str], None]) -> None:
    """Convert all chunks that are not done, and add them to `done` and to the bands' progress."""
    num_patches = len(archive.patches)
    conversion = Conversion("bigearthnet", root, FullSizeReader(archive.reader), processes, ("patch", "patches"))
    parts = [band_part(band, num_patches) for band in done]
    jobs = jobs_of(conversion, archive.patches, parts, done)
    what = f"{counted(len(parts), 'band')} of {counted(num_patches, 'patch', 'patches')}"
    convert(conversion, what, parts, jobs, done, on_estimate)


def _finish(root: Path, record: StoreRecord, done: Done) -> StoreRecord:
    """Give the files their final names; only then does store.json name them."""
    rows = dict(record.bands)
    for band, chunks in done.items():
        sums = np.load(partial_file(sums_file(root, band)))
        digests = tuple(chunks[i].sha256 for i in sorted(chunks))
        mean, deviation = exact_statistics(sums)
        rows[band] = BandRecord(
            digest_of_digests(digests),
            digests,
            hashlib.sha256(sums.data).hexdigest(),
            mean,
            deviation,
            min(result.minimum for result in chunks.values()),
            max(result.maximum for result in chunks.values()),
        )
        band_part(band, record.num_patches).finish(root)
    whole = StoreRecord(record.version, record.num_patches, record.patches, record.dropped, rows)
    write_record(root, whole)
    for band in done:
        progress_file(root, band).unlink()
    return whole
