"""What does the plane through three logged networks look like, and what is logged of it?"""

from dataclasses import dataclass

import pandas as pd
import torch

from lmc_mlflow.config.canonical import fingerprint, to_params
from lmc_mlflow.config.commands import PlaneConfig
from lmc_mlflow.config.sections.aligning import NONE
from lmc_mlflow.interpolation.barriers import alpha_grid
from lmc_mlflow.interpolation.path import walk
from lmc_mlflow.interpolation.plane import Corners, Plane, Surface, survey_plane
from lmc_mlflow.models.parameters import trainable
from lmc_mlflow.plots.plane import plane_figure
from lmc_mlflow.predictions.scores import score_name
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.rebasin import Symmetry
from lmc_mlflow.tracking.artifacts import TrackedRun
from lmc_mlflow.tracking.runs import ending, open_run, probe_artifacts
from lmc_mlflow.tracking.store import open_store
from lmc_mlflow.workflows.aligning import find_alignment, find_symmetry
from lmc_mlflow.workflows.machine import prepare_machine
from lmc_mlflow.workflows.path_ends import log_data
from lmc_mlflow.workflows.surveyed import Material, labels_of, load_fitting, load_material, shared_tags

EDGES = (("ab", 0, 1), ("ac", 0, 2), ("bc", 1, 2))
NUM_ALPHAS = 11
"""Points of an edge; 0.5 is among them."""
AS_LOGGED, ALIGNED, UNALIGNED = "as logged", "aligned", "unaligned"


@dataclass(frozen=True)
class PlaneOutcome:
    """A logged plane: its run and its numbers."""

    plane: str
    name: str
    metrics: dict[str, float]
    experiment_id: str


@dataclass(frozen=True)
class Drawn:
    """One plane with the paths along the edges of its triangle.

    Attributes:
        surface: loss and score over the plane.
        metrics: of the three networks, the triangle's centre and its edges.
    """

    surface: Surface
    metrics: dict[str, float]


def plane(config: PlaneConfig) -> PlaneOutcome:
    """Measure loss and accuracy over the plane through three logged networks and log it as a run.

    Raises:
        ValueError: a run, checkpoint, network or data set that cannot be used, or three networks on one line.
        StoreError: the tracking store cannot be used.
    """
    device = prepare_machine(config.runtime)
    store = open_store()
    corners = config.corners
    networks = load_fitting(store, (corners.run_a, corners.run_b, corners.run_c))
    Plane.through(_states(networks, torch.device("cpu")), trainable(networks[0].network()))
    symmetry = None if config.surface.align == NONE else find_symmetry(networks[0])
    material = load_material(
        store, networks, config.surface.split, corners.data_root, device, config.surface.bn == "recalibrate"
    )
    labels = labels_of(networks)
    name = f"plane {networks[0].config.data.dataset} {networks[0].config.model.model} through {'; '.join(labels)}"
    with ending() as keep:
        run = keep(open_run, store, "plane", name, _tags(config, networks))
        probe_artifacts(run, "\n".join(network.run.info.run_id for network in networks), "corners.txt")
        run.log_params(to_params(config))
        log_data(run, networks[0].config.data, {config.surface.split: material.measured})
        found = {UNALIGNED if symmetry else AS_LOGGED: _measure(config, networks, material, device)}
        if symmetry is not None:
            aligned = _aligned(config, networks, symmetry, material, device)
            found[ALIGNED] = _measure(config, aligned, material, device)
        metrics = _log(run, config, found, labels, score_name(material.measured.labels))
    return PlaneOutcome(run.run_id, name, metrics, run.experiment_id)


def _states(networks: list[LoggedNetwork], device: torch.device) -> Corners:
    a, b, c = ({name: value.to(device) for name, value in network.state.items()} for network in networks)
    return a, b, c


def _aligned(
    config: PlaneConfig, networks: list[LoggedNetwork], symmetry: Symmetry, material: Material, device: torch.device
) -> list[LoggedNetwork]:
    """The networks, B's and C's units in A's order."""
    a, *others = networks
    images = material.side(a)
    method, matching = config.surface.align, config.matching
    return [a, *(find_alignment((a, b), symmetry, method, matching, images, device).network for b in others)]


