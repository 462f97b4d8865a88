# Rendered by `python -m lmc_mlflow.python_stub`; change lmc_mlflow/config/ or api.py.
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path as _FilePath
from typing import Literal

import pandas as pd
from torch import nn

from lmc_mlflow import plots as plots
from lmc_mlflow import query as query
from lmc_mlflow.results.measurements import Ensemble, Matrix, Path, PathByEpoch, Plane
from lmc_mlflow.results.networks import Network, Pair, Star, Trajectory
from lmc_mlflow.results.result import Result
from lmc_mlflow.workflows.pair.own_loop import OwnPair

__version__: str
FUNCTIONS: tuple[str, ...]
ROOMS: tuple[str, ...]
_Run = str | Result
_Runs = Sequence[_Run]

def align(
    a: _Run | None = None,
    b: _Run | None = None,
    /,
    *,
    uri: str | None = None,
    experiment: str | None = None,
    run_a: _Run = "",
    run_b: _Run = "",
    pair: _Run = "",
    data_root: str | _FilePath = "",
    method: Literal["weights", "activations", "sinkhorn"] = "weights",
    num_matching_images: int = 2000,
    sinkhorn_objective: Literal["distance", "midpoint", "path"] = "distance",
    sinkhorn_steps: int = 200,
    sinkhorn_lr: float = 0.1,
    sinkhorn_temperature: float = 1.0,
    match_on: Literal["parameters", "kernels"] = "parameters",
    align_seed: int = 0,
    max_sweeps: int = 100,
    device: str = "auto",
    deterministic: bool = False,
    threads: int | None = None,
    keep_memory: bool = True,
    code: str = "",
) -> Network:
    """Permute the units of B towards A, and log the permuted network; of a pair, side B towards side A."""

def ensemble(
    members: _Run | _Runs | None = None,
    /,
    *,
    uri: str | None = None,
    experiment: str | None = None,
    pair: _Run = "",
    runs: _Runs = (),
    query: str = "",
    mixed: bool = False,
    star: _Run = "",
    num_samples: int = 20,
    samples_seed: int = 0,
    num_alphas: int = 21,
    include_ends: bool = True,
    bn: Literal["interpolate", "recalibrate", "nearest", "repair"] = "interpolate",
    data_root: str | _FilePath = "",
    num_resamples: int = 1000,
    confidence: float = 0.95,
    num_orders: int = 50,
    scores_seed: int = 0,
    device: str = "auto",
    deterministic: bool = False,
    threads: int | None = None,
    keep_memory: bool = True,
    code: str = "",
    devices: Sequence[str] | str = (),
    address: str = "",
) -> Ensemble:
    """Score an ensemble: of points of the path of a pair, of random points of a star, or of a list of networks."""

def interpolate(
    a: _Run | None = None,
    b: _Run | None = None,
    /,
    *,
    uri: str | None = None,
    experiment: str | None = None,
    run_a: _Run = "",
    run_b: _Run = "",
    pair: _Run = "",
    data_root: str | _FilePath = "",
    num_alphas: int = 21,
    alphas: Literal["even", "adaptive"] = "even",
    alpha_tolerance: float = 0.01,
    splits: Sequence[Literal["test", "train_a", "train_b", "unseen"]] | str = ('test', 'train_a', 'train_b'),
    bn: Literal["interpolate", "recalibrate", "nearest", "repair"] = "interpolate",
    path_engine: Literal["fast", "exact"] = "fast",
    barrier_threshold: float = 0.1,
    accuracy_delta_threshold: float = -0.06,
    error_barrier_threshold: float = 0.02,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    resamples_seed: int = 0,
    keep_samples: bool = False,
    align: Literal["none", "weights", "activations", "sinkhorn"] = "none",
    num_matching_images: int = 2000,
    sinkhorn_objective: Literal["distance", "midpoint", "path"] = "distance",
    sinkhorn_steps: int = 200,
    sinkhorn_lr: float = 0.1,
    sinkhorn_temperature: float = 1.0,
    match_on: Literal["parameters", "kernels"] = "parameters",
    align_seed: int = 0,
    max_sweeps: int = 100,
    device: str = "auto",
    deterministic: bool = False,
    threads: int | None = None,
    keep_memory: bool = True,
    code: str = "",
    devices: Sequence[str] | str = (),
    address: str = "",
) -> Path:
    """Measure the path between the networks of a pair (one argument), or between two networks."""

