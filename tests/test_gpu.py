"""Training, paths and resumption work on a CUDA device."""

from pathlib import Path

import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient

from entry_points.interpolate import main as interpolate
from entry_points.train_pair import main as train_pair
from lmc_mlflow.query.networks import load_network

pytestmark = pytest.mark.gpu
CUDA = [*QUICK, "--device=cuda", "--deterministic=true"]


@pytest.mark.parametrize("model", ["mlp_l1_w16_bn_dropout", "resnet10"])
@pytest.mark.parametrize("scope", ["run", "paper"])
def test_a_deterministic_training_repeats_to_the_last_bit(store: MlflowClient, model: str, scope: str) -> None:
    flags = [*CUDA, f"--model={model}", f"--noise_scope={scope}", "--augmentation=flip"]
    assert train_pair(flags) == 0
    assert train_pair([*flags, "--force=true"]) == 0
    first, _, second, _ = (load_network(store, run.info.run_id).state for run in runs_of_kind(store, "endpoint"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_different_paper_noise_resumes_on_a_gpu(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from lmc_mlflow.workflows.pair.train_pair import Recorder

    flags = [*CUDA, "--model=mlp_l1_w16_bn_dropout", "--noise_scope=paper", "--noise=different"]
    assert train_pair(flags) == 0
    store.delete_run(runs_of_kind(store, "pair")[0].info.run_id)
    original = Recorder.on_epoch

    def stop(self, epoch, reports) -> None:
        original(self, epoch, reports)
        if epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Recorder, "on_epoch", stop)
    assert train_pair(flags) == 130
    monkeypatch.setattr(Recorder, "on_epoch", original)
    assert train_pair(flags) == 0
    states = [load_network(store, run.info.run_id).state for run in runs_of_kind(store, "endpoint")]
    assert all(torch.equal(states[1][name], states[3][name]) for name in states[1])


def test_a_gpu_s_path_is_the_cpu_s_up_to_rounding(store: MlflowClient, tmp_path: Path) -> None:
    assert train_pair([*QUICK, "--model=mlp_l2_w16_16_bn"]) == 0
    pair = runs_of_kind(store, "pair")[0].info.run_id
    for device in ("cpu", "cuda"):
        assert interpolate([f"--pair={pair}", "--num_alphas=5", f"--device={device}"]) == 0
    cpu, gpu = (run.data.metrics for run in runs_of_kind(store, "path"))
    assert cpu == pytest.approx(gpu, rel=1e-3, abs=1e-3)


def test_a_star_repeats_on_a_gpu_and_its_segments_are_the_cpu_s_up_to_rounding(store: MlflowClient) -> None:
    from entry_points.ensemble import main as ensemble
    from entry_points.star import main as star

    assert train_pair([*CUDA, "--model=mlp_l1_w16_bn", "--init=different", "--shift=none"]) == 0
    sources = ",".join(run.info.run_id for run in runs_of_kind(store, "endpoint"))
    flags = [f"--sources={sources}", "--device=cuda", "--deterministic=true", "--num_alphas=3", "--star_init=mean"]
    assert star(flags) == 0
    assert star([*flags, "--force=true"]) == 0
    first, second = (run.info.run_id for run in runs_of_kind(store, "star"))
    states = [load_network(store, run_id).state for run_id in (first, second)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    for device in ("cpu", "cuda"):
        assert (
            ensemble([f"--star={first if device == 'cpu' else second}", f"--device={device}", "--num_samples=4"]) == 0
        )
    cpu, gpu = (run.data.metrics for run in runs_of_kind(store, "ensemble"))
    assert cpu["nll"] == pytest.approx(gpu["nll"], rel=1e-3)
