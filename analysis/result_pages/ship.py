"""Ships what the pages rest on: `MLFLOW_TRACKING_URI=<store> python -m analysis.result_pages.ship`.

Writes docs/results/store.zip with the numbers of all runs of a store, the report over them, and every page.
"""

import importlib
import tempfile
import zipfile
from pathlib import Path

from analysis.result_pages.pages import FOLDER, STORE, shipped_store, write_pages
from analysis.result_pages.shipped_runs import MIN_SEEDS, STAND_INS
from lmc_mlflow.contract import Artifact, Kind, Tag

LARGEST = 20_000_000
"""Bytes of the shipped store at most."""
QUERY = f"tags.`{Tag.KIND}` != '{Kind.REPORT}' and attributes.status != 'RUNNING'"
LEFT_OUT = (Artifact.BARRIER_BY_SAMPLE, Artifact.BARRIER_BY_CLASS, "noise_check.json")
"""Tables that are large and that no page is computed from; the last has the digests of the draws of every epoch."""
REPORT = FOLDER / "report"


def ship() -> None:
    """Export the runs of the store of this process, and write the report and the pages from what was exported."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / STORE.name
        export(bundle)
        check(bundle, (Path.cwd(), FOLDER.parents[1], Path.home()))
        STORE.write_bytes(bundle.read_bytes())
    with shipped_store():
        flags = [f"--out={REPORT}", f"--min_seeds={MIN_SEEDS}", f"--stand_ins={_pairs(STAND_INS)}"]
        if importlib.import_module("entry_points.report").main(flags):
            raise ValueError("the report was not written; see the line above")
        write_pages()


def export(bundle: Path) -> None:
    """Write the numbers of all runs but reports and what still runs.

    Args:
        bundle: the file to write.

    Raises:
        ValueError: it was not written.
    """
    flags = [f"--out={bundle}", f"--query={QUERY}", "--checkpoints=false", "--figures=false"]
    if importlib.import_module("entry_points.export").main([*flags, f"--leave_out={','.join(LEFT_OUT)}"]):
        raise ValueError("nothing was exported; see the line above")


def check(bundle: Path, places: tuple[Path, ...]) -> None:
    """Check that a bundle is small and names no place of the machine that its runs were computed on.

    Args:
        bundle: the file.
        places: folders of this machine.

    Raises:
        ValueError: it is too large, or names one of them.
    """
    if bundle.stat().st_size > LARGEST:
        raise ValueError(f"{bundle.stat().st_size / 1e6:.1f} MB; at most {LARGEST / 1e6:g} MB are shipped")
    with zipfile.ZipFile(bundle) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            for place in places:
                if f"{place}/".encode() in content:
                    raise ValueError(f"{name} names the folder {place}: give data and grids by relative paths")


def _pairs(names: dict[str, str]) -> str:
    return ",".join(f"{ours}:{theirs}" for ours, theirs in names.items())


if __name__ == "__main__":
    ship()
