"""How do trainings that need not wait for each other share the CPU?"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import torch
from torch import Tensor


def num_cores() -> int:
    """Count the cores that this process may use, which a batch system can limit."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def side_by_side(tasks: Sequence[Callable[[Event], Tensor]], num_threads: int) -> list[Tensor]:
    """Run tasks in threads that share `num_threads` CPU threads evenly; one thread: one after the other.

    Args:
        tasks: take an event that asks them to stop.
        num_threads: PyTorch's own number of threads is this again afterwards.
    """
    num_workers = max(1, min(len(tasks), num_threads))
    stopped = Event()
    if num_workers == 1:
        return [task(stopped) for task in tasks]
    torch.set_num_threads(num_threads // num_workers)  # threads started from now on take this over
    try:
        with ThreadPoolExecutor(num_workers, thread_name_prefix="stack") as pool:
            running = [pool.submit(task, stopped) for task in tasks]
            try:
                return [task.result() for task in running]
            finally:  # an error or an interrupt: the others stop after the step they are in
                stopped.set()
    finally:
        torch.set_num_threads(num_threads)
