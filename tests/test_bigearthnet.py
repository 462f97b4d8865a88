"""A BigEarthNet archive becomes a complete store, the same for every layout and after every interruption."""

import json
import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import rasterio
import torch
from bigearthnet_archives import (
    PRODUCT,
    patch_labels,
    patch_names,
    patch_pixels,
    write_lmdb,
    write_metadata,
    write_tiff,
    write_v1,
    write_v2,
)
from conftest import ROOT, command
from mlflow import MlflowClient

from entry_points.prepare_data import main as prepare_data
from lmc_mlflow.data.holdout import random80
from lmc_mlflow.data.readers.bigearthnet import prepare as preparing
from lmc_mlflow.data.readers.bigearthnet.archives import open_archive
from lmc_mlflow.data.readers.bigearthnet.bands import BANDS, bands_of, channels_of
from lmc_mlflow.data.readers.bigearthnet.classes import CLASSES, CORINE
from lmc_mlflow.data.readers.bigearthnet.prepare import PrepareReport, prepare
from lmc_mlflow.data.readers.bigearthnet.resampling import to_full_size
from lmc_mlflow.data.readers.bigearthnet.splits import train_test
from lmc_mlflow.data.readers.bigearthnet.store import (
    PatchStore,
    exact_statistics,
    open_store,
    verify,
)
from lmc_mlflow.data.store import conversion, converting
from lmc_mlflow.data.store.rows import gather

TWO = ("B02", "B08")
MANY = 1100
"""Patches of three chunks: 512, 512 and 76."""
DATA_ROOT = os.environ.get("LMC_DATA_ROOT", "")


def prepared(root: Path, bands: tuple[str, ...] = TWO, store: Path | None = None, processes: int = 1) -> PrepareReport:
    return prepare(root, root / "lmc_store" if store is None else store, bands, processes, lambda _line: None)


