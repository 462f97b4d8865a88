"""Trains networks on several devices, which share every batch: equal to the exact engine on one, up to rounding."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.models.freezing import is_frozen
from lmc_mlflow.predictions.scores import Scores
from lmc_mlflow.training.engines.data_parallel.group import Group, joined, pack_trainees, share_images
from lmc_mlflow.training.engines.data_parallel.layers import why_not_shared
from lmc_mlflow.training.engines.data_parallel.replica import Replica, train_replicas
from lmc_mlflow.training.engines.data_parallel.workers import Workers
from lmc_mlflow.training.trainee import Trainee


def why_not_data_parallel(
    trainees: Sequence[Trainee], config: OptimizationConfig, devices: Sequence[torch.device]
) -> str | None:
    """Return None if several devices can train these networks together, else the reason why they cannot."""
    if config.engine != "exact":
        return f"engine={config.engine} trains on one device; leave it out"
    if len({device.type for device in devices}) > 1:
        return "GPUs and CPUs do not share a batch; name devices of one type"
    if devices[0].type == "cuda" and len({device.index or 0 for device in devices}) < len(devices):
        return "a GPU holds one process of a training; name each once"
    for trainee in trainees:
        smallest = min(config.batch_size, len(trainee.labels))
        if smallest < len(devices):
            return f"side {trainee.side}: a batch of {smallest} has fewer images than there are devices; name fewer"
        reason = why_not_shared(trainee.network)
        if is_frozen(trainee.network):
            reason = "some tensors are frozen (freeze)"
        if reason is not None:
            return f"side {trainee.side}: {reason}; choose another network, or one device"
    return None


@contextmanager
def data_parallel(
    trainees: Sequence[Trainee], config: OptimizationConfig, flips: bool, devices: Sequence[torch.device]
) -> Iterator["DataParallelTraining"]:
    """Start a process for each further device, and yield the training; no process outlives the block.

    Args:
        trainees: on the first of the devices.
        config: how to train.
        flips: whether images are flipped at random.
        devices: as `why_not_data_parallel` allows them.

    Raises:
        ChildProcessError: one of the processes has ended; says which, and why.
    """
    reason = why_not_data_parallel(trainees, config, devices)
    assert reason is None, reason
    with tempfile.TemporaryDirectory() as folder:
        num_threads = max(1, torch.get_num_threads() // len(devices))
        deterministic = torch.are_deterministic_algorithms_enabled()
        group = Group(tuple(devices), Path(folder), num_threads, deterministic)
        workers = Workers(group)
        with workers.started(), ExitStack() as stack:
            with workers.blamed():
                workers.send((config, flips, pack_trainees(trainees)))
                workers.receive()
                stack.enter_context(joined(group, 0))
                stack.push(workers.dismiss)
                share_images(trainees)
                replicas = [Replica.of(trainee, 0, len(devices)) for trainee in trainees]
            yield DataParallelTraining(replicas, config, flips, workers, num_threads)


class DataParallelTraining:
    """Trains networks epoch by epoch, one after the other, all devices at each; the trainees hold the whole state."""

    def __init__(
        self,
        replicas: Sequence[Replica],
        config: OptimizationConfig,
        flips: bool,
        workers: Workers,
        num_threads: int,
    ) -> None:
        self._replicas = replicas
        self._config = config
        self._flips = flips
        self._workers = workers
        self._num_threads = num_threads

    def train_epoch(self, epoch: int) -> list[Scores]:
        """Train each network by one pass (in place); returns means over the batches as they were trained on."""
        started, before = time.perf_counter(), torch.get_num_threads()
        torch.set_num_threads(self._num_threads)
        try:
            with self._workers.blamed():
                self._workers.send(epoch)
                tallies = train_replicas(self._replicas, self._config, self._flips, epoch)
                for of_rank in self._workers.receive():
                    for tally, theirs in zip(tallies, of_rank, strict=True):
                        tally.merge(theirs)
        finally:
            torch.set_num_threads(before)
        for replica in self._replicas:
            replica.trainee.train_seconds += (time.perf_counter() - started) / len(self._replicas)
        return [tally.scores() for tally in tallies]
