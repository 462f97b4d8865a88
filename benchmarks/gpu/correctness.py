"""Checks that a GPU computes what a CPU computes, and that options and engines do what they say there."""

import itertools
from typing import Any

import torch

from benchmarks.gpu.setting import (
    CIFAR,
    CPU,
    MNIST,
    NUM_CLASSES,
    PATCH,
    Case,
    Row,
    Rows,
    Setting,
    largest_difference,
    made_up,
    trained,
)
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.paths.barriers import alpha_grid
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.walk import measure_path
from lmc_mlflow.seeds import set_determinism

FAST_LIMIT, FAST_LIMIT_NORM, CPU_LIMIT = 1e-4, 0.05, 1e-3
"""Largest difference of any weight: fast from exact, with batch norm (Adam amplifies rounding of a bias before it),
exact from the CPU's."""
PRECISION_LIMITS = {"float32": 0.02, "tf32": 0.1, "bfloat16": 0.3}
MLPS = {
    "L1": Case("mlp_l1_w32", MNIST, 130),
    "L3": Case("mlp_l3_w16_32_16", MNIST, 130),
    "L2 leaky": Case("mlp_l2_w16_16_leaky0.5", MNIST, 130),
    "linear": Case("linear_l2_w16", MNIST, 130),
    "L3 bn flips translate": Case("mlp_l3_w16_32_16_bn", CIFAR, 130, flips=True, translate=2),
    "L1 clip": Case("mlp_l1_w32", MNIST, 130, {"clip_norm": 1.0}),
    "L1 sgd": Case("mlp_l1_w32", MNIST, 130, {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "lr": 0.01}),
    "L1 sgd plain": Case("mlp_l1_w32", MNIST, 130, {"optimizer": "sgd", "lr": 0.01}),
    "L1 adamw cosine": Case(
        "mlp_l1_w32",
        MNIST,
        130,
        {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "cosine", "warmup_epochs": 0.5},
    ),
    "L1 paper": Case("mlp_l1_w32", MNIST, 130, scope="paper", flips=True),
    "L1 five seeds": Case("mlp_l1_w32", MNIST, 130, seeds=(1, 2, 3, 4, 5)),
    "L1 one batch": Case("mlp_l1_w32", MNIST, 130, {"batch_size": 1024}),
}
SMALL_MLPS = ("L1", "L3 bn flips translate")
CONVOLUTIONS = (
    Case("resnet10_s222", MNIST, 96),
    Case("vgg11", CIFAR, 64),
    Case("patches_conv", CIFAR, 96),
    Case("patches_local", CIFAR, 96),
    Case("patches_attention", CIFAR, 96),
    Case("vgg_like", PATCH, 32),
)
SMALL_CONVOLUTIONS = (Case("patches_conv", (1, 8, 8), 40),)
PATHS = (
    ("mlp_l1_w587", MNIST, 10_000),
    ("mlp_l3_w256_512_256_bn", MNIST, 10_000),
    ("resnet10", MNIST, 10_000),
    ("vgg11", CIFAR, 10_000),
    ("vgg_like", PATCH, 3_000),
)
SMALL_PATHS = (("mlp_l1_w8", MNIST, 50), ("resnet10_s222", (1, 8, 8), 20))


def device(setting: Setting) -> Rows:
    """Name the machine."""
    if setting.device.type != "cuda":
        yield {"torch": torch.__version__, "name": "CPU"}
        return
    properties = torch.cuda.get_device_properties(setting.device)
    yield {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "name": properties.name,
        "gib": properties.total_memory / 2**30,
        "gpus": torch.cuda.device_count(),
    }