def content_of(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.iterdir() if path.name != ".lock"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve patches in the layout of version 2.0, two bands of 10 m."""
    root = tmp_path_factory.mktemp("small")
    write_v2(root, 12, TWO)
    return root


@pytest.fixture(scope="module")
def long_archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An archive of three chunks, and its store prepared without any interruption."""
    root = tmp_path_factory.mktemp("long")
    write_v2(root, MANY, TWO)
    prepared(root, store=root / "whole")
    return root, root / "whole"


@pytest.fixture
def small_store(archive: Path, tmp_path: Path) -> PatchStore:
    prepared(archive, store=tmp_path / "s")
    return open_store(tmp_path / "s")


# classes and bands


def test_43_corine_labels_become_19_and_eleven_are_dropped() -> None:
    assert len(CLASSES) == 19
    assert len(CORINE) == 43
    assert {target for target in CORINE.values() if target is not None} == set(CLASSES)
    assert sum(target is None for target in CORINE.values()) == 11


@pytest.mark.parametrize(
    ("label", "target"),
    [
        ("Rice fields", "Arable land"),
        ("Annual crops associated with permanent crops", "Permanent crops"),
        ("Transitional woodland/shrub", "Transitional woodland, shrub"),
        ("Sparsely vegetated areas", "Natural grassland and sparsely vegetated areas"),
        ("Salines", "Coastal wetlands"),
        ("Estuaries", "Marine waters"),
        ("Bare rock", None),
        ("Intertidal flats", None),
    ],
)
def test_a_corine_label_becomes_the_class_of_the_makers_table(label: str, target: str | None) -> None:
    assert CORINE[label] == target


def test_there_are_12_bands_in_three_sizes() -> None:
    assert [BANDS[band].size for band in ("B02", "B8A", "B01")] == [120, 60, 20]
    assert [sum(band.metres == m for band in BANDS.values()) for m in (10, 20, 60)] == [4, 6, 2]
    assert sorted(BANDS, key=lambda band: BANDS[band].wavelength) == list(BANDS)


def test_a_rendering_is_three_bands_or_any_one() -> None:
    assert channels_of("natural") == ("B04", "B03", "B02")
    assert channels_of("agriculture") == ("B11", "B08", "B02")
    assert channels_of("B8A") == ("B8A",)
    assert bands_of(["natural", "infrared", "B02"]) == ("B04", "B03", "B02", "B08")


def test_an_unknown_rendering_lists_the_choices() -> None:
    with pytest.raises(
        ValueError, match=r"rendering 'natral' is unknown \(did you mean 'natural'\?\); choose from B01"
    ):
        channels_of("natral")
    with pytest.raises(ValueError, match="bands: name at least one of"):
        bands_of([])


# resampling


def test_a_constant_patch_stays_constant() -> None:
    for size in (20, 60, 120):
        assert np.array_equal(to_full_size(np.full((size, size), 65535, np.uint16)), np.full((120, 120), 65535))


def test_a_ramp_at_20_m_goes_in_quarters() -> None:
    ramp = np.tile(np.arange(0, 240, 4, dtype=np.uint16), (60, 1))  # 0, 4, 8, ..., 236
    large = to_full_size(ramp)
    assert large[0, :6].tolist() == [0, 1, 3, 5, 7, 9]
    assert large[7, -3:].tolist() == [233, 235, 236]


def test_a_ramp_at_60_m_goes_in_sixths() -> None:
    ramp = np.tile(np.arange(0, 240, 12, dtype=np.uint16)[:, None], (1, 20))  # 0, 12, 24, ..., 228
    large = to_full_size(ramp)
    assert large[:10, 0].tolist() == [0, 0, 0, 1, 3, 5, 7, 9, 11, 13]
    assert large[-4:, 119].tolist() == [227, 228, 228, 228]


def test_halves_are_rounded_to_even() -> None:
    ramp = np.tile(np.arange(0, 120, 2, dtype=np.uint16), (60, 1))  # in steps of 2: exact values .5, 1.5, 2.5, ...
    assert to_full_size(ramp)[0, 1:7].tolist() == [0, 2, 2, 4, 4, 6]


@pytest.mark.parametrize("size", [20, 60])
def test_resampling_is_torch_s_bilinear(size: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (size, size), dtype=np.uint16)
    exact = torch.nn.functional.interpolate(
        torch.from_numpy(pixels.astype(np.float64))[None, None], size=(120, 120), mode="bilinear", align_corners=False
    )[0, 0].numpy()
    assert np.abs(to_full_size(pixels) - exact).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(
    ("pixels", "what"),
    [(np.zeros((120, 120), np.int16), r"int16 \(120, 120\)"), (np.zeros((30, 30), np.uint16), r"uint16 \(30, 30\)")],
)
def test_pixels_of_no_band_are_refused(pixels: np.ndarray, what: str) -> None:
    with pytest.raises(ValueError, match=f"pixels of {what}; a band is uint16 of 20 x 20, 60 x 60, 120 x 120"):
        to_full_size(pixels)


# layouts


def test_all_layouts_give_the_same_store_to_the_byte(tmp_path: Path) -> None:
    write_v2(tmp_path / "v2", 5)
    write_lmdb(tmp_path / "lmdb", 5)
    write_lmdb(tmp_path / "lmdb_here", 5, below=".")
    write_v1(tmp_path / "v1", 5, below="BigEarthNet-v1.0")
    write_v1(tmp_path / "v1_here", 5)
    found = {}
    for layout in ("v2", "lmdb", "lmdb_here", "v1", "v1_here"):
        prepared(tmp_path / layout, tuple(BANDS))
        found[layout] = content_of(tmp_path / layout / "lmc_store")
        found[layout].pop("store.json")
    assert len(found["v2"]) == 25
    for layout in found:
        assert found[layout] == found["v2"], layout
    store = open_store(tmp_path / "v1")
    assert store.names.tolist() == [name.encode() for name in patch_names(5)]
    assert store.official.tolist() == [0, 0, 1, 2, 0]
    assert store.digest(["B02"]) == open_store(tmp_path / "lmdb").digest(["B02"])
    for row in range(5):
        assert [CLASSES[k] for k in np.flatnonzero(store.labels[row])] == sorted(patch_labels(row), key=CLASSES.index)
        assert np.array_equal(store.pixels("B03")[row], patch_pixels(row, "B03"))
        assert np.array_equal(store.pixels("B12")[row], to_full_size(patch_pixels(row, "B12")))


def test_version_one_drops_snow_clouds_and_patches_without_a_class(tmp_path: Path) -> None:
    names = write_v1(tmp_path, 8, ("B02",))
    (tmp_path / "patches_with_seasonal_snow.csv").write_text(
        f"{names[0]}\n{names[1]}\nS2A_MSIL2A_20990101T000000_1_1\n"
    )
    (tmp_path / "patches_with_cloud_and_shadow.csv").write_text(f"{names[2]}\r\n")
    labels = tmp_path / names[3] / f"{names[3]}_labels_metadata.json"
    labels.write_text(json.dumps({"labels": ["Airports", "Bare rock"]}))
    labels = tmp_path / names[4] / f"{names[4]}_labels_metadata.json"
    labels.write_text(json.dumps({"labels": ["Airports", "Vineyards", "Olive groves", "Peatbogs"]}))
    archive = open_archive(tmp_path)
    assert archive.patches == tuple(names[4:])
    assert archive.dropped == {
        "on the snow list": 2,
        "on the cloud list": 1,
        "without a label among the 19": 1,
    }
    assert np.flatnonzero(archive.labels[0]).tolist() == [3, 15]
    assert archive.official.tolist() == [0, 0, 1, 2]


def test_what_is_no_archive_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"bigearthnet: .* holds no archive: neither metadata.parquet .* nor BigEarth"):
        open_archive(tmp_path)
    with pytest.raises(ValueError, match=r"bigearthnet: .*none is no folder"):
        open_archive(tmp_path / "none")
    write_metadata(tmp_path, patch_names(3))
    with pytest.raises(ValueError, match=r"holds metadata.parquet, but neither BigEarthNet-S2/ nor an LMDB folder"):
        open_archive(tmp_path)


