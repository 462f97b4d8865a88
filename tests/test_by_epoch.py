"""Paths between kept epochs: aligned at each epoch, as a step of a sweep, and with the agreement of both gradients."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from mlflow.entities import Run
from torch import Tensor, nn
from torch.nn import functional

import lmc_mlflow as lmc
from entry_points.interpolate import main as interpolate
from entry_points.sweep import main as sweep
from entry_points.train_pair import main as train_pair
from lmc_mlflow import plots, query
from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.data.loading import load_shifted
from lmc_mlflow.paths import gradients
from lmc_mlflow.paths.gradients import gradient_agreement, sampled_positions
from lmc_mlflow.plots import missing_command
from lmc_mlflow.query.early_facts import early_facts
from lmc_mlflow.query.kept_states import load_kept
from lmc_mlflow.query.networks import load_network
from lmc_mlflow.query.tables import pairs

HERE = ["--device=cpu", "--threads=1"]
FAST = ["--num_alphas=3", "--num_resamples=0", *HERE]


def table_of(store: MlflowClient, run: Run) -> pd.DataFrame:
    content = json.loads(Path(store.download_artifacts(run.info.run_id, "barrier_by_epoch.json")).read_text())
    return pd.DataFrame(content["data"], columns=content["columns"])


def plain_gradient(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The gradient by backward(), image by image."""
    network.zero_grad()
    for image, label in zip(images, labels, strict=True):
        (functional.nll_loss(network(image[None]), label[None]) / len(labels)).backward()
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]).double()


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.LogSoftmax(dim=1)).eval()


def random_data(seed: int, number: int) -> tuple[ResidentImages, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    images = torch.randn(number, 1, 2, 2, generator=draws)
    return ResidentImages(images), torch.randint(3, (number,), generator=draws)


def test_the_agreement_is_the_cosine_of_the_gradients_of_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradients, "NUM_IMAGES", 10)
    monkeypatch.setattr(gradients, "BATCH_SIZE", 4)  # the last batch has two images, and counts half
    network, (a, of_a), (b, of_b) = linear(), random_data(1, 30), random_data(2, 20)
    expected = [
        plain_gradient(network, images.tensor[positions], labels[positions])
        for images, labels in ((a, of_a), (b, of_b))
        for positions in [sampled_positions(len(labels))]
    ]
    assert all(len(sampled_positions(number)) == 10 for number in (30, 20))
    cosine = float(functional.cosine_similarity(*expected, dim=0))
    assert gradient_agreement(network, (a, of_a), (b, of_b)) == pytest.approx(cosine, abs=1e-6)
    assert gradient_agreement(network, (a, of_a), (a, of_a)) == pytest.approx(1)


def test_opposite_labels_disagree_and_no_gradient_is_no_number() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False), nn.LogSoftmax(dim=1)).eval()
    nn.init.zeros_(network[1].weight)
    images = random_data(3, 8)[0]
    zeros, ones = torch.zeros(8, dtype=torch.long), torch.ones(8, dtype=torch.long)
    assert gradient_agreement(network, (images, zeros), (images, ones)) == pytest.approx(-1)
    dark = ResidentImages(torch.zeros(8, 1, 2, 2))
    assert str(gradient_agreement(network, (dark, zeros), (images, ones))) == "nan"


def test_the_agreement_of_both_sides_is_logged_at_each_epoch_and_is_a_fact_for_forecasts(store: MlflowClient) -> None:
    assert train_pair([*QUICK, "--shift=label_2080", "--keep_epochs=1", "--freeze=linear1.bias"]) == 0
    (pair,) = runs_of_kind(store, "pair")
    assert interpolate([f"--pair={pair.info.run_id}", "--epochs=1,3", "--splits=test", *FAST]) == 0
    (run,) = runs_of_kind(store, "path_by_epoch")
    table = table_of(store, run)
    points = {p.step: p.value for p in store.get_metric_history(run.info.run_id, "gradient_agreement_by_epoch")}
    assert points == pytest.approx(dict(zip(table["epoch"], table["gradient_agreement"], strict=True)))
    ends = {run.data.tags["lmc.side"]: run for run in runs_of_kind(store, "endpoint")}
    logged = load_network(store, ends["A"].info.run_id)
    a, b = (load_kept(store, ends[side], 1).network for side in "AB")
    network = logged.network()
    network.load_state_dict({name: (a[name] + b[name]) / 2 for name in a})
    data, found = load_shifted(logged.config.data, torch.device("cpu")), []
    for side in "AB":
        part = data.side(side)
        positions = sampled_positions(len(part.labels))
        images = next(part.images.batches(positions, len(positions)))
        losses = functional.nll_loss(network(images), part.labels[positions])
        trained = [p for name, p in network.named_parameters() if name != "linear1.bias"]
        found.append(torch.cat([g.flatten() for g in torch.autograd.grad(losses, trained)]))
    assert points[1] == pytest.approx(float(functional.cosine_similarity(*found, dim=0)), abs=1e-5)
    (row,) = early_facts(pairs(), epoch=2).to_dict("records")
    assert row["gradient_agreement"] == pytest.approx(points[1])


