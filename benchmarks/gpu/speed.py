"""Measures what a GPU takes: launches and waits of a step, seconds of an epoch, of a path's policies, and memory."""

import itertools
import time
from collections import Counter
from collections.abc import Mapping

import torch
from torch.profiler import ProfilerActivity, profile, supported_activities

from benchmarks.gpu.setting import CIFAR, MNIST, NUM_CLASSES, PATCH, Case, Row, Rows, Setting, made_up
from benchmarks.rounds import forget_peak, peak_gib, wait_for
from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.paths.barriers import alpha_grid
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.walk import measure_path
from lmc_mlflow.precision import products
from lmc_mlflow.training.engines.table import Training, choose_engine

WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")
CALLS = (
    *("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx", "cudaGraphLaunch"),
    *("cudaMemcpyAsync", "cudaMemsetAsync", *WAITS),
)
STEPS = (10, 30)
"""Two lengths of an epoch: their difference is that of steps alone."""
COUNTED = (
    ("L1", Case("mlp_l1_w587", MNIST, 0), "exact"),
    ("L1 flips", Case("mlp_l1_w587", MNIST, 0, flips=True), "exact"),
    ("L3 bn dropout", Case("mlp_l3_w256_512_256_bn_dropout", MNIST, 0), "exact"),
    ("L1", Case("mlp_l1_w587", MNIST, 0), "fast"),
    ("L3 bn flips", Case("mlp_l3_w256_512_256_bn", MNIST, 0, flips=True), "fast"),
    ("ResNet10", Case("resnet10", MNIST, 0), "exact"),
    ("ResNet10 flips", Case("resnet10", MNIST, 0, flips=True), "fast"),
    ("VGG11 bfloat16", Case("vgg11", CIFAR, 0, {"precision": "bfloat16"}), "fast"),
)
TIMED: tuple[tuple[str, tuple[int, int, int], int, tuple[int, ...]], ...] = (
    ("mlp_l1_w587", MNIST, 30_000, (32, 1024)),
    ("mlp_l3_w256_512_256", MNIST, 30_000, (32, 1024)),
    ("mlp_l3_w256_512_256_bn", MNIST, 30_000, (32,)),
    ("mlp_l1_w126", CIFAR, 25_000, (32, 1024)),
    ("resnet10", MNIST, 8_192, (32, 128, 1024)),
    ("resnet22", MNIST, 4_096, (128,)),
    ("vgg11", CIFAR, 8_192, (32, 128)),
    ("vgg19", CIFAR, 4_096, (128,)),
    ("vgg_like", PATCH, 1_024, (32,)),
)
"""Network, images, their number on a side, batch sizes."""
PREDICTED_MICROSECONDS: Mapping[tuple[str, int, str], tuple[float, float]] = {
    ("mlp_l1_w587", 32, "exact"): (350, 500),
    ("mlp_l1_w587", 32, "fast"): (40, 90),
    ("resnet10", 32, "exact"): (1200, 1800),
}
"""Network, batch size, engine -> microseconds of a step in float32, as counted launches predict them."""
MOST_FOR_TEN = 3.0
"""Ten networks in step take less than this many times as long as two."""


def counts(setting: Setting) -> Rows:
    """Count launches, copies and waits of a step of one network, from the profiler: there are no waits."""
    if setting.device.type != "cuda" or ProfilerActivity.CUDA not in supported_activities():  # type: ignore[no-untyped-call]
        return
    for name, case, engine in COUNTED[:1] if setting.small else COUNTED:
        short, long = (_calls(case, engine, num_steps, setting) for num_steps in STEPS)
        num_steps = 2 * (STEPS[1] - STEPS[0])
        per_step = {call: round((long[call] - short[call]) / num_steps, 2) for call in CALLS if long[call]}
        holds = all(per_step.get(call, 0) <= 0 for call in WAITS)
        yield {"case": name, "engine": engine, "per_step_and_network": per_step, "holds": holds}


def _calls(case: Case, engine: str, num_steps: int, setting: Setting) -> Counter[str]:
    config = case.config(engine=engine)
    of_steps = Case(case.model, case.shape, config.batch_size * num_steps, case.options, flips=case.flips)
    with products(config.precision):
        training = _start(of_steps, config, setting)
        training.train_epoch(1)
        wait_for(setting.device)
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], acc_events=True) as profiled:
            training.train_epoch(2)
            wait_for(setting.device)
    return Counter({event.key: event.count for event in profiled.key_averages()})


