"""Files that somebody else wrote: bundles, artifacts, pictures, grids, flags: refused whole, in one line, or they hold.

Run it with `pytest tests/campaign/test_files.py`.
"""

import copy
import importlib
import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from campaign.table import Judge
from mlflow import MlflowClient
from mlflow.tracking._tracking_service import utils
from PIL import Image
from safetensors.torch import load_file, save_file

from lmc_mlflow import query
from lmc_mlflow.bundles.writer import BundleWriter
from lmc_mlflow.manifest import read_manifest, render_manifest, sha256_of

pytestmark = pytest.mark.slow
NUM_BUNDLES = int(os.environ.get("CAMPAIGN_BUNDLES", "150"))
"""Bundles with one value of one run changed at random."""
LONGEST = 2200
"""Characters of the one line of an error."""
FOUND_LATE = ("the loss is nan", "it is another data set")
"""Reasons that a run that was opened before ends with, as FAILED."""
HERE = ["--device=cpu", "--threads=1"]
TRAINING = ["--model=mlp_l1_w8", "--epochs=1", "--c2st_samples=0", *HERE]
HOSTILE: list[Any] = [
    None, True, -1, 0, 2**31, 2**53, 2**63, 2**70, -(2**70), 1e308, -1e308, 0.5, "", "x", "x" * 300, "x" * 9000, "\x00",
    "a\nb", "../../x", "/etc/passwd", "\u6f22\u5b57", "<b>", "'; drop table runs; --", "nan", [], {}, [[]], {"a": {}},
    ["x"] * 1000, "RUNNING", "FINISHED", "0" * 32,
]  # fmt: skip


def run(name: str, *flags: str) -> int:
    """Run a command in this process."""
    utils._artifact_repos_cache.clear()
    return int(importlib.import_module(f"entry_points.{name}").main(list(flags)))


def statuses(client: MlflowClient) -> dict[str, str]:
    return {one.info.run_id: one.info.status for one in client.search_runs(["0"])}


def files(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): sha256_of(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def short(value: object) -> str:
    text = ascii(value)
    return text if len(text) < 60 else f"{text[:40]}... ({len(text)})"


@pytest.fixture
def attempt(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], judge: Judge
) -> Callable[[str, str, str, list[str]], bool]:
    """Give a function that runs a command: it must end well, or in one line that changes no run and no artifact."""

    def go(what: str, given: str, command: str, flags: list[str]) -> bool:
        before, kept = statuses(store), files(Path.cwd() / "mlruns")
        capsys.readouterr()
        status = run(command, *flags)
        said = capsys.readouterr().err
        lines = [line for line in said.splitlines() if not line.startswith("WARNING")]
        same = statuses(store) == before and files(Path.cwd() / "mlruns") == kept
        one_line = len(lines) == 1 and len(lines[0]) < LONGEST
        clean = status == 0 or (one_line and (same or any(reason in lines[0] for reason in FOUND_LATE)))
        clean = clean and (command in ("import", "export") or "RUNNING" not in statuses(store).values())
        judge(what, given, "went well" if status == 0 else lines[-1] if clean else said[-3000:], clean)
        return status == 0

    return go


Attempt = Callable[[str, str, str, list[str]], bool]


# Bundles


