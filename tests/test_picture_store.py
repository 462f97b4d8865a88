"""A store of pictures is the image folder it was made from, to the last bit, and nothing unfinished looks whole."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import QUICK, ROOT, runs_of_kind
from mlflow import MlflowClient
from PIL import Image

from entry_points.prepare_data import main as prepare_data
from entry_points.train_pair import main as train_pair
from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.data.datasets import load_dataset
from lmc_mlflow.data.loading import load_shifted
from lmc_mlflow.data.readers.picture_store import prepare as preparing
from lmc_mlflow.data.readers.picture_store import reader as reading
from lmc_mlflow.data.readers.picture_store import source as sources
from lmc_mlflow.data.readers.picture_store.prepare import prepare_pictures
from lmc_mlflow.data.readers.picture_store.record import PictureRecord
from lmc_mlflow.data.readers.picture_store.source import PictureSource
from lmc_mlflow.data.readers.picture_store.store import PictureStore, find_pictures, verify_pictures
from lmc_mlflow.data.readers.pictures import picture_shape, read_picture
from lmc_mlflow.data.streaming import READ_AHEAD, StreamedImages

CPU = torch.device("cpu")
SIZE = 9
CLASSES = ("ant", "bee", "cow")


def write_pictures(root: Path, modes: tuple[str, ...] = ("RGB", "L", "RGBA", "P")) -> None:
    """PNG and JPEG pictures of uneven sizes, 24 for training and 9 for testing."""
    random = np.random.default_rng(0)
    for part, count in (("train", 8), ("test", 3)):
        for name in CLASSES:
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                height, width = random.integers(6, 20, 2)
                pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
                picture = Image.fromarray(pixels).convert(modes[i % len(modes)])
                ending = "jpg" if picture.mode in ("RGB", "L") and i % 2 == 0 else "png"
                picture.save(root / part / name / f"{i}.{ending}")


def prepared(root: Path, store: Path | None = None, size: int | None = SIZE, processes: int = 1) -> PictureRecord:
    return prepare_pictures(root, store or root / "lmc_store", size, processes, lambda _line: None)[0]


def opened(root: Path) -> PictureStore:
    store = find_pictures(root)
    assert store is not None
    return store


def content_of(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.iterdir() if path.name != ".lock"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    write_pictures(root)
    return root


@pytest.fixture(scope="module")
def made(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store outside the folder of the pictures."""
    root = tmp_path_factory.mktemp("store") / "s"
    prepared(pictures, root)
    return root


@pytest.fixture
def copy(pictures: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pictures, tmp_path / "pictures"))


# the same as the folder


@pytest.mark.parametrize("flags", [{}, {"test_split": "random80", "split_seed": 3}])
def test_pixels_labels_statistics_and_digest_are_those_of_the_folder(pictures: Path, made: Path, flags: dict) -> None:
    config = {"dataset": "imagefolder", "image_size": SIZE, **flags}
    here, there = (load_dataset(DataConfig(data_root=str(root), **config)) for root in (pictures, made))
    assert isinstance(there.train, PictureSource)
    assert here.classes == there.classes == CLASSES
    for mine, theirs, labels, other in (
        (here.train, there.train, here.train_labels, there.train_labels),
        (here.test, there.test, here.test_labels, there.test_labels),
    ):
        everything = np.arange(mine.shape[0])
        assert np.array_equal(labels, other)
        assert mine.shape == theirs.shape == (len(labels), 3, SIZE, SIZE)
        assert np.array_equal(mine.take(everything), theirs.take(everything))
        assert mine.statistics() == theirs.statistics()
        assert mine.digest(labels) == theirs.digest(other)


def test_grey_pictures_are_repeated_in_three_channels_as_those_of_the_folder(tmp_path: Path) -> None:
    write_pictures(tmp_path / "grey", ("L",))
    record = prepared(tmp_path / "grey", tmp_path / "s")
    assert record.shape == (1, SIZE, SIZE)
    config = {"dataset": "imagefolder", "image_size": SIZE, "channels": "3"}
    here, there = (load_dataset(DataConfig(data_root=str(tmp_path / root), **config)) for root in ("grey", "s"))
    assert here.train.statistics() == there.train.statistics()
    assert here.train.digest(here.train_labels) == there.train.digest(there.train_labels)
    assert here.test.shape == there.test.shape == (9, 3, SIZE, SIZE)


