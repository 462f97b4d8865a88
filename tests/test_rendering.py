"""Figures are readable as drawn: nothing is cut, no tick labels collide, no legend is longer than it has colours."""

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from test_comparison_plots import ENSEMBLE, PATH, RUN, by_noise_scale, curve, curves, table

from lmc_mlflow import plots
from lmc_mlflow.plots.facets import MOST_ENTRIES
from lmc_mlflow.plots.missing import blank_figure
from lmc_mlflow.plots.per_run.matrix import matrix_figure
from lmc_mlflow.plots.per_run.plane import plane_figure
from lmc_mlflow.plots.per_run.unit_similarity import unit_similarity

LONG = {"model": "mlp_l3_w256_512_256_bn_dropout"}
SETTINGS: list[dict[str, Any]] = [
    {"model": model, "optimizer": optimizer, "lr": lr, "momentum": momentum}
    for model in ("linear_l1", "linear_l2_w128", "mlp_l1_w126", "mlp_l3_w110_256_110", LONG["model"])
    for optimizer, lr in (("sgd", 0.1), ("sgd", 0.01), ("adam", 0.001), ("adam", 0.005))
    for momentum in (0.0, 0.9)
]
"""As many settings as the shipped runs have: a legend of all has 12 entries, some of them long."""


def noise_source() -> Figure:
    found = [
        setting | {"batch_size": batch, "shift": shift, "noise": noise, "seed": seed, "epochs": 20}
        for setting in SETTINGS
        for batch in (32, 1024)
        for shift, noise in (("none", "different"), ("label_5050", "same"))
        for seed in (1, 2)
    ]
    extra = {"test/error_barrier": 0.01, "init": "same"}
    return plots.barrier_by_noise_source(table(PATH | extra, *found))


def scatter() -> Figure:
    rows = [row | {"manhattan": 400.0 + i, "batch_size": 32 * (1 + i % 2)} for i, row in enumerate(SETTINGS)]
    return plots.angle_against_manhattan(table(PATH, *rows))


def noise_scale() -> Figure:
    return by_noise_scale(table(PATH, {}, {"shift": "label_5050"}, LONG))


def ensembles() -> Figure:
    scores = {
        "wrong_agreement_low": 0.15,
        "wrong_agreement_high": 0.33,
        "majority_vote_accuracy": 0.515,
        "mean_prediction_accuracy": 0.525,
        "wrong_disagreement": 0.1,
    }
    rows = [
        {"num_members": 5, "wrong_agreement": 0.2},
        {"num_members": 21, "wrong_agreement": 0.325, "wrong_disagreement": 0.175},
        {"sampling": "seeds", "mean_prediction_accuracy": 0.555, "majority_vote_accuracy": 0.56},
    ]
    return plots.ensemble_comparison(table(ENSEMBLE | scores, *rows))


def path_legend() -> Figure:
    conditions = [curve([1, 2, 1], seed=1, noise_scope=f"a_very_long_value_of_a_setting_{i}" * 3) for i in range(3)]
    return plots.paths_over_seeds(curves(*conditions), by=["noise_scope"])


DRAWN = {draw.__name__: draw for draw in (noise_source, scatter, noise_scale, ensembles, path_legend)}


@pytest.mark.parametrize("name", DRAWN)
def test_no_legend_and_no_title_is_cut(name: str) -> None:
    figure = DRAWN[name]()
    figure.draw_without_rendering()
    boxes = [legend.get_window_extent() for legend in figure.legends]
    boxes += [panel.title.get_window_extent() for panel in figure.axes]
    assert all(box.x0 >= -1 and box.x1 <= figure.bbox.width + 1 for box in boxes)
    assert all(box.y0 >= -1 for box in boxes)


@pytest.mark.parametrize("name", DRAWN)
def test_no_two_tick_labels_collide(name: str) -> None:
    figure = DRAWN[name]()
    figure.draw_without_rendering()
    labels = []
    for panel in figure.axes:
        low, high = sorted(panel.get_xlim())
        if panel.axison and panel.xaxis.get_tick_params()["labelbottom"]:
            ticks = zip(panel.get_xticklabels(), panel.get_xticks(), strict=True)
            labels += [tick for tick, place in ticks if tick.get_text() and low <= place <= high]
    assert labels
    boxes = [label.get_window_extent() for label in labels]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


@pytest.mark.parametrize("name", DRAWN)
def test_a_legend_has_no_more_entries_than_there_are_colours(name: str) -> None:
    figure = DRAWN[name]()
    assert all(len(legend.get_texts()) <= MOST_ENTRIES for legend in figure.legends)


@pytest.mark.parametrize("name", ["scatter", "noise_scale"])
def test_a_short_logarithmic_axis_has_three_plain_ticks(name: str) -> None:
    figure = DRAWN[name]()
    low, high = figure.axes[0].get_xlim()
    shown = [tick for tick in figure.axes[0].get_xticks() if low <= tick <= high]
    assert 3 <= len(shown) <= 7
    figure.draw_without_rendering()
    assert all("10^" not in label.get_text() for label in figure.axes[0].get_xticklabels())