def test_damaged_metadata_are_named(tmp_path: Path) -> None:
    (tmp_path / "BigEarthNet-S2").mkdir()
    path = tmp_path / "metadata.parquet"
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(ValueError, match=r"metadata.parquet cannot be read .*; download it again"):
        open_archive(tmp_path)
    for row, message in [
        ({"patch_id": ["a"], "labels": [["Lava"]], "split": ["train"]}, "label 'Lava' is none of the 19"),
        ({"patch_id": ["a"], "labels": [["Pastures"]], "split": ["tran"]}, "split 'tran' is none of train, val"),
        ({"patch_id": ["a", "a"], "labels": [["Pastures"]] * 2, "split": ["test"] * 2}, "lists patch a twice"),
    ]:
        pd.DataFrame(row).to_parquet(path)
        with pytest.raises(ValueError, match=message):
            open_archive(tmp_path)


def test_damaged_labels_of_version_one_are_named(tmp_path: Path) -> None:
    names = write_v1(tmp_path, 3, ("B02",))
    path = tmp_path / names[1] / f"{names[1]}_labels_metadata.json"
    path.write_text('{"labels": ["Lava"]}')
    with pytest.raises(ValueError, match=r"_000_01_labels_metadata.json: label 'Lava' is none of the 43"):
        open_archive(tmp_path)
    path.write_text('{"labels": [')
    with pytest.raises(ValueError, match=r"_labels_metadata.json is damaged; unpack that patch again"):
        open_archive(tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match=r"_labels_metadata.json is missing; unpack that patch again"):
        open_archive(tmp_path)


# bad patches


