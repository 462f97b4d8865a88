"""What does the whole store say beside the paper? One run that holds tables, claims and a page over all others."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lmc_mlflow import query
from lmc_mlflow.config.canonical import to_params
from lmc_mlflow.config.commands import ReportCommandConfig
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
from lmc_mlflow.papers.report.page import page
from lmc_mlflow.tracking.lifecycle import ending, open_run, probe_artifacts
from lmc_mlflow.tracking.links import run_link, tracking_uri, ui_command
from lmc_mlflow.tracking.store import open_store
from lmc_mlflow.workflows.report.figures import polar_paths, report_pictures

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReportOutcome:
    """A logged report: its run, its first sentences, and the files written beside."""

    report: str
    headline: str
    answer: str
    written: tuple[str, ...]
    experiment_id: str


def report(config: ReportCommandConfig) -> ReportOutcome:
    """Read the store, set it beside the paper, and log the result as a run.

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
    with ending() as keep:
        run = keep(open_run, store, Kind.REPORT, "report beside the paper", {})
        probe_artifacts(run, files["report.md"], "report.md")
        run.log_params(to_params(config))
        for path, text in files.items():
            if path != "report.md":
                run.log_text(text, path)
        run.log_metrics(metrics(content))
        run.describe(_description(content))
        run.seal()
    written = write_files(files, Path(settings.out)) if settings.out else ()
    return ReportOutcome(run.run_id, headline(content), content.answer, written, run.experiment_id)


def read_frames(experiments: tuple[str, ...]) -> Frames:
    """The tables of `query`, each read once; of some experiments or of all.

    Raises:
        ValueError: no such experiment.
    """
    ends = query.endpoints(finished=False)
    chosen = experiments or (None,)

    def of_all(read: Callable[[str | None], pd.DataFrame]) -> pd.DataFrame:
        return pd.concat([read(name) for name in chosen], ignore_index=True)

    pairs = of_all(query.pairs)
    ends = ends[ends["trajectory"] == ""]  # networks on the way of another are no repetitions of it
    finished = ends[ends["status"] == "FINISHED"]
    paths = of_all(lambda name: query.paths(name, ends=ends))
    return Frames(
        pairs,
        finished[finished["pair"].isin(pairs["run_id"])] if experiments else finished,
        paths[paths["align"] == "none"].reset_index(drop=True),  # the paper exchanges no units
        of_all(lambda name: query.ensembles(name, ends=ends)),
    )


def report_files(content: Content, frames: Frames) -> dict[str, str]:
    """Path below the run -> text of every file of a report."""
    files = {"report.md": markdown(content)}
    for name, table in content.tables.items():
        files[f"tables/{name}.csv"] = csv_text(table)
        files[f"tables/{name}.md"] = table_markdown(name, table, content.notes.get(name, ""))
    files["claims.json"] = json.dumps(claims_content(content.verdicts), indent=1, ensure_ascii=False) + "\n"
    pictures = report_pictures(frames, content.tables, query.path_curves(query.with_points(polar_paths(frames))))
    files["report.html"] = page(content, pictures, _linker(frames), _source())
    return files


def _source() -> str:
    """Where the runs are, in words that hold on another machine."""
    uri = tracking_uri()
    return uri if ui_command(uri) is None else "a local store"


def _linker(frames: Frames) -> Link:
    """Addresses in the UI where a server is tracked to; a local store has none until someone starts one."""
    uri = tracking_uri()
    if ui_command(uri) is not None:
        return lambda _: None
    tables = [frame for frame in frames.tables() if "experiment_id" in frame]
    homes: Mapping[str, str] = {
        run_id: home for frame in tables for run_id, home in zip(frame["run_id"], frame["experiment_id"], strict=True)
    }
    return lambda run_id: run_link(uri, homes[run_id], run_id) if run_id in homes else None


def write_files(files: Mapping[str, str], folder: Path) -> tuple[str, ...]:
    """Write every file whole or not at all, over what an earlier report left; the page's and the text's path."""
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        partial.write_text(text)
        partial.replace(target)
    return tuple(str(folder / name) for name in ("report.html", "report.md"))


def _description(content: Content) -> str:
    return f"{headline(content)}\n\n{content.answer}\n\n`report.html` holds all tables, claims and figures."