def interpolate_epochs(
    pair: _Run | None = None,
    /,
    *,
    uri: str | None = None,
    experiment: str | None = None,
    data_root: str | _FilePath = "",
    num_alphas: int = 21,
    alphas: Literal["even", "adaptive"] = "even",
    alpha_tolerance: float = 0.01,
    splits: Sequence[Literal["test", "train_a", "train_b", "unseen"]] | str = ('test', 'train_a', 'train_b'),
    bn: Literal["interpolate", "recalibrate", "nearest", "repair"] = "interpolate",
    path_engine: Literal["fast", "exact"] = "fast",
    barrier_threshold: float = 0.1,
    accuracy_delta_threshold: float = -0.06,
    error_barrier_threshold: float = 0.02,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    resamples_seed: int = 0,
    keep_samples: bool = False,
    num_matching_images: int = 2000,
    sinkhorn_objective: Literal["distance", "midpoint", "path"] = "distance",
    sinkhorn_steps: int = 200,
    sinkhorn_lr: float = 0.1,
    sinkhorn_temperature: float = 1.0,
    match_on: Literal["parameters", "kernels"] = "parameters",
    align_seed: int = 0,
    max_sweeps: int = 100,
    epochs: Sequence[int] | str = (),
    device: str = "auto",
    deterministic: bool = False,
    threads: int | None = None,
    keep_memory: bool = True,
    code: str = "",
    devices: Sequence[str] | str = (),
    address: str = "",
) -> PathByEpoch:
    """Measure the path between both sides of a pair after each of its kept epochs (`epochs=[1, 2, 5]`)."""

def matrix(
    networks: _Runs | None = None,
    /,
    *,
    uri: str | None = None,
    experiment: str | None = None,
    runs: _Runs = (),
    query: str = "",
    mixed: bool = False,
    max_runs: int = 50,
    data_root: str | _FilePath = "",
    force: bool = False,
    align: Literal["none", "weights", "activations", "sinkhorn"] = "none",
    reference: _Run = "pairwise",
    num_alphas: int = 11,
    split: Literal["test", "train"] = "test",
    bn: Literal["interpolate", "recalibrate", "nearest", "repair"] = "interpolate",
    barrier: Literal["barrier_over_chord", "barrier", "barrier_in_basin", "error_barrier", "epsilon"] = "barrier_over_chord",
    threshold: float | None = None,
    linkage: Literal["average", "single", "complete"] = "average",
    num_matching_images: int = 2000,
    sinkhorn_objective: Literal["distance", "midpoint", "path"] = "distance",
    sinkhorn_steps: int = 200,
    sinkhorn_lr: float = 0.1,
    sinkhorn_temperature: float = 1.0,
    match_on: Literal["parameters", "kernels"] = "parameters",
    align_seed: int = 0,
    max_sweeps: int = 100,
    device: str = "auto",
    deterministic: bool = False,
    threads: int | None = None,
    keep_memory: bool = True,
    code: str = "",
    devices: Sequence[str] | str = (),
    address: str = "",
) -> Matrix:
    """Measure the barrier between every two of several networks (a list, or `query=`)."""

def network(
    run: _Run,
    /,
    *,
    uri: str | None = None,
) -> nn.Module:
    """Load the network that a run logged, in evaluation mode; every byte is verified against the run's manifest.

    Args:
        run: a result, a run id, or a prefix that only one run has.
        uri: of the tracking store; None: that of the result, or of MLflow's own settings.

    Raises:
        ValueError: no such run, or one without a network that can be loaded.
    """

def options(
    command: str,
) -> pd.DataFrame:
    """Return the options of a command: `option`, `default`, `choices` and what it says.

    Raises:
        ValueError: there is no such command.
    """

