"""Saves and reads the state of one network after an epoch of its training: weights, optimizer and noise."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
from torch import Tensor

from lmc_mlflow.errors import first_line
from lmc_mlflow.training.optimizers import NUM_SLOTS
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.weights import digest

HEADER = "kept"
"""Key of the header that holds all that is no tensor, as JSON."""


@dataclass(frozen=True)
class KeptState:
    """One network after a whole epoch, with everything that its next epoch depends on.

    Attributes:
        epoch: counted from 1.
        side: of the training.
        optimizer: its name, as in the configuration.
        network: the state dict.
        slots: parameter -> name -> what the optimizer keeps of it.
        noise: what the noise stream keeps from epoch to epoch.
    """

    epoch: int
    side: str
    optimizer: str
    network: dict[str, Tensor]
    slots: dict[str, dict[str, Tensor]]
    noise: dict[str, Tensor]

    def tensors(self) -> dict[str, Tensor]:
        """Give all tensors under one name each: `network/<name>`, `optimizer/<parameter>/<name>`, `noise/<name>`."""
        found = {f"network/{name}": value for name, value in self.network.items()}
        for parameter, kept in self.slots.items():
            found |= {f"optimizer/{parameter}/{name}": value for name, value in kept.items()}
        return found | {f"noise/{name}": value for name, value in self.noise.items()}

    def header(self) -> dict[str, str]:
        """Give all that is no tensor, for the header of the file."""
        return {HEADER: json.dumps({"epoch": self.epoch, "side": self.side, "optimizer": self.optimizer})}

    def digest(self) -> str:
        """Compute the sha256 of all tensors, in hex."""
        return digest(self.tensors())


def capture_kept(trainee: Trainee, epoch: int, optimizer: str) -> KeptState:
    """Copy everything that the next epoch of a network depends on, to the CPU."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in trainee.network.named_parameters()}
    slots = {
        names[parameter]: {name: _copy(value) for name, value in kept.items() if isinstance(value, Tensor)}
        for parameter, kept in trainee.optimizer.state.items()
    }
    network = {name: _copy(value) for name, value in trainee.network.state_dict().items()}
    noise = {name: _copy(value) for name, value in trainee.noise.state().items()}
    return KeptState(epoch, trainee.side, optimizer, network, slots, noise)


def restore_kept(trainee: Trainee, state: KeptState, with_noise: bool) -> None:
    """Set a trainee (in place) to a state.

    Args:
        trainee: of the same architecture and kind of optimizer; tensors that it does not train keep no slots.
        state: that `capture_kept` gave.
        with_noise: whether its noise goes on where that of the state was.
    """
    trainee.network.load_state_dict(state.network)
    names = {parameter: name for name, parameter in trainee.network.named_parameters()}
    groups = trainee.optimizer.state_dict()["param_groups"]
    trained = [names[parameter] for group in trainee.optimizer.param_groups for parameter in group["params"]]
    slots = {
        i: {slot: value.clone() for slot, value in state.slots[name].items()}  # an optimizer works on what it is given
        for i, name in enumerate(trained)
        if state.slots.get(name)
    }
    trainee.optimizer.load_state_dict({"state": slots, "param_groups": groups})
    if with_noise:
        trainee.noise.restore({name: value.clone() for name, value in state.noise.items()})


def num_bytes(trainee: Trainee, optimizer: str, momentum: float) -> int:
    """Count the bytes of a kept state: the network, and what its optimizer keeps beside each trained number."""
    network = sum(value.numel() * value.element_size() for value in trainee.network.state_dict().values())
    trained = sum(
        parameter.numel() * parameter.element_size()
        for group in trainee.optimizer.param_groups
        for parameter in group["params"]
    )
    return int(network + NUM_SLOTS[optimizer](momentum) * trained)


def read_kept(path: Path) -> KeptState:
    """Read a kept state.

    Raises:
        ValueError: it is none.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            small = json.loads(file.metadata()[HEADER])
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        epoch, side, optimizer = int(small["epoch"]), str(small["side"]), str(small["optimizer"])
    except (KeyError, TypeError, ValueError, OSError, safetensors.SafetensorError) as error:
        raise ValueError(f"its kept state cannot be read ({type(error).__name__}: {first_line(error)})") from None
    slots: dict[str, dict[str, Tensor]] = {}
    for name, value in _below(tensors, "optimizer/").items():
        parameter, _, slot = name.rpartition("/")
        slots.setdefault(parameter, {})[slot] = value
    return KeptState(epoch, side, optimizer, _below(tensors, "network/"), slots, _below(tensors, "noise/"))


def _copy(value: Tensor) -> Tensor:
    return value.detach().cpu().clone().contiguous()


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
