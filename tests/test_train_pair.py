"""`train_pair` logs what the contract says, so that it can be read back and repeated to the last bit."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from safetensors.torch import load_file

from entry_points.train_pair import main
from lmc_mlflow.config.canonical import to_params
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.flags import parse_flags
from lmc_mlflow.query.networks import load_network, load_split
from lmc_mlflow.query.runs import metric_curve
from lmc_mlflow.tracking.view import VIEW_KEY

FLAGS = [*QUICK, "--shift=label_2080", "--batch_size=64"]


def artifacts(client: MlflowClient, run_id: str, tmp_path: Path) -> Path:
    return Path(client.download_artifacts(run_id, "", str(tmp_path / run_id)))


@pytest.fixture
def pair(store: MlflowClient):
    assert main(FLAGS) == 0
    return runs_of_kind(store, "pair")[0]


def test_a_pair_is_logged_as_the_contract_says(store: MlflowClient, pair, tmp_path: Path) -> None:
    config = parse_flags("train_pair", TrainPairConfig, FLAGS)
    endpoints = {run.data.tags["lmc.side"]: run for run in runs_of_kind(store, "endpoint")}
    assert set(endpoints) == {"A", "B"}
    for run in (pair, *endpoints.values()):
        assert run.info.status == "FINISHED"
        assert run.data.params == to_params(config)
        for tag, value in {"dataset": "digits", "model": "mlp_l1_w16", "shift": "label_2080", "seed": "1"}.items():
            assert run.data.tags[f"lmc.{tag}"] == value
        assert run.data.tags["lmc.noise"] == "same"
        assert len(run.data.tags["lmc.fingerprint"]) == 16
        assert run.data.tags["mlflow.note.content"]
    for side, run in endpoints.items():
        assert run.data.tags["mlflow.parentRunId"] == pair.info.run_id
        assert run.info.run_name == pair.info.run_name.replace("s1 ", f"s1 {side} ")
        for key in ("train/loss", "train/accuracy", "test/loss", "test/accuracy"):
            assert sorted(metric_curve(store, run.info.run_id, key)) == [1, 2, 3]
        files = artifacts(store, run.info.run_id, tmp_path)
        assert sorted(str(f.relative_to(files)) for f in files.rglob("*") if f.is_file()) == [
            "checkpoint/config.json",
            "checkpoint/model.safetensors",
            "manifest.json",
        ]
    files = artifacts(store, pair.info.run_id, tmp_path)
    names = {str(f.relative_to(files)) for f in files.rglob("*") if f.is_file()}
    figures = {"figures/learning_curves.png", "figures/first_batch.png"}
    assert names == {"config.json", "split.npz", "noise_check.json", "manifest.json", *figures}
    check = json.loads((files / "noise_check.json").read_text())
    assert check["same_labels"] is False  # the sides hold different labels, whatever the order
    assert VIEW_KEY in " ".join(store.get_experiment("0").tags)


def test_inputs_have_names_and_digests_of_their_own(store: MlflowClient, pair) -> None:
    inputs = {i.dataset.name: i.dataset for i in store.get_run(pair.info.run_id).inputs.dataset_inputs}
    assert set(inputs) == {"digits label_2080 side A", "digits label_2080 side B", "digits test"}
    assert len({dataset.digest for dataset in inputs.values()}) == 3


def test_a_side_s_noise_scale_is_a_number_to_filter_by(store: MlflowClient, pair) -> None:
    sides = load_split(store, pair.info.run_id)
    for run in runs_of_kind(store, "endpoint"):
        size = len(sides.a if run.data.tags["lmc.side"] == "A" else sides.b)
        assert run.data.metrics["noise_scale"] == pytest.approx(1e-3 * (size / 64 - 1))


def test_the_logged_network_scores_what_was_logged(store: MlflowClient, pair) -> None:
    from lmc_mlflow.data.loading import load_shifted
    from lmc_mlflow.evaluation import evaluate

    run = runs_of_kind(store, "endpoint")[0]
    logged = load_network(store, run.info.run_id)
    data = load_shifted(logged.config.data, torch.device("cpu"), load_split(store, logged.split_run))
    scores = evaluate(logged.network(), data.test.images, data.test.labels)
    assert scores.loss == run.data.metrics["test/loss"]
    assert scores.score == run.data.metrics["test/accuracy"]
    assert data.side(logged.side).digest == logged.digests["train"]


def test_the_same_command_twice_gives_bit_equal_networks(store: MlflowClient, tmp_path: Path) -> None:
    flags = [*FLAGS, "--model=mlp_l1_w16_bn_dropout", "--augmentation=flip"]
    assert main(flags) == 0
    assert main([*flags, "--force=true"]) == 0
    a1, b1, a2, b2 = (load_network(store, run.info.run_id).state for run in runs_of_kind(store, "endpoint"))
    assert all(torch.equal(a1[name], a2[name]) for name in a1)
    assert all(torch.equal(b1[name], b2[name]) for name in b1)
    assert any(not torch.equal(a1[name], b1[name]) for name in a1)


def test_without_shift_and_with_the_same_noise_both_sides_end_bit_equal(store: MlflowClient) -> None:
    assert main([*QUICK, "--shift=none"]) == 0
    a, b = (load_network(store, run.info.run_id).state for run in runs_of_kind(store, "endpoint"))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("flag", ["--noise=different", "--init=different"])
def test_without_shift_noise_or_initialization_alone_part_the_sides(store: MlflowClient, flag: str) -> None:
    assert main([*QUICK, "--shift=none", flag]) == 0
    a, b = (load_network(store, run.info.run_id).state for run in runs_of_kind(store, "endpoint"))
    assert any(not torch.equal(a[name], b[name]) for name in a)


def test_a_finished_configuration_is_pointed_at_and_trained_anew_only_by_force(
    store: MlflowClient, pair, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main([*FLAGS, "--lr=0.0010"]) == 0
    assert f"pair {pair.info.run_id} (finished before)" in capsys.readouterr().out
    assert len(runs_of_kind(store, "pair")) == 1
    assert main([*FLAGS, "--force=true"]) == 0
    assert len(runs_of_kind(store, "pair")) == 2


def test_a_launcher_s_run_points_at_the_pair_which_has_no_raw_flags_among_its_params(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched = []
    for _ in range(2):
        launched.append(store.create_run("0", tags={"mlflow.project.entryPoint": "train_pair"}).info.run_id)
        store.log_param(launched[-1], "epochs", "3")
        monkeypatch.setenv("MLFLOW_RUN_ID", launched[-1])
        assert main(FLAGS) == 0
    (pair,) = runs_of_kind(store, "pair")
    assert "epochs" not in pair.data.params
    assert pair.data.params["optimization.epochs"] == "3"
    assert pair.data.tags["mlflow.project.entryPoint"] == "train_pair"
    for run in map(store.get_run, launched):
        assert run.data.tags["lmc.see"] == pair.info.run_id
        assert run.data.tags["mlflow.parentRunId"] == pair.info.run_id
        assert "lmc.kind" not in run.data.tags  # the saved view hides it


def test_what_is_printed_says_what_to_type_next(store: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(FLAGS) == 0
    pair = runs_of_kind(store, "pair")[0]
    out = capsys.readouterr().out
    assert f"-m entry_points.interpolate --pair {pair.info.run_id}" in out
    assert "mlflow ui --backend-store-uri sqlite:///" in out
    assert f"runs/{pair.info.run_id}?workflowType=machine_learning" in out


def test_an_interruption_between_epochs_is_kept_and_continued(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from lmc_mlflow.workflows.pair import train_pair as workflow

    assert main(FLAGS) == 0
    undisturbed = [load_network(store, run.info.run_id).state for run in runs_of_kind(store, "endpoint")]
    original = workflow.Recorder.on_epoch

    def stop_after_two(self, epoch, reports) -> None:
        original(self, epoch, reports)
        if epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(workflow.Recorder, "on_epoch", stop_after_two)
    assert main([*FLAGS, "--force=true"]) == 130
    stopped = runs_of_kind(store, "pair")[-1]
    assert stopped.info.status == "KILLED"
    assert "stopped by Ctrl-C" in stopped.data.tags["lmc.error"]
    monkeypatch.setattr(workflow.Recorder, "on_epoch", original)
    store.delete_run(runs_of_kind(store, "pair")[0].info.run_id)
    assert main(FLAGS) == 0
    resumed = runs_of_kind(store, "pair")[-1]
    assert (resumed.info.run_id, resumed.info.status) == (stopped.info.run_id, "FINISHED")
    for before, run in zip(undisturbed, runs_of_kind(store, "endpoint")[2:], strict=True):
        after = load_network(store, run.info.run_id).state
        assert all(torch.equal(before[name], after[name]) for name in before)
        steps = [point.step for point in store.get_metric_history(run.info.run_id, "train/loss")]
        assert sorted(steps) == [1, 2, 3]


def test_a_state_cut_short_is_passed_over_for_the_older_whole_one(store: MlflowClient, tmp_path: Path) -> None:
    from lmc_mlflow.query.resume import newest_state
    from lmc_mlflow.tracking.resume import write_state
    from lmc_mlflow.tracking.run import TrackedRun

    run = TrackedRun(store, store.create_run("0").info.run_id, "0")
    for epoch, slot in ((10, 0), (20, 1)):
        local = tmp_path / "state"
        local.write_bytes(bytes(epoch))
        write_state(run, local, epoch, slot)
    newest = newest_state(store, run.run_id, tmp_path / "one")
    assert newest is not None
    assert newest.read_bytes() == bytes(20)
    torn = next((tmp_path / "mlruns").rglob("slot_1.safetensors"))
    torn.write_bytes(bytes(5))
    older = newest_state(store, run.run_id, tmp_path / "two")
    assert older is not None
    assert older.read_bytes() == bytes(10)
    assert newest_state(store, store.create_run("0").info.run_id, tmp_path / "three") is None


def test_the_checkpoint_is_plain_safetensors_with_pytorch_s_names(store: MlflowClient, pair, tmp_path: Path) -> None:
    run = runs_of_kind(store, "endpoint")[0]
    state = load_file(artifacts(store, run.info.run_id, tmp_path) / "checkpoint" / "model.safetensors")
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "linear1.weight": (16, 784),
        "linear1.bias": (16,),
        "linear2.weight": (10, 16),
        "linear2.bias": (10,),
    }


def test_split_npz_holds_disjoint_indices_in_order(store: MlflowClient, pair, tmp_path: Path) -> None:
    with np.load(artifacts(store, pair.info.run_id, tmp_path) / "split.npz", allow_pickle=False) as split:
        assert set(split.files) == {"A", "B"}
        assert not set(split["A"]) & set(split["B"])


def test_a_full_gpu_is_answered_with_what_to_lower(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lmc_mlflow.workflows.pair.budgets import train_in_step as workflow

    def full(*_args: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(workflow, "train", full)
    assert main(FLAGS) == 1
    assert "out of memory. Tried to allocate 20.00 GiB.; lower batch_size" in capsys.readouterr().err
    assert {run.info.status for run in runs_of_kind(store, "pair")} == {"FAILED"}


def test_a_launcher_s_run_says_what_repair_found(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from entry_points.repair import main as repair

    run = store.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run)
    assert repair([]) == 0
    assert store.get_run(run).info.run_name == "repair: 0 dead runs found"