@pytest.mark.parametrize("shift", ["label_2080", "corrupt_noise_3"])
def test_the_sides_of_a_pair_are_the_same_in_memory_and_read_in_batches(pictures: Path, made: Path, shift: str) -> None:
    found = []
    for root, memory in ((pictures, 4.0), (made, 4.0), (made, 0.0)):
        config = DataConfig(dataset="imagefolder", data_root=str(root), image_size=SIZE, shift=shift, memory_gb=memory)
        data = load_shifted(config, CPU)
        assert isinstance(data.a.images, StreamedImages) == (memory == 0)
        parts = (data.a, data.b, data.test)
        found.append((data.digest, [(p.digest, torch.cat([*p.images.batches(None, 5)]), p.labels) for p in parts]))
    for digest, parts in found[1:]:
        assert digest == found[0][0]
        for (mine, images, labels), (theirs, others, more) in zip(found[0][1], parts, strict=True):
            assert mine == theirs
            assert torch.equal(images, others)
            assert torch.equal(labels, more)


def test_no_more_pictures_are_read_at_once_than_a_batch_has(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = DataConfig(dataset="imagefolder", data_root=str(made), image_size=SIZE, shift="none", memory_gb=0.0)
    images = load_shifted(config, CPU).a.images
    read: list[int] = []
    original = sources.gather
    monkeypatch.setattr(sources, "gather", lambda p, rows, name: (read.append(len(rows)), original(p, rows, name))[1])
    batches = images.batches(torch.randperm(24), 4)
    next(batches)
    assert sum(read) <= 4 * (READ_AHEAD + 1)
    assert sum(len(batch) for batch in batches) == 20
    assert (max(read), sum(read)) == (4, 24)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("turned", [1, 6])
def test_the_header_tells_the_shape_that_reading_gives(tmp_path: Path, mode: str, turned: int) -> None:
    picture = Image.fromarray(np.zeros((5, 8, 3), dtype=np.uint8)).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = turned
    path = tmp_path / f"picture.{'jpg' if mode == 'CMYK' else 'png'}"
    picture.save(path, exif=exif)
    assert picture_shape(path, "imagefolder") == read_picture(path, None, "imagefolder").shape


# made once


def test_a_store_below_the_folder_is_found_and_left_as_it_is(copy: Path) -> None:
    first = prepared(copy)
    before = content_of(copy / "lmc_store")
    assert sorted(before) == ["labels.npz", "pictures.json", "test.npy", "train.npy"]
    assert prepare_pictures(copy, copy / "lmc_store", SIZE, 1, lambda _line: None) == (first, False)
    assert content_of(copy / "lmc_store") == before
    assert opened(copy).root == copy / "lmc_store"


def test_several_processes_write_what_one_does(pictures: Path, made: Path, tmp_path: Path) -> None:
    prepared(pictures, tmp_path / "s", processes=2)
    assert content_of(tmp_path / "s") == content_of(made)


def test_after_kill_9_nothing_looks_whole_and_the_same_call_goes_on(
    pictures: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "s"
    code = f"""
import os, signal
from pathlib import Path
from lmc_mlflow.data.readers.picture_store.prepare import prepare_pictures
from lmc_mlflow.data.store import converting
record = converting.record_chunk
converting.record_chunk = lambda *given: (record(*given), os.kill(os.getpid(), signal.SIGKILL))
prepare_pictures(Path({str(pictures)!r}), Path({str(target)!r}), {SIZE}, 1, print)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (target / "pictures.json").exists()
    with pytest.raises(ValueError, match="is unfinished; give the same prepare_data command again to go on, or remove"):
        find_pictures(target)
    read: list[str] = []
    original = reading.read_picture
    monkeypatch.setattr(
        reading, "read_picture", lambda path, *more: (read.append(path.parts[-3]), original(path, *more))[1]
    )
    lines: list[str] = []
    prepare_pictures(pictures, target, SIZE, 1, lines.append)
    assert "(73% done before)" in lines[0]
    assert set(read) == {"test"}
    assert content_of(target) == content_of(made)


def test_a_kill_between_the_last_renames_is_made_good(
    pictures: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(preparing, "write_record", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepared(pictures, tmp_path / "s")
    with pytest.raises(ValueError, match="is unfinished"):
        find_pictures(tmp_path / "s")
    prepared(pictures, tmp_path / "s")
    assert content_of(tmp_path / "s") == content_of(made)


# what is refused


def test_a_damaged_picture_is_one_line_with_its_name_and_the_rest_is_kept(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy / "test" / "bee" / "0.jpg"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    flags = ["--dataset=imagefolder", f"--data_root={copy}", f"--image_size={SIZE}", "--processes=1"]
    assert prepare_data(flags) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"imagefolder: {path} cannot be read as an image (" in message
    assert message.endswith("; replace or remove it")
    assert not (copy / "lmc_store" / "pictures.json").exists()
    path.write_bytes(whole)
    assert prepare_data(flags) == 0
    out = capsys.readouterr().out
    assert f"imagefolder: 33 pictures of 3 x {SIZE} x {SIZE} in {copy / 'lmc_store'} (decoded): 24 for training" in out
    assert f"train_pair --dataset imagefolder --data_root {copy} --image_size {SIZE}" in " ".join(out.split())


def test_pictures_that_were_added_or_changed_and_another_size_are_refused(copy: Path) -> None:
    prepared(copy)
    with pytest.raises(ValueError, match=f"image_size=auto: the store in .* was prepared with image_size={SIZE}; give"):
        load_dataset(DataConfig(dataset="imagefolder", data_root=str(copy)))
    with pytest.raises(ValueError, match="was of another image_size; remove it or give another store=<folder>"):
        prepared(copy, size=8)
    shutil.copy(copy / "train" / "ant" / "0.jpg", copy / "train" / "ant" / "another.jpg")
    with pytest.raises(ValueError, match=r"pictures were added to .*, removed or changed since the store"):
        find_pictures(copy)
    with pytest.raises(ValueError, match="was made from other pictures; remove it or give another store"):
        prepared(copy)


def test_no_room_on_the_disk_is_one_line_and_the_folder_can_be_used_without_a_store(
    red: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _root: shutil._ntuple_diskusage(10, 10, 0))
        with pytest.raises(
            ValueError, match=r"needs 0.0 MB more and its disk has 0.0 MB free; free some space or give"
        ):
            prepared(red)
    assert find_pictures(red) is None


def test_verify_names_the_store_that_was_read(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare_data(["--dataset=imagefolder", f"--data_root={made}", "--verify=true"]) == 0
    assert f"in {made} (verified)" in capsys.readouterr().out


@pytest.fixture
def red(tmp_path: Path) -> Path:
    """Six red pictures, each of the same number of bytes whatever its colour."""
    for path in (tmp_path / part / name / "0.bmp" for part in ("train", "test") for name in CLASSES):
        path.parent.mkdir(parents=True)
        Image.new("RGB", (SIZE, SIZE), "red").save(path)
    return tmp_path


def test_a_picture_of_the_same_name_and_size_with_other_pixels_is_found(red: Path) -> None:
    prepared(red)
    changed = red / "test" / "bee" / "0.bmp"
    as_before = changed.read_bytes()
    changed.write_bytes(as_before)  # it is newer than the store, and the same
    assert opened(red).record.num_pictures == 6
    Image.new("RGB", (SIZE, SIZE), "blue").save(changed)
    assert len(as_before) == changed.stat().st_size
    with pytest.raises(ValueError, match=r"bee/0.bmp was changed since the store in .* was made; remove the store and"):
        opened(red)
    with pytest.raises(ValueError, match=r"bee/0.bmp was changed since the store"):
        prepared(red)
    changed.write_bytes(as_before)
    assert opened(red).record.num_pictures == 6
    assert not prepare_pictures(red, red / "lmc_store", SIZE, 1, print)[1]


def test_a_picture_that_changes_after_it_was_decoded_and_before_a_kill_is_found(
    red: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change_and_stop(*_given: object) -> None:
        Image.new("RGB", (SIZE, SIZE), "blue").save(red / "train" / "ant" / "0.bmp")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(preparing, "write_record", change_and_stop)
        with pytest.raises(KeyboardInterrupt):
            prepared(red)
    prepared(red)
    with pytest.raises(ValueError, match=r"ant/0.bmp was changed since the store"):
        opened(red)


def test_a_store_that_cannot_be_where_it_is_wanted_is_one_line_and_nothing_is_written(copy: Path) -> None:
    for name in ("train", "train/ant", "test/store"):
        with pytest.raises(ValueError, match="would lie among the pictures; give another store=<folder>"):
            prepared(copy, copy / name)
    assert not (copy / "test" / "store").exists()
    (copy / "lmc_store").write_text("a file")
    with pytest.raises(ValueError, match=r"lmc_store cannot be made \(File exists\); give another store=<folder>"):
        prepared(copy)
    (copy / "test" / "bee" / "9.png").symlink_to(copy / "nowhere")
    with pytest.raises(ValueError, match=r"9.png cannot be read \(No such file or directory\); replace or remove it"):
        prepared(copy)


def test_pictures_of_several_sizes_need_image_size(copy: Path) -> None:
    with pytest.raises(ValueError, match=r"imagefolder: .* is \(\d+, \d+\), .*; give image_size=<pixels>"):
        prepared(copy, size=None)
    assert not (copy / "lmc_store").exists()


def test_altered_pixels_labels_and_sizes_are_found(made: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(made, tmp_path / "s"))
    verify_pictures(opened(root))
    pixels = bytearray((root / "train.npy").read_bytes())
    pixels[-1] ^= 1
    (root / "train.npy").write_bytes(pixels)
    with pytest.raises(ValueError, match=r"train.npy: chunk 0 \(pictures 0 to 23\) differs from its checksum"):
        verify_pictures(opened(root))
    (root / "train.npy").write_bytes(pixels[:-1])
    with pytest.raises(ValueError, match=r"train.npy is missing or of the wrong size; repair it with: mlflow run"):
        find_pictures(root)
    (root / "train.npy").write_bytes(pixels)
    np.savez(root / "labels.npz", train=np.zeros(24, dtype=np.int64), test=np.zeros(9, dtype=np.int64))
    with pytest.raises(ValueError, match=r"labels.npz was altered after it was made"):
        find_pictures(root)
    (root / "pictures.json").write_text("{}")
    with pytest.raises(ValueError, match=r"pictures.json is damaged"):
        find_pictures(root)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--dataset=imagefolder", "--bands=B02"], "bands=B02 belongs to dataset=bigearthnet; leave it out"),
        (["--image_size=8"], "image_size=8 belongs to dataset=imagefolder; leave it out"),
        (["--dataset=imagefolder", "--data_root=/nowhere"], "imagefolder: /nowhere/train is no folder"),
        (["--dataset=imagefolder", "--data_root=/nowhere", "--verify=true"], "no prepared store in /nowhere"),
    ],
)
def test_a_command_that_makes_no_sense_is_one_line(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare_data(flags) != 0
    assert message in capsys.readouterr().err


def test_a_pair_is_trained_on_resized_boxes_of_a_store(made: Path, store: MlflowClient) -> None:
    flags = [*QUICK, "--dataset=imagefolder", f"--data_root={made}", f"--image_size={SIZE}", "--c2st_samples=0"]
    assert train_pair([*flags, "--augmentation=flip_resized_crop", "--epochs=1", "--batch_size=4"]) == 0
    (pair,) = runs_of_kind(store, "pair")
    assert pair.data.params["data.augmentation"] == "flip_resized_crop"
    assert pair.data.tags["lmc.same_noise"] == "true"