def test_a_bad_band_file_is_named_in_one_line(tmp_path: Path) -> None:
    names = write_v2(tmp_path, 3, ("B02", "B05"))
    path = tmp_path / "BigEarthNet-S2" / PRODUCT / names[1] / f"{names[1]}_B02.tif"
    whole = path.read_bytes()
    archive = open_archive(tmp_path)
    way_out = "; restore it from the archive, or remove the patch, and give the same command again"
    path.write_bytes(whole[:20000])
    with pytest.raises(ValueError, match=rf"bigearthnet: {path} cannot be read \(damaged or cut short: .*\){way_out}"):
        archive.read(names[1], "B02")
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=rf"{path} cannot be read \(damaged or cut short: .*\){way_out}"):
        prepared(tmp_path, ("B02",))
    path.unlink()
    with pytest.raises(ValueError, match=rf"{path} cannot be read \(no such file\){way_out}"):
        archive.read(names[1], "B02")
    write_tiff(path, np.zeros((120, 120), np.float32))
    with pytest.raises(ValueError, match=rf"{path} is float32 \(120, 120\), but B02 is uint16 \(120, 120\){way_out}"):
        archive.read(names[1], "B02")
    write_tiff(path, np.zeros((60, 60), np.uint16))
    with pytest.raises(ValueError, match=rf"{path} is uint16 \(60, 60\), but B02 is"):
        archive.read(names[1], "B02")
    path.write_bytes(whole)
    assert np.array_equal(archive.read(names[1], "B02"), patch_pixels(1, "B02"))


def test_a_tiff_without_a_place_on_earth_is_read_in_silence(tmp_path: Path) -> None:
    names = write_v2(tmp_path, 1, ("B02",))
    path = tmp_path / "BigEarthNet-S2" / PRODUCT / names[0] / f"{names[0]}_B02.tif"
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        rasterio.open(path, "w", driver="GTiff", height=120, width=120, count=1, dtype="uint16") as file,
    ):
        file.write(np.full((120, 120), 7, np.uint16), 1)
    assert (open_archive(tmp_path).read(names[0], "B02") == 7).all()


def test_a_patch_that_the_database_lacks_is_named(tmp_path: Path) -> None:
    names = write_lmdb(tmp_path, 3, ("B02",))
    write_metadata(tmp_path, patch_names(4))
    archive = open_archive(tmp_path)
    with pytest.raises(ValueError, match=r"patch .*_000_03 in .*Encoded-BigEarthNet cannot be read \(no such key\)"):
        archive.read(patch_names(4)[3], "B02")
    with pytest.raises(ValueError, match=r"patch .*_000_00 in .* cannot be read \(no tensor B08\)"):
        archive.read(names[0], "B08")


# the store


def test_statistics_are_exact_over_any_patches(small_store: PatchStore) -> None:
    rows = np.array([1, 5, 11])
    pixels = np.stack([patch_pixels(row, "B08") for row in rows]).astype(np.float64)
    mean, deviation = small_store.statistics("B08", rows)
    assert mean == pytest.approx(pixels.mean(), rel=1e-15)
    assert deviation == pytest.approx(pixels.std(), rel=1e-12)
    whole = small_store.record.bands["B08"]
    assert (whole.mean, whole.deviation) == small_store.statistics("B08", np.arange(12))
    every = np.stack([patch_pixels(row, "B08") for row in range(12)])
    assert (whole.minimum, whole.maximum) == (every.min(), every.max())
    with pytest.raises(ValueError, match="statistics of B02 over no patches"):
        small_store.statistics("B02", np.array([], dtype=np.int64))


def test_sums_of_squares_beyond_64_bits_are_exact() -> None:
    bright = [14400 * 65535, 14400 * 65535**2]
    sums = np.array([bright] * 480_038, dtype=np.int64)  # 3e19 squared in all: more than 2^64
    assert exact_statistics(sums) == (65535.0, 0.0)
    sums[::2] = 0
    assert exact_statistics(sums) == (65535 / 2, 65535 / 2)
    assert exact_statistics(np.array([[14400, 3 * 14400]])) == (1.0, math.sqrt(2))


