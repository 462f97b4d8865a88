"""Trains in a process of its own, for the process of rank 0, on one of the devices."""

import multiprocessing
import os
import shutil
import signal
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from lmc_mlflow.errors import one_line
from lmc_mlflow.seeds import set_determinism
from lmc_mlflow.training.engines.data_parallel.group import Group, joined, pack, share_images, unpack_trainees
from lmc_mlflow.training.engines.data_parallel.replica import Replica, train_replicas


@dataclass(frozen=True)
class Failure:
    """Why a worker has given up: its error in one line, and when (seconds of a clock that all processes share)."""

    error: str
    when: float


def serve(pipe: "Connection[bytes, Any]", rank: int, group: Group) -> None:
    """Train an epoch for each number that comes through a pipe, until None comes or rank 0 is gone.

    Rank 0 alone reacts to Ctrl-C.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_rank_0, args=(group.folder,), daemon=True).start()
    status = 1
    try:
        _serve(pipe, rank, group)
        status = 0
    except Exception as error:  # noqa: BLE001  # rank 0 tells it
        try:
            pipe.send(pack(Failure(f"{type(error).__name__}: {one_line(error)}", time.monotonic())))
        except OSError:  # rank 0 is gone
            shutil.rmtree(group.folder, ignore_errors=True)
    finally:
        os._exit(status)  # at once: a second of an interpreter's end, or a wait for processes that have ended


def _serve(pipe: "Connection[bytes, Any]", rank: int, group: Group) -> None:
    torch.set_num_threads(group.num_threads)
    set_determinism(group.deterministic)
    config, flips, parcel = pipe.recv()
    trainees = unpack_trainees(parcel, group.devices[rank])
    pipe.send(pack(None))  # only now: who waits for the others in the group does not see one of them end
    with joined(group, rank):
        share_images(trainees)
        replicas = [Replica.of(trainee, rank, len(group.devices)) for trainee in trainees]
        while (epoch := pipe.recv()) is not None:
            tallies = train_replicas(replicas, config, flips, epoch)
            for tally in tallies:
                tally.condense()
            pipe.send(pack(tallies))


def _end_with_rank_0(folder: Path) -> None:
    """End this process at once when rank 0 is gone, even amid a step; remove what that has left."""
    rank_0 = multiprocessing.parent_process()
    assert rank_0 is not None
    rank_0.join()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)
