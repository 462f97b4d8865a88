"""Writes the lines that a command prints: its result in one line, a table of its numbers, the command to type next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmc_mlflow.terminal.closing import browse_lines, next_step
from lmc_mlflow.terminal.hints import retyped
from lmc_mlflow.terminal.numbers import score_of, share, with_interval, words
from lmc_mlflow.terminal.style import paint, paint_verdict, table

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
    from lmc_mlflow.workflows.report.report import ReportOutcome
    from lmc_mlflow.workflows.star.star import StarOutcome
    from lmc_mlflow.workflows.trajectory.trajectory import TrajectoryOutcome

REPORT = "see it beside your other runs and the papers"
MOST_CONDITIONS = 10
"""Conditions that the terminal shows of a report."""
SEGMENTS = {"star_source": "star to source", "star_held_out": "star to held out", "regular": "regular"}
"""Kinds of segment of a star -> words."""
EDGES = ("ab", "ac", "bc")


def pairs_lines(outcomes: list[PairOutcome]) -> list[str]:
    """Return the lines for one or several trained pairs."""
    from lmc_mlflow.workflows.pair.shift_test import shift_sentence

    first = outcomes[0]
    rows = []
    for outcome in outcomes:
        seed = f"{outcome.name.split()[0]} " if len(outcomes) > 1 else ""
        for side, metrics in outcome.sides.items():
            score = score_of(metrics)
            own = [f"{metrics[f'test/{score}']:.2%}", f"{metrics['test/loss']:.4f}", f"{metrics['train/loss']:.4f}"]
            rows.append([f"{seed}side {side}", *own, outcome.endpoints[side]])
    header = ["", f"test {words(score_of(first.sides['A']))}", "test loss", "training loss", "run"]
    shift = shift_sentence(first.metrics).strip()
    whose = "its" if len(outcomes) == 1 else "the first pair's"
    return [
        "\n".join(f"pair {o.run_id} ({o.how}): {o.name}" for o in outcomes),
        *table(header, rows),
        *([f"  {shift}"] if shift else []),
        *next_step(f"measure the path between {whose} two networks", "interpolate", pair=first.run_id),
        *browse_lines(first.experiment_id, first.run_id),
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
    for before, label in (("", ""), ("unaligned/", ", not aligned")):
        for split in ("test", "train_a", "train_b", "unseen"):
            if f"{before}{split}/barrier" in metrics:
                cells = [with_interval(metrics, f"{before}{split}/{name}") for name in names]
                rows.append([f"{split}{label}", *cells])
    lines += table(header, rows)
    angle = f"  angle {metrics['angle_deg']:.1f} degrees"
    if "unaligned/angle_deg" in metrics:
        angle += f", {metrics['unaligned/angle_deg']:.1f} not aligned"
    lines.append(f"{angle}; two random initializations {metrics['angle_reference_deg']:.1f}")
    if outcome.pair and score == "accuracy":
        lines += next_step("score the ensemble of points of this path", "ensemble", pair=outcome.pair)
    else:
        lines += next_step(REPORT, "report")
    return lines + browse_lines(outcome.experiment_id, outcome.run_id)


def align_lines(outcome: AlignOutcome) -> list[str]:
    """Return the lines for an alignment."""
    metrics, rows = outcome.metrics, []
    for key in ("objective", "angle_deg", "angle_weights_deg"):
        before = metrics["objective_before" if key == "objective" else f"unaligned/{key}"]
        after = metrics["objective_after" if key == "objective" else key]
        rows.append([words(key), f"{before:.5g}", f"{after:.5g}"])
    lines = [f"alignment {outcome.run_id}: {outcome.name}", *table(["", "before", "aligned"], rows)]
    if not outcome.converged:
        lines.append("  the permutation still changed in the last sweep: give a higher max_sweeps")
    ends = {"run_a": outcome.run_a, "run_b": outcome.run_id}
    lines += next_step("measure the path to the aligned network", "interpolate", **ends)
    return lines + browse_lines(outcome.experiment_id, outcome.run_id)


def ensemble_lines(outcome: EnsembleOutcome) -> list[str]:
    """Return the lines for an ensemble."""
    from lmc_mlflow.workflows.ensemble.ensemble import SHOWN

    scores = [(name, outcome.scores[name]) for name in SHOWN]
    rows = [[words(name), *(share(name, value) for value in (s.value, s.low, s.high))] for name, s in scores]
    return [
        f"ensemble {outcome.run_id}: {outcome.name}",
        f"  {outcome.num_members} members, {outcome.num_kept} of them predicted before",
        *table(["", "score", "low", "high"], rows),
        *next_step(REPORT, "report"),
        *browse_lines(outcome.experiment_id, outcome.run_id),
    ]


def prune_lines(outcomes: list[PruneOutcome]) -> list[str]:
    """Return the lines for pruned networks."""
    rows = []
    for o in outcomes:
        keys = sorted(key for key in o.metrics if key.startswith("units/"))
        units = [f"{o.metrics[key.replace('units/', 'units_before/')]:.0f} to {o.metrics[key]:.0f}" for key in keys]
        told = [
            f"{share(n, o.metrics[f'test/{n}_before'])} to {share(n, o.metrics[f'test/{n}'])}"
            for n in ("loss", score_of(o.metrics))
        ]
        rows.append([o.run_id, ", ".join(units), *told])
    last = outcomes[-1]
    return [
        "\n".join(f"pruned {o.run_id} ({o.how}): {o.name}" for o in outcomes),
        *table(["run", "units", "test loss", f"test {words(score_of(last.metrics))}"], rows),
        *next_step(REPORT, "report"),
        *browse_lines(last.experiment_id, last.run_id),
    ]


def trajectory_lines(outcome: TrajectoryOutcome) -> list[str]:
    """Return the lines for a trajectory."""
    names = [name for name in ("loss", "accuracy", "average_precision") if f"test/{name}_start" in outcome.metrics]
    labels = {"start": "start", "last": "last epoch", "swa": "average (SWA)"}
    rows = [[label, *(share(n, outcome.metrics[f"test/{n}_{key}"]) for n in names)] for key, label in labels.items()]
    return [
        f"trajectory {outcome.run_id} ({outcome.how}): {outcome.name}",
        *table(["network", *(f"test {words(name)}" for name in names)], rows),
        f"  its networks are the endpoint runs with {outcome.query}",
        *next_step("measure every pair of its networks", "matrix", query=outcome.query),
        *browse_lines(outcome.experiment_id, outcome.run_id),
    ]


def star_lines(outcome: StarOutcome) -> list[str]:
    """Return the lines for a star."""
    from lmc_mlflow.predictions.scores import SCORE_NAMES

    metrics, rows = outcome.metrics, []
    for kind, label in SEGMENTS.items():
        key = f"{kind}/test/barrier_over_chord"
        if key in metrics:
            rows.append([label, f"{metrics[key]:.4f}", f"{metrics[f'{key}_max']:.4f}"])
    scores = [f"{score}/{name}" for score in SCORE_NAMES for name in ("star", "sources", "held_out", "ensemble")]
    return [
        f"star {outcome.run_id} ({outcome.how}): {outcome.name}",
        f"  a star: {paint_verdict(outcome.verdict)}",
        *table(["segments", "barrier over the chord", "largest"], rows),
        *table(["networks", "test score"], [[key, f"{metrics[key]:.4f}"] for key in scores if key in metrics]),
        *next_step("average predictions over its segments", "ensemble", star=outcome.run_id),
        *browse_lines(outcome.experiment_id, outcome.run_id),
    ]


def matrix_lines(outcome: MatrixOutcome) -> list[str]:
    """Return the lines for a matrix."""
    keys = ("num_pairs", "num_constant", "share_connected", "threshold", "num_clusters", "mean_barrier", "max_barrier")
    rows = [[words(key), f"{outcome.metrics[key]:.4g}"] for key in keys if key in outcome.metrics]
    lines = [f"matrix {outcome.run_id} ({outcome.how}): {outcome.name}", *table(["", "value"], rows)]
    if outcome.candidate:
        lines.append(f"  star candidate: {outcome.candidate}")
    ids = dict(zip(("run_a", "run_b", "run_c"), outcome.networks, strict=False))
    if len(ids) == 3:
        lines += next_step("draw the loss on the plane through the first three", "plane", **ids)
    else:
        lines += next_step("measure the path between the two", "interpolate", **ids)
    return lines + browse_lines(outcome.experiment_id, outcome.run_id)


def plane_lines(outcome: Outcome) -> list[str]:
    """Return the lines for a plane."""
    metrics, rows = outcome.metrics, []
    for panel in ("", "unaligned/"):
        for edge in EDGES:
            if f"{panel}{edge}/barrier" in metrics:
                own = [metrics[f"{panel}{edge}/{name}"] for name in ("barrier", "barrier_over_chord", "error_barrier")]
                label = f"{edge[0]} to {edge[1]}".upper().replace("TO", "to")
                rows.append([label + (", not aligned" if panel else ""), *(f"{value:.4f}" for value in own)])
    return [
        f"plane {outcome.run_id} ({outcome.how}): {outcome.name}",
        *table(["edge", "barrier", "barrier over the chord", "error barrier"], rows),
        *next_step(REPORT, "report"),
        *browse_lines(outcome.experiment_id, outcome.run_id),
    ]


def experiment_lines(outcome: ExperimentOutcome) -> list[str]:
    """Return the lines for the comparison of two paths."""
    from lmc_mlflow.workflows.experiment import COLUMNS, LABELS

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


def report_lines(outcome: ReportOutcome) -> list[str]:
    """Return the lines for a report."""
    mine = outcome.mine
    lines = [f"report {outcome.report}: {mine.summary.replace('**', '')}"]
    rows = [[one.label, one.between, str(one.num_seeds), one.verdict] for one in mine.conditions]
    if rows:
        lines += table(["condition", "between", "seeds", "verdict"], rows[:MOST_CONDITIONS])
    if len(rows) > MOST_CONDITIONS:
        lines.append(f"  and {len(rows) - MOST_CONDITIONS} more conditions")
    lines.append(f"  {outcome.headline.replace('**', '')}")
    lines += [f"  {path}" for path in outcome.written]
    if mine.command:
        lines += ["next: measure what is missing", f"  {paint(retyped(mine.command), 'bold')}"]
    elif outcome.written:
        lines += next_step("copy the runs behind it to another store", "export", out="runs.zip")
    else:
        lines += next_step("write it into a folder, with its figures", "report", out="report")
    return lines + browse_lines(outcome.experiment_id, outcome.report)


def sweep_lines(outcome: SweepOutcome) -> list[str]:
    """Return the lines for a sweep; of a dry run, the command that runs it is the last of its own lines."""
    if not outcome.run:
        return list(outcome.lines)
    return [*outcome.lines, *next_step(REPORT, "report"), *browse_lines(outcome.experiment_id, outcome.run)]
