"""Logs a plane through three networks: table, points, figure and description."""

from dataclasses import dataclass

import pandas as pd

from lmc_mlflow.config.commands import PlaneConfig
from lmc_mlflow.contract import HEADLINE, Tag
from lmc_mlflow.paths.plane import Surface
from lmc_mlflow.plots.per_run.plane import plane_figure
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.plane.measurer import EDGES

AS_LOGGED, ALIGNED, UNALIGNED = "as logged", "aligned", "unaligned"


@dataclass(frozen=True)
class Panel:
    """One plane with the paths along the edges of its triangle.

    Attributes:
        surface: loss and score over the plane.
        metrics: of the three networks, the triangle's centre and its edges.
    """

    surface: Surface
    metrics: dict[str, float]


def log_plane(
    run: TrackedRun, config: PlaneConfig, panels: dict[str, Panel], labels: list[str], score: str
) -> dict[str, float]:
    """Log everything, and give the metrics; those of the plane before the alignment have the prefix `unaligned/`."""
    metrics = {
        f"{'unaligned/' if name == UNALIGNED else ''}{key}": value
        for name, panel in panels.items()
        for key, value in panel.metrics.items()
    }
    metrics[HEADLINE] = _highest(list(panels.values())[-1])[0]
    run.log_once(metrics)
    table = pd.concat([plane_table(panel.surface, name, score) for name, panel in panels.items()], ignore_index=True)
    points = {name: panel.surface.plane.points() for name, panel in panels.items()}
    run.log_text(table.to_csv(index=False), "plane.csv")
    run.log_json(
        {panel: {name: list(place) for name, place in p.items()} for panel, p in points.items()}, "points.json"
    )
    title = f"Plane through run_a ({labels[0]}), run_b ({labels[1]}), run_c ({labels[2]}), {config.surface.split} data"
    run.log_figure(plane_figure(table, points, title), "figures/plane.png")
    run.set_tags({Tag.ENGINE: next(iter(panels.values())).surface.engine})
    run.describe(_description(config, panels, labels))
    return metrics


def plane_table(surface: Surface, panel: str, score: str) -> pd.DataFrame:
    """Make the content of `plane.csv`: one row a point."""
    rows = []
    for i, y in enumerate(surface.ys):
        for j, x in enumerate(surface.xs):
            of_a, of_b, of_c = surface.plane.shares(x, y)
            place = {"panel": panel, "x": x, "y": y, "weight_a": of_a, "weight_b": of_b, "weight_c": of_c}
            rows.append({**place, "loss": surface.losses[i, j], score: surface.scores[i, j]})
    return pd.DataFrame(rows)


def _highest(panel: Panel) -> tuple[float, str]:
    """Give the highest barrier over the chord among the three edges, and the edge."""
    return max((panel.metrics[f"{name}/barrier_over_chord"], f"{name[0]} to {name[1]}") for name, _, _ in EDGES)


def _description(config: PlaneConfig, panels: dict[str, Panel], labels: list[str]) -> str:
    head = list(panels)
    rows = [
        (f"barrier over the chord, {name[0].upper()} to {name[1].upper()}", f"{name}/barrier_over_chord")
        for name, _, _ in EDGES
    ]
    rows += [(f"distance, {name[0].upper()} to {name[1].upper()}", f"length_{name}") for name, _, _ in EDGES]
    lines = [
        f"| {text} | " + " | ".join(f"{panel.metrics[key]:.4g}" for panel in panels.values()) + " |"
        for text, key in rows
    ]
    table = "\n".join([f"| | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|", *lines])
    who = "; ".join(f"{name}: {label}" for name, label in zip("ABC", labels, strict=True))
    how = "recalibrated at every point" if config.surface.bn == "recalibrate" else "by barycentric weights, clipped"
    panel, last = list(panels.items())[-1]
    height, edge = _highest(last)
    first = (
        f"**Highest barrier over the chord {height:.4f}**, {edge.replace('a', 'A').replace('b', 'B').replace('c', 'C')}"
    )
    return f"{first}, {panel}.\n\n{table}\n\n{who}. On {config.surface.split} data; batch norm's statistics: {how}."
