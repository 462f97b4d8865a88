"""Decodes the pictures of an image folder into a store, chunk by chunk; resumes after a kill."""

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.data.pixels import digest_of_images
from lmc_mlflow.data.readers.picture_store.changes import changed_picture
from lmc_mlflow.data.readers.picture_store.listing import Listing, list_folder, shape_of
from lmc_mlflow.data.readers.picture_store.reader import PictureReader
from lmc_mlflow.data.readers.picture_store.record import (
    LABELS,
    PARTS,
    PartRecord,
    PictureRecord,
    labels_digest,
    picture_part,
    read_record,
    write_record,
)
from lmc_mlflow.data.store.converting import Conversion, Done, check_room, convert, jobs_of, locked
from lmc_mlflow.data.store.estimate import counted
from lmc_mlflow.data.store.files import CHUNK, Part, partial_file, pixels_file, progress_file, write_whole
from lmc_mlflow.data.store.progress import start_part


def prepare_pictures(
    folder: Path, store: Path, image_size: int | None, processes: int, on_estimate: Callable[[str], None]
) -> tuple[PictureRecord, bool]:
    """Decode the pictures that a store does not have yet; what an interrupted call has done is kept.

    Args:
        folder: with train/<class>/ and test/<class>/.
        store: folder of the store, made if there is none.
        image_size: height and width that all pictures are brought to; None: they are of one size.
        processes: that decode at once.
        on_estimate: is given one line that says how much there is to do, before it starts.

    Returns:
        What the store holds, and whether this call has decoded any of it.

    Raises:
        ValueError: no pictures, one that cannot be read, too little disk space, a store of other pictures or another
            size, one that another process is preparing, or a place where none can be.
    """
    listing = list_folder(folder)
    _check_place(folder, store)
    record = _whole_record(store, listing, image_size)
    if record is not None:
        return record, False
    shape = shape_of(listing, image_size)
    try:
        store.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"imagefolder: the folder {store} cannot be made ({error.strerror}); give another store=<folder>"
        ) from None
    with locked(store, "imagefolder"):
        record = _whole_record(store, listing, image_size)  # another process may just have finished
        if record is not None:
            return record, False
        return _decode(listing, store, image_size, shape, processes, on_estimate), True


def _check_place(folder: Path, store: Path) -> None:
    """Refuse a store among the pictures, which would make it a class or a part of one."""
    for name in PARTS:
        part = (folder / name).resolve()
        if part in (store.resolve(), *store.resolve().parents):
            raise ValueError(
                f"imagefolder: the store in {store} would lie among the pictures; give another store=<folder>"
            )


def _whole_record(store: Path, listing: Listing, image_size: int | None) -> PictureRecord | None:
    """Return the record of a store that holds these pictures already; None where something is missing."""
    record = read_record(store)
    if record is None:
        return None
    if record.listing != listing.digest or record.image_size != image_size:
        what = "of another image_size" if record.listing == listing.digest else "made from other pictures"
        raise ValueError(f"imagefolder: the store in {store} was {what}; remove it or give another store=<folder>")
    if not all(record.part(name).is_whole(store) for name in PARTS) or not (store / LABELS).is_file():
        return None
    changed = changed_picture(listing, store, record)
    if changed is not None:
        raise ValueError(
            f"imagefolder: {changed} was changed since the store in {store} was made; remove the store and give the "
            "command again"
        )
    return record


def _decode(
    listing: Listing,
    store: Path,
    image_size: int | None,
    shape: tuple[int, int, int],
    processes: int,
    on_estimate: Callable[[str], None],
) -> PictureRecord:
    labels = {name: part.labels for name, part in listing.parts.items()}
    parts = {name: picture_part(name, len(labels[name]), shape) for name in PARTS}
    check_room(store, [*parts.values()], "imagefolder")  # before anything makes an unfinished store
    content = io.BytesIO()
    np.savez(content, **labels)  # type: ignore[arg-type]  # the stub takes the names for options
    if not (store / LABELS).is_file() or (store / LABELS).read_bytes() != content.getvalue():
        write_whole(store / LABELS, content.getvalue())  # its time is that of the first picture that was decoded
    digest = hashlib.sha256(f"{listing.digest} {image_size} {shape}".encode()).hexdigest()
    done: Done = {name: start_part(store, part, digest) for name, part in parts.items()}
    conversion = Conversion(
        "imagefolder", store, PictureReader(listing.root, image_size, shape), processes, ("picture", "pictures")
    )
    jobs = [job for name, part in parts.items() for job in jobs_of(conversion, listing.items(name), [part], done)]
    channels, height, width = shape
    what = f"{counted(sum(map(len, labels.values())), 'picture')} of {channels} x {height} x {width}"
    convert(conversion, what, [*parts.values()], jobs, done, on_estimate)
    rows = {name: _part_record(store, part, labels[name], done) for name, part in parts.items()}
    for part in parts.values():
        part.finish(store)
    record = PictureRecord(listing.digest, image_size, shape, listing.classes, labels_digest(labels), rows)
    write_record(store, record)
    for name in parts:
        progress_file(store, name).unlink()
    return record


def _part_record(store: Path, part: Part, labels: NDArray[np.int64], done: Done) -> PartRecord:
    chunks = [done[part.name][i] for i in sorted(done[part.name])]
    counts: NDArray[np.int64] = np.array([chunk.counts for chunk in chunks], dtype=np.int64).sum(axis=0)
    shape = (part.num_rows, *part.arrays[0].shape)
    content = digest_of_images(shape, _blocks(partial_file(pixels_file(store, part.name)), part), labels)
    return PartRecord(
        part.num_rows,
        tuple(chunk.sha256 for chunk in chunks),
        tuple(tuple(map(int, channel)) for channel in counts),
        content,
    )


def _blocks(path: Path, part: Part) -> Iterator[NDArray[Any]]:
    """Read all rows of a part, a chunk at a time."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        for start in range(0, part.num_rows, CHUNK):
            shape = (min(CHUNK, part.num_rows - start), *part.arrays[0].shape)
            yield np.fromfile(file, dtype=np.uint8, count=int(np.prod(shape))).reshape(shape)
