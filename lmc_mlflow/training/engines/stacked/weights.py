"""Holds weights and optimizer states of several networks in flat tensors, and runs the optimizer step on them."""

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

from lmc_mlflow.batches import send
from lmc_mlflow.training.optimizers import count_steps, num_steps
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.weights import copy_all

Options = Mapping[str, Any]
"""The settings in a parameter group of an optimizer."""


@dataclass(frozen=True)
class UpdateRule:
    """One fused call for all networks, and the tensors that an optimizer of this kind keeps between steps."""

    step: Callable[["FlatWeights", Options, float | Tensor], None]
    slots: Callable[[Options], tuple[str, ...]]
    counts_steps: bool


class FlatWeights:
    """G networks of P weights each.

    Attributes:
        values: (G, P).
        gradients: (G, P).
        slots: (G, P) for each name under which the optimizer keeps a tensor like the weights.
        steps: G scalars, the number of steps of each optimizer so far, views of one tensor.
        rows: the G rows of values, of gradients and of each slot, in the form that a fused call takes.
    """

    def __init__(self, trainees: Sequence[Trainee], rule: UpdateRule, clip_norm: float = 0.0) -> None:
        parameters = _parameters(trainees[0])
        self._clip_norm = clip_norm
        self._shapes = [p.shape for p in parameters]
        self._rule = rule
        self._options: Options = trainees[0].optimizer.param_groups[0]

        def room() -> Tensor:
            return parameters[0].detach().new_zeros(len(trainees), sum(p.numel() for p in parameters))

        self.values, self.gradients = room(), room()
        self.slots = {name: room() for name in rule.slots(self._options)}
        self._counts = self.values.new_zeros(len(trainees))
        self.steps = list(self._counts)
        self.rows = [list(flat) for flat in (self.values, self.gradients, *self.slots.values())]

    def views(self, flat: Tensor) -> list[Tensor]:
        """Return views (G, *shape) of all parameters in a flat tensor (G, P)."""
        parts = torch.split(flat, [math.prod(shape) for shape in self._shapes], dim=1)
        return [part.view(len(flat), *shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def load(self, trainees: Sequence[Trainee]) -> None:
        """Copy networks and optimizer states into the flat tensors; a state that does not exist yet is 0."""
        self._options = trainees[0].optimizer.param_groups[0]
        copy_all(*self._parts(trainees))
        counts = [num_steps(trainee.optimizer, _parameters(trainee)[0]) for trainee in trainees]
        self._counts.copy_(send(torch.tensor(counts, dtype=self._counts.dtype), self._counts.device))

    def store(self, trainees: Sequence[Trainee], lr: float, num_new_steps: int) -> None:
        """Copy weights and states back to the trainees, as if their optimizers had made the steps themselves."""
        for trainee in trainees:
            for group in trainee.optimizer.param_groups:
                group["lr"] = lr
            for parameter in _parameters(trainee):
                kept = trainee.optimizer.state[parameter]
                kept |= {name: torch.empty_like(parameter) for name in self.slots if kept.get(name) is None}
            if self._rule.counts_steps:
                count_steps(trainee.optimizer, _parameters(trainee), num_new_steps)
        ours, theirs = self._parts(trainees)
        copy_all([other for other in theirs if other is not None], ours)

    def _parts(self, trainees: Sequence[Trainee]) -> tuple[list[Tensor], list[Tensor | None]]:
        """Return the flat tensors in parts, and what networks and optimizers hold for each part; None: nothing yet."""
        ours: list[Tensor] = []
        theirs: list[Tensor | None] = []
        for name in (None, *self.slots):
            parts = self.views(self.values if name is None else self.slots[name])
            for row, trainee in enumerate(trainees):
                for part, parameter in zip(parts, _parameters(trainee), strict=True):
                    ours.append(part[row])
                    kept = trainee.optimizer.state.get(parameter, {})
                    theirs.append(parameter if name is None else kept.get(name))
        return ours, theirs

    def step(self, lr: float | Tensor) -> None:
        """Make one optimizer step (in place), in all networks with the options of the first one's optimizer."""
        if self._clip_norm > 0:  # each network's by its own norm, as `clip_grad_norm_` does
            norms = torch.linalg.vector_norm(self.gradients, dim=1, keepdim=True)
            self.gradients.mul_((self._clip_norm / (norms + 1e-6)).clamp_(max=1.0))
        self._rule.step(self, self._options, lr)


def _parameters(trainee: Trainee) -> list[Parameter]:
    return list(trainee.network.parameters())


def _adam_step(weights: FlatWeights, options: Options, lr: float | Tensor) -> None:
    _adaptive_step(adam, weights, options, lr)


def _adamw_step(weights: FlatWeights, options: Options, lr: float | Tensor) -> None:
    _adaptive_step(adamw, weights, options, lr)


def _adaptive_step(function: Callable[..., None], weights: FlatWeights, options: Options, lr: float | Tensor) -> None:
    beta1, beta2 = options["betas"]
    function(
        *weights.rows,
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


def _sgd_step(weights: FlatWeights, options: Options, lr: float | Tensor) -> None:
    # A first step sets the momentum to the gradient, and so does any step from a momentum of 0 without dampening.
    values, gradients, *momentum = weights.rows
    sgd(
        values,
        gradients,
        [row for rows in momentum for row in rows],
        fused=True,
        dampening=0.0,
        maximize=False,
        momentum=options["momentum"],
        nesterov=options["nesterov"],
        weight_decay=options["weight_decay"],
        lr=lr,
    )


RULES: Mapping[str, UpdateRule] = {
    "adam": UpdateRule(_adam_step, lambda _: ("exp_avg", "exp_avg_sq"), counts_steps=True),
    "adamw": UpdateRule(_adamw_step, lambda _: ("exp_avg", "exp_avg_sq"), counts_steps=True),
    "sgd": UpdateRule(_sgd_step, lambda o: ("momentum_buffer",) if o["momentum"] else (), counts_steps=False),
}
