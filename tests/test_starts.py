"""Pairs start where a network is, part where they are told, and keep the epochs that are asked for."""

import json
import tracemalloc
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from mlflow.entities import Run
from torch import Tensor

import lmc_mlflow as lmc
from entry_points.interpolate import main as interpolate
from entry_points.train_pair import main as train_pair
from entry_points.trajectory import main as trajectory
from lmc_mlflow.config.canonical import fingerprint
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.flags import parse_flags
from lmc_mlflow.config.perturbation import Perturbation, read_perturbation
from lmc_mlflow.config.starting import StartConfig, missing_epochs, read_epochs
from lmc_mlflow.config.trajectory import TrajectoryConfig
from lmc_mlflow.manifest import read_manifest
from lmc_mlflow.query.kept_states import kept_sizes, load_kept
from lmc_mlflow.query.networks import load_network
from lmc_mlflow.tracking.connection.store import open_store
from lmc_mlflow.workflows.networks.selection import find_runs

SIX = [*QUICK, "--epochs=6"]
NOISY = [*SIX, "--model=mlp_l1_w16_bn_dropout", "--noise=different", "--augmentation=flip"]
ONE_SUBSET = "--shift=none"


def endpoints(client: MlflowClient, pair: Run) -> dict[str, Run]:
    """The side of each endpoint of a pair -> its run."""
    runs = runs_of_kind(client, "endpoint")
    return {
        run.data.tags["lmc.side"]: run for run in runs if run.data.tags.get("mlflow.parentRunId") == pair.info.run_id
    }


def last_pair(client: MlflowClient) -> Run:
    return runs_of_kind(client, "pair")[-1]


def trunks(client: MlflowClient) -> list[Run]:
    return [run for run in runs_of_kind(client, "endpoint") if "mlflow.parentRunId" not in run.data.tags]


def weights(client: MlflowClient, run: Run) -> dict[str, Tensor]:
    return load_network(client, run.info.run_id).state


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def trained(client: MlflowClient, *flags: str) -> dict[str, Run]:
    """Train a pair, and give its endpoints."""
    assert train_pair(flags) == 0
    return endpoints(client, last_pair(client))


def test_kept_epochs_are_read_from_lists_and_distances() -> None:
    assert read_epochs("5,1,2,2", 6) == (1, 2, 5)
    assert read_epochs("every:2", 7) == (2, 4, 6)
    assert read_epochs("", 7) == ()
    with pytest.raises(ValueError, match="epoch 8 comes after epochs=7"):
        read_epochs("1,8", 7)
    for wrong in ("0", "one", "every:0", "1-3"):
        with pytest.raises(ValueError, match="give whole numbers from 1 on"):
            read_epochs(wrong, 7)
    assert missing_epochs((1, 2, 5), "2,5,9") == [1]


def test_perturbations_are_read_from_their_form_and_size() -> None:
    assert read_perturbation("gaussian:0.5") == Perturbation("gaussian", 0.5)
    assert read_perturbation("batch:32") == Perturbation("batch", 32)
    assert read_perturbation("") is None
    for wrong in ("gaussian", "gaussian:-1", "gaussian:nan", "batch:0", "batch:1.5", "uniform:1"):
        with pytest.raises(ValueError, match="give gaussian:<standard deviation> or batch:<number of images>"):
            read_perturbation(wrong)


