"""Writes the lines that a command prints at its end: its results, and the command to type next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmc_mlflow.tracking.links import run_link, tracking_uri, ui_command, view_link

if TYPE_CHECKING:  # a command loads its own workflow, not those of all others
    from lmc_mlflow.sweeps.sweep import SweepOutcome
    from lmc_mlflow.workflows.alignment.align import AlignOutcome
    from lmc_mlflow.workflows.ensemble.ensemble import EnsembleOutcome
    from lmc_mlflow.workflows.experiment import ExperimentOutcome
    from lmc_mlflow.workflows.lifecycle.outcome import Outcome
    from lmc_mlflow.workflows.matrix.matrix import MatrixOutcome
    from lmc_mlflow.workflows.pair.train_pair import PairOutcome
    from lmc_mlflow.workflows.path.interpolate import PathOutcome
    from lmc_mlflow.workflows.prune.prune import PruneOutcome
    from lmc_mlflow.workflows.repair import RepairOutcome
    from lmc_mlflow.workflows.report.report import ReportOutcome
    from lmc_mlflow.workflows.star.star import StarOutcome
    from lmc_mlflow.workflows.trajectory.trajectory import TrajectoryOutcome


def pair_lines(outcome: PairOutcome) -> list[str]:
    """Return the lines for a trained pair."""
    return [
        f"pair {outcome.run_id} ({outcome.how})",
        f"  side A {outcome.endpoints['A']}",
        f"  side B {outcome.endpoints['B']}",
        "measure the path between its endpoints:",
        f"  mlflow run . --env-manager local -e interpolate -P pair={outcome.run_id}",
        *_browse(outcome.experiment_id, outcome.run_id),
    ]


def pairs_lines(outcomes: list[PairOutcome]) -> list[str]:
    """Return the lines for one or several trained pairs."""
    if len(outcomes) == 1:
        return pair_lines(outcomes[0])
    lines = [f"pair {o.run_id} ({o.how}), sides {o.endpoints['A']} {o.endpoints['B']}" for o in outcomes]
    return [*lines, *_browse(outcomes[0].experiment_id, outcomes[0].run_id)]


def path_lines(outcome: PathOutcome) -> list[str]:
    """Return the lines for a measured path."""
    lines = [f"path {outcome.run_id}: {outcome.name}", f"  connected: {outcome.connected}"]
    if outcome.connected_interval:
        lines.append(f"  connected by interval: {outcome.connected_interval}")
    lines.append(f"  connected by error: {outcome.connected_by_error}")
    for key in (
        "test/barrier",
        "test/barrier_error_bound",
        "test/barrier_in_basin",
        "test/accuracy_delta",
        "test/average_precision_delta",
        "test/error_barrier",
        "angle_deg",
        "unaligned/test/barrier",
        "unaligned/test/barrier_in_basin",
        "unaligned/test/accuracy_delta",
        "unaligned/test/average_precision_delta",
        "unaligned/angle_deg",
    ):
        if key in outcome.metrics:
            lines.append(f"  {key}: {outcome.metrics[key]:.4g}")
    return lines + _browse(outcome.experiment_id, outcome.run_id)


def align_lines(outcome: AlignOutcome) -> list[str]:
    """Return the lines for an alignment."""
    lines = [f"alignment {outcome.run_id}: {outcome.name}"]
    if not outcome.converged:
        lines.append("  the permutation still changed in the last sweep: give a higher max_sweeps")
    for key in ("objective", "angle_deg", "angle_weights_deg"):
        before = outcome.metrics["objective_before" if key == "objective" else f"unaligned/{key}"]
        after = outcome.metrics["objective_after" if key == "objective" else key]
        lines.append(f"  {key}: {before:.5g} before, {after:.5g} aligned")
    return [
        *lines,
        "measure the path to the aligned network:",
        f"  mlflow run . --env-manager local -e interpolate -P run_a={outcome.run_a} -P run_b={outcome.run_id}",
        *_browse(outcome.experiment_id, outcome.run_id),
    ]


def ensemble_lines(outcome: EnsembleOutcome) -> list[str]:
    """Return the lines for an ensemble."""
    from lmc_mlflow.workflows.ensemble.ensemble import SHOWN

    lines = [
        f"ensemble {outcome.run_id}: {outcome.name}",
        f"  {outcome.num_members} members, {outcome.num_kept} of them predicted before",
    ]
    for name in SHOWN:
        score = outcome.scores[name]
        lines.append(f"  {name}: {score.value:.4f} ({score.low:.4f} to {score.high:.4f})")
    return lines + _browse(outcome.experiment_id, outcome.run_id)


def prune_lines(outcomes: list[PruneOutcome]) -> list[str]:
    """Return the lines for pruned networks."""
    lines = []
    for o in outcomes:
        lines.append(f"pruned {o.run_id} ({o.how}): {o.name}")
        units = ", ".join(
            f"{o.metrics[key.replace('units/', 'units_before/')]:.0f} to {o.metrics[key]:.0f}"
            for key in sorted(o.metrics)
            if key.startswith("units/")
        )
        lines.append(f"  units {units}; test loss {o.metrics['test/loss_before']:.4f} to {o.metrics['test/loss']:.4f}")
    return [*lines, *_browse(outcomes[-1].experiment_id, outcomes[-1].run_id)]


def trajectory_lines(outcome: TrajectoryOutcome) -> list[str]:
    """Return the lines for a trajectory."""
    lines = [f"trajectory {outcome.run_id} ({outcome.how}): {outcome.name}"]
    lines += [f"  {name}: {value:.4g}" for name, value in sorted(outcome.metrics.items()) if name.startswith("test/")]
    lines += [f"  average {outcome.average}", "its networks are the endpoint runs with", f"  {outcome.query}"]
    return lines + _browse(outcome.experiment_id, outcome.run_id)


def star_lines(outcome: StarOutcome) -> list[str]:
    """Return the lines for a star."""
    from lmc_mlflow.predictions.scores import SCORE_NAMES

    lines = [f"star {outcome.run_id} ({outcome.how}): {outcome.name}", f"  a star: {outcome.verdict}"]
    for kind in ("star_source", "star_held_out", "regular"):
        key = f"{kind}/test/barrier_over_chord"
        if key in outcome.metrics:
            lines.append(f"  {key}: {outcome.metrics[key]:.4g} (largest {outcome.metrics[f'{key}_max']:.4g})")
    scores = [f"{score}/{name}" for score in SCORE_NAMES for name in ("star", "sources", "held_out", "ensemble")]
    lines += [f"  {key}: {outcome.metrics[key]:.4f}" for key in scores if key in outcome.metrics]
    return [
        *lines,
        "average predictions over its segments:",
        f"  mlflow run . --env-manager local -e ensemble -P star={outcome.run_id}",
        *_browse(outcome.experiment_id, outcome.run_id),
    ]


def matrix_lines(outcome: MatrixOutcome) -> list[str]:
    """Return the lines for a matrix."""
    lines = [f"matrix {outcome.run_id} ({outcome.how}): {outcome.name}"]
    for key in ("num_pairs", "num_constant", "share_connected", "num_clusters", "mean_barrier", "max_barrier"):
        if key in outcome.metrics:
            lines.append(f"  {key}: {outcome.metrics[key]:.4g}")
    if outcome.candidate:
        lines.append(f"  star candidate: {outcome.candidate}")
    return lines + _browse(outcome.experiment_id, outcome.run_id)


def plane_lines(outcome: Outcome) -> list[str]:
    """Return the lines for a plane."""
    lines = [f"plane {outcome.run_id} ({outcome.how}): {outcome.name}"]
    lines += [f"  {k}: {v:.4g}" for k, v in outcome.metrics.items() if k.endswith("/barrier_over_chord")]
    return lines + _browse(outcome.experiment_id, outcome.run_id)


def experiment_lines(outcome: ExperimentOutcome) -> list[str]:
    """Return the lines for the comparison of two paths."""
    return [outcome.table, *_browse(outcome.experiment_id, outcome.run)]


def repair_lines(outcome: RepairOutcome) -> list[str]:
    """Return the lines for the runs of dead processes."""
    lines = [
        f"{o.kind} {o.run_id} {o.name}: process {o.pid} on {o.host}, last heartbeat {o.heartbeat}"
        for o in outcome.orphans
    ]
    if not lines:
        return [f"no run was left RUNNING by a dead process ({outcome.num_alive} alive)"]
    what = "ended as KILLED" if outcome.ended else "dead; end them with -P apply=true"
    return [*lines, f"{len(lines)} runs {what}; {outcome.num_alive} alive and left alone"]


def report_lines(outcome: ReportOutcome) -> list[str]:
    """Return the lines for a report."""
    lines = [f"report {outcome.report}", f"  {outcome.headline.replace('**', '')}", f"  {outcome.answer}"]
    lines += [f"  {path}" for path in outcome.written]
    return [*lines, *_browse(outcome.experiment_id, outcome.report)]


def sweep_lines(outcome: SweepOutcome) -> list[str]:
    """Return the lines for a sweep."""
    return [*outcome.lines, *(_browse(outcome.experiment_id, outcome.run) if outcome.run else [])]


def _browse(experiment_id: str, run_id: str) -> list[str]:
    """Return the lines that say where to look at a run."""
    uri = tracking_uri()
    command = ui_command(uri)
    start = [f"  {command}"] if command else []
    return [
        "browse:",
        *start,
        f"  this run   {run_link(uri, experiment_id, run_id)}",
        f"  all runs   {view_link(uri, experiment_id)}",
    ]
