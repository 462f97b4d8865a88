"""How do the weights and optimizer states of several networks lie in one tensor, and how does a step change them?"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from lmc_mlflow.training.trainee import Trainee

Options = Mapping[str, Any]
"""A parameter group of an optimizer, without its parameters."""


@dataclass(frozen=True)
class FlatWeights:
    """G networks of P weights each.

    Attributes:
        shapes: of a network's parameters, which lie one after the other in a row.
        values: (G, P).
        gradients: (G, P).
        slots: (G, P) for each name under which the optimizer keeps a tensor like the weights.
        steps: G scalars, the optimizers' counts of steps.
    """

    shapes: tuple[torch.Size, ...]
    values: Tensor
    gradients: Tensor
    slots: dict[str, Tensor]
    steps: list[Tensor]

    @classmethod
    def like(cls, trainees: Sequence[Trainee], slots: tuple[str, ...]) -> "FlatWeights":
        """Room for these networks, all of one shape."""
        parameters = _parameters(trainees[0])
        like = parameters[0].detach()
        num_weights = sum(p.numel() for p in parameters)
        values, gradients, *rows = (like.new_zeros(len(trainees), num_weights) for _ in range(2 + len(slots)))
        return cls(
            shapes=tuple(p.shape for p in parameters),
            values=values,
            gradients=gradients,
            slots=dict(zip(slots, rows, strict=True)),
            steps=[like.new_zeros(()) for _ in trainees],
        )

    def views(self, flat: Tensor) -> list[Tensor]:
        """The parameters (G, *shape) in a tensor (G, P)."""
        parts = flat.split([math.prod(shape) for shape in self.shapes], dim=1)
        return [part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True)]

    @torch.no_grad()
    def load(self, trainees: Sequence[Trainee]) -> None:
        """Copy the networks and the states of their optimizers in."""
        for row, trainee in enumerate(trainees):
            for i, parameter in enumerate(_parameters(trainee)):
                self.views(self.values)[i][row].copy_(parameter)
                kept = trainee.optimizer.state.get(parameter, {})
                for name, slot in self.slots.items():
                    self.views(slot)[i][row].copy_(kept.get(name, torch.zeros(())))
                self.steps[row].copy_(kept.get("step", torch.zeros(())))

    @torch.no_grad()
    def store(self, trainees: Sequence[Trainee], rule: "UpdateRule") -> None:
        """Copy them back; the optimizers look as if they had made the steps themselves."""
        for row, trainee in enumerate(trainees):
            for i, parameter in enumerate(_parameters(trainee)):
                parameter.copy_(self.views(self.values)[i][row])
                kept = trainee.optimizer.state[parameter]
                for name, slot in self.slots.items():
                    kept[name] = self.views(slot)[i][row].clone()
                if rule.counts_steps:
                    kept["step"] = self.steps[row].cpu().clone()


def _parameters(trainee: Trainee) -> list[Parameter]:
    return list(trainee.network.parameters())


@dataclass(frozen=True)
class UpdateRule:
    """One fused call for all networks, and what its optimizer keeps between steps."""

    slots: Callable[[Options], tuple[str, ...]]
    counts_steps: bool
    step: Callable[[FlatWeights, Options, float], None]


def _adam_step(weights: FlatWeights, options: Options, lr: float) -> None:
    _adaptive_step(adam, weights, options, lr)


def _adamw_step(weights: FlatWeights, options: Options, lr: float) -> None:
    _adaptive_step(adamw, weights, options, lr)


def _adaptive_step(function: Callable[..., None], weights: FlatWeights, options: Options, lr: float) -> None:
    beta1, beta2 = options["betas"]
    function(
        list(weights.values),
        list(weights.gradients),
        list(weights.slots["exp_avg"]),
        list(weights.slots["exp_avg_sq"]),
        [],
        weights.steps,
        fused=True,
        amsgrad=False,
        maximize=False,
        beta1=beta1,
        beta2=beta2,
        eps=options["eps"],
        weight_decay=options["weight_decay"],
        lr=lr,
    )


def _sgd_step(weights: FlatWeights, options: Options, lr: float) -> None:
    # A first step sets the buffer to the gradient; so does any step from a buffer of zeros, without dampening.
    sgd(
        list(weights.values),
        list(weights.gradients),
        [buffer for slot in weights.slots.values() for buffer in slot],
        fused=True,
        dampening=0.0,
        maximize=False,
        momentum=options["momentum"],
        nesterov=options["nesterov"],
        weight_decay=options["weight_decay"],
        lr=lr,
    )


def _momentum_slots(options: Options) -> tuple[str, ...]:
    return ("momentum_buffer",) if options["momentum"] else ()


RULES: Mapping[str, UpdateRule] = {
    "adam": UpdateRule(lambda options: ("exp_avg", "exp_avg_sq"), True, _adam_step),
    "adamw": UpdateRule(lambda options: ("exp_avg", "exp_avg_sq"), True, _adamw_step),
    "sgd": UpdateRule(_momentum_slots, False, _sgd_step),
}
