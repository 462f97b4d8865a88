"""An installed package adds networks, data sets, shifts and measures; its version is part of what they make."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

WORK = """
import json, logging, sys
logging.basicConfig(level=logging.WARNING)
import lmc_mlflow as lmc
from entry_points.train_pair import main
own = dict(dataset="demo_stripes", shift="demo_odd_even", model="demo_mlp", epochs=2, device="cpu", c2st_samples=0)
pair = lmc.train_pair(**own, model_options={"hidden": 5})
path = lmc.interpolate(pair, num_alphas=3, device="cpu")
matrix = lmc.matrix([pair.a, pair.b], num_alphas=3, device="cpu")
path.figure()
tags = lmc.query.runs.default_client().get_run(pair.run_id).data.tags
of_matrix = lmc.query.runs.default_client().get_run(matrix.run_id).data.tags
print(json.dumps({
    "fingerprint": tags["lmc.fingerprint"], "how": pair.how, "matrix": of_matrix["lmc.fingerprint"],
    "columns": list(path.frame()), "top2": path.frame()["top2"].tolist(), "pairs": list(matrix.frame()),
}))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the package into a folder of its own."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for file in (ROOT / "tests" / "plugin_package").iterdir():
        if file.is_file():
            (source / file.name).write_text(file.read_text())
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, f"--target={target}", source], check=True, capture_output=True, timeout=120)
    return target


def run(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{site}{os.pathsep}{ROOT}",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
    }
    command = [sys.executable, *words]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=folder, timeout=120, check=False
    )


def work(site: Path, folder: Path) -> dict[str, object]:
    found = run(site, folder, "-c", WORK)
    assert found.returncode == 0, found.stderr
    assert "measure broken of lmc-demo" in found.stderr
    content: dict[str, object] = json.loads(found.stdout.splitlines()[-1])
    return content


def test_all_four_tables_are_joined_and_the_version_is_part_of_the_identity(site: Path, tmp_path: Path) -> None:
    first = work(site, tmp_path)
    assert {"top2", "loss", "accuracy", "ece"} <= set(first["columns"])
    assert all(0 <= value <= 1 for value in first["top2"])
    assert "top2_barrier" in first["pairs"]
    again = work(site, tmp_path)
    assert (again["how"], again["fingerprint"]) == ("finished before", first["fingerprint"])
    metadata = next(site.glob("lmc_demo-*.dist-info")) / "METADATA"
    text = metadata.read_text()
    metadata.write_text(text.replace("Version: 1.5", "Version: 1.6"))
    try:
        newer = work(site, tmp_path)
    finally:
        metadata.write_text(text)
    assert newer["how"] == "trained"
    assert newer["fingerprint"] != first["fingerprint"]
    assert newer["matrix"] != first["matrix"]


def test_help_lists_them_with_package_and_version_and_errors_name_them(site: Path, tmp_path: Path) -> None:
    text = run(site, tmp_path, "-m", "entry_points.train_pair", "--help").stdout
    for name in ("demo_mlp", "demo_stripes", "demo_odd_even"):
        assert f"{name} (lmc-demo 1.5)" in text
    for flag, near in (("model", "demo_mlp"), ("dataset", "demo_stripes"), ("shift", "demo_odd_even")):
        found = run(site, tmp_path, "-m", "entry_points.train_pair", f"--{flag}={near}x", "--device=cpu")
        assert found.returncode == 1
        assert f"did you mean '{near}'" in found.stderr


def test_without_the_package_its_names_are_unknown(tmp_path: Path) -> None:
    found = run(tmp_path, tmp_path, "-m", "entry_points.train_pair", "--model=demo_mlp", "--device=cpu")
    assert found.returncode == 1
    assert "model 'demo_mlp' is unknown" in found.stderr