def test_pixels_are_mapped_as_plain_numpy_files(small_store: PatchStore) -> None:
    pixels = small_store.pixels("B02")
    assert isinstance(pixels, np.memmap)
    assert pixels.shape == (12, 120, 120)
    assert not pixels.flags.writeable
    assert np.array_equal(np.load(small_store.root / "B02.npy", mmap_mode="r"), pixels)
    batch = gather(pixels, np.array([11, 0, 5]), "bigearthnet")
    assert not isinstance(batch, np.memmap)
    assert np.array_equal(batch, np.stack([patch_pixels(row, "B02") for row in (11, 0, 5)]))


def test_a_digest_depends_on_its_own_bands_alone(archive: Path, small_store: PatchStore, tmp_path: Path) -> None:
    prepared(archive, ("B02",), tmp_path / "one")
    one = open_store(tmp_path / "one")
    assert one.digest(["B02"]) == small_store.digest(["B02"])
    assert one.digest(["B02"]) != small_store.digest(["B08"])
    assert small_store.digest(["B02", "B08"]) != small_store.digest(["B08", "B02"])
    assert len(one.digest(["B02"])) == 32
    before = (tmp_path / "one" / "B02.npy").stat().st_mtime_ns
    assert prepared(archive, TWO, tmp_path / "one").converted == ("B08",)
    assert (tmp_path / "one" / "B02.npy").stat().st_mtime_ns == before
    assert open_store(tmp_path / "one").record == small_store.record


def test_a_missing_store_or_band_names_the_command_that_makes_it(archive: Path, tmp_path: Path) -> None:
    command = "mlflow run . --env-manager local -e prepare_data"
    expected = f"make it with: {command} -P data_root={tmp_path} -P bands=B02,B08"
    with pytest.raises(ValueError, match=f"no prepared store in {tmp_path}; {expected}"):
        open_store(tmp_path)
    prepared(archive, ("B02",), tmp_path / "lmc_store")
    store = open_store(tmp_path)
    assert store.bands == ("B02",)
    with pytest.raises(ValueError, match=f"has no band B11; prepare it .* -P data_root={tmp_path} -P bands=B11"):
        store.pixels("B11")
    with pytest.raises(ValueError, match="no band 'B10'; choose from B01"):
        store.digest(["B10"])


def test_files_of_the_wrong_size_are_refused_and_repaired(archive: Path, tmp_path: Path) -> None:
    prepared(archive)
    shutil.copytree(archive / "lmc_store", tmp_path / "lmc_store")
    before = content_of(tmp_path / "lmc_store")
    os.truncate(tmp_path / "lmc_store" / "B08.npy", 1000)
    with pytest.raises(ValueError, match=r"files of band B08 in .* are missing or of the wrong size; repair it with: "):
        open_store(tmp_path)
    assert prepared(archive, TWO, tmp_path / "lmc_store").converted == ("B08",)
    assert content_of(tmp_path / "lmc_store") == before
    (tmp_path / "lmc_store" / "patches.npz").unlink()
    with pytest.raises(ValueError, match=r"patches.npz is missing or damaged; remove it and give"):
        open_store(tmp_path)
    assert prepared(archive, TWO, tmp_path / "lmc_store").converted == ()
    assert content_of(tmp_path / "lmc_store") == before


