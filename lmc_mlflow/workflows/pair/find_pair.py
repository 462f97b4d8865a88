"""Looks a pair up in the store, and builds the networks of one that is to be trained."""

from collections.abc import Container, Sequence
from dataclasses import dataclass

import torch

from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.starting import kept_epochs
from lmc_mlflow.contract import Kind
from lmc_mlflow.data.loading import ShiftedData, load_shifted
from lmc_mlflow.models.libraries.timm_networks import refuse_pretrained
from lmc_mlflow.tracking.connection.store import Store, open_store
from lmc_mlflow.training.engines.data_parallel.engine import why_not_data_parallel
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.lifecycle.devices import prepare_devices
from lmc_mlflow.workflows.lifecycle.run_once import RunSession, WantedRun
from lmc_mlflow.workflows.pair.budgets.budget import with_epochs
from lmc_mlflow.workflows.pair.earlier_reading import earlier_reading, has_interrupted
from lmc_mlflow.workflows.pair.runs import make_trainees, pair_identity
from lmc_mlflow.workflows.pair.starting.kept_epochs import refuse_unkept
from lmc_mlflow.workflows.pair.starting.start import StartingPoint, find_start, put_at_start, with_digest


@dataclass(frozen=True)
class FoundPair:
    """A pair as the store has it; if it is not finished this process is going to train it.

    Attributes:
        config: with the digest of its start.
        trainees: its networks, where they start.
        wanted: its run.
        start: that it was given; None: a random initialization, or what both sides share.
    """

    config: TrainPairConfig
    trainees: list[Trainee]
    wanted: WantedRun
    start: StartingPoint | None


def find_pair(
    store: Store,
    session: RunSession,
    config: TrainPairConfig,
    data: ShiftedData,
    devices: Sequence[torch.device],
    apart_from: Container[str] = (),
) -> FoundPair:
    """Look a pair up, or one that an earlier version has begun by the same command: it goes on as it began.

    Pairs with the run ids `apart_from` do not count.

    Raises:
        AtWorkError: another process that lives is training it.
        ValueError: its start or its network cannot be used, or it was finished without an epoch that is to be kept.
    """
    start = find_start(store, config, lambda: data)
    config = with_digest(config, start)
    trainees = _trainees_at(start, config, data, devices)
    wanted = session.find(Kind.PAIR, pair_identity(config, data), config.resume.force, apart_from=apart_from)
    if wanted.finished is not None:
        refuse_unkept(wanted.finished, kept_epochs(config.starting, config.optimization.epochs))
    earlier = earlier_reading(config)
    is_known = wanted.finished is not None or wanted.interrupted is not None
    if not is_known:
        refuse_pretrained(config.model.model)
    if earlier is None or is_known or config.resume.force or not has_interrupted(store, pair_identity(earlier, data)):
        return FoundPair(config, trainees, wanted, start)
    wanted = session.find(Kind.PAIR, pair_identity(earlier, data))
    return FoundPair(earlier, _trainees_at(start, earlier, data, devices), wanted, start)


def check_pair(config: TrainPairConfig) -> None:
    """Find out, without opening a run, whether the machine, the data and the network of a configuration are there.

    Raises:
        ValueError: something a user can put right; says how.
    """
    refuse_pretrained(config.model.model)
    devices = prepare_devices(config.runtime, config.data_parallel.devices)
    data = load_shifted(config.data, devices[0])
    start = find_start(open_store(), config, lambda: data) if config.starting.start else None
    _trainees_at(start, with_epochs(config, data), data, devices)


def _trainees_at(
    start: StartingPoint | None, config: TrainPairConfig, data: ShiftedData, devices: Sequence[torch.device]
) -> list[Trainee]:
    """Make the trainees of a pair on the first device, and refuse those that several devices cannot train."""
    trainees = make_trainees(config, data, devices[0])
    reason = why_not_data_parallel(trainees, config.optimization, devices) if len(devices) > 1 else None
    if reason is not None:
        raise ValueError(f"devices={','.join(config.data_parallel.devices)}: {reason}")
    if start is not None:
        put_at_start(trainees, config, start)
    return trainees
