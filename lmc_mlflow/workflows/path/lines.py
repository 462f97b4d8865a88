"""Writes the lines that interpolate prints: its result, a table of its numbers, the command to type next."""

import math

from lmc_mlflow.config.commands import InterpolateConfig
from lmc_mlflow.contract import STRAIGHT, UNALIGNED
from lmc_mlflow.terminal.closing import REPORT, browse_lines, next_step
from lmc_mlflow.terminal.numbers import with_interval, words
from lmc_mlflow.terminal.style import paint, paint_verdict, table
from lmc_mlflow.workflows.path.by_epoch.over_epochs import EpochsOutcome, interpolate_epochs
from lmc_mlflow.workflows.path.by_layer.interpolate_layers import LayersOutcome, interpolate_layers
from lmc_mlflow.workflows.path.by_layer.results import WHOLE, percent, top_of, top_sentence
from lmc_mlflow.workflows.path.interpolate import interpolate
from lmc_mlflow.workflows.path.log_paths import PathOutcome
from lmc_mlflow.workflows.path.repeated import repeated_sentence
from lmc_mlflow.workflows.path.results import ARC_LENGTH


def measured_lines(config: InterpolateConfig) -> list[str]:
    """Measure what a configuration asks for, and return the lines to print."""
    if config.by_layer.layers:
        return layer_lines(interpolate_layers(config))
    return epoch_lines(interpolate_epochs(config)) if config.by_epoch.epochs else path_lines(interpolate(config))


def layer_lines(outcome: LayersOutcome) -> list[str]:
    """Return the lines for paths layer by layer."""
    rows = []
    for row in outcome.rows:
        number = "" if row["mode"] == WHOLE else str(row["number"])
        shares = [percent(row[name]) for name in ("share", "contribution")]
        rows.append([row["mode"], number, row["layer"], with_interval(row, "barrier"), *shares])
    moving = [row for row in outcome.rows if row["mode"] != WHOLE]
    top = top_of([row for row in moving if row["mode"] == moving[0]["mode"]])
    return [
        f"paths by layer {outcome.run_id} ({outcome.how}): {outcome.name}",
        f"  {paint(top_sentence(top), 'bold')}",
        *table(["moves", "number", "layer", f"{outcome.split} barrier", "share", "contribution"], rows),
        *next_step(REPORT, "report"),
        *browse_lines(outcome.experiment_id, outcome.run_id),
    ]


def epoch_lines(outcome: EpochsOutcome) -> list[str]:
    """Return the lines for the paths between the kept epochs of a pair."""
    other = f"{UNALIGNED}barrier"
    rows = [
        [
            str(row["epoch"]),
            *(f"{row[name]:.4f}" for name in ("barrier", "barrier_in_basin")),
            f"{row['angle_deg']:.1f}",
            paint_verdict(row["connected"]),
            *([f"{row[other]:.4f}"] if other in row else []),
        ]
        for row in outcome.rows
    ]
    header = ["epoch", f"{outcome.split} barrier", "in basin", "angle (degrees)", "connected"]
    header += ["barrier, not aligned"] if other in outcome.rows[0] else []
    return [
        f"paths by epoch {outcome.run_id}: {outcome.name}",
        *table(header, rows),
        *next_step("see the trained networks' path with intervals", "interpolate", pair=outcome.pair),
        *browse_lines(outcome.experiment_id, outcome.run_id),
    ]


def path_lines(outcome: PathOutcome) -> list[str]:
    """Return the lines for a measured path."""
    by_interval, metrics = outcome.connected_interval, outcome.metrics
    lines = [
        f"path {outcome.run_id}: {outcome.name}, connected: {paint_verdict(outcome.connected)}",
        f"  connected: {paint_verdict(outcome.connected)} ({outcome.decided_by})",
        *([f"  connected by interval: {by_interval}"] if by_interval else []),
        f"  connected by error: {paint_verdict(outcome.connected_by_error)} ({outcome.decided_by_error})",
    ]
    score = "accuracy" if any(key.endswith("/accuracy_delta") for key in metrics) else "average_precision"
    header = ["split", "barrier", "barrier in basin", f"{words(score)} delta", "error barrier"]
    names = ("barrier", "barrier_in_basin", f"{score}_delta", "error_barrier")
    rows = []
    splits = [key.removesuffix("/barrier") for key in metrics if key.endswith("/barrier") and key.count("/") == 1]
    for before, label in (("", ""), (UNALIGNED, ", not aligned"), (STRAIGHT, ", straight")):
        for split in (split for split in splits if f"{before}{split}/barrier" in metrics):
            cells = [with_interval(metrics, f"{before}{split}/{name}") for name in names]
            rows.append([f"{split}{label}", *cells])
    lines += table(header, rows)
    angle = f"  angle {metrics['angle_deg']:.1f} degrees"
    if "unaligned/angle_deg" in metrics:
        angle += f", {metrics['unaligned/angle_deg']:.1f} not aligned"
    if ARC_LENGTH in metrics:
        distance = math.sqrt(metrics["euclidean_squared"])
        lines.append(f"  the curve is {metrics[ARC_LENGTH]:.2f} long (L2), its ends {distance:.2f} apart")
    lines.append(f"{angle}; two random initializations {metrics['angle_reference_deg']:.1f}")
    lines += [f"  {said}"] if (said := repeated_sentence(metrics)) else []
    return [*lines, *_next(outcome, score), *browse_lines(outcome.experiment_id, outcome.run_id)]


def _next(outcome: PathOutcome, score: str) -> list[str]:
    """Write the next step: why there is a barrier, or else the ensemble of the path's points."""
    if score != "accuracy":
        return next_step(REPORT, "report")
    if ARC_LENGTH in outcome.metrics:
        return next_step("score the ensemble of points of this curve", "ensemble", curve=outcome.run_id)
    if outcome.connected != "yes":
        ends = {"pair": outcome.pair} if outcome.pair else {"run_a": outcome.run_a, "run_b": outcome.run_b}
        return next_step("find out why there is a barrier", "diagnose", **ends)
    if outcome.pair:
        return next_step("score the ensemble of points of this path", "ensemble", pair=outcome.pair)
    return next_step(REPORT, "report")
