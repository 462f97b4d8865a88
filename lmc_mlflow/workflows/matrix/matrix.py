"""Measures the barriers between every two of many logged networks, and logs them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lmc_mlflow.alignment.methods.table import METHODS
from lmc_mlflow.config.alignment import NONE
from lmc_mlflow.config.canonical import to_params
from lmc_mlflow.config.commands import MatrixConfig
from lmc_mlflow.config.network_groups import BEST, PAIRWISE
from lmc_mlflow.contract import MAX_TAG, Kind, Tag, tag
from lmc_mlflow.data.other_tests import check_other_tests
from lmc_mlflow.paths.points import BN_POLICIES
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.query.runs import resolve_run
from lmc_mlflow.tracking.connection.store import Store, beside, open_store
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.adopt.given import with_runs
from lmc_mlflow.workflows.alignment.find_alignment import find_symmetry
from lmc_mlflow.workflows.lifecycle.devices import share_work
from lmc_mlflow.workflows.lifecycle.outcome import FINISHED_BEFORE, Outcome
from lmc_mlflow.workflows.lifecycle.progress import Progress, save_when_stopped
from lmc_mlflow.workflows.lifecycle.run_once import RunStart, run_once
from lmc_mlflow.workflows.matrix.other_results import log_other_matrices
from lmc_mlflow.workflows.matrix.pair_arrays import pack, unpack
from lmc_mlflow.workflows.matrix.pairs import MatrixMeasurement, MeasuredNetworks, Pairing
from lmc_mlflow.workflows.matrix.results import log_matrix
from lmc_mlflow.workflows.networks.dataset_inputs import log_data, measured_images
from lmc_mlflow.workflows.networks.network_group import find_networks, identity_of, load_material
from lmc_mlflow.workflows.networks.other_tests import images_of, other_tests
from lmc_mlflow.workflows.networks.run_names import group_run_name
from lmc_mlflow.workflows.networks.tags import joined_tags


@dataclass(frozen=True)
class MatrixOutcome(Outcome):
    """A logged matrix: `how` is `measured`, `resumed` or `finished before`.

    Attributes:
        candidate: run id of the best star candidate; empty: there is none.
        networks: run ids of the networks.
    """

    candidate: str
    networks: tuple[str, ...]


def matrix(config: MatrixConfig) -> MatrixOutcome:
    """Measure the segment between every two networks and log the barriers as a run.

    A finished matrix is not measured again, an interrupted one is resumed.

    Raises:
        ValueError: a run, checkpoint, network or data set that cannot be used; says how to put it right.
        StoreError: the tracking store cannot be used.
    """
    work = share_work(config.runtime, config.sharing)
    check_other_tests(config.other_data.names)
    config = with_runs(config, "surveyed", ("runs",))
    store = open_store()
    networks, num_left_out = find_networks(store, config.surveyed)
    store = beside(store, networks[0].run.info.experiment_id)
    config = _with_reference(store, config, networks)
    ids = tuple(network.run.info.run_id for network in networks)
    identity = identity_of(config, networks, ("runs", "query", "max_runs"))
    with run_once(store, Kind.MATRIX, identity, config.surveyed.force) as wanted:
        if wanted.finished is not None:
            candidate = wanted.finished.data.tags.get(Tag.STAR_CANDIDATE, "")
            return MatrixOutcome.of(wanted.finished, FINISHED_BEFORE, candidate=candidate, networks=ids)
        symmetry = None if config.pairwise.align == NONE else find_symmetry(networks[0])
        needs_images = symmetry is not None and METHODS[config.pairwise.align].needs_images
        needs_sides = needs_images or BN_POLICIES[config.pairwise.bn].needs_images
        split, data_root = config.pairwise.split, config.surveyed.data_root
        material = load_material(store, networks, split, data_root, work.device, needs_sides)
        others = other_tests(config.other_data, networks[0], material.test, data_root, work.device)
        material = replace(material, others=images_of(others))
        name, first_file = _name(config, networks), ("runs.txt", "\n".join(n.run.info.run_id for n in networks))
        run_name = _run_name(config, networks)
        run = wanted.open(RunStart(run_name, _tags(config, networks), to_params(config), first_file))
        log_data(run, {split: measured_images(networks[0], split, material.measured)} | others)
        with work.workers(MeasuredNetworks(config, tuple(networks), symmetry, material)) as workers:
            measured = _measure(run, config, Pairing(workers, len(networks), config.pairwise.reference))
        metrics, candidate = log_matrix(run, measured, name, num_left_out)
        metrics |= log_other_matrices(run, measured, list(others), name)
    return MatrixOutcome(run.run_id, run_name, wanted.how("measured"), metrics, run.experiment_id, candidate, ids)


def _measure(run: TrackedRun, config: MatrixConfig, pairing: Pairing) -> MatrixMeasurement:
    """Measure all pairs but those that an interrupted process has."""
    progress = Progress(run)
    pairs, num_unsettled = unpack(progress.known())
    if config.pairwise.reference != PAIRWISE:  # networks with a reference were aligned anew, and counted anew
        num_unsettled = 0
    with save_when_stopped(progress):
        for pair in pairing.measure(pairs.keys()):
            pairs[pair.i, pair.j] = pair
            progress.add(pack(pair, num_unsettled + pairing.num_unsettled))
    ordered = tuple(pairs[places] for places in pairing.pairs())
    score, num_unsettled = ordered[0].path.score, num_unsettled + pairing.num_unsettled
    return MatrixMeasurement(config.pairwise, score, pairing.members, ordered, pairing.reference, num_unsettled)


def _with_reference(store: Store, config: MatrixConfig, networks: Sequence[LoggedNetwork]) -> MatrixConfig:
    """Put the whole id of the reference into the configuration."""
    reference = config.pairwise.reference
    if reference in (PAIRWISE, BEST):
        return config
    run_id = resolve_run(store.client, reference).info.run_id
    if run_id not in (network.run.info.run_id for network in networks):
        raise ValueError(f"reference={reference}: it is none of the {len(networks)} networks that are measured")
    return replace(config, pairwise=replace(config.pairwise, reference=run_id))


def _run_name(config: MatrixConfig, networks: Sequence[LoggedNetwork]) -> str:
    align = "" if config.pairwise.align == NONE else config.pairwise.align
    return group_run_name(f"matrix of {len(networks)}", networks, align)


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
    return tags | {key: value[:MAX_TAG] for key, value in joined_tags(networks).items()}
