"""The experiment of the command `main`: paths between networks of one initialization, and of two."""

from dataclasses import dataclass, replace

import pandas as pd

from lmc_mlflow.config.canonical import to_params
from lmc_mlflow.config.commands import InterpolateConfig, MainConfig, TrainPairConfig
from lmc_mlflow.config.path import EndsConfig
from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.contract import Kind
from lmc_mlflow.terminal.closing import REPORT, browse_lines, next_step
from lmc_mlflow.terminal.style import paint_verdict, table
from lmc_mlflow.tracking.connection.store import open_store
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.lifecycle.run_once import RunStart, new_run
from lmc_mlflow.workflows.networks.run_names import condition_words, fit
from lmc_mlflow.workflows.pair.find_pair import check_pair
from lmc_mlflow.workflows.pair.train_pair import train_pair
from lmc_mlflow.workflows.path.interpolate import interpolate
from lmc_mlflow.workflows.path.log_paths import PathOutcome

LABELS = ("same, sides A and B", "different, both side A")
"""What the ends of the two paths are."""
COLUMNS = ("test/barrier", "test/barrier_in_basin", "test/accuracy_delta", "test/average_precision_delta", "angle_deg")


@dataclass(frozen=True)
class ExperimentOutcome:
    """The experiment's own run, its table and its two paths."""

    run: str
    table: str
    paths: tuple[PathOutcome, PathOutcome]
    experiment_id: str


def run_experiment(config: MainConfig) -> ExperimentOutcome:
    """Train two pairs from two seeds; measure the path between the first's ends, and that between the two sides A.

    Raises:
        ValueError, StoreError, FloatingPointError: as `train_pair` and `interpolate`.
    """
    if config.story.other_seed == config.model.seed:
        raise ValueError(f"other_seed={config.story.other_seed} is the first pair's seed; choose another")
    check_pair(_pair_config(config, config.model.seed))
    store = open_store()
    seeds = f"story s{config.model.seed},{config.story.other_seed}"
    name = fit([seeds, *condition_words([_pair_config(config, config.model.seed)])])
    with new_run(store, Kind.REPORT, RunStart(name, params=to_params(config))) as run:
        first = train_pair(_pair_config(config, config.model.seed), run)
        second = train_pair(_pair_config(config, config.story.other_seed), run)
        same = _interpolate(config, run, EndsConfig(pair=first.run_id))
        different = _interpolate(config, run, EndsConfig(run_a=first.endpoints["A"], run_b=second.endpoints["A"]))
        table = path_table(same, different)
        run.log_text(table, "story.md")
        verdicts = "; ".join(
            f"{label}: {path.connected}" for label, path in zip(LABELS, (same, different), strict=True)
        )
        run.describe(f"**Connected? {verdicts}.**\n\n{table}")
    return ExperimentOutcome(run.run_id, table, (same, different), run.experiment_id)


def path_table(same: PathOutcome, different: PathOutcome) -> str:
    """Set the two paths side by side, as Markdown."""
    rows = [
        {
            "initialization": label,
            "connected": path.connected,
            **{column: f"{path.metrics[column]:.4g}" for column in COLUMNS if column in path.metrics},
            "path": f"`{path.run_id}`",
        }
        for label, path in zip(LABELS, (same, different), strict=True)
    ]
    frame = pd.DataFrame(rows)
    lines = ["| " + " | ".join(frame.columns) + " |", "|" + "---|" * len(frame.columns)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in frame.to_numpy()]
    return "\n".join(lines)


def _pair_config(config: MainConfig, seed: int) -> TrainPairConfig:
    optimization = config.optimization
    if optimization.steps is not None and optimization.epochs == MainConfig().optimization.epochs:  # not a user's
        optimization = replace(optimization, epochs=OptimizationConfig.epochs)
    return TrainPairConfig(
        data=config.data,
        model=replace(config.model, seed=seed),
        noise=config.noise,
        optimization=optimization,
        runtime=config.runtime,
        resume=config.resume,
        shift_test=config.shift_test,
    )


def _interpolate(config: MainConfig, run: TrackedRun, ends: EndsConfig) -> PathOutcome:
    return interpolate(
        InterpolateConfig(replace(ends, data_root=config.data.data_root), config.path, runtime=config.runtime), run
    )


def experiment_lines(outcome: ExperimentOutcome) -> list[str]:
    """Return the lines for the comparison of two paths."""
    columns = [column for column in COLUMNS if column in outcome.paths[0].metrics]
    rows = [
        [label, paint_verdict(path.connected), *(f"{path.metrics[column]:.4g}" for column in columns)]
        for label, path in zip(LABELS, outcome.paths, strict=True)
    ]
    verdicts = ", ".join(f"{label}: {path.connected}" for label, path in zip(LABELS, outcome.paths, strict=True))
    return [
        f"report {outcome.run}: connected? {verdicts}",
        *table(["initialization", "connected", *columns], rows),
        *next_step(REPORT, "report"),
        *browse_lines(outcome.experiment_id, outcome.run),
    ]
