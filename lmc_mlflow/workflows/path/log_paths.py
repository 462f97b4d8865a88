"""Logs the measured paths of a run: numbers, tables, figures, verdicts and the description."""

import math
from dataclasses import dataclass

from lmc_mlflow.config.commands import InterpolateConfig
from lmc_mlflow.contract import Artifact, Tag
from lmc_mlflow.models.parameters import trainable
from lmc_mlflow.paths.arc_length import arc_lengths
from lmc_mlflow.paths.curves import Curve
from lmc_mlflow.plots.per_run.alignment import aligned_path_figure
from lmc_mlflow.plots.per_run.beside import curve_figure
from lmc_mlflow.plots.per_run.paths import path_figure, polar_figure
from lmc_mlflow.tracking.descriptions import list_on
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.alignment.find_alignment import log_matching
from lmc_mlflow.workflows.lifecycle.outcome import Outcome
from lmc_mlflow.workflows.networks.pair_of_networks import Ends
from lmc_mlflow.workflows.networks.run_names import short_name
from lmc_mlflow.workflows.networks.similarity import reference_angle, similarity_by_tensor
from lmc_mlflow.workflows.path.agreement import agreement_metrics
from lmc_mlflow.workflows.path.beside import AS_LOGGED, SEGMENT_BESIDE, BesidePath, log_samples, path_beside
from lmc_mlflow.workflows.path.measured_paths import Paths
from lmc_mlflow.workflows.path.names import path_name, path_run_name
from lmc_mlflow.workflows.path.repeated import repeated_metrics, repeated_sentence
from lmc_mlflow.workflows.path.results import (
    ARC_LENGTH,
    arc_length_curves,
    describe_path,
    first_charts,
    note_of_straight,
    note_of_unaligned,
    path_curves,
    path_metrics,
    path_table,
)
from lmc_mlflow.workflows.path.verdicts import Verdicts, judge_path
from lmc_mlflow.workflows.path.who_pays import Classes, log_calibrated, log_who_pays


@dataclass(frozen=True)
class PathOutcome(Outcome):
    """A logged path.

    Attributes:
        connected: the verdict by loss and accuracy.
        connected_by_error: the verdict by error.
        connected_interval: the verdict by intervals of loss and accuracy, and what decided it; empty without.
        decided_by: the split and the number that decided `connected`.
        decided_by_error: the same of `connected_by_error`.
        pair: the pair of both networks, if they are of one.
        run_a: run id of A.
        run_b: run id of B.
    """

    connected: str
    connected_by_error: str
    connected_interval: str = ""
    decided_by: str = ""
    decided_by_error: str = ""
    pair: str = ""
    run_a: str = ""
    run_b: str = ""


@dataclass(frozen=True)
class LoggedCurve:
    """The curve of a run.

    Attributes:
        curve: through its bends, on the CPU.
        source: the run that had trained them before; empty: this one.
    """

    curve: Curve
    source: str = ""


def log_paths(
    run: TrackedRun,
    config: InterpolateConfig,
    ends: Ends,
    paths: Paths,
    classes: Classes | None,
    curve: LoggedCurve | None = None,
) -> PathOutcome:
    """Log the paths of a run, and list it on the pairs of its networks.

    Args:
        run: open.
        config: how they were measured.
        ends: as they were logged.
        paths: measured.
        classes: of the data set; None: images have several labels each.
        curve: that the run's own path goes along; None: it is straight.
    """
    path, name = paths.path, path_name(ends, config)
    verdicts, beside = judge_path(config.path, path), _beside(config, ends, paths)
    ends_of_path = ends if paths.alignment is None else (ends[0], paths.alignment.network)
    metrics = path_metrics(ends_of_path, path, config.path, verdicts)
    metrics |= {"angle_reference_deg": reference_angle(ends[0])}
    curves, lengths = path_curves(path) | first_charts(path), None
    if curve is not None:
        lengths = arc_lengths(curve.curve, trainable(ends[0].network()), path.alphas)
        metrics |= {ARC_LENGTH: float(lengths[-1])}
        curves |= arc_length_curves(path, lengths)
    table = path_table(path, lengths)
    if beside is not None:
        metrics |= beside.metrics(config.path)
        curves |= beside.curves()
        beside.log(run, config.path)
    if paths.alignment is not None:
        log_matching(run, paths.alignment, "alignment/")
    metrics |= agreement_metrics(path) | log_who_pays(run, path, classes, name) | repeated_metrics(run, ends, path)
    log_calibrated(run, path, table, name, (short_name(ends[0]), short_name(ends[1])))
    run.log_metrics(metrics) if curve is None else run.log_once(metrics)  # a curve's run may be one that was resumed
    run.log_curves(curves)
    run.log_json(table.to_dict(orient="split", index=False), Artifact.PATH)
    log_samples(run, config.path, path, Artifact.SAMPLES)
    by_tensor = similarity_by_tensor(*ends_of_path)
    run.log_json(by_tensor.to_dict(orient="split", index=False), "similarity.json")
    _log_figure(run, config, ends, paths, verdicts, beside)
    run.log_figure(polar_figure(table, name), "figures/polar.png")
    run.set_tags(_verdict_tags(verdicts) | {Tag.ENGINE: path.engine})
    note = _note(config, paths, beside, curve, metrics)
    run.describe(describe_path(ends, config.path, path, verdicts, metrics, note))
    return _listed(run, config, ends, verdicts, metrics)


