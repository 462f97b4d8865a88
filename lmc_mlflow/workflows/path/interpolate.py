"""Measures the path between two logged networks, and logs it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from lmc_mlflow.alignment import Symmetry
from lmc_mlflow.config.alignment import NONE
from lmc_mlflow.config.canonical import fingerprint, to_params
from lmc_mlflow.config.commands import InterpolateConfig
from lmc_mlflow.contract import Kind, Tag
from lmc_mlflow.data.loading import LabelledImages
from lmc_mlflow.data.other_tests import check_other_tests
from lmc_mlflow.paths.curves import CURVES
from lmc_mlflow.paths.measures import measures_beside
from lmc_mlflow.tracking.connection.store import Store, beside, open_store
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.weights import State
from lmc_mlflow.workflows.adopt.given import with_runs
from lmc_mlflow.workflows.alignment.find_alignment import find_symmetry
from lmc_mlflow.workflows.lifecycle.devices import SharedWork, share_work
from lmc_mlflow.workflows.lifecycle.run_once import RunStart, new_run
from lmc_mlflow.workflows.networks.dataset_inputs import InputImages, log_data
from lmc_mlflow.workflows.networks.other_tests import images_of, other_tests
from lmc_mlflow.workflows.networks.pair_of_networks import (
    Ends,
    check_splits,
    load_ends,
    load_splits,
    require_training,
    split_inputs,
)
from lmc_mlflow.workflows.networks.tags import joined_tags
from lmc_mlflow.workflows.path.curve.curve_run import curve_run
from lmc_mlflow.workflows.path.curve.curve_training import TRAINED_ON, prepare_training, refuse_own_statistics
from lmc_mlflow.workflows.path.images import measured_splits, needed_splits, needs_images
from lmc_mlflow.workflows.path.log_paths import LoggedCurve, PathOutcome, log_paths
from lmc_mlflow.workflows.path.measured_paths import Paths, measure_paths
from lmc_mlflow.workflows.path.measurer import MeasuredEnds
from lmc_mlflow.workflows.path.names import path_run_name
from lmc_mlflow.workflows.path.who_pays import check_calibrate, classes_of


@dataclass(frozen=True)
class _Inputs:
    """What a path is measured from.

    Attributes:
        config: with the splits that there are.
        ends: A and B.
        symmetry: theirs; None: nothing is aligned.
        splits: all images that there are.
        others: further test sets.
        work: where it is done.
    """

    config: InterpolateConfig
    ends: Ends
    symmetry: Symmetry | None
    splits: Mapping[str, LabelledImages]
    others: Mapping[str, InputImages]
    work: SharedWork

    def used(self, names: Iterable[str]) -> dict[str, InputImages]:
        """Say what these splits, and the further test sets, are."""
        return split_inputs(self.ends, {name: self.splits[name] for name in names}) | dict(self.others)


def interpolate(config: InterpolateConfig, parent: TrackedRun | None = None) -> PathOutcome:
    """Measure the path between two logged networks and log it as a run.

    The bends of a curve are trained first, unless the store holds them; what a killed process has trained of them is
    taken up by the same command.

    Args:
        config: which networks, which grid, which splits, whether the units of B are permuted first, which curve.
        parent: run that the path is nested under.

    Raises:
        ValueError: a run, checkpoint, network or data set that cannot be used; says how to put it right.
        StoreError: the tracking store cannot be used.
        FloatingPointError: the loss of a curve in training is not a number any more.
    """
    work = share_work(config.runtime, config.sharing)
    check_other_tests(config.other_data.names)
    config = with_runs(config, "ends", ("run_a", "run_b"))
    store = open_store()
    ends = load_ends(store, config.ends)
    store = beside(store, ends[0].run.info.experiment_id)
    refuse_own_statistics(config.curve.path, config.path.bn, ends[0])
    symmetry = None if config.aligning.align == NONE else find_symmetry(ends[0])
    splits = load_splits(store, ends, config.ends.data_root, work.device)
    config = replace(config, path=replace(config.path, splits=check_splits(config.path.splits, splits, ends)))
    check_calibrate(config.path, ends)
    others = other_tests(config.other_data, ends[0], splits["test"], config.ends.data_root, work.device)
    splits |= images_of(others)
    if needs_images(config):
        require_training(ends)
    inputs = _Inputs(config, ends, symmetry, splits, others, work)
    first_file = ("ends.txt", f"A {ends[0].run.info.run_id}\nB {ends[1].run.info.run_id}\n")
    start = RunStart(path_run_name(ends, config), _tags(ends, config), to_params(config), first_file)
    if not config.curve.is_straight:
        return _log_curve(store, inputs, start, parent)
    with new_run(store, Kind.PATH, start, parent) as run:
        log_data(run, inputs.used(config.path.splits))
        return log_paths(run, config, ends, _measure(inputs), classes_of(ends, splits))


def _log_curve(store: Store, inputs: _Inputs, start: RunStart, parent: TrackedRun | None) -> PathOutcome:
    """Train the bends of a curve, or find them, and measure the curve and the segment."""
    config, ends, splits = inputs.config, inputs.ends, inputs.splits
    for end in ends:
        end.refuse_if_diverged()
    training = prepare_training(config.curve, ends, splits, inputs.work.training_device)
    with curve_run(store, start, training, parent) as trained:
        used = dict.fromkeys((*config.path.splits, *TRAINED_ON[config.curve.curve_data]))
        log_data(trained.run, inputs.used(used))
        curve = CURVES[config.curve.path]((ends[0].state, *trained.bends, ends[1].state))
        paths = _measure(inputs, trained.bends)
        return log_paths(trained.run, config, ends, paths, classes_of(ends, splits), LoggedCurve(curve, trained.source))


def _measure(inputs: _Inputs, bends: tuple[State, ...] = ()) -> Paths:
    config, splits = inputs.config, inputs.splits
    measured = MeasuredEnds(config, inputs.ends, inputs.symmetry, needed_splits(config, splits), bends)
    labels = {name: splits[name].labels for name in measured_splits(config)}
    with inputs.work.workers(measured) as workers:
        return measure_paths(workers, config.path, inputs.symmetry, labels, not config.curve.is_straight)


def _tags(ends: Ends, config: InterpolateConfig) -> dict[str, str]:
    a, b = ends
    tags = {Tag.RUN_A: a.run.info.run_id, Tag.RUN_B: b.run.info.run_id, Tag.BN: config.path.bn}
    tags[Tag.FINGERPRINT] = path_fingerprint(config)
    if config.aligning.align != NONE:
        tags[Tag.ALIGN] = config.aligning.align
    if not config.curve.is_straight:
        tags[Tag.PATH] = config.curve.path
    if a.split_run == b.split_run:
        tags[Tag.PAIR] = a.split_run
    return tags | joined_tags(ends)


def path_fingerprint(config: InterpolateConfig) -> str:
    """Digest how a path is measured, whatever its ends; with them it tells a path from all others."""
    return fingerprint(config, ("pair", "run_a", "run_b"), measures_beside())
