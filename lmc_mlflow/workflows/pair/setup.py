"""How does a configuration become two networks ready to train?"""

import copy

import torch

from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.data.loading import SIDES, ShiftedData
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.training.noise import initialization_seeds, noise_stream
from lmc_mlflow.training.optimizers import make_optimizer
from lmc_mlflow.training.trainee import Trainee, check_last_batch


def network_spec(config: TrainPairConfig, data: ShiftedData) -> NetworkSpec:
    """The network that a configuration names, for the images it loads."""
    _, channels, height, width = data.test.images.shape
    output = "log_probabilities" if data.test.labels.ndim == 1 else "logits"
    model = config.model
    return NetworkSpec(
        model.model, channels, height, width, len(data.classes), model.dropout_rate, output, model.weights_init
    )


def make_trainees(config: TrainPairConfig, data: ShiftedData, device: torch.device) -> list[Trainee]:
    """Side A and side B, initialized, with their optimizers and their noise.

    Raises:
        ValueError: the network is unknown or cannot take these images, or batches of this size of them.
    """
    spec = network_spec(config, data)
    seeds = initialization_seeds(config.model.init, config.noise.noise_scope, config.model.seed)
    first = build_network(spec, seeds[0])
    second = copy.deepcopy(first) if seeds[0] == seeds[1] else build_network(spec, seeds[1])
    trainees = []
    for side, network in zip(SIDES, (first, second), strict=True):
        network.to(device)
        trainees.append(
            Trainee(
                side=side,
                network=network,
                optimizer=make_optimizer(network.parameters(), config.optimization),
                noise=noise_stream(config.noise, config.model.seed, side, device, data.translate),
                images=data.side(side).images,
                labels=data.side(side).labels,
            )
        )
        check_last_batch(network, data.side(side).images, config.optimization.batch_size, side)
    return trainees