def test_a_flipped_byte_is_found_with_band_and_chunk(long_archive: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(long_archive[1], tmp_path / "s")
    verify(open_store(tmp_path / "s"), TWO)
    flip(tmp_path / "s" / "B08.npy", 128 + 600 * 28800 + 5)
    store = open_store(tmp_path / "s")
    verify(store, ["B02"])
    with pytest.raises(
        ValueError, match=r"band B08: chunk 1 \(patches 512 to 1023\) differs from its checksum; remove"
    ):
        verify(store, TWO)
    flip(tmp_path / "s" / "B02.sums.npy", 130)
    with pytest.raises(ValueError, match=r"band B02: B02.sums.npy differs from its checksum; remove"):
        store.statistics("B02", np.arange(3))


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_altered_labels_and_a_damaged_record_are_refused(small_store: PatchStore) -> None:
    path = small_store.root / "patches.npz"
    labels = small_store.labels.copy()
    labels[0, 0] ^= 1
    np.savez(path, names=small_store.names, labels=labels, official=small_store.official)
    with pytest.raises(ValueError, match=r"patches.npz was altered after it was made; remove it and repeat: mlflow"):
        open_store(small_store.root)
    (small_store.root / "store.json").write_text('{"format": 1')
    with pytest.raises(ValueError, match=r"store.json is damaged; remove it and prepare the store anew"):
        open_store(small_store.root)
    (small_store.root / "store.json").write_text('{"format": 7}')
    with pytest.raises(ValueError, match=r"store.json is of another format than 1"):
        open_store(small_store.root)


# interruptions


def test_a_finished_store_is_left_alone(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepared(archive, store=tmp_path / "s")
    before = content_of(tmp_path / "s")
    monkeypatch.setattr(converting, "convert_all", None)
    again = prepared(archive, store=tmp_path / "s")
    assert (first.converted, again.converted) == (TWO, ())
    assert again.record == first.record
    assert content_of(tmp_path / "s") == before


def test_a_store_of_another_archive_is_refused(archive: Path, tmp_path: Path) -> None:
    prepared(archive, store=tmp_path / "s")
    write_v2(tmp_path / "other", 5, TWO)
    with pytest.raises(
        ValueError, match=r"the store in .* was made from another archive .*give another store=<folder>"
    ):
        prepared(tmp_path / "other", store=tmp_path / "s")


def test_several_processes_write_what_one_does(long_archive: tuple[Path, Path], tmp_path: Path) -> None:
    prepared(long_archive[0], TWO, tmp_path / "s", processes=2)
    assert content_of(tmp_path / "s") == content_of(long_archive[1])
    assert multiprocessing.active_children() == []


def test_a_converting_process_needs_neither_torch_nor_mlflow() -> None:
    code = "import sys, entry_points.prepare_data, lmc_mlflow.data.readers.bigearthnet.conversion; "
    code += "print({'torch', 'mlflow', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_conversion_goes_on_where_it_was(
    long_archive: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    store = tmp_path / "s"
    call = "import sys; from pathlib import Path; from lmc_mlflow.data.readers.bigearthnet.prepare import prepare; "
    call += f"prepare(Path({str(long_archive[0])!r}), Path({str(store)!r}), ('B02', 'B08'), {processes}, print)"
    with subprocess.Popen([sys.executable, "-c", call], cwd=ROOT) as process:
        workers = wait_for_chunk(store, process)
        process.kill()
    psutil.wait_procs(workers, timeout=10)
    assert not [worker for worker in workers if alive(worker)]
    assert not (store / "store.json").exists()
    with pytest.raises(ValueError, match=r"the store in .* is unfinished; give the same prepare_data command again"):
        open_store(store)
    with (store / "B02.progress").open("a") as file:
        file.write('{"chunk": 2, "sha2')  # a kill in the middle of a line
    converted: list[int] = []
    done = [json.loads(line)["chunk"] for line in (store / "B08.progress").read_text().splitlines()[1:]]
    monkeypatch.setattr(conversion, "convert_part", counted(converted))
    prepared(long_archive[0], TWO, store)
    assert done
    assert sorted(converted) == sorted(set(range(3)) - set(done))
    assert content_of(store) == content_of(long_archive[1])


def wait_for_chunk(store: Path, process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """Until the first chunk of both bands is recorded; the worker processes."""
    while process.poll() is None:
        time.sleep(0.005)
        progress = store / "B08.progress"
        if progress.is_file() and progress.read_bytes().count(b"\n") >= 2:
            return psutil.Process(process.pid).children(recursive=True)
    raise AssertionError("done before it could be interrupted")


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def counted(chunks: list[int]):
    original = conversion.convert_part

    def convert(job, part):
        if part.name == "B08":
            chunks.append(job.chunk)
        return original(job, part)

    return convert


def test_a_kill_between_the_last_renames_is_made_good(long_archive: tuple[Path, Path], tmp_path: Path) -> None:
    store = tmp_path / "s"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparing, "write_record", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepared(long_archive[0], TWO, store)
        assert (store / "B02.npy").exists()
        with pytest.raises(ValueError, match="unfinished"):
            open_store(store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "convert_part", None)
        prepared(long_archive[0], TWO, store)
    assert content_of(store) == content_of(long_archive[1])


def interrupt(*_arguments: object) -> None:
    raise KeyboardInterrupt


def test_unfinished_work_of_another_archive_is_not_gone_on_with(archive: Path, tmp_path: Path) -> None:
    write_v2(tmp_path / "other", 12, TWO, seed=1)
    write_metadata(tmp_path / "other", patch_names(11))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparing, "write_record", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepared(tmp_path / "other", TWO, tmp_path / "s")
    prepared(archive, TWO, tmp_path / "s")
    prepared(archive, TWO, tmp_path / "fresh")
    assert content_of(tmp_path / "s") == content_of(tmp_path / "fresh")


def test_two_processes_cannot_prepare_one_store(archive: Path, tmp_path: Path) -> None:
    with (
        converting.locked(tmp_path, "bigearthnet"),
        pytest.raises(ValueError, match=f"another process is preparing {tmp_path}; wait until it is done"),
    ):
        prepared(archive, store=tmp_path)


def test_a_disk_that_is_too_small_is_told_before_anything_is_converted(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10**9, 10**9, 200_000))
    # Two bands of 12 patches: 2 * (12 * (28800 + 16) + 2 * 128) bytes, less the blocks of 4096 that headers take.
    with pytest.raises(ValueError, match=r"s needs 0\.7 MB more and its disk has 0\.2 MB free; free some space"):
        prepared(archive, store=tmp_path / "s")


def test_the_estimate_is_one_line_told_once(archive: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    prepare(archive, tmp_path / "s", ["B02", "B08"], 8, lines.append)
    prepare(archive, tmp_path / "s", ["B02", "B08"], 8, lines.append)
    expected = f"2 bands of 12 patches: 0.7 MB into {tmp_path / 's'}; about 1 s with 1 process (measured on 12 patches)"
    assert lines == [expected]


# splits


def test_random80_has_the_paper_s_384030_training_patches() -> None:
    train, test = random80(480_038, 0)
    assert (len(train), len(test)) == (384_030, 96_008)
    assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(480_038))
    assert (np.diff(train) > 0).all()
    assert train.dtype == test.dtype == np.int64
    assert not np.array_equal(train, random80(480_038, 1)[0])


def test_the_official_split_is_the_makers(small_store: PatchStore) -> None:
    train, test = train_test(small_store, "official", "unused", 0)
    assert train.tolist() == [0, 1, 4, 5, 8, 9]
    assert test.tolist() == [3, 7, 11]
    assert train_test(small_store, "official", "train", 0)[0].tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10]
    assert [len(rows) for rows in train_test(small_store, "random80", "unused", 0)] == [9, 3]


def test_an_archive_without_an_official_split_says_so(tmp_path: Path) -> None:
    write_v1(tmp_path, 4, ("B02",))
    for file in ("train.csv", "val.csv", "test.csv"):
        (tmp_path / file).unlink()
    prepared(tmp_path, ("B02",))
    store = open_store(tmp_path)
    assert store.official.tolist() == [255] * 4
    with pytest.raises(ValueError, match=r"has no official split .*; choose test_split=random80, or put train.csv"):
        train_test(store, "official", "unused", 0)
    with pytest.raises(ValueError, match="split 'offical' is unknown"):
        train_test(store, "offical", "unused", 0)


# the command


def test_the_command_prepares_and_says_what_is_next(tmp_path: Path, store: MlflowClient) -> None:
    write_v1(tmp_path / "raw", 6, ("B02", "B03", "B04", "B08"))
    names = patch_names(6)
    (tmp_path / "raw" / "patches_with_seasonal_snow.csv").write_text(f"{names[5]}\n")
    done = command("prepare_data", f"--data_root={tmp_path / 'raw'}", "--bands=natural,B08", "--processes=2")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("4 bands of 5 patches: 0.6 MB into ")
    assert "v1.0: 5 patches in" in lines[1]
    assert lines[2] == "  dropped: 1 patches on the snow list"
    assert [line.split()[:2] for line in lines[4:8]] == [["B04", "665"], ["B03", "560"], ["B02", "490"], ["B08", "842"]]
    assert lines[-1].endswith(
        " -m entry_points.train_pair --dataset bigearthnet --shift bands_B02_B08 --model vgg_like "
        f"--data_root {tmp_path / 'raw'}"
    )
    assert store.search_runs(["0"]) == []


def test_the_launcher_s_run_is_named(
    archive: Path, tmp_path: Path, store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = store.create_run("0")
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    assert prepare_data([f"--data_root={archive}", "--bands=B02", f"--store={tmp_path / 's'}"]) == 0
    tags = store.get_run(run.info.run_id).data.tags
    assert tags["mlflow.runName"] == "prepare_data: bigearthnet B02"
    assert "12 patches" in tags["mlflow.note.content"]


def test_verify_reads_a_finished_store_again(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    flags = [f"--data_root={archive}", f"--store={tmp_path / 's'}", "--processes=1"]
    assert prepare_data([*flags, "--verify=true"]) == 1
    assert "no prepared store in" in capsys.readouterr().err
    assert prepare_data(flags) == 0
    assert prepare_data([*flags, "--verify=true"]) == 0
    assert "(verified)" in capsys.readouterr().out
    flip(tmp_path / "s" / "B02.npy", 4000)
    assert prepare_data([*flags, "--verify=true"]) == 1
    assert "prepare_data: bigearthnet: band B02: chunk 0 (patches 0 to 11) differs" in capsys.readouterr().err


def test_sigterm_leaves_what_can_be_gone_on_with(long_archive: tuple[Path, Path], tmp_path: Path) -> None:
    store = tmp_path / "s"
    flags = [f"--data_root={long_archive[0]}", f"--store={store}", "--processes=2"]
    call = [sys.executable, "-m", "entry_points.prepare_data", *flags]
    with subprocess.Popen(call, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        workers = wait_for_chunk(store, process)
        process.send_signal(signal.SIGTERM)
        message = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert message.strip().splitlines()[-1] == "prepare_data: stopped; give the same command again to go on"
    _, left = psutil.wait_procs(workers, timeout=10)  # multiprocessing's own tracker takes a moment
    assert not [worker for worker in left if alive(worker)]
    prepared(long_archive[0], TWO, store)
    assert content_of(store) == content_of(long_archive[1])


# real patches


@pytest.mark.realdata
@pytest.mark.skipif(not DATA_ROOT, reason="LMC_DATA_ROOT is not set")
def test_six_real_patches_are_prepared_with_all_bands(tmp_path: Path) -> None:
    raw = Path(DATA_ROOT) / "BigEarthNet-S2-Example"
    prepared(raw, tuple(BANDS), tmp_path)
    store = open_store(tmp_path)
    names = [name.decode() for name in store.names]
    assert len(names) == 6
    for band in ("B02", "B03", "B04", "B08"):
        for row, name in enumerate(names):
            with rasterio.open(raw / name / f"{name}_{band}.tif") as file:
                assert np.array_equal(file.read(1), store.pixels(band)[row])
    row = names.index("S2A_MSIL2A_20171221T112501_56_35")
    assert [CLASSES[k] for k in np.flatnonzero(store.labels[row])] == [
        "Complex cultivation patterns",
        "Land principally occupied by agriculture, with significant areas of natural vegetation",
        "Broad-leaved forest",
        "Transitional woodland, shrub",
    ]
    row = names.index("S2B_MSIL2A_20170924T93020_69_24")
    assert np.flatnonzero(store.labels[row]).tolist() == [9, 10, 13, 15, 17]
    verify(store, store.bands)
