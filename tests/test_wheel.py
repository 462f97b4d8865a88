"""The wheel holds all that the commands need: installed elsewhere and run from an empty folder, they work."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import QUICK, ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the project's files and unpack it, as an installation does."""
    copy, target = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("site")
    for name in ("lmc_mlflow", "entry_points", "grids", "pyproject.toml", "README.md", "LICENSE"):
        (copy / name).symlink_to(ROOT / name)
    flags = ["--quiet", "--no-deps", "--no-build-isolation", f"--wheel-dir={copy}"]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *flags, copy], check=True, capture_output=True, timeout=120)
    (wheel,) = copy.glob("*.whl")
    with zipfile.ZipFile(wheel) as zipped:
        zipped.extractall(target)
    return target


def run(site: Path, folder: Path, code: str, *words: str) -> str:
    """Run code in an empty folder, with the unpacked wheel before everything else."""
    environment = {**os.environ, "PYTHONPATH": str(site), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    found = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=300,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_it_trains_measures_and_reports_from_an_empty_folder(site: Path, tmp_path: Path) -> None:
    code = """
import sys
import lmc_mlflow as lmc
from entry_points.lmc import main
sys.argv[0] = "lmc"
print(lmc.__file__)
assert main(["train_pair", "shift=label_2080", *sys.argv[1:]]) == 0
assert main(["interpolate", f"pair={lmc.query.pairs()['run_id'][0]}", "num_alphas=3", "device=cpu"]) == 0
assert main(["report", "out=report"]) == 0
"""
    out = run(site, tmp_path, code, *QUICK)
    assert out.startswith(str(site))
    assert "lmc interpolate pair=" in out
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000


def test_it_has_the_grids_and_the_types(site: Path, tmp_path: Path) -> None:
    there = {path.stem for path in (ROOT / "grids").glob("*.yaml")}
    code = "from lmc_mlflow.sweeps.grid_file import GRIDS; print(*(path.stem for path in GRIDS.glob('*.yaml')))"
    assert set(run(site, tmp_path, code).split()) == there
    assert (site / "lmc_mlflow" / "py.typed").exists()
    assert (site / "lmc_mlflow" / "__init__.pyi").exists()
