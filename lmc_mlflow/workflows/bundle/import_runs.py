"""Merges bundles into the store that MLflow's settings name."""

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from lmc_mlflow.bundles.archive import open_bundle
from lmc_mlflow.bundles.database import open_database
from lmc_mlflow.bundles.merge import merge, read_records
from lmc_mlflow.bundles.reconcile import Resolution
from lmc_mlflow.config.commands import ImportCommandConfig
from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.tracking.launcher_run import name_launcher_run
from lmc_mlflow.tracking.links import tracking_uri, ui_command, view_link
from lmc_mlflow.tracking.view import offer_view


@dataclass(frozen=True)
class ImportOutcome:
    """How many runs had which resolution, how many artifacts were added, and in which experiments the runs are."""

    num_bundles: int
    resolutions: Counter[Resolution]
    num_artifacts: int
    uri: str
    experiments: tuple[str, ...]


def import_runs(config: ImportCommandConfig) -> ImportOutcome:
    """Merge bundles into the store with the ids and parents that they have; importing twice changes nothing.

    All bundles are verified before the store is touched; each is merged wholly or not at all.

    Raises:
        ValueError: a bundle is damaged or of a newer format, the store is a server, or a run is in the
            store with different content.
        StoreError: the database cannot be used.
    """
    wanted = config.bundle
    uri = tracking_uri()
    with ExitStack() as stack:
        bundles = [stack.enter_context(open_bundle(Path(path).absolute())) for path in wanted.bundles]
        records = [read_records(bundle) for bundle in bundles]
        database = open_database(uri, wanted.artifacts)
        merged = [merge(*pair, database) for pair in zip(bundles, records, strict=True)]
    experiments = tuple(sorted(frozenset().union(*(one.experiments for one in merged)), key=int))
    for experiment_id in experiments:
        offer_view(database.tracking, experiment_id)
    outcome = ImportOutcome(
        len(bundles),
        sum((one.resolutions for one in merged), Counter()),
        sum(one.num_artifacts for one in merged),
        uri,
        experiments,
    )
    note = "\n".join(f"    {line}" for line in import_lines(outcome))
    name_launcher_run(database.tracking, f"import: {outcome.resolutions[Resolution.NEW]} new runs", note, {})
    return outcome


def import_lines(outcome: ImportOutcome) -> list[str]:
    """Say what became of the runs, and where to look at them."""
    num_runs, bundles = outcome.resolutions.total(), counted(outcome.num_bundles, "bundle")
    lines = [f"imported {bundles}: {counted(num_runs, 'run')}, {counted(outcome.num_artifacts, 'artifact')} added"]
    lines += [f"  {outcome.resolutions[one]} {one.value}" for one in Resolution if outcome.resolutions[one]]
    command = ui_command(outcome.uri)
    start = [f"  {command}"] if command else []
    return [*lines, "browse:", *start, *(f"  all runs   {view_link(outcome.uri, i)}" for i in outcome.experiments)]
