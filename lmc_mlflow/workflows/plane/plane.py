"""Measures the loss over the plane through three logged networks, and logs it."""

import torch

from lmc_mlflow.alignment import Symmetry
from lmc_mlflow.config.alignment import NONE
from lmc_mlflow.config.canonical import to_params
from lmc_mlflow.config.commands import PlaneConfig
from lmc_mlflow.contract import Kind, Tag, tag
from lmc_mlflow.models.parameters import trainable
from lmc_mlflow.paths.barriers import alpha_grid
from lmc_mlflow.paths.curves import Corners, Segment
from lmc_mlflow.paths.plane import Plane, join_rows, measure_rows
from lmc_mlflow.paths.points import BN_POLICIES
from lmc_mlflow.paths.walk import measure_path
from lmc_mlflow.predictions.scores import score_name
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.tracking.connection.store import beside, open_store
from lmc_mlflow.workflows.alignment.find_alignment import find_alignment, find_symmetry
from lmc_mlflow.workflows.lifecycle.machine import prepare_machine
from lmc_mlflow.workflows.lifecycle.outcome import FINISHED_BEFORE, Outcome
from lmc_mlflow.workflows.lifecycle.progress import Arrays, Progress, save_when_stopped
from lmc_mlflow.workflows.lifecycle.run_once import RunStart, run_once
from lmc_mlflow.workflows.networks.dataset_inputs import log_data, measured_images
from lmc_mlflow.workflows.networks.network_group import Material, identity_of, labels_of, load_compatible, load_material
from lmc_mlflow.workflows.networks.run_names import group_run_name
from lmc_mlflow.workflows.networks.tags import joined_tags
from lmc_mlflow.workflows.plane.results import ALIGNED, AS_LOGGED, EDGES, UNALIGNED, Panel, log_plane
from lmc_mlflow.workflows.plane.row_arrays import pack, unpack

CORNERS = ("run_a", "run_b", "run_c")
NUM_ALPHAS = 11
"""Points of an edge; 0.5 is among them."""


def plane(config: PlaneConfig) -> Outcome:
    """Measure loss and score over the plane through three logged networks and log it as a run.

    A finished plane is not measured again, an interrupted one is resumed.

    Raises:
        ValueError: a run, checkpoint, network or data set that cannot be used, or three networks on one line.
        StoreError: the tracking store cannot be used.
    """
    device = prepare_machine(config.runtime)
    store = open_store()
    corners = config.corners
    networks = load_compatible(store, (corners.run_a, corners.run_b, corners.run_c))
    store = beside(store, networks[0].run.info.experiment_id)
    Plane.through(_states(networks, torch.device("cpu")), trainable(networks[0].network()))
    with run_once(store, Kind.PLANE, identity_of(config, networks, CORNERS), corners.force) as wanted:
        if wanted.finished is not None:
            return Outcome.of(wanted.finished, FINISHED_BEFORE)
        symmetry = None if config.surface.align == NONE else find_symmetry(networks[0])
        material = load_material(
            store,
            networks,
            config.surface.split,
            corners.data_root,
            device,
            BN_POLICIES[config.surface.bn].needs_images,
        )
        labels = labels_of(networks)
        name = group_run_name("plane", networks, "" if symmetry is None else config.surface.align)
        first_file = ("corners.txt", "\n".join(network.run.info.run_id for network in networks))
        run = wanted.open(RunStart(name, _tags(config, networks), to_params(config), first_file))
        log_data(run, {config.surface.split: measured_images(networks[0], config.surface.split, material.measured)})
        panels = _panels(config, networks, symmetry, material, Progress(run))
        metrics = log_plane(run, config, panels, labels, score_name(material.measured.labels))
    return Outcome(run.run_id, name, wanted.how("measured"), metrics, run.experiment_id)


def _panels(
    config: PlaneConfig,
    networks: list[LoggedNetwork],
    symmetry: Symmetry | None,
    material: Material,
    progress: Progress,
) -> dict[str, Panel]:
    """Measure the plane through the networks as they are, and with a symmetry the one through them aligned."""
    known = progress.known()
    with save_when_stopped(progress):
        if symmetry is None:
            return {AS_LOGGED: _measure(config, networks, material, AS_LOGGED, known, progress)}
        unaligned = _measure(config, networks, material, UNALIGNED, known, progress)
        aligned = _aligned(config, networks, symmetry, material)
        return {UNALIGNED: unaligned, ALIGNED: _measure(config, aligned, material, ALIGNED, known, progress)}


def _states(networks: list[LoggedNetwork], device: torch.device) -> Corners:
    a, b, c = ({name: value.to(device) for name, value in network.state.items()} for network in networks)
    return a, b, c


def _aligned(
    config: PlaneConfig, networks: list[LoggedNetwork], symmetry: Symmetry, material: Material
) -> list[LoggedNetwork]:
    """Permute the units of B and C towards A."""
    a, *others = networks
    device = material.test.labels.device
    images = material.side(a)
    method, matching = config.surface.align, config.matching
    return [a, *(find_alignment((a, b), symmetry, method, matching, images, device).network for b in others)]


def _measure(
    config: PlaneConfig,
    networks: list[LoggedNetwork],
    material: Material,
    panel: str,
    known: Arrays,
    progress: Progress,
) -> Panel:
    """Measure one plane and the edges of its triangle, but for the rows that an interrupted process has."""
    device = material.test.labels.device
    settings, states = config.surface, _states(networks, device)
    network = networks[0].network().to(device)
    split = {settings.split: (material.measured.images, material.measured.labels)}
    calibration = material.calibration(networks) if BN_POLICIES[settings.bn].needs_images else None
    grid = (settings.num_points, settings.margin)
    rows = unpack(panel, known)
    for index, row in measure_rows(network, states, grid, split, settings.bn, calibration, tuple(rows)):
        rows[index] = row
        progress.add(pack(panel, index, row))
    surface = join_rows(Plane.through(states, trainable(network)), grid, rows)
    metrics: dict[str, float] = {}
    for name, i, j in EDGES:
        edge = Segment(states[i], states[j])
        path = measure_path(network, edge, alpha_grid(NUM_ALPHAS), split, settings.bn, calibration)
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
