"""Writes runs, and all runs that they refer to, to one bundle."""

import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

import lmc_mlflow
from lmc_mlflow.bundles.archive import ARTIFACTS, RUNS
from lmc_mlflow.bundles.artifact_locations import location_of
from lmc_mlflow.bundles.metric_histories import Histories, history_reader
from lmc_mlflow.bundles.pack import (
    artifacts_left_out,
    fetch_artifacts,
    is_wanted,
    missing_artifacts,
    record_of,
)
from lmc_mlflow.bundles.records import RunRecord, to_line
from lmc_mlflow.bundles.writer import BundleWriter, check_free, write_bundle
from lmc_mlflow.config.bundle import ExportConfig
from lmc_mlflow.config.commands import ExportCommandConfig
from lmc_mlflow.contract import LAUNCHER_RUN, Artifact, Kind, Tag
from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.query.runs import Run, search
from lmc_mlflow.terminal.hints import command_for_another_store
from lmc_mlflow.terminal.style import paint
from lmc_mlflow.tracking.connection.store import Store, open_store
from lmc_mlflow.tracking.launcher_run import name_launcher_run

OURS = f"tags.`{Tag.KIND}` != ''"
PARENT = "mlflow.parentRunId"
REFERENCES = (Tag.RUN_A, Tag.RUN_B, Tag.PAIR, Tag.MEMBERS, Tag.SOURCES, Tag.HELD_OUT, Tag.CURVE)


@dataclass(frozen=True)
class ExportOutcome:
    """The bundle, how many runs of each kind and each status it holds, its files, and how many were left out."""

    out: Path
    kinds: Counter[str]
    statuses: Counter[str]
    num_artifacts: int
    num_left_out: int


def export_runs(config: ExportCommandConfig) -> ExportOutcome:
    """Write runs, and all runs that they refer to, to one file.

    Raises:
        ValueError: no run matches, a run's artifacts are damaged, none has a name that is to be left out, or the
            file is there already.
    """
    wanted = config.export
    out = Path(wanted.out).absolute()
    check_free(out)
    store = open_store()
    runs = select_runs(store, wanted)
    facts = {
        "made_by": f"lmc_mlflow {lmc_mlflow.__version__}",
        "num_runs": len(runs),
        "checkpoints": wanted.checkpoints,
        "figures": wanted.figures,
        **({"leave_out": list(wanted.leave_out)} if wanted.leave_out else {}),
    }
    names = {i: store.client.get_experiment(i).name for i in {run.info.experiment_id for run in runs}}
    with write_bundle(out, facts) as writer, history_reader(store) as histories:
        bar = tqdm(runs, desc="exporting", unit="run", leave=False, disable=None)
        records = [_export_run(run, names[run.info.experiment_id], histories(run), wanted, writer) for run in bar]
        _check_left_out(wanted.leave_out, records)
        writer.add_text(RUNS, "".join(f"{to_line(record)}\n" for record in records))
        num_artifacts = len(writer.files) - 1
    outcome = ExportOutcome(
        out,
        Counter(record.tags.get(Tag.KIND, "other") for record in records),
        Counter(record.status for record in records),
        num_artifacts,
        sum(len(record.left_out) for record in records),
    )
    note = "\n".join(f"    {line}" for line in export_lines(outcome))
    name_launcher_run(store, f"export: {len(runs)} runs to {out.name}", note, {})
    return outcome


def select_runs(store: Store, wanted: ExportConfig) -> list[Run]:
    """Select the runs that match, those below them, those that any of them refers to, and their parents; oldest first.

    Raises:
        ValueError: no run matches, or there is no such experiment.
    """
    ids = None
    if wanted.experiment:
        found = store.client.get_experiment_by_name(wanted.experiment)
        if found is None:
            raise ValueError(f"experiment {wanted.experiment!r} does not exist; leave it out to export from all")
        ids = [found.experiment_id]
    launcher = os.environ.get(LAUNCHER_RUN)
    matching = [run.info.run_id for run in search(store.client, wanted.query or OURS, ids)]
    matching = [run_id for run_id in matching if run_id != launcher]
    if not matching:
        raise ValueError(f"no run matches query={wanted.query!r} experiment={wanted.experiment!r}; nothing is exported")
    everything = {run.info.run_id: run for run in search(store.client, "")}
    kept = {i for i in find_related(matching, everything) if Tag.SEE not in everything[i].data.tags}
    return sorted((everything[i] for i in kept), key=lambda run: (run.info.start_time, run.info.run_id))


