"""Captures training steps as CUDA graphs, and runs those of several networks side by side on streams of their own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lmc_mlflow.errors import first_line

NUM_WARM_UPS = 3
"""Steps before a capture, in which libraries allocate their memory and choose their kernels."""
DONE = object()


def make_stream(device: torch.device) -> torch.cuda.Stream | None:
    """Make a stream on this GPU, whichever is the current one; None on a CPU."""
    return torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]


def capture_graphs(
    steps: Mapping[int, Callable[[], None]], cursor: Tensor, stream: torch.cuda.Stream | None
) -> dict[int, Callable[[], None]]:
    """Capture steps as CUDA graphs and try each once; on a CPU return the steps themselves.

    The graphs share their memory, because no two of them run at a time.

    Args:
        steps: batch size -> what does the same work at every call, on tensors that the caller keeps, and moves the
            cursor on.
        cursor: the position in the epoch, on the device of these tensors; 0 at the beginning of a run and at the end.
        stream: on which the graphs are captured and will be replayed, of the cursor's device; None: on a CPU.

    Raises:
        ValueError: a step cannot be captured, or its graph does not run.
    """
    if stream is None:
        return dict(steps)
    with torch.cuda.device(stream.device):
        pool = torch.cuda.graph_pool_handle()
        largest_first = sorted(steps.items(), reverse=True)
        return {size: _capture(step, cursor, stream, pool) for size, step in largest_first}


def _capture(step: Callable[[], None], cursor: Tensor, stream: torch.cuda.Stream, pool: Any) -> Callable[[], None]:
    home, graph = torch.cuda.current_stream(), torch.cuda.CUDAGraph()
    stream.wait_stream(home)
    with torch.cuda.stream(stream):
        for _ in range(NUM_WARM_UPS):
            cursor.zero_()
            step()
        cursor.zero_()
    try:
        with torch.cuda.graph(graph, pool=pool, stream=stream):
            step()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        why = first_line(error)
        raise ValueError(f"engine=fast cannot capture a step of this network ({why}); use engine=exact") from error
    with torch.cuda.stream(stream):
        graph.replay()
        if not int(cursor):
            raise ValueError(f"engine=fast: the step captured for {stream.device} does not run; use engine=exact")
        cursor.zero_()
    home.wait_stream(stream)
    return graph.replay


def take_turns(runs: Sequence[Iterator[None]], streams: Sequence[torch.cuda.Stream]) -> None:
    """Launch one step of each run after the other until all are done, each run on a stream of its own.

    Work that was launched before begins before them, and work that is launched later waits for them.

    Args:
        runs: launch a step whenever they are asked for the next one.
        streams: one for each, all of one device.
    """
    home = torch.cuda.current_stream(streams[0].device)
    for stream in streams:
        stream.wait_stream(home)
    left = list(zip(runs, streams, strict=True))
    try:
        while left:
            left = [(run, stream) for run, stream in left if _launch(run, stream)]
    finally:  # an error or an interrupt, too: the memory of the steps may be used for something else
        for stream in streams:
            home.wait_stream(stream)


def _launch(run: Iterator[None], stream: torch.cuda.Stream) -> bool:
    """Launch the next step of a run; tell whether there was one."""
    with torch.cuda.stream(stream):
        return next(run, DONE) is not DONE
