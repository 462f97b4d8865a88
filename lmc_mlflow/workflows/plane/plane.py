"""Measures the loss over the plane through three logged networks, and logs it."""

from typing import Any

from tqdm import tqdm

from lmc_mlflow.config.alignment import NONE
from lmc_mlflow.config.canonical import to_params
from lmc_mlflow.config.commands import PlaneConfig
from lmc_mlflow.contract import Kind, Tag, tag
from lmc_mlflow.models.parameters import trainable
from lmc_mlflow.paths.plane import Plane, join_rows
from lmc_mlflow.paths.points import BN_POLICIES
from lmc_mlflow.predictions.scores import score_name
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.tracking.connection.store import beside, open_store
from lmc_mlflow.workers.spread import Workers, in_order
from lmc_mlflow.workflows.adopt.given import with_runs
from lmc_mlflow.workflows.alignment.find_alignment import find_symmetry
from lmc_mlflow.workflows.lifecycle.devices import share_work
from lmc_mlflow.workflows.lifecycle.outcome import FINISHED_BEFORE, Outcome
from lmc_mlflow.workflows.lifecycle.progress import Arrays, Progress, save_when_stopped
from lmc_mlflow.workflows.lifecycle.run_once import RunStart, run_once
from lmc_mlflow.workflows.networks.dataset_inputs import log_data, measured_images
from lmc_mlflow.workflows.networks.network_group import identity_of, labels_of, load_compatible, load_material
from lmc_mlflow.workflows.networks.run_names import group_run_name
from lmc_mlflow.workflows.networks.tags import joined_tags
from lmc_mlflow.workflows.plane.measurer import EDGES, Matchings, MeasuredCorners, PlaneMeasurer, PlaneTask
from lmc_mlflow.workflows.plane.results import ALIGNED, AS_LOGGED, UNALIGNED, Panel, log_plane
from lmc_mlflow.workflows.plane.row_arrays import pack, unpack

CORNERS = ("run_a", "run_b", "run_c")


def plane(config: PlaneConfig) -> Outcome:
    """Measure loss and score over the plane through three logged networks and log it as a run.

    A finished plane is not measured again, an interrupted one is resumed.

    Raises:
        ValueError: a run, checkpoint, network or data set that cannot be used, or three networks on one line.
        StoreError: the tracking store cannot be used.
    """
    work = share_work(config.runtime, config.sharing)
    config = with_runs(config, "corners", ("run_a", "run_b", "run_c"))
    store = open_store()
    corners = config.corners
    networks = load_compatible(store, (corners.run_a, corners.run_b, corners.run_c))
    store = beside(store, networks[0].run.info.experiment_id)
    a, b, c = (network.state for network in networks)
    Plane.through((a, b, c), trainable(networks[0].network()))
    with run_once(store, Kind.PLANE, identity_of(config, networks, CORNERS), corners.force) as wanted:
        if wanted.finished is not None:
            return Outcome.of(wanted.finished, FINISHED_BEFORE)
        symmetry = None if config.surface.align == NONE else find_symmetry(networks[0])
        needs_images = BN_POLICIES[config.surface.bn].needs_images
        split = config.surface.split
        material = load_material(store, networks, split, corners.data_root, work.device, needs_images)
        labels = labels_of(networks)
        name = group_run_name("plane", networks, "" if symmetry is None else config.surface.align)
        first_file = ("corners.txt", "\n".join(network.run.info.run_id for network in networks))
        run = wanted.open(RunStart(name, _tags(config, networks), to_params(config), first_file))
        log_data(run, {split: measured_images(networks[0], split, material.measured)})
        with work.workers(MeasuredCorners(config, tuple(networks), symmetry, material)) as workers:
            panels = _panels(config, workers, symmetry is not None, Progress(run))
        metrics = log_plane(run, config, panels, labels, score_name(material.measured.labels))
    return Outcome(run.run_id, name, wanted.how("measured"), metrics, run.experiment_id)


def _panels(config: PlaneConfig, workers: Workers[PlaneMeasurer], aligns: bool, progress: Progress) -> dict[str, Panel]:
    """Measure the plane through the networks as they are, and if they are aligned the one through them aligned."""
    known = progress.known()
    with save_when_stopped(progress):
        if not aligns:
            return {AS_LOGGED: _measure(config, workers, AS_LOGGED, None, (known, progress))}
        unaligned = _measure(config, workers, UNALIGNED, None, (known, progress))
        to_b, to_c = in_order(workers.map(PlaneMeasurer.alignment, (1, 2)))
        return {UNALIGNED: unaligned, ALIGNED: _measure(config, workers, ALIGNED, (to_b, to_c), (known, progress))}


def _measure(
    config: PlaneConfig,
    workers: Workers[PlaneMeasurer],
    panel: str,
    matchings: Matchings | None,
    kept: tuple[Arrays, Progress],
) -> Panel:
    """Measure one plane and the edges of its triangle, but for the rows that an interrupted process has."""
    known, progress = kept
    settings = config.surface
    rows = unpack(panel, known)
    left = [PlaneTask(matchings, index) for index in range(settings.num_points) if index not in rows]
    found = workers.map(PlaneMeasurer.row, left)
    options: dict[str, Any] = {"initial": len(rows), "total": settings.num_points}
    for place, row in tqdm(found, desc="plane", unit="row", leave=False, disable=None, **options):
        index = left[place].index
        rows[index] = row
        progress.add(pack(panel, index, row))
    (plane,) = in_order(workers.map(PlaneMeasurer.plane, [PlaneTask(matchings)]))
    surface = join_rows(plane, (settings.num_points, settings.margin), rows)
    edges = in_order(workers.map(PlaneMeasurer.edge, [PlaneTask(matchings, index) for index in range(len(EDGES))]))
    metrics: dict[str, float] = {}
    for (name, _, _), path in zip(EDGES, edges, strict=True):
        summary = path.summaries[settings.split]
        metrics |= {
            f"{name}/{key}": getattr(summary, key) for key in ("barrier", "barrier_over_chord", "error_barrier")
        }
        for corner, place in ((name[0], 0), (name[1], -1)):
            metrics[f"loss_{corner}"] = float(path.losses[settings.split][place])
            metrics[f"{path.score}_{corner}"] = float(path.scores[settings.split][place])
    metrics |= {f"length_{name}": _length(surface.plane, i, j) for name, i, j in EDGES}
    return Panel(surface, metrics)


def _length(plane: Plane, i: int, j: int) -> float:
    places = list(plane.points().values())
    (left, low), (right, high) = places[i], places[j]
    return float(((left - right) ** 2 + (low - high) ** 2) ** 0.5)


def _tags(config: PlaneConfig, networks: list[LoggedNetwork]) -> dict[str, str]:
    ids = {tag(f"run_{name}"): network.run.info.run_id for name, network in zip("abc", networks, strict=True)}
    own = {Tag.ALIGN: config.surface.align, Tag.BN: config.surface.bn}
    return joined_tags(networks) | ids | own