def pair(
    *,
    uri: str | None = None,
    experiment: str | None = None,
    dataset: str = "digits",
    data_root: str | _FilePath = "data",
    image_size: int | None = None,
    shift: str = "label_5050",
    test_split: Literal["auto", "official", "random80"] = "auto",
    validation: Literal["unused", "train"] = "unused",
    split_seed: int = 0,
    normalization: Literal["centered", "half", "unit"] = "centered",
    augmentation: Literal["auto", "none", "flip", "translate", "flip_translate"] = "auto",
    translate_pixels: int = 2,
    memory_gb: float = 4.0,
    model: str = "mlp_l1_w587",
    model_options: str = "",
    dropout_rate: float = 0.5,
    seed: int = 1,
    init: Literal["same", "different"] = "same",
    weights_init: Literal["default", "normal", "uniform"] = "default",
    noise: Literal["same", "different"] = "same",
    noise_scope: Literal["run", "paper"] = "run",
    paper_first_epoch: int = 0,
    noise_seed: int | None = None,
    order_seed: int | None = None,
    augmentation_seed: int | None = None,
    epochs: int = 100,
    batch_size: int = 32,
    optimizer: Literal["adam", "adamw", "rmsprop", "sgd"] = "adam",
    lr: float = 0.001,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    device: str = "auto",
    deterministic: bool = False,
    threads: int | None = None,
    keep_memory: bool = True,
    code: str = "",
    c2st_samples: int = 1000,
    start: _Run = "",
    start_digest: str = "",
    start_head: Literal["keep", "new"] = "keep",
) -> AbstractContextManager[OwnPair]:
    """Open a pair that a training loop of your own trains: `with lmc.pair(shift="label_2080") as pair: ...`.

    Split, digests, initialization, runs and tests are made as by `train_pair`; nothing is trained. An exception in the
    block ends the runs as FAILED. Options that speak of training (`epochs`, `lr`, ...) are recorded alone.

    Args:
        uri: as in `train_pair`.
        experiment: as in `train_pair`.
        options: the flags of `train_pair`, but for those of our loop.

    Raises:
        ValueError: an option, the data or the network, or a side that was not logged in the block.
    """

def plane(
    a: _Run | None = None,
    b: _Run | None = None,
    c: _Run | None = None,
    /,
    *,
    uri: str | None = None,
    experiment: str | None = None,
    run_a: _Run = "",
    run_b: _Run = "",
    run_c: _Run = "",
    data_root: str | _FilePath = "",
    force: bool = False,
    align: Literal["none", "weights", "activations", "sinkhorn"] = "none",
    num_points: int = 21,
    margin: float = 0.2,
    split: Literal["test", "train"] = "test",
    bn: Literal["recalibrate", "interpolate"] = "recalibrate",
    num_matching_images: int = 2000,
    sinkhorn_objective: Literal["distance", "midpoint", "path"] = "distance",
    sinkhorn_steps: int = 200,
    sinkhorn_lr: float = 0.1,
    sinkhorn_temperature: float = 1.0,
    match_on: Literal["parameters", "kernels"] = "parameters",
    align_seed: int = 0,
    max_sweeps: int = 100,
    device: str = "auto",
    deterministic: bool = False,
    threads: int | None = None,
    keep_memory: bool = True,
    code: str = "",
    devices: Sequence[str] | str = (),
    address: str = "",
) -> Plane:
    """Measure loss and score over the plane through three networks."""

def prune(
    network: _Run | None = None,
    /,
    *,
    uri: str | None = None,
    experiment: str | None = None,
    run: _Run = "",
    query: str = "",
    merge_cosine: float = 0.95,
    merge_to: Literal["strongest", "mean"] = "strongest",
    drop_below: float = 0.01,
    drop_dead: bool = True,
    keep_width: bool = True,
    place: Literal["own", "front"] = "own",
    heat_maps: bool = True,
    data_root: str | _FilePath = "",
    device: str = "auto",
    deterministic: bool = False,
    threads: int | None = None,
    keep_memory: bool = True,
    code: str = "",
) -> list[Network]:
    """Remove the redundant units of a trained MLP, or of each that `query=` finds."""

