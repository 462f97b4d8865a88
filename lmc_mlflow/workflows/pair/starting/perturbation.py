"""Perturbs side B of a pair where its sides part."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lmc_mlflow.batches import Images
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.perturbation import GAUSSIAN, read_perturbation
from lmc_mlflow.predictions.scores import mean_loss
from lmc_mlflow.seeds import global_stream, stream
from lmc_mlflow.training.trainee import Trainee


def perturb(trainee: Trainee, config: TrainPairConfig) -> None:
    """Change the weights of side B (in place) as `perturb` says, by draws from a stream of its own.

    `gaussian:<sigma>` adds sigma times a normal draw to every trained number. `batch:<n>` makes one plain gradient step
    of the learning rate on n images of the side; the optimizer does not notice.

    Raises:
        ValueError: more images than the side has.
    """
    change = read_perturbation(config.starting.perturb)
    if change is None or change.size == 0:
        return
    draws = stream(config.model.seed, "perturb", config.starting.parting)
    trained = [parameter for parameter in trainee.network.parameters() if parameter.requires_grad]
    if change.form == GAUSSIAN:
        with torch.no_grad():
            for parameter in trained:
                noise = torch.randn(parameter.shape, generator=draws)
                parameter.add_(noise.to(parameter.device), alpha=change.size)
        return
    number = int(change.size)
    if number > len(trainee.labels):
        raise ValueError(f"perturb=batch:{number}: side {trainee.side} has {len(trainee.labels)} images; give less")
    order = torch.randperm(len(trainee.labels), generator=draws)[:number]
    gradients = _gradients(trainee.network, trained, trainee.images, trainee.labels, order)
    with torch.no_grad():
        for parameter, gradient in zip(trained, gradients, strict=True):
            parameter.add_(gradient, alpha=-config.optimization.lr)


def _gradients(
    network: nn.Module, trained: Sequence[nn.Parameter], images: Images, labels: Tensor, order: Tensor
) -> tuple[Tensor, ...]:
    """Compute the gradients of the mean loss on some images, in evaluation mode: no statistics, no dropout."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        (batch,) = images.batches(order, len(order))
        with global_stream(0, labels.device):
            loss = mean_loss(network(batch), labels[order.to(labels.device)])
        return torch.autograd.grad(loss, list(trained))
    finally:
        for module, mode in modes.items():
            module.training = mode
