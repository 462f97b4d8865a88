"""`interpolate layers=...` logs paths layer by layer as one run, resumes it, and is a step of sweeps."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from mlflow.entities import Run

import lmc_mlflow as lmc
from entry_points.adopt import main as adopt
from entry_points.interpolate import main as interpolate
from entry_points.sweep import main as sweep
from entry_points.train_pair import main as train_pair
from lmc_mlflow import plots, query
from lmc_mlflow.config.canonical import fingerprint, from_texts
from lmc_mlflow.config.commands import InterpolateConfig
from lmc_mlflow.config.path_layers import LAYER_MODES
from lmc_mlflow.paths.layers.walk import MODES
from lmc_mlflow.query.networks import load_network
from lmc_mlflow.workflows.path.by_layer import measurer

MODEL = "--model=mlp_l2_w9_7_bn"
HERE = ["--device=cpu", "--threads=1"]
FAST = ["--num_alphas=3", "--num_resamples=0", *HERE]
ALL = "--layers=each,below,above,complement"
NUMBERS = ["barrier", "barrier_at_middle", "error_barrier", "min_accuracy_delta", "share", "contribution"]


def trained(store: MlflowClient, *flags: str) -> str:
    assert train_pair([*QUICK, MODEL, "--shift=label_2080", *flags]) == 0
    return str(runs_of_kind(store, "pair")[-1].info.run_id)


def table_of(store: MlflowClient, run: Run, name: str = "barrier_by_layer.json") -> pd.DataFrame:
    content = json.loads(Path(store.download_artifacts(run.info.run_id, name)).read_text())
    return pd.DataFrame(content["data"], columns=content["columns"])


def test_modes_are_those_of_the_flags() -> None:
    assert tuple(MODES) == LAYER_MODES


def test_layers_are_one_run_whose_whole_path_is_the_plain_one(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = trained(store, "--epochs=12", "--lr=0.02")
    assert interpolate([f"--pair={pair}", "--num_alphas=3", "--num_resamples=60", *HERE]) == 0
    capsys.readouterr()
    assert interpolate([f"--pair={pair}", ALL, "--num_alphas=3", "--num_resamples=60", *HERE]) == 0
    out = capsys.readouterr().out
    (run,), (path,) = runs_of_kind(store, "path_by_layer"), runs_of_kind(store, "path")
    assert run.data.tags["lmc.pair"] == pair
    assert run.info.status == "FINISHED"
    table = table_of(store, run)
    assert [*table["mode"].unique()] == ["all layers", *LAYER_MODES]
    assert [*table["layer"].unique()] == ["all layers", "linear1", "linear2", "linear3"]
    for split in ("test", "train_a", "train_b"):
        own = table[table["split"] == split].set_index(["mode", "number"])
        for mode, number in (("all layers", 0), ("below", 3), ("above", 1)):
            row = own.loc[mode, number]
            for name in ("barrier", "error_barrier", "min_accuracy_delta"):
                assert row[name] == pytest.approx(path.data.metrics[f"{split}/{name}"], abs=1e-12)
            for name in ("barrier", "error_barrier"):  # the same resamples of the same images
                assert row[f"{name}_low"] == pytest.approx(path.data.metrics[f"{split}/{name}_low"], abs=1e-12)
                assert row[f"{name}_high"] == pytest.approx(path.data.metrics[f"{split}/{name}_high"], abs=1e-12)
            assert row["share"] == 1
        for mode in ("below", "above"):
            assert own.loc[mode]["contribution"].sum() == pytest.approx(1)
        assert own.loc["complement", 3]["barrier"] == own.loc["below", 2]["barrier"]
        assert own.loc["complement", 1]["contribution"] == pytest.approx(1 - own.loc["above", 2]["share"])
        curve = {p.step: p.value for p in store.get_metric_history(run.info.run_id, f"{split}/share_by_layer_each")}
        assert curve == own.loc["each"]["share"].to_dict()
    top = table[(table["mode"] == "each") & (table["split"] == "test")].sort_values("contribution").iloc[-1]
    assert run.data.tags["lmc.layer"] == top["layer"]
    assert run.data.metrics["headline"] == top["contribution"]
    assert f"{top['contribution']:.0%}" in out
    read = query.layer_barriers()
    assert [*read["contribution"].dropna()] == [*table["contribution"].dropna()]
    assert {*read["pair"], *read["model"]} == {pair, "mlp_l2_w9_7_bn"}
    assert "figures/path_by_layer.png" in [f.path for f in store.list_artifacts(run.info.run_id, "figures")]
    listed = Path(store.download_artifacts(run.info.run_id, "layers.txt")).read_text().splitlines()
    assert listed[2] == "3 linear3: linear3.weight, linear3.bias"


def test_points_and_features_are_those_of_a_plain_loop(store: MlflowClient) -> None:
    pair = trained(store)
    found = lmc.interpolate_layers(pair, num_alphas=3, num_resamples=0, splits="test", device="cpu")
    plain = lmc.interpolate(pair, num_alphas=3, num_resamples=0, splits="test", device="cpu")
    points, whole = found.points(), plain.frame()
    of_all = points[points["number"] == 0]
    for name in ("alpha", "loss", "accuracy", "ece"):
        assert [*of_all[name]] == [*whole[name]]
    each = points[(points["mode"] == "each") & (points["number"] == 2)]
    a, b = (load_network(store, run.info.run_id).state for run in sides(store))
    network, data = load_network(store, sides(store)[0].info.run_id), lmc_test_set(store)
    for row in each.itertuples():
        state = {
            name: value + row.alpha * (b[name] - value)
            if name.startswith(("linear2.", "norm2.")) and value.is_floating_point()
            else value
            for name, value in a.items()
        }
        module = network.network()
        module.load_state_dict(state)
        with torch.no_grad():
            loss = torch.nn.functional.nll_loss(module(data[0]), data[1])
        assert row.loss == pytest.approx(float(loss), abs=1e-5)
    features = found.features()
    assert [*features["layer"]] == ["linear1", "linear2", "linear3"]
    assert ((features["feature_cosine"] > 0.5) & (features["feature_cosine"] <= 1)).all()
    assert [axes.get_title() for axes in found.figure().axes][:3] == [
        "each: this layer alone",
        "contribution",
        "cosine of features",
    ]


def sides(store: MlflowClient) -> list[Run]:
    return sorted(runs_of_kind(store, "endpoint"), key=lambda run: run.data.tags["lmc.side"])


def lmc_test_set(store: MlflowClient) -> tuple[torch.Tensor, torch.Tensor]:
    from lmc_mlflow.data.loading import load_shifted

    data = load_shifted(load_network(store, sides(store)[0].info.run_id).config.data, torch.device("cpu")).test
    return next(data.images.batches(None, len(data.labels))), data.labels


def interrupted_after(paths: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process get a Ctrl-C while it measures the path after these."""
    done, measure_path = [], measurer.measure_path

    def stopped(*args: Any, **options: Any) -> Any:
        if len(done) == paths:
            raise KeyboardInterrupt
        done.append(1)
        return measure_path(*args, **options)

    monkeypatch.setattr(measurer, "measure_path", stopped)