def star(
    networks: _Runs | None = None,
    /,
    *,
    uri: str | None = None,
    experiment: str | None = None,
    sources: _Runs = (),
    source_query: str = "",
    mixed: bool = False,
    max_sources: int | None = None,
    held_out: _Runs = (),
    held_out_query: str = "",
    max_held_out: int | None = None,
    data_root: str | _FilePath = "",
    star_seed: int = 0,
    star_init: Literal["random", "first", "mean"] = "random",
    star_data: Literal["both", "side_a", "side_b"] = "both",
    match_every: int = 1,
    match_method: Literal["weights", "activations", "sinkhorn"] = "weights",
    match_on: Literal["parameters", "kernels"] = "parameters",
    max_sweeps: int = 100,
    t_distribution: Literal["uniform", "beta", "constant"] = "uniform",
    beta_a: float = 1.0,
    beta_b: float = 1.0,
    t_value: float = 0.5,
    own_loss_weight: float = 0.0,
    evaluate_every: int = 10,
    num_matching_images: int = 2000,
    sinkhorn_objective: Literal["distance", "midpoint", "path"] = "distance",
    sinkhorn_steps: int = 200,
    sinkhorn_lr: float = 0.1,
    sinkhorn_temperature: float = 1.0,
    epochs: int | None = None,
    batch_size: int | None = None,
    optimizer: str | None = None,
    lr: float | None = None,
    momentum: float | None = None,
    nesterov: bool | None = None,
    weight_decay: float | None = None,
    schedule: str | None = None,
    warmup_epochs: float | None = None,
    num_alphas: int = 11,
    bn: Literal["interpolate", "recalibrate", "nearest", "repair"] = "recalibrate",
    max_regular_pairs: int = 25,
    barrier_threshold: float = 0.1,
    star_accuracy_threshold: float = 0.02,
    device: str = "auto",
    deterministic: bool = False,
    threads: int | None = None,
    keep_memory: bool = True,
    code: str = "",
    checkpoint_every: int = 10,
    force: bool = False,
) -> Star:
    """Train a network whose segments to all of several networks (a list, or `source_query=`) stay low."""

def train_pair(
    *,
    uri: str | None = None,
    experiment: str | None = None,
    dataset: str = "digits",
    data_root: str | _FilePath = "data",
    image_size: int | None = None,
    shift: str = "label_5050",
    test_split: Literal["auto", "official", "random80"] = "auto",
    validation: Literal["unused", "train"] = "unused",
    split_seed: int = 0,
    normalization: Literal["centered", "half", "unit"] = "centered",
    augmentation: Literal["auto", "none", "flip", "translate", "flip_translate"] = "auto",
    translate_pixels: int = 2,
    memory_gb: float = 4.0,
    model: str = "mlp_l1_w587",
    model_options: str = "",
    dropout_rate: float = 0.5,
    seed: int = 1,
    init: Literal["same", "different"] = "same",
    weights_init: Literal["default", "normal", "uniform"] = "default",
    noise: Literal["same", "different"] = "same",
    noise_scope: Literal["run", "paper"] = "run",
    paper_first_epoch: int = 0,
    noise_seed: int | None = None,
    order_seed: int | None = None,
    augmentation_seed: int | None = None,
    epochs: int = 100,
    batch_size: int = 32,
    optimizer: Literal["adam", "adamw", "rmsprop", "sgd"] = "adam",
    lr: float = 0.001,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    schedule: Literal["constant", "cosine"] = "constant",
    engine: Literal["exact", "fast"] = "exact",
    precision: Literal["float32", "tf32", "bfloat16"] = "float32",
    loop: Literal["lmc_mlflow", "own"] = "lmc_mlflow",
    warmup_epochs: float = 0.0,
    clip_norm: float = 0.0,
    device: str = "auto",
    deterministic: bool = False,
    threads: int | None = None,
    keep_memory: bool = True,
    code: str = "",
    checkpoint_every: int = 10,
    force: bool = False,
    c2st_samples: int = 1000,
    start: _Run = "",
    start_digest: str = "",
    start_epoch: int | None = None,
    start_head: Literal["keep", "new"] = "keep",
    freeze: Sequence[str] | str = (),
    shared_epochs: int = 0,
    shared_data: Literal["both", "A", "B"] = "both",
    perturb: str = "",
    keep_epochs: str = "",
    devices: Sequence[str] | str = (),
) -> Pair:
    """Train one network on each side of a data shift.

    Args:
        uri: of the tracking store; None: that of MLflow's own settings.
        experiment: name of an experiment, which is made where there is none; None: that of MLflow's own settings.
        options: the flags of the command `train_pair`; see `lmc_mlflow.options("train_pair")`.

    Raises:
        ValueError: an option, the data or the network; one line that says what to do.
        StoreError: the tracking store cannot be used.
        FloatingPointError: the training diverged.
    """