def test_settings_that_the_legend_has_no_room_for_get_panels() -> None:
    figure = scatter()
    assert len([panel for panel in figure.axes if panel.axison]) == 12
    assert (
        "the first 12 of 20 panels; the others are not drawn" in figure.get_suptitle()
    )  # 5 models, 2 sizes, 2 optimizers


def test_one_batch_size_and_rate_name_the_command_for_another_instead_of_an_axis_with_one_tick() -> None:
    command = "mlflow run . --env-manager local -e train_pair -P batch_size=256 -P seeds=1,20"
    loss = plots.final_training_loss(table(RUN, {"train/loss": 0.1, "side": "A"}))
    for figure in (loss, plots.barrier_by_batch_and_lr(table(PATH, {}))):
        assert plots.missing_command(figure) == command


def test_every_polar_panel_is_a_quarter_circle_and_the_accuracy_is_no_arc() -> None:
    steep = [row | {"accuracy": 0.9 + 0.01 * i, "angle_deg": 20.0 * i} for i, row in enumerate(curve([1, 2, 1]))]
    figure = plots.polar_over_seeds(curves(steep))
    assert {panel.get_thetamax() for panel in figure.axes} == {90.0}  # type: ignore[attr-defined]
    accuracy = figure.axes[1]
    assert accuracy.get_rmin() == 85.0  # type: ignore[attr-defined]
    assert "test accuracy (%), centre: 85" in accuracy.get_title()
    assert figure.axes[0].get_rmin() == 0  # type: ignore[attr-defined]


def units() -> Figure:
    return unit_similarity(np.eye(300), np.arange(300, 0, -1.0), ["kept", "dead", "merged"] * 100, "title")


def matrix_without_barriers() -> Figure:
    labels = [f"seed {100 * i} A" for i in range(5)]
    pairs = pd.DataFrame(itertools.combinations(labels, 2), columns=["run_a", "run_b"]).assign(barrier=0.0)
    return matrix_figure(pairs, pd.DataFrame({"network": labels, "label": labels, "constant": False}), "barrier")


def plane() -> Figure:
    places = pd.DataFrame(itertools.product(range(3), range(3)), columns=["x", "y"]).astype(float)
    surface = places.assign(panel="as logged", loss=0.1 + places["x"], accuracy=0.9 - 0.1 * places["y"])
    return plane_figure(surface, {"as logged": {"A": (0, 0), "B": (2, 0), "C": (1, 2)}}, "title")


@pytest.mark.parametrize("draw", [units, matrix_without_barriers, plane])
def test_nothing_of_a_logged_figure_is_cut(draw: Any) -> None:
    figure = draw()
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 >= -0.01
    assert box.y0 >= -0.01
    assert box.x1 <= width + 0.01
    assert box.y1 <= height + 0.01


def test_a_label_at_the_right_edge_of_a_plane_stays_within_its_panel() -> None:
    figure = plane()
    figure.draw_without_rendering()
    panel = figure.axes[0]
    assert all(text.get_window_extent().x1 <= panel.bbox.x1 for text in panel.texts)


def test_cells_without_a_barrier_are_seen_and_the_cut_of_their_tree_too() -> None:
    branches, cells = matrix_without_barriers().axes[:2]
    assert cells.collections[0].get_linewidth()[0] > 0  # white cells beside white cells
    assert sorted(branches.get_xlim()) == pytest.approx([0, 0.11])


def test_a_command_in_a_figure_without_data_is_whole_and_can_be_read_back() -> None:
    command = (
        f"mlflow run . --env-manager local -e train_pair -P dataset=moons -P model={LONG['model']} -P init=different"
    )
    figure = blank_figure("title", f"No network in the store yet: {command}")
    assert plots.missing_command(figure) == command
    figure.draw_without_rendering()
    (text,) = (text for panel in figure.axes for text in panel.texts)
    box = text.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width


def test_one_network_gets_a_figure_as_wide_as_its_title_needs() -> None:
    row = {"model": LONG["model"], "dataset": "digits", "align": "weights", "split": "test", "seed": 1, "run_a": "a"}
    points = pd.DataFrame([row | {"alpha": alpha, "loss": 1.0, "accuracy": 0.5, "run_b": "b"} for alpha in (0, 0.5, 1)])
    figure = plots.aligned_over_seeds(points, points.assign(align="none"))
    figure.draw_without_rendering()
    boxes = [panel.title.get_window_extent() for panel in figure.axes]
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.width for box in boxes)


@pytest.mark.parametrize(("widest", "end"), [(60.0, 90), (90.4, 105), (150.0, 180)])
def test_a_polar_panel_opens_no_further_than_its_angles_need(widest: float, end: int) -> None:
    steep = [row | {"angle_deg": widest * i / 2} for i, row in enumerate(curve([1, 2, 1]))]
    figure = plots.polar_over_seeds(curves(steep))
    assert {round(panel.get_thetamax()) for panel in figure.axes} == {end}  # type: ignore[attr-defined]
