"""Decision boundaries, figures and sentences over many networks agree with their tables."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from torch import nn

from entry_points.matrix import main as matrix
from entry_points.train_pair import main as train_pair
from lmc_mlflow import plots, query
from lmc_mlflow.findings import conclusions
from lmc_mlflow.models.decision_regions import decide, grid_over

HERE = ["--device=cpu", "--threads=1"]
MOONS = [*QUICK, "--dataset=moons", "--shift=none", "--init=different", "--model=mlp_l1_w4", "--epochs=4", "--lr=0.1"]


def quadrants() -> nn.Module:
    """Two units, at work right of and above the origin; class 1 wins where x + y > 1 of the positive parts."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.LogSoftmax(dim=1))
    state = {"1.weight": torch.eye(2), "1.bias": torch.zeros(2)}
    state |= {"3.weight": torch.tensor([[0.0, 0], [1, 1]]), "3.bias": torch.tensor([1.0, 0])}
    network.load_state_dict(state)
    return network.eval()


def test_regions_are_where_the_same_units_are_at_work() -> None:
    points = torch.tensor([[1.0, 1], [2, 3], [-1, 1], [-2, 5], [1, -1], [-1, -1]])[:, :, None, None]
    probability, region = decide(quadrants(), points)
    assert region[0] == region[1] != region[2] == region[3]
    assert len(set(region)) == 4
    logits = np.array([2.0, 5, 1, 5, 1, 0]) - 1  # the sum of the positive parts, against 1
    assert probability == pytest.approx(1 / (1 + np.exp(-logits)), abs=1e-6)


def test_a_grid_reaches_beyond_the_points_on_every_side() -> None:
    points = torch.tensor([[0.0, 10], [1, 30]])[:, :, None, None]
    grid = grid_over(points, 3, margin=0.5)[:, :, 0, 0]
    assert grid[0].tolist() == [-0.5, 0.0]
    assert grid[1].tolist() == [0.5, 0.0]  # along x first
    assert grid[-1].tolist() == [1.5, 40.0]


def test_a_zoo_is_read_drawn_and_concluded_from(store: MlflowClient) -> None:
    assert train_pair([*MOONS, "--seeds=1,20"]) == 0
    for align in ("none", "weights"):
        assert matrix(["--query=tags.\"lmc.dataset\" = 'moons'", f"--align={align}", "--num_alphas=3", *HERE]) == 0
    matrices = query.matrices()
    assert list(matrices["align"]) == ["none", "weights"]
    assert list(matrices["num_runs"]) == [4, 4]
    pairs, networks, points = (
        read(matrices) for read in (query.matrix_pairs, query.matrix_networks, query.matrix_points)
    )
    assert (len(pairs), len(networks), len(points)) == (12, 8, 36)
    assert set(networks["network"]) == {run.info.run_id for run in runs_of_kind(store, "endpoint")}
    first = matrices.iloc[:1]
    figure = plots.matrix_figure(query.matrix_pairs(first), query.matrix_networks(first), "epsilon")
    assert len(figure.axes[1].get_yticklabels()) == 4
    text = conclusions.model_zoo(pairs, networks)
    assert "of 6 pairs connected" in text
    assert "not enough runs yet" not in text
    table = query.decision_boundaries(query.endpoints(), resolution=5)
    assert list(dict.fromkeys(table["panel"])) == ["network A", "network B", "average", "average, B aligned"]
    end = query.endpoints().iloc[0]
    assert table.loc[table["panel"] == "network A", "loss"].iloc[0] == pytest.approx(end["test/loss"])
    assert len(table) == 4 * (25 + 1000)
    assert len(plots.boundaries(table).axes) == 9


def test_boundaries_of_other_data_are_refused(store: MlflowClient) -> None:
    assert train_pair([*QUICK, "--epochs=1"]) == 0
    with pytest.raises(ValueError, match="two classes of points in the plane, as dataset=moons"):
        query.decision_boundaries(query.endpoints())


PAIR = {"run_id": "m", "run_a": "a", "run_b": "b", "dataset": "moons", "shift": "none", "bn": "interpolate"}
PAIR |= {"split": "test", "reference": "pairwise", "constant": False, "good_average": True, "connected": True}