def train_pairs(
    *,
    uri: str | None = None,
    experiment: str | None = None,
    dataset: str = "digits",
    data_root: str | _FilePath = "data",
    image_size: int | None = None,
    shift: str = "label_5050",
    test_split: Literal["auto", "official", "random80"] = "auto",
    validation: Literal["unused", "train"] = "unused",
    split_seed: int = 0,
    normalization: Literal["centered", "half", "unit"] = "centered",
    augmentation: Literal["auto", "none", "flip", "translate", "flip_translate"] = "auto",
    translate_pixels: int = 2,
    memory_gb: float = 4.0,
    model: str = "mlp_l1_w587",
    model_options: str = "",
    dropout_rate: float = 0.5,
    seed: int = 1,
    init: Literal["same", "different"] = "same",
    weights_init: Literal["default", "normal", "uniform"] = "default",
    noise: Literal["same", "different"] = "same",
    noise_scope: Literal["run", "paper"] = "run",
    paper_first_epoch: int = 0,
    noise_seed: int | None = None,
    order_seed: int | None = None,
    augmentation_seed: int | None = None,
    epochs: int = 100,
    batch_size: int = 32,
    optimizer: Literal["adam", "adamw", "rmsprop", "sgd"] = "adam",
    lr: float = 0.001,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    schedule: Literal["constant", "cosine"] = "constant",
    engine: Literal["exact", "fast"] = "exact",
    precision: Literal["float32", "tf32", "bfloat16"] = "float32",
    loop: Literal["lmc_mlflow", "own"] = "lmc_mlflow",
    warmup_epochs: float = 0.0,
    clip_norm: float = 0.0,
    device: str = "auto",
    deterministic: bool = False,
    threads: int | None = None,
    keep_memory: bool = True,
    code: str = "",
    checkpoint_every: int = 10,
    force: bool = False,
    c2st_samples: int = 1000,
    start: _Run = "",
    start_digest: str = "",
    start_epoch: int | None = None,
    start_head: Literal["keep", "new"] = "keep",
    freeze: Sequence[str] | str = (),
    shared_epochs: int = 0,
    shared_data: Literal["both", "A", "B"] = "both",
    perturb: str = "",
    keep_epochs: str = "",
    seeds: Sequence[int] | str = (),
    devices: Sequence[str] | str = (),
) -> list[Pair]:
    """Train a pair for each of `seeds`, all together; otherwise as `train_pair`."""

def trajectory(
    network: _Run | None = None,
    /,
    *,
    uri: str | None = None,
    experiment: str | None = None,
    run: _Run = "",
    epochs: int = 20,
    optimizer: Literal["adam", "adamw", "rmsprop", "sgd"] | None = None,
    lr: float | None = None,
    batch_size: int | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
    engine: Literal["exact", "fast"] | None = None,
    keep_epochs: str = "",
    data_root: str | _FilePath = "",
    device: str = "auto",
    deterministic: bool = False,
    threads: int | None = None,
    keep_memory: bool = True,
    code: str = "",
) -> Trajectory:
    """Train a network for more epochs, log it after every epoch, and average all of them (SWA)."""