def _start(case: Case, config: OptimizationConfig, setting: Setting) -> Training:
    trainees = case.trainees(config, setting.device)
    return choose_engine(config.engine, trainees, config).start(trainees, config, case.flips)


def engines(setting: Setting) -> Rows:
    """Time epochs of a pair by every engine, precision and batch size; building the engine is timed apart."""
    cases = (("mlp_l1_w8", MNIST, 64, (32,)),) if setting.small else TIMED
    for model, shape, count, sizes in cases:
        for size, precision, engine in itertools.product(sizes, ("float32", "tf32", "bfloat16"), ("exact", "fast")):
            num_epochs = 1 if setting.small or (engine == "exact" and size == 32) else 3
            if precision == "bfloat16" and engine == "fast" and model.startswith("mlp"):
                continue  # the plain loop does it
            case = Case(model, shape, count, {"batch_size": size, "precision": precision})
            row = _timed(case, engine, num_epochs, setting)
            microseconds = 1e6 * row["epoch_s"] / (2 * -(-count // size))
            row |= {"us_per_step": microseconds, "images_per_s": 2 * count / row["epoch_s"]}
            if precision == "float32" and (model, size, engine) in PREDICTED_MICROSECONDS:
                row["predicted_us"] = PREDICTED_MICROSECONDS[model, size, engine]
            yield {"model": model, "batch": size, "precision": precision, "engine": engine, **row}
    if not setting.small:
        yield from _many_networks(setting)


def _many_networks(setting: Setting) -> Rows:
    seconds = []
    for seeds in ((1,), (1, 2, 3, 4, 5)):
        row = _timed(Case("mlp_l1_w587", MNIST, 30_000, {"batch_size": 1024}, seeds), "fast", 3, setting)
        seconds.append(row["epoch_s"])
        holds = seconds[-1] < MOST_FOR_TEN * seconds[0]
        yield {"model": "mlp_l1_w587", "batch": 1024, "networks": 2 * len(seeds), **row, "holds": holds}


def _timed(case: Case, engine: str, num_epochs: int, setting: Setting) -> Row:
    """Time epochs without tests, after a first one."""
    config = case.config(engine=engine, epochs=num_epochs + 1)
    forget_peak(setting.device)
    started = time.perf_counter()
    with products(config.precision):
        training = _start(case, config, setting)
        wait_for(setting.device)
        made = time.perf_counter() - started
        training.train_epoch(1)
        wait_for(setting.device)
        seconds = []
        for epoch in range(2, num_epochs + 2):
            started = time.perf_counter()
            training.train_epoch(epoch)
            wait_for(setting.device)
            seconds.append(time.perf_counter() - started)
    return {
        "kind": type(training).__name__,
        "epoch_s": min(seconds),
        "made_s": made,
        "gib": peak_gib(setting.device),
    }


def policies(setting: Setting) -> Rows:
    """Time the batch-norm policies of a path."""
    model, shape, count = ("mlp_l2_w8_8_bn", MNIST, 50) if setting.small else ("resnet10", MNIST, 10_000)
    networks = [build_network(NetworkSpec(model, *shape, NUM_CLASSES), seed).to(setting.device) for seed in (1, 2)]
    segment = Segment(networks[0].state_dict(), networks[1].state_dict())
    splits = {"test": made_up(shape, count, 0, setting.device)}
    calibration = made_up(shape, 6 * count, 1, setting.device)[0]
    for bn in ("interpolate", "nearest", "recalibrate", "repair"):
        forget_peak(setting.device)
        started = time.perf_counter()
        measure_path(networks[0], segment, alpha_grid(5), splits, bn, calibration)
        wait_for(setting.device)
        yield {"model": model, "bn": bn, "seconds": time.perf_counter() - started, "gib": peak_gib(setting.device)}


def memory(setting: Setting) -> Rows:
    """Measure what images in memory take: their float32 numbers and nothing more."""
    cases = (("MNIST", MNIST, 60_000), ("CIFAR-10", CIFAR, 50_000), ("a band of a BigEarthNet side", PATCH, 192_000))
    for name, shape, full in cases[:1] if setting.small else cases:
        count = 1_000 if setting.small else full
        forget_peak(setting.device)
        before = peak_gib(setting.device)
        images = torch.zeros(count, *shape, device=setting.device)
        taken, needed = peak_gib(setting.device) - before, images.numel() * 4 / 2**30
        row = {"what": name, "images": count, "gib": taken, "needed_gib": needed}
        yield row | ({"holds": taken < 1.05 * needed} if setting.device.type == "cuda" else {})
        del images