def test_what_starts_at_random_has_the_fingerprint_of_earlier_versions() -> None:
    """The digest was computed by the version before starting points, for the same flags."""
    flags = ["--shift=label_2080", "--seed=3", "--lr=0.01"]
    before = "2de0d588f8191444"
    assert fingerprint(parse_flags("train_pair", TrainPairConfig, flags)) == before
    more = ["--shared_epochs=0", "--shared_data=both", "--keep_epochs=every:5", "--start=", "--freeze="]
    assert fingerprint(parse_flags("train_pair", TrainPairConfig, [*flags, *more])) == before
    shared = fingerprint(parse_flags("train_pair", TrainPairConfig, [*flags, "--shared_epochs=2"]))
    assert shared != before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--start_epoch=3"], "start_epoch belongs to start"),
        (["--start_head=new"], "start_head belongs to start"),
        (["--shared_data=A"], "shared_data=A belongs to shared_epochs"),
        (["--start=x", "--start_epoch=3", "--shared_epochs=2"], "give either start_epoch or shared_epochs"),
        (["--start=x", "--start_epoch=3", "--start_head=new"], "leave one out"),
        (["--shared_epochs=7", "--epochs=6"], "shared_epochs=7: must be at most epochs=6"),
        (["--shared_epochs=2", "--init=different"], "leave init=different out"),
        (
            ["--shared_epochs=3", "--keep_epochs=2,4"],
            "begins after epoch 3, so epoch 2 is not one of its",
        ),
        (["--keep_epochs=1,200"], "epoch 200 comes after epochs=100"),
        (["--shared_epochs=2", "--steps=50", "--schedule=cosine"], "give epochs, or schedule=constant"),
        (["--steps=50", "--keep_epochs=9", *QUICK[:1], *QUICK[2:]], "epoch 9 comes after epochs=3"),
        (["--steps=50", "--shared_epochs=1", "--epochs=9", *QUICK[:1], *QUICK[2:]], "are 4 epochs of batch_size=32"),
        (["--perturb=batch:x"], "perturb='batch:x'"),
    ],
)
def test_starts_that_contradict_themselves_are_refused_in_one_line(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_pair(flags) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_epochs_are_kept_under_the_manifest_and_asked_for_in_vain_only_once(
    store: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sides = trained(store, *SIX, "--keep_epochs=2,6")
    assert "kept states take about" in capsys.readouterr().out
    for run in sides.values():
        assert list(kept_sizes(store, run.info.run_id)) == [2, 6]
        assert run.data.tags["lmc.kept_epochs"] == "2,6"
        manifest = read_manifest(Path(store.download_artifacts(run.info.run_id, "manifest.json", str(tmp_path))))
        assert {"epochs/epoch_00002.safetensors", "epochs/epoch_00006.safetensors"} <= set(manifest)
        assert equal(load_kept(store, run, 6).network, weights(store, run))
        assert not equal(load_kept(store, run, 2).network, weights(store, run))
    assert last_pair(store).data.tags["lmc.kept_epochs"] == "2,6"
    for flags in ([], ["--keep_epochs=every:6"]):
        assert train_pair([*SIX, *flags]) == 0
        assert "finished before" in capsys.readouterr().out
    assert train_pair([*SIX, "--keep_epochs=2,3"]) == 1
    assert "was finished before and keeps epochs 2,6; keep_epochs asks for 3 too: force=true" in capsys.readouterr().err
    assert len(runs_of_kind(store, "pair")) == 1
    assert train_pair([*SIX, "--keep_epochs=3", "--force=true"]) == 0
    assert list(kept_sizes(store, endpoints(store, last_pair(store))["B"].info.run_id)) == [3]


def test_states_that_the_disk_has_no_room_for_are_refused(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lmc_mlflow.workflows.pair.starting import kept_epochs

    class Usage:
        free = 1000

    monkeypatch.setattr(kept_epochs.shutil, "disk_usage", lambda _: Usage)
    assert train_pair([*QUICK, "--keep_epochs=1,2,3"]) == 1
    # 784 x 16 + 16 + 16 x 10 + 10 = 12,730 numbers of 4 bytes, as often again for each of Adam's two moments, twice.
    assert "the kept states take about 0.9 MiB" in capsys.readouterr().err
    assert kept_epochs.readable_bytes(3 * 2 * 3 * 12_730 * 4) == "0.9 MiB"
    assert runs_of_kind(store, "pair") == []


@pytest.mark.parametrize("scope", ["run", "paper"])
def test_a_child_under_its_parent_s_noise_is_its_parent_to_the_last_bit(store: MlflowClient, scope: str) -> None:
    flags = [*NOISY, f"--noise_scope={scope}"]
    parent = trained(store, *flags, "--keep_epochs=2")
    for side, other in (("A", "B"), ("B", "A")):
        child = trained(store, *flags, f"--start={parent[side].info.run_id}", "--start_epoch=2")
        assert child[side].data.tags["lmc.start"] == parent[side].info.run_id
        assert equal(weights(store, child[side]), weights(store, parent[side]))
        assert not equal(weights(store, child[other]), weights(store, parent[other]))


def test_a_start_without_an_epoch_gives_its_weights_alone(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    parent = trained(store, *QUICK)["A"]
    assert train_pair([*QUICK, f"--start={parent.info.run_id[:12]}", "--lr=1e-12", "--optimizer=sgd"]) == 0
    child = endpoints(store, last_pair(store))
    assert child["A"].data.params["starting.start"] == parent.info.run_id  # of the prefix the whole id
    for name, value in weights(store, parent).items():
        torch.testing.assert_close(weights(store, child["B"])[name], value)
    test_loss = {p.step: p.value for p in store.get_metric_history(child["A"].info.run_id, "test/loss")}
    assert sorted(test_loss) == [0, 1, 2, 3]
    assert test_loss[0] == pytest.approx(parent.data.metrics["test/loss"], abs=1e-6)
    capsys.readouterr()
    copy = trained(store, *QUICK, "--force=true")["A"]  # the same weights under another id are the same start
    assert train_pair([*QUICK, f"--start={copy.info.run_id}", "--lr=1e-12", "--optimizer=sgd"]) == 0
    assert "finished before" in capsys.readouterr().out


def test_starts_that_do_not_fit_are_refused_by_name(store: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    side = trained(store, *SIX, "--keep_epochs=1,4")["A"].info.run_id
    pair = last_pair(store).info.run_id
    cases = {
        (f"--start={side}", "--start_epoch=3"): "has not kept epoch 3 (kept: 1, 4)",
        (f"--start={side}", "--model=mlp_l1_w32"): "is a mlp_l1_w16, this pair trains mlp_l1_w32",
        (f"--start={side}", "--dataset=moons"): "its last layer has 10 outputs (linear2.weight), this data set needs 2",
        (f"--start={side}", "--dataset=moons", "--start_head=new"): "linear1.weight: shape (16, 2) vs (16, 784)",
        (f"--start={pair}",): "is a pair, two networks; give one of its endpoints",
        (f"--start={side}", "--start_digest=abc"): "it is another network",
        (f"--start={side}", "--start_epoch=4", "--optimizer=sgd"): "give optimizer=adam",
        ("--freeze=9.*",): "no tensor is called so; there are linear1.weight, linear1.bias, linear2.weight",
        ("--freeze=*",): "that is every tensor",
        ("--perturb=batch:5000",): "side B has ",
    }
    for flags, message in cases.items():
        assert train_pair([*SIX, *flags]) == 1
        assert message in capsys.readouterr().err
    assert len(runs_of_kind(store, "pair")) == 1


def test_a_new_head_replaces_the_last_layer_alone(store: MlflowClient, caplog: pytest.LogCaptureFixture) -> None:
    parent = trained(store, *QUICK)["A"]
    child = trained(store, *QUICK, f"--start={parent.info.run_id}", "--start_head=new", "--freeze=linear1.*")
    assert "its last layer (linear2.weight, linear2.bias) is drawn anew" in caplog.text
    before, after = weights(store, parent), weights(store, child["A"])
    assert torch.equal(before["linear1.weight"], after["linear1.weight"])  # frozen
    assert not torch.equal(before["linear2.weight"], after["linear2.weight"])


def test_frozen_layers_keep_weights_and_statistics(store: MlflowClient) -> None:
    flags = [*QUICK, "--model=mlp_l1_w16_bn"]
    parent = trained(store, *flags)["A"]
    child = trained(store, *flags, f"--start={parent.info.run_id}", "--freeze=linear1.*,norm1.*", "--weight_decay=0.1")
    before, after = weights(store, parent), weights(store, child["B"])
    frozen = [name for name in before if name.startswith(("linear1.", "norm1."))]
    assert {"norm1.running_mean", "norm1.running_var", "norm1.num_batches_tracked"} <= set(frozen)
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert not torch.equal(before["linear2.weight"], after["linear2.weight"])
    assert child["B"].data.metrics["num_parameters"] == 16 * 10 + 10


def test_shared_epochs_are_trained_once_and_longer_ones_go_on_from_shorter(store: MlflowClient) -> None:
    assert train_pair([*SIX, "--shared_epochs=2"]) == 0
    assert train_pair([*SIX, "--shared_epochs=2", "--noise=different"]) == 0
    assert train_pair([*SIX, "--shared_epochs=4", "--epochs=5"]) == 0
    two, four = trunks(store)
    assert [run.data.tags["lmc.epoch"] for run in (two, four)] == ["2", "4"]
    assert {run.data.tags["lmc.side"] for run in (two, four)} == {"both"}
    assert four.data.tags["lmc.start"] == two.info.run_id
    assert sorted(p.step for p in store.get_metric_history(four.info.run_id, "train/loss")) == [3, 4]
    for pair in runs_of_kind(store, "pair"):
        assert pair.data.tags["lmc.start"] in (two.info.run_id, four.info.run_id)
        assert all(run.data.tags["lmc.start"] == pair.data.tags["lmc.start"] for run in endpoints(store, pair).values())
    assert train_pair([*SIX, "--shared_epochs=4", "--seed=2"]) == 0  # another initialization, from its first epoch
    undisturbed = trunks(store)[-1]
    assert sorted(p.step for p in store.get_metric_history(undisturbed.info.run_id, "train/loss")) == [1, 2, 3, 4]


def test_a_query_passes_over_shared_epochs_unless_it_names_them(
    store: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    assert train_pair([*QUICK, "--shared_epochs=1"]) == 0
    query = 'tags."lmc.dataset" = "digits"'
    found = find_runs(open_store(), query)
    assert sorted(run.data.tags["lmc.side"] for run in found) == ["A", "B"]
    assert '1 networks of shared epochs are left out; name tags."lmc.epoch" in it to take them' in caplog.text
    (shared,) = find_runs(open_store(), f'{query} and tags."lmc.epoch" = "1"')
    assert shared.data.tags["lmc.side"] == "both"


def test_parting_after_the_last_epoch_leaves_one_network_and_no_barrier(store: MlflowClient) -> None:
    sides = trained(store, *SIX, "--shared_epochs=6")
    assert equal(weights(store, sides["A"]), weights(store, sides["B"]))
    assert equal(weights(store, sides["A"]), weights(store, trunks(store)[0]))
    assert interpolate([f"--pair={last_pair(store).info.run_id}", "--num_alphas=5", "--device=cpu"]) == 0
    (path,) = runs_of_kind(store, "path")
    for split in ("test", "train_a", "train_b"):
        for name in ("barrier", "barrier_over_chord", "barrier_in_basin", "error_barrier"):
            assert path.data.metrics[f"{split}/{name}"] == 0


def test_children_of_one_subset_and_one_noise_are_one_network_whenever_they_part(store: MlflowClient) -> None:
    for shared in (0, 2, 5):
        flags = [*SIX, ONE_SUBSET, f"--shared_epochs={shared}", "--perturb=gaussian:0"]
        sides = trained(store, *flags)
        assert equal(weights(store, sides["A"]), weights(store, sides["B"]))


def test_a_perturbation_moves_side_b_alone_and_by_its_size(store: MlflowClient) -> None:
    plain = trained(store, *SIX, ONE_SUBSET, "--shared_epochs=6")
    noisy = trained(store, *SIX, ONE_SUBSET, "--shared_epochs=6", "--perturb=gaussian:0.5")
    assert equal(weights(store, plain["A"]), weights(store, noisy["A"]))
    moved = torch.cat([(weights(store, noisy["B"])[n] - v).flatten() for n, v in weights(store, plain["B"]).items()])
    assert float(moved.std()) == pytest.approx(0.5, rel=0.1)
    stepped = trained(store, *SIX, ONE_SUBSET, "--shared_epochs=6", "--perturb=batch:64", "--lr=0.001")
    assert not equal(weights(store, stepped["A"]), weights(store, stepped["B"]))


def test_a_trunk_of_one_side_is_that_side_s_training(store: MlflowClient) -> None:
    alone = trained(store, *SIX)
    shared = trained(store, *SIX, "--shared_epochs=3", "--shared_data=A")
    assert equal(weights(store, alone["A"]), weights(store, shared["A"]))
    assert not equal(weights(store, alone["B"]), weights(store, shared["B"]))
    content = json.loads(
        Path(store.download_artifacts(trunks(store)[0].info.run_id, "checkpoint/config.json")).read_text()
    )
    assert content["side"] == "A"


def test_paths_between_kept_epochs_are_one_run_with_curves_against_epoch(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    sides = trained(store, *SIX, "--keep_epochs=1,3")
    pair = last_pair(store).info.run_id
    quick = [f"--pair={pair}", "--num_alphas=3", "--num_resamples=0", "--device=cpu", "--threads=1"]
    assert interpolate([*quick, "--epochs=1,3,6"]) == 0
    assert interpolate(quick) == 0
    (run,), (path,) = runs_of_kind(store, "path_by_epoch"), runs_of_kind(store, "path")
    for key in ("test/barrier", "train_b/barrier_in_basin", "test/error_barrier", "angle_deg", "euclidean_squared"):
        points = {p.step: p.value for p in store.get_metric_history(run.info.run_id, f"{key}_by_epoch")}
        assert sorted(points) == [1, 3, 6]
        assert points[6] == path.data.metrics[key]  # after the last epoch they are the networks of the checkpoints
    content = json.loads(Path(store.download_artifacts(run.info.run_id, "barrier_by_epoch.json")).read_text())
    table = pd.DataFrame(content["data"], columns=content["columns"])
    assert table["epoch"].tolist() == [1, 1, 1, 3, 3, 3, 6, 6, 6]
    assert table["angle_deg"].is_monotonic_increasing  # the sides go apart
    assert run.data.tags["lmc.pair"] == pair
    distance = table[table["epoch"] == 3]["euclidean_squared"].iloc[0]
    a, b = (load_kept(store, sides[side], 3).network for side in "AB")
    assert distance == pytest.approx(sum(float((a[n].double() - b[n].double()).square().sum()) for n in a))
    capsys.readouterr()
    cases = {
        "--epochs=1,2": "has not kept epoch 2 (kept: 1, 3)",
        "--epochs=1,1": "each epoch once",
        "--epochs=1 --keep_samples=true": "keep_samples is of one path",
    }
    for flags, message in cases.items():
        assert interpolate([*quick, *flags.split()]) == 1
        assert message in capsys.readouterr().err


def test_a_trajectory_keeps_epochs_that_pairs_go_on_from(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    side = trained(store, *QUICK)["A"]
    flags = [f"--run={side.info.run_id}", "--epochs=3", "--device=cpu", "--threads=1"]
    assert trajectory([*flags, "--keep_epochs=4"]) == 0
    (run,) = runs_of_kind(store, "trajectory")
    assert list(kept_sizes(store, run.info.run_id)) == [4]
    last = next(r for r in runs_of_kind(store, "endpoint") if r.data.tags.get("lmc.epoch") == "6")
    child = trained(store, *SIX, f"--start={run.info.run_id}", "--start_epoch=4")
    assert equal(weights(store, child["A"]), weights(store, last))  # adam's moments came along
    capsys.readouterr()
    cases = {
        "--start_epoch=5": "has not kept epoch 5 (kept: 4)",
        "--start_head=keep": "a trajectory is many networks; give start_epoch",
    }
    for more, message in cases.items():
        assert train_pair([*SIX, f"--start={run.info.run_id}", more]) == 1
        assert message in capsys.readouterr().err
    assert trajectory([*flags, "--keep_epochs=5"]) == 1
    assert "keeps epochs 4; keep_epochs asks for 5 too: delete it" in capsys.readouterr().err
    assert trajectory([*flags, "--keep_epochs=3"]) == 1
    assert "begins after epoch 3, so epoch 3 is not one of its" in capsys.readouterr().err


def test_a_pair_starts_from_a_file_of_weights_with_a_new_head(store: MlflowClient, tmp_path: Path) -> None:
    small = {"model": "mlp_l1_w16", "epochs": 1, "device": "cpu", "threads": 1, "c2st_samples": 0}
    plain = lmc.train_pair(**small)
    state = lmc.network(plain.a).state_dict()
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "own.pth")
    by_file = lmc.train_pair(start=tmp_path / "own.pth", **small)
    by_run = lmc.train_pair(start=plain.a, **small)
    assert by_run.run_id == by_file.run_id, "the digest of the weights decides, not where they lie"
    *_, weight, bias = state
    wider = state | {weight: torch.zeros(7, state[weight].shape[1]), bias: torch.zeros(7)}
    torch.save(wider, tmp_path / "seven.pt")
    with pytest.raises(ValueError, match=r"has 7 outputs .* start_head=new draws a new one"):
        lmc.train_pair(start=tmp_path / "seven.pt", **small)
    other = lmc.train_pair(start=tmp_path / "seven.pt", start_head="new", **small)
    assert store.get_run(other.run_id).data.tags["lmc.start"].endswith("seven.pt")
    with pytest.raises(ValueError, match="is no run of a training"):
        lmc.train_pair(start=tmp_path / "own.pth", start_epoch=1, **small)
    with pytest.raises(ValueError, match="start="):
        lmc.train_pair(start=tmp_path / "own.pth", **{**small, "model": "mlp_l1_w8"})


def test_a_pair_starts_from_the_weights_of_a_model_in_mlflow(store: MlflowClient) -> None:
    small = {"model": "mlp_l1_w16", "epochs": 1, "device": "cpu", "threads": 1, "c2st_samples": 0}
    plain = lmc.train_pair(**small)
    model = lmc.publish(plain.a, input="scaled")
    assert lmc.train_pair(start=model.model_uri, **small).run_id == lmc.train_pair(start=plain.a, **small).run_id


def test_distances_of_kept_epochs_are_checked_without_listing_a_thousand_million_epochs() -> None:
    tracemalloc.start()
    StartConfig(keep_epochs="every:1")
    TrajectoryConfig(run="x", keep_epochs="every:1")
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()
