"""Saves and restores the state of a training, so that a resumed training gives the same numbers."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from lmc_mlflow.errors import first_line
from lmc_mlflow.training.noise_trace import EpochTrace
from lmc_mlflow.training.trainee import Trainee


@dataclass(frozen=True)
class TrainingState:
    """All networks of one training after a whole epoch: those of a pair, of a trajectory, or of a star.

    Attributes:
        epoch: the last whole one, counted from 1.
        tensors: `<side>/network/<name>`, `<side>/optimizer/<parameter>/<name>` and `<side>/noise/<name>` -> tensor.
        traces: side -> what it drew in each epoch.
        train_seconds: side -> seconds spent in training its network.
        wall_seconds: since the training began, over all processes.
    """

    epoch: int
    tensors: dict[str, Tensor]
    traces: dict[str, list[EpochTrace]]
    train_seconds: dict[str, float]
    wall_seconds: float


def capture(trainees: Sequence[Trainee], epoch: int, wall_seconds: float) -> TrainingState:
    """Copy everything that the next epoch depends on."""
    tensors: dict[str, Tensor] = {}
    for t in trainees:
        for name, value in t.network.state_dict().items():
            tensors[f"{t.side}/network/{name}"] = value.detach().clone()
        for index, slots in t.optimizer.state_dict()["state"].items():
            for name, value in slots.items():
                if value is not None:  # SGD without momentum keeps an empty slot
                    tensors[f"{t.side}/optimizer/{index}/{name}"] = value.detach().clone()
        for name, value in t.noise.state().items():
            tensors[f"{t.side}/noise/{name}"] = value.clone()
    traces = {t.side: list(t.traces) for t in trainees}
    return TrainingState(epoch, tensors, traces, {t.side: t.train_seconds for t in trainees}, wall_seconds)


def restore(trainees: Sequence[Trainee], state: TrainingState) -> None:
    """Set the trainees (in place) to a state that `capture` gave."""
    for t in trainees:
        t.network.load_state_dict(_below(state.tensors, f"{t.side}/network/"))
        slots: dict[int, dict[str, Tensor]] = {}
        for path, value in _below(state.tensors, f"{t.side}/optimizer/").items():
            index, name = path.split("/")
            slots.setdefault(int(index), {})[name] = value
        t.optimizer.load_state_dict({"state": slots, "param_groups": t.optimizer.state_dict()["param_groups"]})
        t.noise.restore(_below(state.tensors, f"{t.side}/noise/"))
        t.traces = list(state.traces[t.side])
        t.train_seconds = state.train_seconds[t.side]


def save(state: TrainingState, path: Path) -> None:
    """Write a state as safetensors, with all that is no tensor as JSON in its header."""
    small = {
        "epoch": state.epoch,
        "train_seconds": state.train_seconds,
        "wall_seconds": state.wall_seconds,
        "traces": {side: [dataclasses.asdict(t) for t in traces] for side, traces in state.traces.items()},
    }
    tensors = {name: value.cpu().contiguous() for name, value in state.tensors.items()}
    save_file(tensors, path, metadata={"state": json.dumps(small)})


def load(path: Path) -> TrainingState:
    """Read a state that `save` wrote.

    Raises:
        ValueError: it is none.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            small = json.loads(file.metadata()["state"])
            tensors: dict[str, torch.Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        traces = {side: [EpochTrace(**t) for t in rows] for side, rows in small["traces"].items()}
        return TrainingState(small["epoch"], tensors, traces, small["train_seconds"], small["wall_seconds"])
    except (KeyError, TypeError, AttributeError, ValueError, safetensors.SafetensorError) as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise ValueError(f"the state to resume from cannot be read ({reason}); force=true begins anew") from None


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