def places(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in nested JSON."""
    yield where
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*where, key))


def changed(content: Any, draws: random.Random) -> tuple[str, Any]:
    """Change, drop or rename one value at a random place."""
    where = draws.choice([place for place in places(content) if place])
    target = content = copy.deepcopy(content)
    for key in where[:-1]:
        target = target[key]
    what = draws.random()
    if what < 0.8:
        target[where[-1]] = draws.choice(HOSTILE)
        return f"{'.'.join(map(str, where))} = {short(target[where[-1]])}", content
    if isinstance(target, dict) and what < 0.9:
        target[draws.choice(["", "x" * 300, "a\nb"])] = target.pop(where[-1])
    else:
        del target[where[-1]]
    return f"{'.'.join(map(str, where))} dropped or renamed", content


def seal(path: Path, lines: list[Any], artifacts: dict[str, bytes]) -> None:
    """Write a bundle with right digests."""
    path.unlink(missing_ok=True)
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    with zipfile.ZipFile(path, "w") as archive:
        made = BundleWriter(archive)
        for name, content in {**artifacts, "runs.jsonl": text.encode()}.items():
            local = path.with_suffix(".part")
            local.write_bytes(content)
            made.add_file(name, local)
        made.add_text("manifest.json", json.dumps({"format": 1, "files": made.files}))


def test_whatever_a_bundle_says_it_is_refused_whole_or_every_later_command_works(
    store: MlflowClient, tmp_path: Path, attempt: Attempt
) -> None:
    assert run("train_pair", *TRAINING) == 0
    (pair,) = [one.info.run_id for one in store.search_runs(["0"], "tags.`lmc.kind` = 'pair'")]
    assert run("interpolate", f"--pair={pair}", "--num_alphas=2", *HERE) == 0
    assert run("export", f"--out={tmp_path}/good.zip", "--checkpoints=false", "--figures=false") == 0
    with zipfile.ZipFile(tmp_path / "good.zip") as archive:
        content = {name: archive.read(name) for name in archive.namelist() if name != "manifest.json"}
    lines = [json.loads(line) for line in content.pop("runs.jsonl").splitlines()]
    shutil.rmtree(tmp_path / "mlruns")
    for one in store.search_runs(["0"]):
        store.delete_run(one.info.run_id)
    os.environ.pop("MLFLOW_RUN_ID", None)
    empty = (tmp_path / "mlflow.db").read_bytes()
    draws = random.Random(0)
    renamed = {one["run_id"]: f"{i:032x}" for i, one in enumerate(lines)}
    text = json.dumps(lines)
    for old, new in renamed.items():
        text = text.replace(old, new)
        content = {name.replace(old, new): data for name, data in content.items()}
    lines = json.loads(text)
    for _ in range(NUM_BUNDLES):
        number = draws.randrange(len(lines))
        given, line = changed(lines[number], draws)
        seal(tmp_path / "bad.zip", [*lines[:number], line, *lines[number + 1 :]], content)
        if attempt("a bundle", given, "import", [f"--bundles={tmp_path}/bad.zip"]):
            for table in (query.pairs, query.endpoints, query.paths):
                table()
            attempt("export of an imported bundle", given, "export", [f"--out={tmp_path}/again.zip"])
            (tmp_path / "again.zip").unlink()
            shutil.rmtree(tmp_path / "mlruns", ignore_errors=True)
            (tmp_path / "mlflow.db").write_bytes(empty)


# Artifacts


def arrays(**content: Any) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **content)


def config(**change: Any) -> Callable[[Path], None]:
    return lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), **change})) and None


def network(**change: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        content = json.loads(path.read_text())
        content["network"].update(change)
        path.write_text(json.dumps(content))

    return write


def text(content: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(content) and None


def weights(value: float) -> Callable[[Path], None]:
    return lambda path: save_file({name: tensor * value for name, tensor in load_file(path).items()}, path)


CONFIG, MANIFEST, SPLIT, WEIGHTS = (
    "checkpoint/config.json",
    "manifest.json",
    "split.npz",
    "checkpoint/model.safetensors",
)
ARTIFACTS: list[tuple[str, str, Callable[[Path], None]]] = [
    *(
        (CONFIG, f"model={short(model)}", network(model=model))
        for model in (5, "mlp_l1_w99999999999", "x" * 9000, None)
    ),
    *((CONFIG, f"width={width}", network(width=width)) for width in (-1, 0, 2**40, "28", 1e300)),
    (CONFIG, "no digests", config(digests={})),
    (CONFIG, "no config", config(config={})),
    (CONFIG, "side Z", config(side="Z")),
    (CONFIG, "split_run is a path", config(split_run="../..")),
    (CONFIG, "deep", text("[" * 100_000)),
    (CONFIG, "empty", text("")),
    *((MANIFEST, f"sha256 = {value}", text(f'{{"sha256": {value}}}')) for value in ("[]", '"x"', "null", "5")),
    (SPLIT, "no B", arrays(A=np.arange(3))),
    (SPLIT, "floats", arrays(A=np.arange(3.0), B=np.arange(3.0))),
    (SPLIT, "text", arrays(A=np.array(["a"]), B=np.array(["b"]))),
    (SPLIT, "negative", arrays(A=np.array([-1]), B=np.array([0]))),
    (SPLIT, "far too large", arrays(A=np.array([2**62]), B=np.array([0]))),
    (SPLIT, "no zip", text("x")),
    (WEIGHTS, "nan", weights(float("nan"))),
    (WEIGHTS, "infinite", weights(float("inf"))),
    (WEIGHTS, "no safetensors", text("x" * 100)),
]


def test_an_artifact_that_makes_no_sense_ends_a_command_in_one_line(store: MlflowClient, attempt: Attempt) -> None:
    assert run("train_pair", *TRAINING) == 0
    (pair,) = [one.info.run_id for one in store.search_runs(["0"], "tags.`lmc.kind` = 'pair'")]
    end = store.search_runs(["0"], "tags.`lmc.side` = 'A'")[0].info.run_id
    commands = {
        "align": [f"--pair={pair}", *HERE],
        "ensemble": [f"--pair={pair}", "--num_alphas=2", "--num_resamples=0", *HERE],
        "interpolate": [f"--pair={pair}", "--num_alphas=2", "--num_resamples=0", *HERE],
    }
    for path, given, change in ARTIFACTS:
        folder = Path.cwd() / "mlruns" / "0" / (pair if path == SPLIT else end) / "artifacts"
        before = {name: (folder / name).read_bytes() for name in (path, MANIFEST)}
        change(folder / path)
        if path != MANIFEST:
            listed = {**read_manifest(folder / MANIFEST), path: sha256_of(folder / path)}
            (folder / MANIFEST).write_text(render_manifest(listed))
        for command, flags in commands.items():
            held = attempt(f"{path} in {command}", given, command, flags)
            assert not held or path == WEIGHTS, (path, given, command)
        for name, content in before.items():
            (folder / name).write_bytes(content)


# Pictures


def picture(mode: str, **options: Any) -> Callable[[Path], None]:
    return lambda path: Image.new(mode, (8, 8)).save(path, **options)


PICTURES: list[tuple[str, Callable[[Path], object]]] = [
    ("EPS named png", text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")),
    ("no picture", text("x")),
    ("empty", text("")),
    ("a pipe", os.mkfifo),
    ("a loop", lambda path: path.symlink_to(path)),
    ("grey of 16 bits", picture("I;16", format="PNG")),
    ("floats", picture("F", format="TIFF")),
    ("CMYK", picture("CMYK", format="JPEG")),
    ("another size", lambda path: Image.new("L", (9, 9)).save(path)),
    ("a folder", lambda path: path.mkdir()),
]


def test_a_picture_that_makes_no_sense_ends_a_command_in_one_line(tmp_path: Path, attempt: Attempt) -> None:
    for part in ("train", "test"):
        for value, name in enumerate(("cat", "dog")):
            (tmp_path / "pictures" / part / name).mkdir(parents=True)
            for i in range(4):
                Image.new("L", (8, 8), 60 * value + i).save(tmp_path / "pictures" / part / name / f"{i}.png")
    flags = [*TRAINING, "--dataset=imagefolder", f"--data_root={tmp_path}/pictures"]
    for given, write in PICTURES:
        bad = tmp_path / "pictures" / "train" / "cat" / "bad.png"
        write(bad)
        attempt("a picture", given, "train_pair", flags)
        bad.rmdir() if bad.is_dir() else bad.unlink()
    for size in (10**5, 10**9):
        attempt("image_size", str(size), "train_pair", [*flags, f"--image_size={size}"])


# Flags and grids

FLAGS = [
    *(
        f"--{name}={short(value)}"
        for name in ("lr", "seed", "epochs", "model", "shift", "threads")
        for value in HOSTILE
    ),
    *(f"--{name}={value}" for name in ("lr", "weight_decay", "clip_norm") for value in ("1e300", "nan", "inf", "-1")),
    *(f"--seed={seed}" for seed in (2**64, 10**30, -1)),
    *(f"--device={device}" for device in ("cpu:99", "cuda:99", "meta", "")),
    "--model=mlp_l1_w99999999999",
    "--model=mlp_l100000000_w8",
    f"--model={'x' * 9000}",
    f"--{'x' * 9000}=1",
    "--data_root=B\udce4r",
]


def test_a_flag_that_makes_no_sense_ends_a_command_in_one_line(attempt: Attempt) -> None:
    for flag in FLAGS:
        if flag not in ("--epochs=2147483648", "--epochs=9007199254740992", "--epochs=9223372036854775808"):
            attempt("a flag", short(flag), "train_pair", [*TRAINING, flag])


GRIDS = {
    "nested": "[" * 5000,
    "10^9 cells": "cells: [{lr: [" + "0.1, " * 1000 + "0.1], momentum: [" + "0.1, " * 1000 + "0.1]}]",
    "200,000 seeds": f"seeds: [{', '.join(map(str, range(200_000)))}]\ncells: [{{lr: 0.1}}]",
    "base 60": "cells: [{batch_size: 1:30}]",
    "not UTF-8": b"cells: [{model: \xff}]",
    "a tag": "cells: !!python/object/apply:os.system ['true']",
    "text": "x",
    "a long value": f"cells: [{{model: {'x' * 9000}}}]",
}


def test_a_grid_that_makes_no_sense_ends_a_sweep_in_one_line(tmp_path: Path, attempt: Attempt) -> None:
    for given, content in GRIDS.items():
        path = tmp_path / "grid.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        assert not attempt("a grid", given, "sweep", [f"--grid={path}", "--dry_run=true"])
