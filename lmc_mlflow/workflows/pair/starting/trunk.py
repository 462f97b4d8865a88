"""Trains the network that both sides of a pair are before they part, once for all pairs that share it."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from lmc_mlflow.config.canonical import fingerprint, to_nested, to_params
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.starting import StartConfig
from lmc_mlflow.contract import FINISHED, Artifact, Kind, Tag, where_tags
from lmc_mlflow.data.loading import ShiftedData
from lmc_mlflow.models.parameters import num_parameters
from lmc_mlflow.predictions.scores import score_name
from lmc_mlflow.query.kept_states import kept_sizes
from lmc_mlflow.query.runs import Run, latest_metrics, search
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.training.budget import without_budget
from lmc_mlflow.training.loop import EpochReport
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.lifecycle.previous_runs import AtWorkError
from lmc_mlflow.workflows.lifecycle.progress import LearningCurves, TrainingProgress, save_when_stopped
from lmc_mlflow.workflows.lifecycle.run_once import RunSession, RunStart, WantedRun
from lmc_mlflow.workflows.networks.dataset_inputs import InputImages, log_data
from lmc_mlflow.workflows.networks.derived import TRAIN_SECONDS, log_checkpoint
from lmc_mlflow.workflows.networks.run_names import pair_run_name
from lmc_mlflow.workflows.pair.budgets.train_on import train_on
from lmc_mlflow.workflows.pair.runs import make_trunk, network_spec, pair_tags
from lmc_mlflow.workflows.pair.starting.kept_epochs import KeptEpochs
from lmc_mlflow.workflows.pair.starting.start import StartingPoint, kept_start, put_at_start

logger = logging.getLogger(__name__)
WAIT_SECONDS = 1.0
CHOOSE_IMAGES = ("shift", "split_seed")
"""Settings that matter to a trunk by the images that they choose alone."""


@dataclass(frozen=True)
class Trunk:
    """The shared epochs of some pairs.

    Attributes:
        config: of the pair that asks for it.
        data: of that pair.
        devices: that train.
        start: that the pair was given; None: a random initialization.
    """

    config: TrainPairConfig
    data: ShiftedData
    devices: Sequence[torch.device]
    start: StartingPoint | None = None

    @property
    def epochs(self) -> int:
        """The number of shared epochs."""
        return self.config.starting.shared_epochs

    @property
    def side(self) -> str:
        """Whose images it sees: `both`, `A` or `B`."""
        return self.config.starting.shared_data

    @property
    def trained(self) -> TrainPairConfig:
        """How it is trained: as the pair, but for what concerns the time after the sides part."""
        config, own = self.config, self.config.starting
        noise = config.noise if config.noise.noise_scope == "paper" else replace(config.noise, noise="same")
        starting = StartConfig(
            start=own.start, start_digest=own.start_digest, start_head=own.start_head, freeze=own.freeze
        )
        optimization = without_budget(config.optimization)
        if self.is_prefix and optimization.warmup_epochs < self.epochs:
            optimization = replace(optimization, epochs=self.epochs)
        return replace(config, noise=noise, starting=starting, optimization=optimization)

    @property
    def is_prefix(self) -> bool:
        """Whether its epochs are the same in trainings of every length."""
        return self.config.optimization.schedule == "constant"

    def families(self) -> tuple[dict[str, str], ...]:
        """Give the tags that it shares with longer and shorter trunks, each of which is the other's beginning.

        The first are those of this version: the images that it sees decide, by their digest, and not the shift that
        has chosen them. The others are those of earlier versions, in which the shift's name did.
        """
        without = ("epochs",) if self.is_prefix else ()
        images = f"images={self.data.side(self.side).digest}"
        digests = (
            fingerprint(self.trained, (*without, *CHOOSE_IMAGES), beside=(f"trunk={self.side}", images)),
            fingerprint(self.trained, without, beside=(f"trunk={self.side}",)),
        )
        other = {Tag.DATA_DIGEST: self.data.digest, Tag.SIDE: self.side}
        return tuple({Tag.FINGERPRINT: digest, **other} for digest in digests)

    def identities(self) -> tuple[dict[str, str], ...]:
        """Give the tags that tell it from all other networks, those of earlier versions last."""
        return tuple({**family, Tag.EPOCH: str(self.epochs)} for family in self.families())


def trunk_start(store: Store, session: RunSession, trunk: Trunk) -> StartingPoint:
    """Give the state after the shared epochs: that of a trunk in the store, or of one that is trained now.

    Where another process trains it, this one waits.

    Raises:
        ValueError: the network cannot take the images, or batches of this size of them.
        FloatingPointError: a loss is not finite.
    """
    identity = _known_identity(store, trunk)
    wanted = _find(session, trunk, identity)
    if wanted.finished is not None:
        if trunk.epochs in kept_sizes(store.client, wanted.finished.info.run_id):
            return kept_start(store, wanted.finished, trunk.epochs)
        wanted = session.find(Kind.ENDPOINT, identity, force=True, alone=True)  # its state was deleted
    run_id = _train(store, session, wanted, trunk)
    return kept_start(store, store.client.get_run(run_id), trunk.epochs)


def _known_identity(store: Store, trunk: Trunk) -> dict[str, str]:
    """Choose the identity under which the store has the trunk, finished or begun; if it has none, this version's."""
    identities = trunk.identities()
    known = (
        one for one in identities if search(store.client, where_tags({Tag.KIND: Kind.ENDPOINT, **one}), store.searched)
    )
    return next(known, identities[0])


