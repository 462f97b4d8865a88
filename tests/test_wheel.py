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
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        str(copy),
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(copy),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
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


LMC = "import sys; sys.argv[0] = 'lmc'; from entry_points.lmc import main; sys.exit(main())"


def test_it_trains_measures_and_reports_from_an_empty_folder(site: Path, tmp_path: Path) -> None:
    assert run(site, tmp_path, "import lmc_mlflow; print(lmc_mlflow.__file__)").startswith(str(site))
    out = run(site, tmp_path, LMC, "train_pair", "shift=label_2080", *QUICK)
    assert "lmc interpolate pair=" in out
    run(
        site,
        tmp_path,
        LMC,
        "interpolate",
        out.partition("lmc interpolate ")[2].split()[0],
        "num_alphas=3",
        "device=cpu",
    )
    run(site, tmp_path, LMC, "report", "out=report")
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000


def test_it_has_the_grids_and_the_types(site: Path, tmp_path: Path) -> None:
    there = {path.stem for path in (ROOT / "grids").glob("*.yaml")}
    code = "from lmc_mlflow.sweeps.grid_file import GRIDS; print(*(path.stem for path in GRIDS.glob('*.yaml')))"
    assert set(run(site, tmp_path, code).split()) == there
    assert (site / "lmc_mlflow" / "py.typed").exists()
    assert (site / "lmc_mlflow" / "__init__.pyi").exists()