@pytest.mark.parametrize("flags", [[], ["--align=weights", "--bn=recalibrate"]])
def test_an_interrupted_run_goes_on_under_its_id_and_measures_no_path_twice(
    store: MlflowClient, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = [
        f"--pair={trained(store, '--init=different')}",
        ALL,
        "--num_alphas=3",
        "--num_resamples=20",
        *flags,
        *HERE,
    ]
    with pytest.MonkeyPatch.context() as patch:
        interrupted_after(3, patch)
        assert interpolate(wanted) != 0
    (stopped,) = runs_of_kind(store, "path_by_layer")
    assert stopped.info.status == "KILLED"
    with pytest.MonkeyPatch.context() as patch:
        interrupted_after(5, patch)  # eight sets of layers: all, three alone, two below, two above
        assert interpolate(wanted) == 0
    assert "(resumed)" in capsys.readouterr().out
    (resumed,) = runs_of_kind(store, "path_by_layer")
    assert (resumed.info.run_id, resumed.info.status) == (stopped.info.run_id, "FINISHED")
    assert store.list_artifacts(resumed.info.run_id, "resume") == []
    assert interpolate(wanted) == 0
    assert "(finished before)" in capsys.readouterr().out
    assert len(runs_of_kind(store, "path_by_layer")) == 1
    store.delete_run(resumed.info.run_id)
    assert interpolate(wanted) == 0
    (whole,) = runs_of_kind(store, "path_by_layer")
    pd.testing.assert_frame_equal(table_of(store, resumed), table_of(store, whole))
    assert ("alignment/units_moved" in whole.data.metrics) == bool(flags)
    assert interpolate([*wanted[:3], "--num_resamples=0", *wanted[4:]]) == 0  # other intervals: measured again
    assert len(runs_of_kind(store, "path_by_layer")) == 2


def test_groups_move_as_one_layer_and_bad_input_leaves_no_run(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = trained(store)
    quick = [f"--pair={pair}", "--splits=test", *FAST]
    assert interpolate([*quick, "--layers=below", "--layer_groups=linear[12],*norm*", "--test_on=rotate_10"]) == 0
    (run,) = runs_of_kind(store, "path_by_layer")
    assert [*table_of(store, run)["layer"]] == 2 * ["all layers", "linear[12]", "*norm*", "(rest)"]
    assert [*table_of(store, run)["split"].unique()] == ["test", "rotate_10"]
    capsys.readouterr()
    cases = {
        "--layers=each --layer_groups=conv*": "layer_groups=conv*: no layer or tensor is called so; there are linear1",
        "--layers=each --layer_groups=linear1,*.bias": "linear1 and *.bias both match linear1.bias",
        "--layers=each,each": "each of them once",
        "--layers=single": "choose from",
        "--layer_groups=linear1": "layer_groups needs layers",
        "--layers=each --epochs=1": "layers and epochs are two questions",
        "--layers=each --keep_samples=true": "keep_samples is of one path",
        "--layers=each --calibrate=true": "calibrate=true is of one path",
    }
    for flags, message in cases.items():
        assert interpolate([*quick, *flags.split()]) == 1
        assert message in capsys.readouterr().err
    assert interpolate([f"--pair={pair}", "--layers=each", "--alphas=adaptive", *HERE]) == 1
    assert "one grid, alphas=even" in capsys.readouterr().err
    assert len(runs_of_kind(store, "path_by_layer")) == 1
    with pytest.raises(ValueError, match=r"call interpolate_layers\(a, b"):
        lmc.interpolate(pair, layers=["each"])


def test_layers_of_an_adopted_graph_are_measured(store: MlflowClient, tmp_path: Path) -> None:
    network = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(784, 6), torch.nn.ReLU(), torch.nn.Linear(6, 10), torch.nn.LogSoftmax(1)
    )
    for seed in (0, 1):
        torch.manual_seed(seed)
        for module in network:
            if isinstance(module, torch.nn.Linear):
                module.reset_parameters()
        program = torch.export.export(
            network, (torch.zeros(2, 1, 28, 28),), dynamic_shapes=({0: torch.export.Dim("n")},)
        )
        torch.export.save(program, tmp_path / f"{seed}.pt2")
        assert adopt([f"--model={tmp_path / f'{seed}.pt2'}", "--dataset=digits", "--device=cpu"]) == 0
    a, b = runs_of_kind(store, "endpoint")
    ends = [f"--run_a={a.info.run_id}", f"--run_b={b.info.run_id}"]
    assert interpolate([*ends, "--layers=each,below", "--splits=test", *FAST]) == 0
    (run,) = runs_of_kind(store, "path_by_layer")
    table = table_of(store, run)
    assert table["number"].max() == 2
    assert table[table["mode"] == "below"].iloc[-1]["barrier"] == table.iloc[0]["barrier"]
    assert len(table_of(store, run, "features_by_layer.json")) == 2


def test_layers_are_a_step_of_a_sweep_that_is_made_once(
    store: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        "seeds: [1]\n"
        "cells: [{model: mlp_l1_w16, epochs: 1, shift: label_2080, c2st_samples: 0}]\n"
        "then: [interpolate: {layers: [each, above], num_alphas: 3, num_resamples: 0, splits: test}]\n"
    )
    for _ in range(2):
        assert sweep([f"--grid={grid}", "--processes=1", "--device=cpu", "--threads=1"]) == 0
    (run,) = runs_of_kind(store, "path_by_layer")
    assert run.data.params["by_layer.layers"] == "each,above"
    (first, *_) = runs_of_kind(store, "sweep")
    assert run.data.tags["mlflow.parentRunId"] == first.info.run_id


@pytest.mark.slow
def test_two_processes_measure_what_one_does(store: MlflowClient) -> None:
    pair = trained(store)
    flags = [f"--pair={pair}", "--layers=each", "--splits=test", "--num_alphas=3", "--num_resamples=5", "--threads=1"]
    assert interpolate([*flags, "--devices=cpu,cpu"]) == 0
    (two,) = runs_of_kind(store, "path_by_layer")
    store.delete_run(two.info.run_id)
    assert interpolate([*flags, "--device=cpu"]) == 0
    (one,) = runs_of_kind(store, "path_by_layer")
    pd.testing.assert_frame_equal(table_of(store, one), table_of(store, two))


def test_options_of_layers_change_no_fingerprint_of_other_paths() -> None:
    def of(**texts: str) -> str:
        return fingerprint(from_texts(InterpolateConfig, {"pair": "x", **texts}), ("pair", "run_a", "run_b"))

    plain = from_texts(InterpolateConfig, {"pair": "x"})
    assert plain.by_layer.layers == ()
    assert len({of(), of(layers="each"), of(layers="below"), of(layers="each", layer_groups="a")}) == 4


def test_a_network_that_is_its_own_neighbour_has_no_barrier_to_divide(store: MlflowClient) -> None:
    trained(store)
    run = sides(store)[0].info.run_id
    ends = [f"--run_a={run}", f"--run_b={run}"]
    assert interpolate([*ends, "--layers=each", "--splits=test", *FAST]) == 0
    (found,) = runs_of_kind(store, "path_by_layer")
    assert table_of(store, found)["share"].isna().all()
    assert "headline" not in found.data.metrics
    assert "lmc.layer" not in found.data.tags


def test_the_figure_has_a_panel_for_each_mode_and_takes_losses_that_are_no_number() -> None:
    alphas = [0.0, 0.5, 1.0]
    points = pd.DataFrame(
        [
            {
                "mode": mode,
                "number": n,
                "layer": layer,
                "alpha": alpha,
                "split": "test",
                "loss": math.inf if n else alpha,
            }
            for mode, n, layer in (("all layers", 0, "all layers"), ("each", 1, "fc"), ("below", 1, "fc"))
            for alpha in alphas
        ]
    )
    barriers = points.drop_duplicates(["mode", "number"]).assign(contribution=np.nan)
    features = pd.DataFrame(columns=["number", "layer", "split", "feature_cosine", "feature_scale", "ends_cosine"])
    figure = plots.paths_by_layer_figure(points, barriers, features, "title")
    titles = ["each: this layer alone", "below: up to this layer", "contribution"]
    assert [axes.get_title() for axes in figure.axes[:3]] == titles
    figure.canvas.draw()