def _find(session: RunSession, trunk: Trunk, identity: Mapping[str, str]) -> WantedRun:
    is_told = False
    while True:
        try:
            return session.find(Kind.ENDPOINT, identity, alone=True)
        except AtWorkError as busy:
            if not is_told:
                logger.warning("waiting for the %d shared epochs: %s", trunk.epochs, busy)
            is_told = True
            time.sleep(WAIT_SECONDS)


def _train(store: Store, session: RunSession, wanted: WantedRun, trunk: Trunk) -> str:
    config, data = trunk.trained, trunk.data
    trainee = make_trunk(trunk.config, data, trunk.devices[0])
    shorter = _longest_beginning(store, trunk)
    if shorter is not None:
        put_at_start([trainee], config, shorter)
    elif trunk.start is not None:
        put_at_start([trainee], config, trunk.start)
    first = 0 if shorter is None or shorter.state is None else shorter.state.epoch
    run = _open(wanted, trunk, (shorter or trunk.start))
    recorder = _Recorder(run, trainee, trunk, first, resumed=wanted.interrupted is not None)
    with save_when_stopped(recorder.progress):
        epochs = range(recorder.progress.epoch + 1, trunk.epochs + 1)
        engine = train_on(
            [trainee], (data.test.images, data.test.labels), without_budget(trunk.config.optimization), data.flips,
            epochs, recorder.on_epoch, trunk.devices,
        )  # fmt: skip
    run.set_tags({Tag.ENGINE: engine, Tag.NUM_DEVICES: str(len(trunk.devices))})
    own = data.side(trunk.side)
    digests = {"data": data.digest, "test": data.test.digest, "train": own.digest}
    state = trainee.network.state_dict()
    log_checkpoint(run, state, network_spec(config, data), config, trunk.side, run.run_id, digests)
    recorder.kept.close()
    run.log_once({TRAIN_SECONDS: trainee.train_seconds, "num_parameters": num_parameters(trainee.network)})
    _describe(run, trunk)
    session.close(run)
    return run.run_id


def _longest_beginning(store: Store, trunk: Trunk) -> StartingPoint | None:
    """Load the longest finished trunk that is a beginning of this one, if there is one."""
    runs = [
        run
        for family in trunk.families()
        for run in search(
            store.client, f"{where_tags({Tag.KIND: Kind.ENDPOINT, **family})} and {FINISHED}", store.searched
        )
    ]
    for run in sorted(runs, key=_epochs_of, reverse=True):
        epoch = _epochs_of(run)
        if 0 < epoch < trunk.epochs and epoch in kept_sizes(store.client, run.info.run_id):
            return kept_start(store, run, epoch)
    return None


def _epochs_of(run: Run) -> int:
    text = run.data.tags.get(Tag.EPOCH, "")
    return int(text) if text.isdigit() else 0


def _open(wanted: WantedRun, trunk: Trunk, start: StartingPoint | None) -> TrackedRun:
    config, data = trunk.trained, trunk.data
    tags = pair_tags(config) | ({Tag.START: start.run_id} if start is not None else {})
    first_file = ("config.json", json.dumps(to_nested(config), indent=1))
    run = wanted.open(RunStart(pair_run_name(config, f"shared e{trunk.epochs}"), tags, to_params(config), first_file))
    run.log_arrays({"A": data.sides.a, "B": data.sides.b}, Artifact.SPLIT)
    inputs = {
        f"train_{trunk.side.lower()}": InputImages(data.side(trunk.side), config.data, trunk.side),
        "test": InputImages(data.test, config.data),
    }
    log_data(run, inputs, len(data.classes))
    return run


class _Recorder:
    """Logs the epochs of a trunk to its run."""

    def __init__(self, run: TrackedRun, trainee: Trainee, trunk: Trunk, first: int, resumed: bool) -> None:
        every = trunk.config.resume.checkpoint_every
        self.progress = TrainingProgress(run, [trainee], every, trunk.epochs, first)
        if resumed:
            self.progress.restore()
        self.kept = KeptEpochs({trunk.side: run}, (trunk.epochs,), trunk.config.optimization)
        self._trainee = trainee
        self._curves = LearningCurves(run, resumed)
        self._score = score_name(trainee.labels)
        if resumed and self.progress.epoch == trunk.epochs and not self.kept.has_all_up_to(trunk.epochs):
            self.kept.on_epoch(trunk.epochs, [trainee])

    def on_epoch(self, epoch: int, reports: list[EpochReport]) -> None:
        """Log an epoch, keep the last one's state, and write the progress when it is time."""
        (report,) = reports
        named = {"train": report.train, "test": report.test}
        metrics = {f"{split}/loss": scores.loss for split, scores in named.items()}
        metrics |= {f"{split}/{self._score}": scores.score for split, scores in named.items()}
        self._curves.log(epoch, metrics)
        self.kept.on_epoch(epoch, [self._trainee])
        self.progress.add(epoch)


def _describe(run: TrackedRun, trunk: Trunk) -> None:
    last, score = latest_metrics(run.client, run.run_id), score_name(trunk.data.test.labels)
    images = {"both": "both sides", "A": "side A", "B": "side B"}[trunk.side]
    run.describe(
        f"**Test {score.replace('_', ' ')} {last[f'test/{score}']:.2%}**, test loss {last['test/loss']:.4f}.\n\n"
        f"The first {trunk.epochs} epochs of pairs that share them, trained as one network on the images of {images}; "
        f"`{Artifact.KEPT_FOLDER}/` holds the state from which both sides go on."
    )