def zoo(*rows: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame([PAIR | row for row in rows])


WIDTHS = [
    {"model": f"mlp_l1_w{width}", "align": align, "barrier_over_chord": barrier, "run_b": str(number)}
    for width, align, barriers in ((8, "none", (0.5, 0.7)), (8, "weights", (0.1, 0.3)), (16, "none", (0.4, 9.0)))
    for number, barrier in enumerate(barriers)
]


def test_box_plots_stand_in_the_order_of_width_and_show_what_is_left_out() -> None:
    constant = [WIDTHS[0] | {"constant": True, "align": align} for align in ("none", "weights")]
    figure = plots.barriers_of_zoo(zoo(*WIDTHS, *constant))
    (panel,) = figure.axes
    assert [label.get_text() for label in panel.get_xticklabels()] == ["8\nn = 2", "16\nn = 2"]
    assert [text.get_text() for text in panel.get_legend().get_texts()] == ["not aligned", "aligned by weights"]
    assert "1 pair with a constant predictor left out" in figure.get_suptitle()


def test_every_data_set_has_a_panel_of_its_own() -> None:
    rows = [row | {"dataset": "mnist", "barrier_over_chord": 7.0} for row in WIDTHS[:1]]
    moons, mnist = plots.barriers_of_zoo(zoo(*WIDTHS, *rows)).axes
    assert [moons.get_title(), mnist.get_title()] == ["moons", "mnist"]
    labels = [[label.get_text() for label in panel.get_xticklabels()] for panel in (moons, mnist)]
    assert labels == [["8\nn = 2", "16\nn = 2"], ["8\nn = 1"]]
    assert any(7.0 in line.get_ydata() for line in mnist.lines)
    assert not any(7.0 in line.get_ydata() for line in moons.lines)


def test_outliers_are_drawn() -> None:
    barriers = [0.1, 0.11, 0.12, 0.13, 0.14, 5.0]
    rows = [{"model": "mlp_l1_w8", "align": "none", "barrier_over_chord": barrier} for barrier in barriers]
    (panel,) = plots.barriers_of_zoo(zoo(*rows)).axes
    assert any(5.0 in line.get_ydata() and line.get_linestyle() == "None" for line in panel.lines)


def test_mean_paths_have_a_panel_for_each_way_and_a_line_for_each_width() -> None:
    rows = [row | {"alpha": alpha, "loss": row["barrier_over_chord"] * alpha} for row in WIDTHS for alpha in (0, 0.5)]
    naive, aligned = plots.paths_of_zoo(zoo(*rows)).axes
    assert [line.get_label() for line in naive.lines] == ["width 8", "width 16"]
    assert naive.lines[0].get_ydata().tolist() == pytest.approx([0, 0.3])
    assert aligned.lines[0].get_ydata().tolist() == pytest.approx([0, 0.1])
    every = plots.segments_of_zoo(zoo(*rows)).axes
    assert [len(panel.lines) for panel in every] == [3, 3, 3, 0]  # two pairs and their mean; w16 was not aligned


@pytest.mark.parametrize(
    ("plain", "aligned", "said"),
    [
        ((True, True), (True, True), ("supported", "supported")),
        ((False, False), (True, False), ("contradicted", "undecided")),
    ],
)
def test_connection_is_concluded_for_every_network(
    plain: tuple[bool, ...], aligned: tuple[bool, ...], said: tuple[str, str]
) -> None:
    rows = [
        {"model": "mlp_l1_w8", "align": align, "barrier_over_chord": 0.1, "connected": connected}
        for align, verdicts in (("none", plain), ("weights", aligned))
        for connected in verdicts
    ]
    means = [("none", "a", 0.5), ("none", "b", 0.7), ("weights", "a", 0.1), ("weights", "b", 0.3)]
    networks = zoo(*({"model": "mlp_l1_w8", "align": x, "network": n, "mean_barrier": value} for x, n, value in means))
    text = conclusions.model_zoo(zoo(*rows), networks)
    assert f"without exchanging units: {said[0]}**" in text
    assert f"every two networks are connected: {said[1]}**" in text
    assert "Exchanging units lowers the barrier: supported** by 1 condition" in text  # 0.4 for each network
    assert f"not aligned, {sum(plain)} of 2 pairs connected" in text


def test_constant_predictors_count_for_nothing() -> None:
    rows = [{"model": "mlp_l1_w2", "align": "none", "barrier_over_chord": 0.0, "constant": True}] * 2
    networks = zoo({"model": "mlp_l1_w2", "align": "none", "network": "a", "mean_barrier": np.nan, "constant": True})
    text = conclusions.model_zoo(zoo(*rows), networks)
    assert len(re.findall("not enough runs yet", text)) == 3
    assert "no verdict (2 pairs with a constant predictor left out)" in text


@pytest.mark.parametrize("draw", [plots.barriers_of_zoo, plots.paths_of_zoo, plots.segments_of_zoo, plots.boundaries])
def test_without_runs_a_figure_names_the_command(draw) -> None:
    (panel,) = draw(pd.DataFrame()).axes
    assert "mlflow run . --env-manager local -e" in panel.texts[0].get_text()