def find_related(matching: list[str], everything: Mapping[str, Run]) -> set[str]:
    """Collect the ids of all runs without which some runs could not be read.

    Runs below those that match come along. So do the ends, members and pairs that any run names, the endpoints
    of every pair, and every parent; but not whatever else hangs below a parent.

    Args:
        matching: run ids.
        everything: run id -> run, of the whole store.
    """
    below: dict[str, list[str]] = defaultdict(list)
    for run_id, run in everything.items():
        below[run.data.tags.get(PARENT, "")].append(run_id)
    kept: set[str] = set()
    waiting = [(run_id, True) for run_id in matching]
    descended: set[str] = set()
    while waiting:
        run_id, with_children = waiting.pop()
        if run_id not in everything:  # deleted since
            continue
        tags = everything[run_id].data.tags
        if (with_children or tags.get(Tag.KIND) == Kind.PAIR) and run_id not in descended:
            descended.add(run_id)
            waiting += [
                (child, with_children) for child in below[run_id] if with_children or _is_endpoint(everything[child])
            ]
        if run_id not in kept:
            kept.add(run_id)
            named = ",".join(tags.get(key, "") for key in REFERENCES).split(",")
            waiting += [(name.split("@")[0], False) for name in [*named, tags.get(PARENT, "")] if name]
    return kept


def _is_endpoint(run: Run) -> bool:
    return bool(run.data.tags.get(Tag.KIND) == Kind.ENDPOINT)


def _export_run(run: Run, experiment: str, metrics: Histories, wanted: ExportConfig, writer: BundleWriter) -> RunRecord:
    run_id = run.info.run_id
    location = location_of(run.info.artifact_uri)
    present = location.paths()
    chosen = [path for path in present if is_wanted(path, wanted.checkpoints, wanted.figures, wanted.leave_out)]
    with tempfile.TemporaryDirectory() as folder:
        try:
            files = fetch_artifacts(location, chosen, Path(folder))
            missing = missing_artifacts(run, present, files.get(Artifact.MANIFEST))
        except ValueError as error:
            raise ValueError(f"run {run_id} ({run.info.run_name}): {error}") from None
        for path, local in files.items():
            writer.add_file(f"{ARTIFACTS}/{run_id}/{path}", local)
    return record_of(run, experiment, metrics, artifacts_left_out(present, missing, chosen))


def _check_left_out(names: tuple[str, ...], records: list[RunRecord]) -> None:
    left_out = {Path(path).name for record in records for path in record.left_out}
    for name in names:
        if name not in left_out:
            raise ValueError(f"leave_out: no artifact of these {len(records)} runs is called {name}")


def export_lines(outcome: ExportOutcome) -> list[str]:
    """Describe a bundle in lines to print, and say what to type next."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(outcome.kinds.items()))
    lines = [
        f"exported {counted(outcome.kinds.total(), 'run')} ({kinds}) to {outcome.out}",
        f"  {outcome.num_artifacts} artifacts, {outcome.out.stat().st_size / 1e6:.1f} MB",
    ]
    unfinished = {status: count for status, count in outcome.statuses.items() if status != "FINISHED"}
    if unfinished:
        counts = ", ".join(f"{count} {status}" for status, count in sorted(unfinished.items()))
        lines.append(f"  not finished: {counts}; export again when they are, import completes them")
    if outcome.num_left_out:
        lines.append(f"  left out: {outcome.num_left_out} artifacts; these runs can be read, not loaded")
    return [
        *lines,
        "next: merge it into another store, after MLFLOW_TRACKING_URI names that",
        f"  {paint(command_for_another_store('import', bundles=str(outcome.out)), 'bold')}",
    ]
