"""The table of optimizers, the learning rate of each step, and gradient clipping."""

import math
from collections.abc import Callable, Iterable, Mapping

import torch
from torch.nn import Parameter
from torch.optim import Optimizer

from lmc_mlflow.config.choices import lookup
from lmc_mlflow.config.train_pair import OptimizationConfig

OPTIMIZERS: Mapping[str, Callable[[Iterable[Parameter], OptimizationConfig], Optimizer]] = {
    "adam": lambda params, c: torch.optim.Adam(params, lr=c.lr, weight_decay=c.weight_decay),
    "adamw": lambda params, c: torch.optim.AdamW(params, lr=c.lr, weight_decay=c.weight_decay),
    "rmsprop": lambda params, c: torch.optim.RMSprop(params, lr=c.lr, weight_decay=c.weight_decay),
    "sgd": lambda params, c: torch.optim.SGD(
        params, lr=c.lr, momentum=c.momentum, nesterov=c.nesterov, weight_decay=c.weight_decay
    ),
}

NUM_SLOTS: Mapping[str, Callable[[float], int]] = {
    "adam": lambda _momentum: 2,
    "adamw": lambda _momentum: 2,
    "rmsprop": lambda _momentum: 1,
    "sgd": lambda momentum: int(momentum > 0),
}
"""Optimizer -> by its momentum, how many numbers it keeps beside each trained one."""


def make_optimizer(params: Iterable[Parameter], config: OptimizationConfig) -> Optimizer:
    """Make the optimizer of a configuration; what is frozen is no part of it."""
    params = [parameter for parameter in params if parameter.requires_grad]
    return lookup(OPTIMIZERS, config.optimizer, "optimizer")(params, config)


def num_steps(optimizer: Optimizer, parameter: Parameter) -> float:
    """Return how many steps an optimizer has counted; 0 if it counts none. Nothing is read back from a device."""
    return float(optimizer.state.get(parameter, {}).get("step", 0.0))


def count_steps(optimizer: Optimizer, params: Iterable[Parameter], num_new_steps: int) -> None:
    """Count steps that were made elsewhere, on the CPU, where an optimizer that is not fused keeps their number."""
    for parameter in params:
        count = num_steps(optimizer, parameter) + num_new_steps
        optimizer.state[parameter]["step"] = torch.tensor(count, dtype=torch.float32)


def clip(params: Iterable[Parameter], config: OptimizationConfig) -> None:
    """Scale down the gradients of one network (in place) if their norm over all parameters is above `clip_norm`."""
    if config.clip_norm > 0:
        torch.nn.utils.clip_grad_norm_(params, config.clip_norm)


def learning_rate(config: OptimizationConfig, step: int, steps_per_epoch: int) -> float:
    """Compute the learning rate of a step (counted from 0): linear warm-up, then constant or a half cosine to 0."""
    warmup = config.warmup_epochs * steps_per_epoch
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    if config.schedule == "constant":
        return config.lr
    total = config.epochs * steps_per_epoch if config.steps is None else config.steps
    done = (step - warmup) / (total - warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * done))


def noise_scale(lr: float, num_samples: int, batch_size: int) -> float:
    """Compute g = lr (N / B - 1), the noise scale of SGD (Smith and Le; Hepburn et al., section IV-B)."""
    return lr * (num_samples / batch_size - 1)
