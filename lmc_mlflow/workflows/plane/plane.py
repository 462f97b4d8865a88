"""What does the plane through three logged networks look like?"""

from dataclasses import dataclass

import torch

from lmc_mlflow.alignment import Symmetry
from lmc_mlflow.config.alignment import NONE
from lmc_mlflow.config.canonical import to_params
from lmc_mlflow.config.commands import PlaneConfig
from lmc_mlflow.contract import Artifact, Kind, Tag, tag
from lmc_mlflow.models.parameters import trainable
from lmc_mlflow.paths.barriers import alpha_grid
from lmc_mlflow.paths.curves import Corners, Segment
from lmc_mlflow.paths.plane import Plane, survey_plane
from lmc_mlflow.paths.points import BN_POLICIES
from lmc_mlflow.paths.walk import measure_path
from lmc_mlflow.predictions.scores import score_name
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.query.runs import Run
from lmc_mlflow.tracking.lifecycle import (
    ending,
    open_run,
    point_launcher_at,
    probe_artifacts,
    reopen_run,
)
from lmc_mlflow.tracking.process import Terminated
from lmc_mlflow.tracking.store import open_store
from lmc_mlflow.workflows.alignment.find_alignment import find_alignment, find_symmetry
from lmc_mlflow.workflows.lifecycle.machine import prepare_machine
from lmc_mlflow.workflows.lifecycle.previous_runs import Before, look_for
from lmc_mlflow.workflows.networks.network_group import (
    Material,
    identity_of,
    labels_of,
    load_fitting,
    load_material,
    shared_tags,
)
from lmc_mlflow.workflows.networks.pair_of_networks import log_data
from lmc_mlflow.workflows.plane.keeper import RowsKeeper
from lmc_mlflow.workflows.plane.results import (
    ALIGNED,
    AS_LOGGED,
    EDGES,
    UNALIGNED,
    Drawn,
    log_plane,
)

CORNERS = ("run_a", "run_b", "run_c")
NUM_ALPHAS = 11
"""Points of an edge; 0.5 is among them."""


@dataclass(frozen=True)
class PlaneOutcome:
    """A logged plane: its run, how it came about (`measured`, `resumed` or `finished before`) and its numbers."""

    plane: str
    name: str
    how: str
    metrics: dict[str, float]
    experiment_id: str


def plane(config: PlaneConfig) -> PlaneOutcome:
    """Measure loss and accuracy over the plane through three logged networks and log it as a run; a finished one is not
    repeated, an interrupted one continued.

    Raises:
        ValueError: a run, checkpoint, network or data set that cannot be used, or three networks on one line.
        StoreError: the tracking store cannot be used.
    """
    device = prepare_machine(config.runtime)
    store = open_store()
    corners = config.corners
    networks = load_fitting(store, (corners.run_a, corners.run_b, corners.run_c))
    Plane.through(_states(networks, torch.device("cpu")), trainable(networks[0].network()))
    identity = identity_of(config, networks, CORNERS)
    before = Before(None, None) if corners.force else look_for(store, Kind.PLANE, identity)
    if before.finished is not None:
        point_launcher_at(store, before.finished.info.run_id, "this plane was finished before")
        return _outcome_of(before.finished)
    symmetry = None if config.surface.align == NONE else find_symmetry(networks[0])
    needs_images = BN_POLICIES[config.surface.bn].needs_images
    material = load_material(store, networks, config.surface.split, corners.data_root, device, needs_images)
    labels = labels_of(networks)
    name = f"plane {networks[0].config.data.dataset} {networks[0].config.model.model} through {'; '.join(labels)}"
    with ending() as keep:
        if before.interrupted is None:
            run = keep(open_run, store, Kind.PLANE, name, identity | _tags(config, networks))
        else:
            run = keep(reopen_run, store, before.interrupted)
            point_launcher_at(store, run.run_id, "resumed an interrupted plane")
        probe_artifacts(run, "\n".join(network.run.info.run_id for network in networks), "corners.txt")
        run.log_params(to_params(config))
        log_data(run, networks[0].config.data, {config.surface.split: material.measured})
        keeper = RowsKeeper(run)
        keeper.restore()
        try:
            found = _panels(config, networks, symmetry, material, device, keeper)
        except (KeyboardInterrupt, Terminated):
            keeper.save()
            raise
        metrics = log_plane(run, config, found, labels, score_name(material.measured.labels))
        run.seal()
        run.delete_artifacts(Artifact.RESUME_FOLDER)
        run.finish()
    how = "measured" if before.interrupted is None else "resumed"
    return PlaneOutcome(run.run_id, name, how, metrics, run.experiment_id)


def _outcome_of(run: Run) -> PlaneOutcome:
    info = run.info
    return PlaneOutcome(info.run_id, info.run_name, "finished before", dict(run.data.metrics), info.experiment_id)


def _panels(
    config: PlaneConfig,
    networks: list[LoggedNetwork],
    symmetry: Symmetry | None,
    material: Material,
    device: torch.device,
    keeper: RowsKeeper,
) -> dict[str, Drawn]:
    """The plane through the networks as they are, and with a symmetry the one through them aligned."""
    if symmetry is None:
        return {AS_LOGGED: _measure(config, networks, material, device, keeper, AS_LOGGED)}
    before = _measure(config, networks, material, device, keeper, UNALIGNED)
    aligned = _aligned(config, networks, symmetry, material, device)
    return {UNALIGNED: before, ALIGNED: _measure(config, aligned, material, device, keeper, ALIGNED)}


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


def _measure(
    config: PlaneConfig,
    networks: list[LoggedNetwork],
    material: Material,
    device: torch.device,
    keeper: RowsKeeper,
    panel: str,
) -> Drawn:
    settings, states = config.surface, _states(networks, device)
    network = networks[0].network().to(device)
    split = {settings.split: (material.measured.images, material.measured.labels)}
    calibration = material.calibration(networks) if BN_POLICIES[settings.bn].needs_images else None
    grid = (settings.num_points, settings.margin)
    surface = survey_plane(network, states, grid, split, settings.bn, calibration, keeper.rows_of(panel))
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
    return Drawn(surface, metrics)


def _length(plane: Plane, i: int, j: int) -> float:
    places = list(plane.points().values())
    (left, low), (right, high) = places[i], places[j]
    return float(((left - right) ** 2 + (low - high) ** 2) ** 0.5)


def _tags(config: PlaneConfig, networks: list[LoggedNetwork]) -> dict[str, str]:
    ids = {tag(f"run_{name}"): network.run.info.run_id for name, network in zip("abc", networks, strict=True)}
    own = {Tag.ALIGN: config.surface.align, Tag.BN: config.surface.bn}
    return shared_tags(networks) | ids | own
