"""Prepares the training of a curve's bends between two logged networks, and tells it from all others."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from lmc_mlflow import weights
from lmc_mlflow.batches import Images
from lmc_mlflow.config.canonical import fingerprint, to_params
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.curve import SEGMENT, CurveConfig, curve_optimization
from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.config.train_pair import NoiseConfig, OptimizationConfig
from lmc_mlflow.data.datasets import flips_images
from lmc_mlflow.data.labelled import LabelledImages, common_black, edge_of
from lmc_mlflow.normalization.recalibration import batch_norms, recalibrate
from lmc_mlflow.paths.points import mixed_batches
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.seeds import derive_seed
from lmc_mlflow.training.curve_bends import CurveNetwork
from lmc_mlflow.training.noise import noise_stream
from lmc_mlflow.training.optimizers import make_optimizer
from lmc_mlflow.training.trainee import Trainee, check_last_batch
from lmc_mlflow.weights import State
from lmc_mlflow.workflows.networks.pair_of_networks import Ends, both_training_sides

TRAINED_ON = {"both": ("train_a", "train_b"), "side_a": ("train_a",), "side_b": ("train_b",)}
"""Choice of `curve_data` -> splits that the bends are trained on."""
CURVE = "curve"
TRAIN_SECONDS = "cost/train_seconds"


@dataclass(frozen=True)
class CurveTraining:
    """The training of a curve's bends, before its first step.

    Attributes:
        trainee: the bends; its network is a `CurveNetwork`.
        optimization: how they are trained.
        num_epochs: of the training; 0: the bends stay where they are.
        flips: whether images are flipped at random.
        seed: of the points on the curve.
        digest: of all that decides the trained bends.
    """

    trainee: Trainee
    optimization: OptimizationConfig
    num_epochs: int
    flips: bool
    seed: int
    digest: str

    @property
    def params(self) -> dict[str, str]:
        """The settings of the training as they are logged, under the names that an endpoint has for its own."""
        as_pair = to_params(TrainPairConfig(optimization=self.optimization))
        return {name: text for name, text in as_pair.items() if name.startswith("optimization.")}

    @property
    def like(self) -> State:
        """A state with the names and shapes of a bend."""
        assert isinstance(self.trainee.network, CurveNetwork)
        return self.trainee.network.states()[0]

    def bends(self) -> tuple[State, ...]:
        """Copy the bends to the CPU, their batch norm's statistics averaged over the training images."""
        network = self.trainee.network
        assert isinstance(network, CurveNetwork)
        for bend in network.bends:
            if batch_norms(bend):
                recalibrate(bend, mixed_batches(self.trainee.images))
        return tuple({name: value.cpu() for name, value in state.items()} for state in network.states())


def refuse_own_statistics(form: str, bn: str, network: LoggedNetwork) -> None:
    """Refuse statistics of batch norm that lie on the curve like weights: bends are trained without any.

    Raises:
        ValueError: the networks have batch norm, and `bn` is `interpolate`.
    """
    if form != SEGMENT and bn == "interpolate" and batch_norms(network.network()):
        raise ValueError(
            f"a {form} curve: the bends are trained without statistics of batch norm that could be "
            "interpolated; give bn=recalibrate"
        )


def prepare_training(
    config: CurveConfig, ends: Ends, splits: Mapping[str, LabelledImages], device: torch.device
) -> CurveTraining:
    """Put the bends on the segment, and make what trains them.

    Raises:
        ValueError: the settings contradict one another, or nobody has said how A was trained.
    """
    first = ends[0].config
    optimization = curve_optimization(config, first.optimization)
    on_device = {name: splits[name].to(device) for name in TRAINED_ON[config.curve_data]}
    images, labels, edge = _joined(on_device, first.data)
    network = ends[0].network().to(device)
    states = tuple({name: value.to(device) for name, value in end.state.items()} for end in ends)
    check_last_batch(network, images, optimization.batch_size, CURVE)
    bends = CurveNetwork(network, config.path, (states[0], states[1]), config.curve_bends, first.starting.freeze)
    _, _, height, width = images.shape
    translate, boxed = first.data.largest_move(height, width), (height, width) if first.data.resizes else None
    trainee = Trainee(
        side=CURVE,
        network=bends,
        optimizer=make_optimizer((p for p in bends.parameters() if p.requires_grad), optimization),
        noise=noise_stream(NoiseConfig(), derive_seed(config.curve_seed, "curve/noise"), "A", device, translate, boxed),
        images=images,
        labels=labels,
        edge=edge,
    )
    num_epochs = optimization.epochs if config.curve_epochs is None else config.curve_epochs
    flips = flips_images(first.data)
    content = {
        "form": config.path,
        "bends": config.curve_bends,
        "epochs": num_epochs,
        "training": fingerprint(TrainPairConfig(optimization=optimization, model=replace(first.model, seed=1))),
        "augmentation": [flips, translate, *["crop"] * first.data.crops, *["box"] * first.data.resizes],
        "seed": config.curve_seed,
        "frozen": list(first.starting.freeze),
        "ends": [weights.digest(end.state) for end in ends],
        "images": [splits[name].digest for name in on_device],
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    return CurveTraining(trainee, optimization, num_epochs, flips, config.curve_seed, digest)


def _joined(splits: dict[str, LabelledImages], data: DataConfig) -> tuple[Images, torch.Tensor, torch.Tensor | None]:
    """Return the images of all splits, their labels, and what comes in where an image is moved."""
    if len(splits) == 1:
        (only,) = splits.values()
        return only.images, only.labels, edge_of(data, only)
    a, b = splits["train_a"], splits["train_b"]
    labels = a.labels if a.digest == b.digest else torch.cat([a.labels, b.labels])
    return both_training_sides(splits), labels, edge_of(data, replace(a, black=common_black(a, b)))