def captures(setting: Setting) -> Rows:
    """Train every kind of MLP: is the graph the plain loop but for rounding, and does it repeat?"""
    names = SMALL_MLPS if setting.small else tuple(MLPS)
    for name, deterministic in itertools.product(names, (False, True)):
        case, limit = MLPS[name], FAST_LIMIT_NORM if "bn" in name else FAST_LIMIT
        set_determinism(deterministic)
        try:
            used, fast = trained(case, "fast", setting.device)
            exact = trained(case, "exact", setting.device)[1]
            again = largest_difference(fast, trained(case, "fast", setting.device)[1])
        finally:
            set_determinism(False)
        to_exact = largest_difference(fast, exact)
        to_cpu = largest_difference(exact, trained(case, "exact", CPU)[1])
        yield {
            "case": name,
            "deterministic": deterministic,
            "engine": used,
            "fast_to_exact": to_exact,
            "exact_to_cpu": to_cpu,
            "repeats": again,
            "holds": used == "fast" and to_exact < limit and to_cpu < CPU_LIMIT and not (deterministic and again),
        }


def agreement(setting: Setting) -> Rows:
    """Train networks with convolutions, dropout and attention for an epoch, by both engines and on the CPU."""
    cases = SMALL_CONVOLUTIONS if setting.small else CONVOLUTIONS
    for case, (precision, limit) in itertools.product(cases, PRECISION_LIMITS.items()):
        options: dict[str, Any] = {"epochs": 1, "precision": precision}
        used, fast = trained(case, "fast", setting.device, **options)
        exact = trained(case, "exact", setting.device, **options)[1]
        row: Row = {
            "model": case.model,
            "precision": precision,
            "engine": used,
            "fast_to_exact": largest_difference(fast, exact),
        }
        row["holds"] = row["fast_to_exact"] < limit
        if precision == "float32":
            row["exact_to_cpu"] = largest_difference(exact, trained(case, "exact", CPU, **options)[1])
        yield row


def options(setting: Setting) -> Rows:
    """Try what was wrong before: TF32 in a graph, a deterministic VGG-like network, a graph on another GPU."""
    case = Case("mlp_l1_w512", MNIST, 256)
    for engine in ("exact", "fast"):
        apart = largest_difference(
            trained(case, engine, setting.device, precision="tf32")[1], trained(case, engine, setting.device)[1]
        )
        expected = setting.device.type == "cuda"  # a CPU has no TF32
        yield {"what": f"tf32 rounds, engine={engine}", "difference": apart, "holds": (apart > 0) == expected}
    set_determinism(True)
    try:
        size = 40 if setting.small else 120
        case = Case("vgg_like", (1, size, size), 8)
        once, again = (trained(case, "exact", setting.device, epochs=1, batch_size=4)[1] for _ in range(2))
        difference = largest_difference(once, again)
    finally:
        set_determinism(False)
    yield {"what": "vgg_like, deterministic=true, repeats", "difference": difference, "holds": difference == 0}
    if setting.device.type == "cuda" and torch.cuda.device_count() > 1:
        case = MLPS["L1"]
        torch.cuda.set_device(1)
        try:
            other = trained(case, "fast", torch.device("cuda", 1))[1]
        finally:
            torch.cuda.set_device(setting.device.index or 0)
        difference = largest_difference(other, trained(case, "fast", setting.device)[1])
        yield {"what": "engine=fast on cuda:1", "difference": difference, "holds": difference < FAST_LIMIT}


def paths(setting: Setting) -> Rows:
    """Measure a path of 21 alphas by both engines: its ends are those of `evaluate`, to the last bit."""
    alphas = alpha_grid(5 if setting.small else 21)
    for model, shape, count in SMALL_PATHS if setting.small else PATHS:
        networks = [
            build_network(NetworkSpec(model, *shape, NUM_CLASSES), seed).to(setting.device).eval() for seed in (1, 2)
        ]
        splits = {
            "test": made_up(shape, count, 0, setting.device),
            "train_a": made_up(shape, 3 * count, 1, setting.device),
        }
        alone = [evaluate(network, *splits["test"]).loss for network in networks]
        segment = Segment(networks[0].state_dict(), networks[1].state_dict())
        found = {
            engine: measure_path(networks[0], segment, alphas, splits, "interpolate", engine=engine)
            for engine in ("exact", "fast")
        }
        yield {
            "model": model,
            "engine": found["fast"].engine,
            "apart": float(abs(found["exact"].losses["train_a"] - found["fast"].losses["train_a"]).max()),
            "holds": all(path.losses["test"][i] == alone[i] for path in found.values() for i in (0, -1)),
        }
