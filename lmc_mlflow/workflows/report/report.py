"""Compares a whole store with the papers, and logs tables, claims and a page of it as one run."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lmc_mlflow import query
from lmc_mlflow.config.canonical import to_params
from lmc_mlflow.config.commands import ReportCommandConfig
from lmc_mlflow.config.curve import SEGMENT
from lmc_mlflow.contract import Kind
from lmc_mlflow.findings.condition_table import Frames, prepare
from lmc_mlflow.papers.claims import claims_content
from lmc_mlflow.papers.report.content import (
    Content,
    headline,
    metrics,
    report_content,
)
from lmc_mlflow.papers.report.html import Link
from lmc_mlflow.papers.report.markdown import csv_text, markdown, table_markdown
from lmc_mlflow.papers.report.my_runs import MyRuns
from lmc_mlflow.papers.report.page import page
from lmc_mlflow.query.tables import read_ensembles, read_paths
from lmc_mlflow.tracking.connection.store import open_store
from lmc_mlflow.tracking.links import run_link, tracking_uri, ui_command, without_login
from lmc_mlflow.workflows.lifecycle.run_once import RunStart, new_run
from lmc_mlflow.workflows.report.curves import read_curves
from lmc_mlflow.workflows.report.figures import overview_picture, report_pictures

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReportOutcome:
    """A logged report: its run, what it says first, and the files that were written to a folder."""

    report: str
    mine: MyRuns
    headline: str
    answer: str
    written: tuple[str, ...]
    experiment_id: str


def report(config: ReportCommandConfig) -> ReportOutcome:
    """Read the store, compare it with the papers, and log the result as a run.

    Raises:
        ValueError: no such experiment.
        OSError: the folder `out` cannot be written.
        StoreError: the tracking store cannot be used.
    """
    settings = config.report
    store = open_store()
    if settings.out:
        Path(settings.out).mkdir(parents=True, exist_ok=True)
    frames = read_frames(settings.experiment)
    content = report_content(frames, settings.names, settings.min_seeds)
    for name in settings.names.keys() - content.stand_ins.keys():
        logger.warning("stand_ins: no run has a data set or network %s", name)
    files = report_files(content, prepare(frames, settings.names))
    start = RunStart("report beside the paper", {}, to_params(config), ("report.md", files["report.md"]))
    with new_run(store, Kind.REPORT, start) as run:
        for path, text in files.items():
            if path != "report.md":
                run.log_text(text, path)
        run.log_metrics(metrics(content))
        run.describe(_description(content))
    written = write_files(files, Path(settings.out)) if settings.out else ()
    return ReportOutcome(run.run_id, content.mine, headline(content), content.answer, written, run.experiment_id)


def read_frames(experiments: tuple[str, ...]) -> Frames:
    """Read the tables of `query`, each once; of some experiments or of all.

    Raises:
        ValueError: no such experiment.
    """
    ends = query.endpoints(finished=False)
    chosen = experiments or (None,)

    def of_all(read: Callable[[str | None], pd.DataFrame]) -> pd.DataFrame:
        return pd.concat([read(name) for name in chosen], ignore_index=True).copy()  # in one piece: pandas warns else

    left_out: dict[str, list[str]] = {"path": [], "ensemble": []}

    def whole(kind: str, read: Callable[..., tuple[pd.DataFrame, list[str]]]) -> pd.DataFrame:
        found = [read(name, True, None, ends) for name in chosen]
        left_out[kind] += [run_id for _, gone in found for run_id in gone]
        return pd.concat([table for table, _ in found], ignore_index=True).copy()

    pairs = of_all(query.pairs)
    # The epochs of a trajectory are no repetitions of its start, nor are those that pairs share.
    finished = ends[(ends["trajectory"] == "") & (ends["pair"] != "") & (ends["status"] == "FINISHED")]
    paths = whole("path", read_paths)
    of_papers = (paths["align"] == "none") & (paths["path"] == SEGMENT)  # straight, with no units exchanged
    return Frames(
        pairs,
        finished[finished["pair"].isin(pairs["run_id"])] if experiments else finished,
        paths[of_papers].reset_index(drop=True),
        whole("ensemble", read_ensembles),
        of_all(query.stars),
        paths[~of_papers].reset_index(drop=True),
        left_out,
        curvatures=of_all(query.curvatures),
        pruned=of_all(lambda name: query.pruned(name, ends=ends)),
    )


def report_files(content: Content, frames: Frames) -> dict[str, str]:
    """Make every file of a report: path below the run -> text."""
    files = {"report.md": markdown(content)}
    for name, table in content.tables.items():
        files[f"tables/{name}.csv"] = csv_text(table)
        files[f"tables/{name}.md"] = table_markdown(name, table, content.notes.get(name, ""))
    files["claims.json"] = json.dumps(claims_content(content.verdicts), indent=1, ensure_ascii=False) + "\n"
    pictures = report_pictures(frames, content.tables, read_curves(frames))
    overview = overview_picture(content.mine)
    files["report.html"] = page(content, pictures, _linker(frames), _source(), overview)
    return files


def _source() -> str:
    """Name the place of the runs in words that hold on another machine."""
    uri = tracking_uri()
    return without_login(uri) if ui_command(uri) is None else "a local store"


def _linker(frames: Frames) -> Link:
    """Link runs to a server's UI; a local store has no UI until someone starts one."""
    uri = tracking_uri()
    if ui_command(uri) is not None:
        return lambda _: None
    tables = [frame for frame in frames.tables() if "experiment_id" in frame]
    homes: Mapping[str, str] = {
        run_id: home for frame in tables for run_id, home in zip(frame["run_id"], frame["experiment_id"], strict=True)
    }
    return lambda run_id: run_link(uri, homes[run_id], run_id) if run_id in homes else None


def write_files(files: Mapping[str, str], folder: Path) -> tuple[str, ...]:
    """Write every file whole or not at all, over those of an earlier report; give the paths of page and text."""
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        partial.write_text(text)
        partial.replace(target)
    return tuple(str(folder / name) for name in ("report.html", "report.md"))


def _description(content: Content) -> str:
    counts, _, verdicts = content.mine.summary.partition(". ")
    mine = f"**{counts.removesuffix('.')}.** {verdicts}".strip()
    sentences = (mine, headline(content), content.answer)
    return "\n\n".join([*sentences, "`report.html` holds all tables, claims and figures."])