def _listed(
    run: TrackedRun, config: InterpolateConfig, ends: Ends, verdicts: Verdicts, metrics: dict[str, float]
) -> PathOutcome:
    """List the run on the pairs of its networks, and give the outcome."""
    for pair in dict.fromkeys(end.split_run for end in ends):
        line = (
            f"path `{run.run_id}` {path_run_name(ends, config)}: connected {verdicts.connected} ({verdicts.decided_by})"
        )
        list_on(run.client, pair, line)
    said = f"{verdicts.answer_by_intervals} ({verdicts.reason})" if verdicts.by_intervals else ""
    pair = ends[0].split_run if ends[0].split_run == ends[1].split_run else ""
    a_and_b = (end.run.info.run_id for end in ends)
    decided = (verdicts.decided_by, verdicts.decided_by_error)
    outcome = (verdicts.connected, verdicts.by_error, said, *decided, pair, *a_and_b)
    return PathOutcome(run.run_id, path_run_name(ends, config), "measured", metrics, run.experiment_id, *outcome)


def _beside(config: InterpolateConfig, ends: Ends, paths: Paths) -> BesidePath | None:
    if paths.unaligned is not None:
        return path_beside(AS_LOGGED, ends, paths.unaligned, config.path)
    return None if paths.straight is None else path_beside(SEGMENT_BESIDE, ends, paths.straight, config.path)


def _log_figure(
    run: TrackedRun, config: InterpolateConfig, ends: Ends, paths: Paths, verdicts: Verdicts, beside: BesidePath | None
) -> None:
    title, table = f"{path_name(ends, config)}\n{verdicts.sentence}", path_table(paths.path)
    start, end = map(short_name, ends)
    thresholds = config.path.barrier_threshold, config.path.accuracy_delta_threshold
    further = ((start, end), verdicts.intervals, thresholds)
    if beside is None:
        figure = path_figure(table, title, verdicts.intervals, thresholds, (start, end))
    elif paths.alignment is None:
        figure = curve_figure(table, path_table(beside.path), title, config.curve.path, *further)
    else:
        figure = aligned_path_figure(table, path_table(beside.path), title, config.aligning.align, *further)
    run.log_figure(figure, "figures/path.png")


def _note(
    config: InterpolateConfig,
    paths: Paths,
    beside: BesidePath | None,
    curve: LoggedCurve | None,
    metrics: dict[str, float],
) -> str:
    """Write what else there is to say: how B was aligned, what the curve is, or how two executions differ."""
    if beside is None:
        return f" {repeated_sentence(metrics)}".rstrip()
    if paths.alignment is not None:
        return note_of_unaligned(paths.alignment, beside.path, beside.verdicts)
    num_bends = config.curve.curve_bends
    source = f" (trained by run `{curve.source}`)" if curve is not None and curve.source else ""
    bends = f"a {config.curve.path} curve through {num_bends} trained bend{'s' * (num_bends > 1)}{source}"
    distance = math.sqrt(metrics["euclidean_squared"])
    return note_of_straight(bends, metrics[ARC_LENGTH], distance, beside.path, beside.verdicts)


def _verdict_tags(verdicts: Verdicts) -> dict[str, str]:
    tags = {Tag.CONNECTED: verdicts.connected, Tag.CONNECTED_BY_ERROR: verdicts.by_error}
    if verdicts.by_intervals is not None:
        tags[Tag.CONNECTED_INTERVAL] = verdicts.answer_by_intervals
    return tags
