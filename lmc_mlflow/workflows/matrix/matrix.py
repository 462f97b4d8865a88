"""What is connected to what among many logged networks, and what is logged of it?"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from lmc_mlflow.alignment import Symmetry
from lmc_mlflow.config.alignment import NONE
from lmc_mlflow.config.canonical import to_params
from lmc_mlflow.config.commands import MatrixConfig
from lmc_mlflow.config.network_groups import BEST, PAIRWISE
from lmc_mlflow.contract import MAX_TAG, Artifact, Kind, Tag, tag
from lmc_mlflow.paths.points import BN_POLICIES
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.query.runs import Run, resolve_run
from lmc_mlflow.tracking.lifecycle import (
    ending,
    open_run,
    point_launcher_at,
    probe_artifacts,
    reopen_run,
)
from lmc_mlflow.tracking.process import Terminated
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.tracking.store import Store, open_store
from lmc_mlflow.workflows.alignment.find_alignment import find_symmetry
from lmc_mlflow.workflows.lifecycle.machine import prepare_machine
from lmc_mlflow.workflows.lifecycle.previous_runs import Before, look_for
from lmc_mlflow.workflows.matrix.keeper import PairsKeeper
from lmc_mlflow.workflows.matrix.pairs import Survey, measure
from lmc_mlflow.workflows.matrix.results import log_survey
from lmc_mlflow.workflows.networks.network_group import (
    Material,
    find_networks,
    identity_of,
    load_material,
    shared_tags,
)
from lmc_mlflow.workflows.networks.pair_of_networks import log_data


@dataclass(frozen=True)
class MatrixOutcome:
    """A logged matrix: its run, how it came about, its verdicts and numbers."""

    matrix: str
    name: str
    how: str
    candidate: str
    metrics: dict[str, float]
    experiment_id: str


def matrix(config: MatrixConfig) -> MatrixOutcome:
    """Measure the segment between every two networks and log the barriers as a run; a finished one is not repeated, an
    interrupted one continued.

    Raises:
        ValueError: a run, checkpoint, network or data set that cannot be used; says how to put it right.
        StoreError: the tracking store cannot be used.
    """
    device = prepare_machine(config.runtime)
    store = open_store()
    networks, num_left_out = find_networks(store, config.surveyed)
    config = _with_reference(store, config, networks)
    identity = identity_of(config, networks, ("runs", "query", "max_runs"))
    before = Before(None, None) if config.surveyed.force else look_for(store, Kind.MATRIX, identity)
    if before.finished is not None:
        point_launcher_at(store, before.finished.info.run_id, "this matrix was finished before")
        return _outcome_of(before.finished)
    symmetry = None if config.pairwise.align == NONE else find_symmetry(networks[0])
    needs_images = BN_POLICIES[config.pairwise.bn].needs_images
    needs_sides = config.pairwise.align in ("activations", "sinkhorn") or needs_images
    material = load_material(store, networks, config.pairwise.split, config.surveyed.data_root, device, needs_sides)
    with ending() as keep:
        name = _name(config, networks)
        if before.interrupted is None:
            run = keep(open_run, store, Kind.MATRIX, name, identity | _tags(config, networks))
        else:
            run = keep(reopen_run, store, before.interrupted)
            point_launcher_at(store, run.run_id, "resumed an interrupted matrix")
        probe_artifacts(run, "\n".join(n.run.info.run_id for n in networks), "runs.txt")
        run.log_params(to_params(config))
        log_data(run, networks[0].config.data, {config.pairwise.split: material.measured})
        survey = _measure(run, config, networks, symmetry, material, device)
        metrics, candidate = log_survey(run, survey, name, num_left_out)
        run.seal()
        run.delete_artifacts(Artifact.RESUME_FOLDER)
        run.finish()
    how = "measured" if before.interrupted is None else "resumed"
    return MatrixOutcome(run.run_id, name, how, candidate, metrics, run.experiment_id)


def _measure(
    run: TrackedRun,
    config: MatrixConfig,
    networks: Sequence[LoggedNetwork],
    symmetry: Symmetry | None,
    material: Material,
    device: torch.device,
) -> Survey:
    """All pairs, those that the run keeps from an interrupted process taken over."""
    keeper = PairsKeeper(run)
    keeper.restore()
    # Networks that share a reference are brought into its order anew, and counted anew.
    before = keeper.num_unsettled if config.pairwise.reference == PAIRWISE else 0
    try:
        survey = measure(
            config,
            networks,
            symmetry,
            material,
            device,
            dict(keeper.walked),
            lambda walked, num_unsettled: keeper.remember(walked, before + num_unsettled),
        )
    except (KeyboardInterrupt, Terminated):
        keeper.save()
        raise
    return replace(survey, num_unsettled=before + survey.num_unsettled)


def _outcome_of(run: Run) -> MatrixOutcome:
    info, data = run.info, run.data
    candidate = data.tags.get(Tag.STAR_CANDIDATE, "")
    return MatrixOutcome(
        info.run_id, info.run_name, "finished before", candidate, dict(data.metrics), info.experiment_id
    )


def _with_reference(store: Store, config: MatrixConfig, networks: Sequence[LoggedNetwork]) -> MatrixConfig:
    """The configuration, with the reference's id in full."""
    reference = config.pairwise.reference
    if reference in (PAIRWISE, BEST):
        return config
    run_id = resolve_run(store.client, reference).info.run_id
    if run_id not in (network.run.info.run_id for network in networks):
        raise ValueError(f"reference={reference}: it is none of the {len(networks)} networks that are measured")
    return replace(config, pairwise=dataclasses.replace(config.pairwise, reference=run_id))


def _name(config: MatrixConfig, networks: Sequence[LoggedNetwork]) -> str:
    first = networks[0].config
    how = "" if config.pairwise.align == NONE else f" aligned by {config.pairwise.align}"
    if config.pairwise.align != NONE and config.pairwise.reference != PAIRWISE:
        how += f" towards {'the best' if config.pairwise.reference == BEST else config.pairwise.reference[:6]}"
    shifts = ", ".join(dict.fromkeys(network.config.data.shift for network in networks))
    return f"matrix {first.data.dataset} {first.model.model} {shifts}: {len(networks)} networks{how}"


def _tags(config: MatrixConfig, networks: Sequence[LoggedNetwork]) -> dict[str, str]:
    ids = ",".join(network.run.info.run_id for network in networks)
    settings = config.pairwise
    own = {"align": settings.align, "reference": settings.reference, "bn": settings.bn, "barrier": settings.barrier}
    tags = {tag(key): value for key, value in own.items()}
    tags[Tag.MEMBERS] = ids if len(ids) <= MAX_TAG else f"{len(networks)} networks: see networks.csv"
    return tags | {key: value[:MAX_TAG] for key, value in shared_tags(networks).items()}