def _measure(config: PlaneConfig, networks: list[LoggedNetwork], material: Material, device: torch.device) -> Drawn:
    settings, states = config.surface, _states(networks, device)
    network = networks[0].network().to(device)
    split = {settings.split: (material.measured.images, material.measured.labels)}
    calibration = material.calibration(networks) if settings.bn == "recalibrate" else None
    grid = (settings.num_points, settings.margin)
    surface = survey_plane(network, states, grid, split, settings.bn, calibration)
    metrics: dict[str, float] = {}
    for name, i, j in EDGES:
        ends = (states[i], states[j])
        path = walk(network, ends, alpha_grid(NUM_ALPHAS), split, settings.bn, calibration)
        summary = path.summaries[settings.split]
        metrics |= {
            f"{name}/{key}": getattr(summary, key) for key in ("barrier", "barrier_over_chord", "error_barrier")
        }
        for corner, place in ((name[0], 0), (name[1], -1)):
            metrics[f"loss_{corner}"] = float(path.losses[settings.split][place])
            metrics[f"{path.score}_{corner}"] = float(path.scores[settings.split][place])
    metrics |= {f"length_{name}": _length(surface.plane, i, j) for name, i, j in EDGES}
    return Drawn(surface, metrics)


def _length(plane: Plane, i: int, j: int) -> float:
    places = list(plane.points().values())
    (left, low), (right, high) = places[i], places[j]
    return float(((left - right) ** 2 + (low - high) ** 2) ** 0.5)


def _log(
    run: TrackedRun, config: PlaneConfig, found: dict[str, Drawn], labels: list[str], score: str
) -> dict[str, float]:
    """Log everything; the metrics. Those of the plane before the alignment are prefixed `unaligned/`."""
    metrics = {
        f"{'unaligned/' if panel == UNALIGNED else ''}{key}": value
        for panel, drawn in found.items()
        for key, value in drawn.metrics.items()
    }
    run.log_metrics(metrics)
    table = pd.concat([plane_table(drawn.surface, panel, score) for panel, drawn in found.items()], ignore_index=True)
    points = {panel: drawn.surface.plane.points() for panel, drawn in found.items()}
    run.log_text(table.to_csv(index=False), "plane.csv")
    run.log_json(
        {panel: {name: list(place) for name, place in p.items()} for panel, p in points.items()}, "points.json"
    )
    title = f"Plane through A ({labels[0]}), B ({labels[1]}), C ({labels[2]}), {config.surface.split} data"
    run.log_figure(plane_figure(table, points, title), "figures/plane.png")
    run.set_tags({"lmc.engine": next(iter(found.values())).surface.engine})
    run.describe(_description(config, found, labels))
    run.seal()
    run.finish()
    return metrics


def plane_table(surface: Surface, panel: str, score: str) -> pd.DataFrame:
    """One row a point: the content of `plane.csv`."""
    rows = []
    for i, y in enumerate(surface.ys):
        for j, x in enumerate(surface.xs):
            of_a, of_b, of_c = surface.plane.shares(x, y)
            place = {"panel": panel, "x": x, "y": y, "weight_a": of_a, "weight_b": of_b, "weight_c": of_c}
            rows.append({**place, "loss": surface.losses[i, j], score: surface.scores[i, j]})
    return pd.DataFrame(rows)


def _tags(config: PlaneConfig, networks: list[LoggedNetwork]) -> dict[str, str]:
    ids = {f"lmc.run_{name}": network.run.info.run_id for name, network in zip("abc", networks, strict=True)}
    own = {"lmc.align": config.surface.align, "lmc.bn": config.surface.bn}
    digest = fingerprint(config, without=("run_a", "run_b", "run_c"))
    return shared_tags(networks) | ids | own | {"lmc.fingerprint": digest}


def _description(config: PlaneConfig, found: dict[str, Drawn], labels: list[str]) -> str:
    head = list(found)
    rows = [
        (f"barrier over the chord, {name[0].upper()} to {name[1].upper()}", f"{name}/barrier_over_chord")
        for name, _, _ in EDGES
    ]
    rows += [(f"distance, {name[0].upper()} to {name[1].upper()}", f"length_{name}") for name, _, _ in EDGES]
    lines = [
        f"| {text} | " + " | ".join(f"{drawn.metrics[key]:.4g}" for drawn in found.values()) + " |"
        for text, key in rows
    ]
    table = "\n".join([f"| | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|", *lines])
    who = "; ".join(f"{name}: {label}" for name, label in zip("ABC", labels, strict=True))
    how = "recalibrated at every point" if config.surface.bn == "recalibrate" else "by barycentric weights, clipped"
    return f"{table}\n\n{who}. On {config.surface.split} data; batch norm's statistics: {how}."
