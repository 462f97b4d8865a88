"""Runs as a process that trains for the process of rank 0: `python -m` this module with the number of a pipe."""

import os
import shutil
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from lmc_mlflow.errors import one_line
from lmc_mlflow.seeds import set_determinism
from lmc_mlflow.training.engines.data_parallel.group import (
    Failure,
    Group,
    joined,
    pack,
    share_images,
    unpack_trainees,
)
from lmc_mlflow.training.engines.data_parallel.replica import Replica, train_replicas

POLL_SECONDS = 0.25


def serve(pipe: "Connection[bytes, Any]") -> None:
    """Train an epoch for each number that comes through a pipe, until None comes or rank 0 is gone."""
    group: Group
    rank, group = pipe.recv()
    threading.Thread(target=_end_with_rank_0, args=(os.getppid(), group.folder), daemon=True).start()
    status = 1
    try:
        _serve(pipe, rank, group)
        status = 0
    except Exception as error:  # noqa: BLE001  # rank 0 tells it
        with suppress(OSError):
            pipe.send(pack(Failure(f"{type(error).__name__}: {one_line(error)}", time.monotonic())))
        time.sleep(2 * POLL_SECONDS)  # if rank 0 is gone, the thread ends this process
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


def _end_with_rank_0(rank_0: int, folder: Path) -> None:
    """End this process when rank 0 is gone, even amid a step; remove what that has left."""
    while os.getppid() == rank_0:
        time.sleep(POLL_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