def test_paths_by_epoch_are_aligned_at_each_epoch_and_compared_with_the_path_that_is_not(store: MlflowClient) -> None:
    assert train_pair([*QUICK, "--init=different", "--keep_epochs=1", "--epochs=6"]) == 0
    pair = runs_of_kind(store, "pair")[0].info.run_id
    assert interpolate([f"--pair={pair}", *FAST]) == 0
    assert interpolate([f"--pair={pair}", "--align=weights", *FAST]) == 0
    assert interpolate([f"--pair={pair}", "--align=weights", "--epochs=1,6", *FAST]) == 0
    (run,) = runs_of_kind(store, "path_by_epoch")
    (path,) = (run for run in runs_of_kind(store, "path") if "lmc.align" in run.data.tags)
    assert run.data.tags["lmc.align"] == "weights"
    for key in ("test/barrier", "train_b/error_barrier", "angle_deg", "unaligned/test/barrier", "unaligned/angle_deg"):
        points = {p.step: p.value for p in store.get_metric_history(run.info.run_id, f"{key}_by_epoch")}
        assert sorted(points) == [1, 6]
        assert points[6] == path.data.metrics[key]
    table = table_of(store, run)
    last = table[(table["epoch"] == 6) & (table["split"] == "test")].iloc[0]
    assert last["barrier"] == path.data.metrics["test/barrier"]
    assert last["unaligned/barrier"] == path.data.metrics["unaligned/test/barrier"] > last["barrier"]
    assert last["unaligned/connected"] == path.data.tags["lmc.connected_unaligned"]
    assert last["units_moved"] == path.data.metrics["alignment/units_moved"] > 0
    assert early_facts(pairs(), epoch=6)["barrier"].isna().all()  # a forecast is of the networks as they are
    by_python = lmc.interpolate_epochs(pair, epochs=[6], align="weights", num_alphas=3, num_resamples=0, device="cpu")
    assert by_python.frame()["unaligned/barrier"].iloc[0] == last["unaligned/barrier"]
    assert len(by_python.figure().axes[0].lines) == 8


GRID = """
seeds: [1]
defaults: {model: mlp_l1_w8, epochs: 4, c2st_samples: 0, keep_epochs: '1,2'}
then:
  - interpolate: {num_alphas: 3, splits: test, num_resamples: 0}
  - interpolate: {num_alphas: 3, splits: test, num_resamples: 0, epochs: [1, 2, 4]}
cells:
  - shift: label_5050
"""


def test_barriers_of_all_pairs_are_one_table_and_one_figure(store: MlflowClient) -> None:
    assert query.barriers_by_epoch().empty
    assert "grid=training_length" in missing_command(plots.barrier_by_epoch(query.barriers_by_epoch()))
    for scaling in ("centered", "unit"):
        flags = [*QUICK, "--epochs=3", "--keep_epochs=1,2", f"--normalization={scaling}"]
        assert train_pair([*flags, "--seeds=1,20"]) == 0
    for pair in pairs()["run_id"]:
        assert interpolate([f"--pair={pair}", "--epochs=1,2,3", *FAST]) == 0
    found = query.barriers_by_epoch()
    assert found.groupby(["normalization", "seed", "epoch", "split"]).size().eq(1).all()
    assert set(found["epoch"]) == {1, 2, 3}
    assert set(found["epochs"]) == {3}
    run = runs_of_kind(store, "path_by_epoch")[0]
    own = found[found["run_id"] == run.info.run_id]
    assert own["barrier"].tolist() == table_of(store, run)["barrier"].tolist()
    figure = plots.barrier_by_epoch(found)
    titles = [panel.get_title() for panel in figure.axes]
    assert titles == [f"normalization {scaling} (n = 2 seeds)" for scaling in ("centered", "unit")]
    line = next(one for one in figure.axes[0].lines if one.get_label() == "in the basin")
    mean = found[(found["normalization"] == "centered") & (found["split"] == "test")].groupby("epoch")
    assert list(line.get_ydata()) == pytest.approx(mean["barrier_in_basin"].mean().tolist())


def test_paths_by_epoch_are_a_step_of_a_sweep_that_is_made_once(
    store: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = tmp_path / "by_epoch.yaml"
    grid.write_text(GRID)
    flags = [f"--grid={grid}", *HERE, "--processes=1"]
    assert sweep(flags) == 0
    (run,), (path,), (pair,) = (runs_of_kind(store, kind) for kind in ("path_by_epoch", "path", "pair"))
    (made,) = runs_of_kind(store, "sweep")
    assert table_of(store, run)["epoch"].tolist() == [1, 2, 4]
    assert run.data.tags["mlflow.parentRunId"] == made.info.run_id
    assert run.data.tags["lmc.pair"] == path.data.tags["lmc.pair"] == pair.info.run_id
    capsys.readouterr()
    assert sweep(flags) == 0
    assert "finished before; nothing to do" in capsys.readouterr().out
    store.delete_run(run.info.run_id)
    assert sweep(flags) == 0
    assert [r.info.run_id for r in runs_of_kind(store, "path")] == [path.info.run_id]
    assert len(runs_of_kind(store, "path_by_epoch")) == 1
    grid.write_text(GRID.replace("[1, 2, 4]", "[1, 3]"))
    capsys.readouterr()
    assert sweep(flags) == 1
    said = capsys.readouterr().err
    assert "the pair does not keep 3; add keep_epochs: '3' to its cell" in said
    assert said.count("\n") == 1
