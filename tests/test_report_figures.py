"""The figures of a report show conditions that are named and never mixed."""

import pandas as pd

from lmc_mlflow.findings.chosen_conditions import NUM_PATHS
from lmc_mlflow.findings.condition_table import Frames
from lmc_mlflow.workflows.report.curves import ReportCurves, polar_ensembles, polar_paths, variant_paths
from lmc_mlflow.workflows.report.hepburn_figures import hepburn_figures

PATH = {
    "dataset": "mnist",
    "model": "mlp_l1_w587",
    "shift": "label_5050",
    "normalization": "centered",
    "noise": "same",
    "lr": 0.001,
    "batch_size": 32,
    "epochs": 21,
    "bn": "interpolate",
    "side_a": "A",
    "side_b": "B",
    "same_initialization": True,
}


def frames(*rows: dict[str, object]) -> Frames:
    paths = pd.DataFrame([PATH | {"run_id": f"r{i:02d}", "pair": f"p{i}"} | row for i, row in enumerate(rows)])
    empty = pd.DataFrame()
    return Frames(empty, empty, paths, empty)


def test_the_polar_figure_shows_one_condition_of_each_network() -> None:
    strangers = [{"seed": 1, "lr": 0.1}, {"seed": 2, "batch_size": 1024}, {"seed": 3, "normalization": "unit"}]
    chosen = polar_paths(frames(*strangers, *({"seed": seed} for seed in (9, 5, 1, 2))))
    assert chosen["seed"].tolist() == [1, 2, 5, 9]
    assert (chosen["lr"] == 0.001).all()
    assert (chosen["batch_size"] == 32).all()
    assert (chosen["normalization"] == "centered").all()


def test_the_polar_figure_shows_each_seed_once_and_no_more_than_the_paper() -> None:
    rows = [{"seed": seed} for seed in (1, 1, 1, 2, 3, 4, 5, 6, 7)]
    assert polar_paths(frames(*rows))["seed"].tolist() == list(range(1, NUM_PATHS + 1))


def test_of_conditions_with_as_many_seeds_the_polar_figure_shows_the_lowest_rate_then_batch_size() -> None:
    changes = [{"lr": 0.01, "batch_size": 16}, {"batch_size": 1024}, {"batch_size": 64}]
    chosen = polar_paths(frames(*({"seed": 1} | change for change in changes), {"seed": 1, "model": "resnet10"}))
    assert chosen[["model", "lr", "batch_size"]].to_numpy().tolist() == [
        ["mlp_l1_w587", 0.001, 64],
        ["resnet10", 0.001, 32],
    ]


def test_the_polar_figure_shows_the_condition_that_most_networks_of_a_family_share() -> None:
    alone = ({"seed": seed, "batch_size": 1024} for seed in (1, 2, 3, 4, 5))
    shared = ({"seed": 1, "model": model} for model in ("mlp_l1_w587", "mlp_l3_w256_512_256"))
    chosen = polar_paths(frames(*alone, *shared))
    assert chosen[["model", "batch_size"]].to_numpy().tolist() == [["mlp_l1_w587", 32], ["mlp_l3_w256_512_256", 32]]


def test_fig_19_has_the_longest_trained_mlps_of_its_rate_and_batch_size() -> None:
    usual = {"batch_size": 1024, "optimizer": "adam", "epochs": 100}
    rows = [
        usual | {"shift": "label_2080", "model": "mlp_l1_w587_bn"},
        usual | {"epochs": 21},
        usual | {"shift": "none"},
        usual | {"model": "resnet10"},
        usual | {"batch_size": 32},
        usual | {"dataset": "cifar10", "epochs": 21},
    ]
    chosen = variant_paths(frames(*(row | {"seed": 1} for row in rows)))
    assert chosen["run_id"].tolist() == ["r00", "r05"]


def test_the_reports_fig_4_has_the_rates_of_its_caption() -> None:
    usual = {"optimizer": "adam", "test/barrier_in_basin": 0.0, "test/accuracy_delta": 0.0, "seed": 1}
    models = [("mlp_l1_w587", 0.001), ("mlp_l3_w256_512_256", 0.01), ("vgg11", 0.0001), ("vgg19", 0.001)]
    ready = frames(*(usual | {"model": model, "lr": lr} for model, lr in models))
    drawn = hepburn_figures(ready, ReportCurves(*[pd.DataFrame()] * 4))
    figure, _ = drawn["Covariate shift, batch size 32 (paper: Fig. 4)"]
    labels = [label.get_text().split(",")[0] for label in figure.axes[0].get_yticklabels()]
    assert labels == ["mlp_l1_w587", "vgg11"]


def test_the_ensembles_of_the_polar_figure_are_of_one_training_condition_with_both_samplings() -> None:
    usual = {name: PATH[name] for name in ("dataset", "model", "shift", "lr", "batch_size", "epochs")}
    rows = [
        {"sampling": "lmc", "bn": "interpolate", "seed": "1"},
        {"sampling": "lmc", "bn": "nearest", "seed": "1"},
        {"sampling": "seeds", "bn": "", "seed": "1,20"},
        {"sampling": "lmc", "bn": "interpolate", "seed": "1", "batch_size": 1024},
    ]
    ensembles = pd.DataFrame([usual | {"run_id": f"e{i}"} | row for i, row in enumerate(rows)])
    empty = pd.DataFrame()
    assert polar_ensembles(Frames(empty, empty, empty, ensembles))["run_id"].tolist() == ["e0", "e2"]
