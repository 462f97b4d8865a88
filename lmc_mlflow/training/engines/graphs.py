"""Captures training steps as CUDA graphs, and runs those of several networks side by side on streams of their own."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from lmc_mlflow.errors import first_line

NUM_WARM_UPS = 3
"""Steps before a capture, in which libraries allocate their memory and choose their kernels."""
DONE = object()


def make_stream(device: torch.device) -> torch.cuda.Stream | None:
    """Make a stream on this GPU, whichever is the current one; None on a CPU."""
    return torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]


def capture_graph(step: Callable[[], None], cursor: Tensor, stream: torch.cuda.Stream | None) -> Callable[[], None]:
    """Capture a step as a CUDA graph and try it once; on a CPU return the step itself.

    Args:
        step: does the same work at every call, on tensors that its caller keeps, and moves the cursor on.
        cursor: the position in the epoch, on the device of these tensors; 0 at the beginning of a run and at the end.
        stream: on which the graph is captured and will be replayed, of the cursor's device; None: on a CPU.

    Raises:
        ValueError: the step cannot be captured, or its graph does not run.
    """
    if stream is None:
        return step
    with torch.cuda.device(stream.device):
        home = torch.cuda.current_stream()
        stream.wait_stream(home)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.stream(stream):
            for _ in range(NUM_WARM_UPS):
                cursor.zero_()
                step()
            cursor.zero_()
        try:
            with torch.cuda.graph(graph, stream=stream):
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
    while left:
        left = [(run, stream) for run, stream in left if _launch(run, stream)]
    for stream in streams:
        home.wait_stream(stream)


def _launch(run: Iterator[None], stream: torch.cuda.Stream) -> bool:
    """Launch the next step of a run; tell whether there was one."""
    with torch.cuda.stream(stream):
        return next(run, DONE) is not DONE
