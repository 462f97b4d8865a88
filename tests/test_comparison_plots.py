"""Figures over many runs show what the tables hold: means, deviations, every n, and what is missing."""

import itertools
import re
import shlex
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from lmc_mlflow import plots
from lmc_mlflow.config.commands import COMMANDS
from lmc_mlflow.config.flags import parse_flags
from lmc_mlflow.plots import missing
from lmc_mlflow.plots.groups import MOST
from lmc_mlflow.plots.style import group_style

RUN: dict[str, Any] = {
    "dataset": "digits",
    "model": "mlp_l1_w16",
    "shift": "label_2080",
    "normalization": "centered",
    "noise": "same",
    "noise_seed": None,
    "weight_decay": 0.0,
    "lr": 0.001,
    "batch_size": 32,
    "epochs": 3,
    "seed": 1,
}
PATH = RUN | {
    "pair": "p",
    "connected": "yes",
    "bn": "interpolate",
    "side_a": "A",
    "side_b": "B",
    "same_initialization": True,
    "angle_deg": 60.0,
    "angle_weights_deg": 70.0,
    "angle_reference_deg": 90.0,
    "manhattan": 100.0,
    "test/barrier_in_basin": 0.0,
    "test/accuracy_delta": 0.0,
}
ENSEMBLE = RUN | {
    "sampling": "lmc",
    "num_members": 3,
    "seed": "1",
    "wrong_agreement": 0.2,
    "wrong_agreement_low": 0.18,
    "wrong_agreement_high": 0.23,
    "mean_prediction_accuracy": 0.5,
    "cost/train_seconds": 10.0,
}


def by_noise_scale(paths: pd.DataFrame) -> Figure:
    """Draw with noise scales of 0.5 and 1.5 at the ends of every path."""
    ends = [{"run_id": f"{end}{i}", "noise_scale": g} for i in range(len(paths)) for end, g in (("a", 0.5), ("b", 1.5))]
    numbered = paths.assign(**{f"run_{end}": [f"{end}{i}" for i in range(len(paths))] for end in "ab"})
    return plots.barrier_by_noise_scale(numbered, pd.DataFrame(ends))


def by_budget(paths: pd.DataFrame) -> Figure:
    """Draw with ways of 2 and 4 in training, at noise scales of 0.5 and 1.5."""
    both = (("a", 0.5, 2.0), ("b", 1.5, 4.0))
    ends = [
        {"run_id": f"{end}{i}", "noise_scale": g, "path_length": length}
        for i in range(len(paths))
        for end, g, length in both
    ]
    numbered = paths.assign(**{f"run_{end}": [f"{end}{i}" for i in range(len(paths))] for end in "ab"})
    return plots.barrier_by_budget(numbered, pd.DataFrame(ends))


DRAWN = {
    plots.learning_over_seeds: "train_pair",
    plots.paths_over_seeds: "interpolate",
    plots.paths_by_variant: "interpolate",
    plots.learning_by_scaling: "train_pair",
    plots.polar_over_seeds: "interpolate",
    plots.barrier_by_model: "interpolate",
    plots.barrier_by_batch_and_lr: "interpolate",
    plots.angle_against_manhattan: "interpolate",
    plots.angle_of_connected: "interpolate",
    plots.angle_by_family: "interpolate",
    by_noise_scale: "interpolate",
    by_budget: "interpolate",
    plots.final_training_loss: "train_pair",
    plots.barrier_by_band_distance: "sweep",
    plots.ensemble_comparison: "ensemble",
    plots.accuracy_by_size: "ensemble",
    plots.scores_by_size: "ensemble",
    plots.polar_of_ensembles: "ensemble",
    plots.star_by_sources: "star",
}
COMMANDED = [pytest.param(draw, name, id=draw.__name__) for draw, name in DRAWN.items()]


def table(usual: dict[str, Any], *rows: dict[str, Any]) -> pd.DataFrame:
    """Runs that differ from a usual one as told; seeds of both ends are the run's unless told otherwise."""
    frame = pd.DataFrame([usual | {"run_id": f"run{i}", "pair": f"pair{i}"} | row for i, row in enumerate(rows)])
    return frame.assign(
        seed_a=frame["seed"] if "seed_a" not in frame else frame["seed_a"],
        seed_b=frame["seed"] if "seed_b" not in frame else frame["seed_b"],
    )


def curve(losses: list[float], **row: Any) -> list[dict[str, Any]]:
    """Rows of one path over evenly spaced alphas; accuracy is a tenth of the loss."""
    alphas = np.linspace(0, 1, len(losses))
    return [
        {
            **{"split": "test", "run_id": f"run{sorted(map(str, row.items()))}"},
            **{"alpha": a, "loss": loss, "accuracy": loss / 10, "angle_deg": 90 * a, "manhattan": 7 * a},
            **row,
        }
        for a, loss in zip(alphas, losses, strict=True)
    ]


def curves(*paths: list[dict[str, Any]]) -> pd.DataFrame:
    return table(PATH, *itertools.chain(*paths))


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for drawn in figure.legends for text in drawn.get_texts()]


def bars(panel) -> list[np.ndarray]:
    """Ends of the error bars of a panel, one (2, 2) array of points each."""
    return [np.asarray(segment) for drawn in panel.collections for segment in drawn.get_segments()]


def numbers(panel) -> list[str]:
    """The numbers of seeds under the bars."""
    return [text.get_text() for text in panel.texts]


def test_a_path_over_seeds_is_the_mean_with_a_band_of_one_sample_deviation() -> None:
    loss, accuracy = plots.paths_over_seeds(curves(curve([1, 1, 1], seed=1), curve([1, 3, 1], seed=20))).axes
    assert loss.lines[0].get_xydata().tolist() == [[0, 1], [0.5, 2], [1, 1]]
    band = loss.collections[0].get_paths()[0].vertices
    assert sorted(set(band[band[:, 0] == 0.5][:, 1])) == pytest.approx([2 - 2**0.5, 2 + 2**0.5])
    assert accuracy.lines[0].get_ydata().tolist() == pytest.approx([10, 20, 10])


def test_one_seed_has_no_band() -> None:
    figure = plots.paths_over_seeds(curves(curve([1, 2, 1], seed=1)))
    assert not figure.axes[0].collections
    assert legend(figure) == ["digits, mlp_l1_w16 (n = 1 seed)"]


def test_a_repeated_run_of_one_seed_does_not_count_twice() -> None:
    paths = [curve([loss] * 3, seed=seed, run_id=str(loss)) for loss, seed in ((1, 1), (3, 1), (4, 20))]
    figure = plots.paths_over_seeds(curves(*paths))
    assert figure.axes[0].lines[0].get_ydata().tolist() == [3, 3, 3]
    assert legend(figure) == ["digits, mlp_l1_w16 (n = 2 seeds, 3 paths)"]


def test_a_mean_is_drawn_only_where_every_seed_was_measured() -> None:
    figure = plots.paths_over_seeds(curves(curve([1, 1, 1], seed=1), curve([3, 9, 3, 9, 3], seed=20)))
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[0, 2], [0.5, 2], [1, 2]]


def test_different_settings_are_never_averaged() -> None:
    figure = plots.paths_over_seeds(curves(*(curve([i] * 3, seed=i, weight_decay=i / 10) for i in (1, 2))))
    assert legend(figure) == ["weight_decay 0.1 (n = 1 seed)", "weight_decay 0.2 (n = 1 seed)"]
    assert "lr 0.001, batch_size 32" in figure.get_suptitle()


def test_a_setting_that_follows_from_another_is_not_named() -> None:
    frame = curves(curve([1] * 3, dataset="digits"), curve([1] * 3, dataset="mnist", model="mlp_l1_w587"))
    assert legend(plots.paths_over_seeds(frame)) == ["digits (n = 1 seed)", "mnist (n = 1 seed)"]


def test_conditions_can_be_chosen_and_a_misspelt_one_is_an_error() -> None:
    frame = curves(*(curve([i] * 3, seed=i, weight_decay=i / 10) for i in (1, 2)))
    assert legend(plots.paths_over_seeds(frame, by=["lr"])) == ["lr 0.001, mixes weight_decay (n = 2 seeds)"]
    with pytest.raises(ValueError, match=r"by=modle: no such column; there are dataset, model,"):
        plots.paths_over_seeds(frame, by=["modle"])


def test_too_many_conditions_are_cut_and_the_title_says_so() -> None:
    figure = plots.paths_over_seeds(curves(*(curve([1] * 3, lr=10.0**-i) for i in range(14))))
    assert len(legend(figure)) == 8  # as many as there are colours
    assert "the first 8 of 14 conditions; the others are not drawn" in figure.get_suptitle()


def test_paths_between_seeds_are_counted_as_pairs_of_seeds() -> None:
    frame = curves(curve([1] * 3, seed_a=1, seed_b=20), curve([2] * 3, seed_a=1, seed_b=100))
    assert legend(plots.paths_over_seeds(frame)) == ["digits, mlp_l1_w16 (n = 2 pairs of seeds)"]


def test_curves_differ_without_colour() -> None:
    styles = [group_style(i) for i in range(60)]
    assert len({(str(style["linestyle"]), style["marker"]) for style in styles}) == 60
    assert len({style["marker"] for style in styles[:MOST]}) == MOST  # points without a line


def test_learning_curves_average_the_sides_of_a_seed_first() -> None:
    rows = [
        {
            "epoch": 1,
            "split": split,
            "side": side,
            "seed": seed,
            "loss": loss,
            "accuracy": 0.5,
            "run_id": f"{seed}{side}",
        }
        for split in ("train", "test")
        for seed, side, loss in ((1, "A", 1), (1, "B", 3), (20, "A", 4), (20, "B", 4))
    ]
    frame = table(RUN, *rows)
    figure = plots.learning_over_seeds(frame)
    assert figure.axes[0].lines[0].get_ydata().tolist() == [3]
    assert legend(figure) == ["digits, mlp_l1_w16 (n = 2 seeds, 4 networks)"]
    assert plots.learning_over_seeds(frame, side="A").axes[0].lines[0].get_ydata().tolist() == [2.5]


def test_the_polar_plot_has_a_line_for_each_path() -> None:
    figure = plots.polar_over_seeds(curves(curve([1, 2, 3], seed=1), curve([2, 2, 2], seed=20)))
    radii = [[1, 2, 3], [10, 20, 30], [0, 3.5, 7]]
    for panel, radius in zip(figure.axes, radii, strict=True):
        assert len(panel.lines) == 2
        assert panel.lines[0].get_xdata() == pytest.approx([0, np.pi / 4, np.pi / 2])
        assert panel.lines[0].get_ydata() == pytest.approx(radius)
    assert legend(figure) == ["mlp_l1_w16 (n = 2 seeds)"]


def test_mlps_have_a_row_for_each_data_set_columns_for_each_depth_and_a_line_for_each_shift() -> None:
    mnist = {"dataset": "mnist", "seed": 1}
    figure = plots.paths_by_variant(
        curves(
            curve([1, 2, 1], dataset="cifar10", seed=1),
            curve([3, 4, 3], **mnist),
            curve([3, 6, 3], **mnist, shift="label_5050"),
            curve([5, 8, 5], **mnist, model="mlp_l3_w8_bn_dropout"),
            curve([9, 9, 9], **mnist, model="resnet10"),
        )
    )
    titles = [panel.get_title() for panel in figure.axes]
    columns = ["1 hidden layer"] * 2 + ["3 hidden layers"] * 2
    assert titles == [f"{dataset}\n{depth}" for dataset in ("mnist", "cifar10") for depth in columns]
    drawn = {line.get_label(): (line.get_linestyle(), list(line.get_ydata())) for line in figure.axes[0].lines}
    assert drawn == {
        "plain, label_5050 (n = 1 seed)": ("-", [3, 6, 3]),
        "plain, label_2080 (n = 1 seed)": ("--", [3, 4, 3]),
    }
    assert [line.get_label() for line in figure.axes[2].lines] == ["batch norm and dropout, label_2080 (n = 1 seed)"]


def test_learning_curves_by_scaling_are_of_one_side_and_marked_with_the_printed_accuracy() -> None:
    rows = [
        {"normalization": scaling, "side": side, "epoch": epoch, "split": split, "loss": 1 / epoch, "accuracy": 0.5}
        for scaling in ("unit", "centered")
        for side in "AB"
        for epoch in (1, 2)
        for split in ("train", "test")
    ]
    frame = table(RUN, *rows).assign(run_id=lambda rows: rows["normalization"] + rows["side"])
    figure = plots.learning_by_scaling(frame, printed={"centered": 98.0})
    loss, accuracy, _, unit = figure.axes
    assert accuracy.get_title() == "digits, normalization centered\n1 hidden layer"
    assert [line.get_label() for line in loss.lines] == [f"plain, {name} (n = 1 seed)" for name in ("training", "test")]
    assert loss.lines[0].get_ydata().tolist() == [1, 0.5]
    assert [list(line.get_ydata()) for line in accuracy.lines][2:] == [[98, 98]]
    assert len(unit.lines) == 2


def test_barrier_by_model_marks_mean_deviation_and_threshold() -> None:
    rows = [
        {"seed": seed, "test/barrier_in_basin": height, "test/accuracy_delta": -height / 10}
        for seed, height in ((1, 1.0), (20, 3.0))
    ]
    figure = plots.barrier_by_model(table(PATH, *rows))
    barrier, delta = figure.axes
    assert [label.get_text() for label in barrier.get_yticklabels()] == ["mlp_l1_w16 (n = 2 seeds)"]
    assert barrier.lines[0].get_xdata().tolist() == [1, 3]
    assert bars(barrier)[0][:, 0] == pytest.approx([2 - 2**0.5, 2 + 2**0.5])
    lines = {str(line.get_label()): list(line.get_xdata()) for line in delta.lines}
    assert lines["threshold: -6 points"] == [-6, -6]
    assert lines["line of the paper's Fig. 4: -5 points"] == [-5, -5]
    assert delta.lines[0].get_xdata() == pytest.approx([-10, -30])


def test_barrier_by_batch_size_has_a_line_for_each_learning_rate() -> None:
    rows = [
        {"seed": seed, "batch_size": batch, "lr": lr, "test/barrier_in_basin": 32 / batch + seed * lr}
        for seed in (1, 3)
        for batch in (32, 64)
        for lr in (0.1, 0.2)
    ]
    figure = plots.barrier_by_batch_and_lr(table(PATH, *rows))
    lines = [line for line in figure.axes[0].lines if len(line.get_ydata()) == 2 and line.get_linestyle() != "None"]
    assert [line.get_ydata().tolist() for line in lines] == [pytest.approx([1.2, 0.7]), pytest.approx([1.4, 0.9])]
    assert set(legend(figure)) == {*(f"lr {lr} (n = 2 seeds per point)" for lr in (0.1, 0.2)), "threshold: -6 points"}
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["32", "64"]
    assert numbers(figure.axes[0]) == ["2"] * 4


def test_final_training_loss_averages_both_sides() -> None:
    rows = [
        {"seed": seed, "side": side, "batch_size": batch, "train/loss": loss * batch}
        for batch in (32, 64)
        for seed, side, loss in ((1, "A", 1.0), (1, "B", 3.0), (20, "A", 4.0), (20, "B", 4.0))
    ]
    figure = plots.final_training_loss(table(RUN, *rows))
    (by_batch,) = ([list(line.get_ydata()) for line in panel.lines] for panel in figure.axes)  # of one rate: no axis
    assert [96, 192] in by_batch
    two_rates = plots.final_training_loss(pd.concat([table(RUN, *rows), table(RUN, *rows).assign(lr=0.1)]))
    by_lr = [list(line.get_ydata()) for line in two_rates.axes[1].lines]
    assert [y for y in by_lr if y in ([96, 96], [192, 192])] == [[96, 96], [192, 192]]
    assert bars(figure.axes[0])[0][:, 1] == pytest.approx([32 * (3 - 2**0.5), 32 * (3 + 2**0.5)])


def test_connected_paths_are_filled_in_the_scatter() -> None:
    equal = {"seed": 3, "angle_deg": 0.0, "manhattan": 0.0}
    frame = table(PATH, {"seed": 1}, {"seed": 2, "connected": "no", "angle_deg": 80.0}, {"connected": ""}, equal)
    figure = plots.angle_against_manhattan(frame)
    drawn = {line.get_fillstyle(): line.get_xydata().tolist() for line in figure.axes[0].lines if len(line.get_xdata())}
    assert drawn == {"full": [[100, 60]], "none": [[100, 80]]}
    assert legend(figure) == ["mlp_l1_w16", "batch_size 32, lr 0.001", "connected: yes", "connected: no"]
    assert figure.axes[0].get_title() == "n = 2 seeds a condition"


def test_angles_of_connected_pairs_stand_beside_the_reference_of_their_own_network() -> None:
    frame = table(
        PATH,
        {"seed": 1},
        {"seed": 20, "angle_deg": 62.0},
        {"model": "mlp_l1_w16_bn", "angle_deg": 35.0, "angle_reference_deg": 42.0},
        {"model": "vgg11", "connected": "no"},
        {"model": "vgg11", "pair": ""},
    )
    figure = plots.angle_of_connected(frame)
    panel, delta = figure.axes
    labels = [label.get_text() for label in panel.get_yticklabels()]
    assert labels == ["mlp_l1_w16 (n = 2 seeds)", "mlp_l1_w16_bn (n = 1 seed)"]
    references = [segment for segment in bars(panel) if segment[0, 0] == segment[1, 0]]
    assert [segment[0, 0] for segment in references] == [90, 42]  # never their mean, 66
    limit = next(line for line in delta.lines if str(line.get_label()).startswith("paper, Fig. 14"))
    assert list(limit.get_xdata()) == [-6, -6]
    assert "two independent initializations" in legend(figure)
    assert "two independent initializations" not in legend(plots.angle_of_connected(frame, "angle_weights_deg"))


def test_paths_of_another_rate_batch_size_or_scaling_are_told_apart_in_the_scatter() -> None:
    changes = [{"lr": 0.1}, {"batch_size": 64}, {"normalization": "unit"}]
    figure = plots.angle_against_manhattan(table(PATH, {}, *changes))
    titles = [panel.get_title() for panel in figure.axes if panel.get_title()]
    assert titles == ["normalization centered\nn = 1 seed a condition", "normalization unit\nn = 1 seed a condition"]
    assert {"batch_size 32, lr 0.001", "batch_size 32, lr 0.1", "batch_size 64, lr 0.001"} <= set(legend(figure))
    mixing = plots.angle_against_manhattan(table(PATH, {}, *changes), by=["dataset"])
    assert [panel.get_title() for panel in mixing.axes] == ["digits, mixes normalization\nn = 1 seed a condition"]


def test_networks_that_have_not_learnt_are_left_out_of_figures_and_counted() -> None:
    accuracies = [{"seed": seed, "test/path_accuracy": value} for seed, value in ((1, 0.9), (2, 0.75))]
    frame = table(PATH, *accuracies, {"lr": 9.0, "test/path_accuracy": 0.1})  # a seed below its condition's mean stays
    for draw in (plots.angle_against_manhattan, plots.angle_of_connected, plots.barrier_by_model, by_noise_scale):
        figure = draw(frame)
        assert "1 path of networks that have not learnt left out" in figure.get_suptitle()
        shown = [
            *(panel.get_title() for panel in figure.axes),
            *(t.get_text() for t in figure.axes[0].get_yticklabels()),
        ]
        assert any("n = 2 seeds" in text for text in shown)


def test_barriers_against_the_noise_scale_have_their_mean_bar_and_number_of_seeds() -> None:
    heights = [{"seed": seed, "test/barrier_in_basin": value} for seed, value in ((1, 1.0), (2, 3.0))]
    figure = by_noise_scale(table(PATH, *heights, {"batch_size": 64, "test/barrier_in_basin": 0.5}))
    (panel,) = figure.axes
    assert [bar[:, 1] for bar in bars(panel) if np.ptp(bar[:, 1])] == [pytest.approx([2 - 2**0.5, 2 + 2**0.5])]
    assert sorted(numbers(panel)) == ["1", "2"]
    assert panel.get_title() == "n = 1 to 2 seeds a condition"
    assert panel.get_xlabel().startswith("g = lr (N/B - 1), mean of both sides")
    points = [line.get_xdata()[0] for line in panel.lines if len(line.get_xdata()) == 1]
    assert min(points) == 1.0  # of 0.5 and 1.5
    legend_texts = legend(figure)
    assert "no barrier up to 0.1" in legend_texts
    assert {"mlp_l1_w16", "batch_size 32, lr 0.001", "batch_size 64, lr 0.001"} <= set(legend_texts)


def test_barriers_have_a_row_of_panels_for_each_budget() -> None:
    sizes = [{"batch_size": size, "epochs": epochs} for size, epochs in ((32, 3), (64, 6))]
    rows = [
        *({"epochs": 3, "seed": seed, "test/barrier_in_basin": float(seed)} for seed in (1, 3)),
        *(one | {"steps": 500, "test/barrier_in_basin": 0.5} for one in sizes),
        {"until_train_loss": 0.1, "epochs": 300},
    ]
    figure = by_budget(table(PATH | {"steps": None, "until_train_loss": None}, *rows))
    titles = [panel.get_title().split("\n")[0] for panel in figure.axes]
    assert titles == ["budget 3 epochs", "", "budget 500 steps", "", "budget training loss 0.1", ""]
    assert [len(numbers(panel)) for panel in figure.axes] == [1, 1, 2, 2, 1, 1]
    for panel, place in zip(figure.axes, [1.0, 3.0] * 3, strict=True):
        points = [line.get_xdata()[0] for line in panel.lines if len(line.get_xdata()) == 1]
        assert set(points[: len(numbers(panel))]) == {place}
    assert [bar[:, 1].tolist() for bar in bars(figure.axes[0])] == [pytest.approx([2 - 2**0.5, 2 + 2**0.5])]
    assert {"batch_size 32, lr 0.001", "batch_size 64, lr 0.001"} <= set(legend(figure))


def test_barriers_of_bands_stand_at_their_distance_in_nanometres_with_their_names() -> None:
    rows = [
        {"seed": seed, "shift": shift, "test/barrier_in_basin": height + seed, "test/average_precision_delta": -0.05}
        for shift, height in (("bands_B02_B08", 1.0), ("bands_B02_B03", 0.0), ("bands_natural_infrared", 0.5))
        for seed in (1, 3)
    ]
    several = table({**PATH, "test/accuracy_delta": None}, *rows, {"shift": "label_2080"})
    barrier, delta = plots.barrier_by_band_distance(several).axes
    points = sorted(tuple(line.get_xydata()[0]) for line in barrier.lines if line.get_marker() == "o")
    # 560 - 490; (177 + 105 + 70) / 3; 842 - 490; the shift of labels is in no band
    assert points == [(70, 2), (pytest.approx(352 / 3), 2.5), (352, 3)]
    names = [label.get_text() for label in barrier.child_axes[0].get_xticklabels()]
    assert names == ["B02-B03", "natural-infrared", "B02-B08"]
    assert numbers(barrier) == ["2"] * 3
    assert delta.get_ylabel() == "average precision delta (percentage points)"
    assert {line.get_ydata()[0] for line in delta.lines if len(line.get_xdata()) == 1} == {-5}
    assert (
        "label_2080" not in plots.barrier_by_band_distance(table(PATH, *rows, {"shift": "label_2080"})).get_suptitle()
    )


def test_one_seed_alone_has_its_number_and_no_bar() -> None:
    figure = plots.barrier_by_batch_and_lr(table(PATH, {}, {"batch_size": 64}))
    assert numbers(figure.axes[0]) == ["1", "1"]
    assert not bars(figure.axes[0])
    assert "lr 0.001 (n = 1 seed per point)" in legend(figure)


def test_a_row_of_the_polar_plot_is_one_training_condition_that_its_title_names() -> None:
    figure = plots.polar_over_seeds(
        curves(
            curve([1, 2], model="a"),
            curve([1, 2], model="b"),
            curve([1, 2], model="b", lr=0.1),
            curve([1, 2], dataset="mnist", model="c", lr=0.1),
        )
    )
    titles = [panel.get_title().split("\n")[0] for panel in figure.axes]
    assert titles == [text for row in ("digits, lr 0.001", "digits, lr 0.1", "mnist, lr 0.1") for text in [row] * 3]
    lines = [[line.get_label() for line in panel.lines] for panel in figure.axes[::3]]
    assert lines == [["a (n = 1 seed)", "b (n = 1 seed)"], ["b (n = 1 seed)"], ["c (n = 1 seed)"]]


def test_the_angles_of_a_family_are_boxes_with_and_without_batch_norm_each_with_its_own_reference() -> None:
    normed = {"model": "mlp_l1_w16_bn", "angle_reference_deg": 42.0}
    frame = table(
        PATH,
        *({"seed": seed, "angle_deg": 50.0 + seed, "angle_weights_deg": 80.0} for seed in range(5)),
        *(normed | {"seed": seed, "angle_deg": 30.0 + seed} for seed in range(5)),
        {"model": "resnet10", "connected": "no"},
    )
    figure = plots.angle_by_family(frame)
    everything, weights = figure.axes
    labels = [label.get_text() for label in everything.get_xticklabels()]
    assert labels == [f"MLP\n{word} batch norm\nn = 5 seeds" for word in ("without", "with")]
    middles = [line.get_ydata()[0] for line in everything.lines if line.get_color() == "#1b4f8f"]
    assert middles == [52, 32]
    assert [segment[0, 1] for segment in bars(everything)] == [90, 42]  # never their mean, 66
    assert not bars(weights)  # the reference is over all parameters


def test_cells_beside_the_paper_say_how_many_seeds_they_have() -> None:
    cell = {**{key: RUN[key] for key in ("dataset", "model", "shift", "normalization", "lr", "batch_size", "noise")}}
    cell |= {f"{of}{name}": 0.1 for of in ("", "paper_") for name in ("barrier", "barrier_sd", "delta", "delta_sd")}
    cell |= {"in_basin": 0.1, "in_basin_sd": 0.1}
    rows = [{**cell, "bn": bn, "n": n} for bn, n in (("interpolate", 5), ("recalibrate", 2))]
    labels = [
        plots.beside_paper(pd.DataFrame(part), "a table").axes[0].get_yticklabels()[0].get_text()
        for part in (rows, rows[:1])
    ]
    assert labels == ["mlp_l1_w16 (n = 5 interpolate, 2 recalibrate)", "mlp_l1_w16 (n = 5)"]


def test_cells_beside_the_paper_are_named_by_their_epochs_where_these_differ() -> None:
    cell = {**{key: RUN[key] for key in ("dataset", "shift", "normalization", "lr", "batch_size", "noise")}, "n": 5}
    cell |= {f"{of}{name}": 0.1 for of in ("", "paper_") for name in ("barrier", "barrier_sd", "delta", "delta_sd")}
    cell |= {"in_basin": 0.1, "in_basin_sd": 0.1, "bn": "interpolate"}
    rows = [{**cell, "model": name, "condition": f"{epochs} epochs"} for name, epochs in (("one", 21), ("two", 400))]
    labels = [
        [label.get_text() for label in plots.beside_paper(pd.DataFrame(part), "a table").axes[0].get_yticklabels()]
        for part in (rows, rows[1:])
    ]
    assert labels == [["one, 21 epochs (n = 5)", "two, 400 epochs (n = 5)"], ["two (n = 5)"]]


def test_a_pair_walked_twice_is_one_pair() -> None:
    frame = table(PATH, {"pair": "p"}, {"pair": "p", "bn": "recalibrate"})
    assert plots.angle_of_connected(frame).axes[0].get_yticklabels()[0].get_text() == "mlp_l1_w16 (n = 1 seed)"


def test_ensembles_have_their_logged_intervals_and_numbers() -> None:
    frame = table(ENSEMBLE, {}, {"sampling": "seeds", "num_members": 2, "wrong_agreement": 0.1})
    figure = plots.ensemble_comparison(frame.assign(wrong_agreement_low=frame["wrong_agreement"] - 0.02))
    panels = {panel.get_xlabel(): panel for panel in figure.axes}
    assert list(panels) == ["wrong agreement WA", "averaged predictions (%)", "training of all members (s)"]
    ends = [bar[:, 0] for bar in bars(panels["wrong agreement WA"])]
    assert ends[0] == pytest.approx([0.18, 0.23])
    assert ends[1] == pytest.approx([0.08, 0.23])
    assert not bars(panels["averaged predictions (%)"])
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["lmc, 3 members (n = 1 ensemble)", "seeds, 2 members (n = 1 ensemble)"]
    assert legend(figure) == ["lmc", "seeds"]


def test_batch_norm_on_the_path_tells_ensembles_of_paths_apart_and_no_others() -> None:
    frame = table(ENSEMBLE, {"bn": "interpolate"}, {"bn": "recalibrate"}, {"bn": "interpolate", "sampling": "seeds"})
    labels = [label.get_text() for label in plots.ensemble_comparison(frame).axes[0].get_yticklabels()]
    assert labels == [
        "seeds, 3 members (n = 1 ensemble)",
        "bn interpolate, lmc, 3 members (n = 1 ensemble)",
        "bn recalibrate, lmc, 3 members (n = 1 ensemble)",
    ]


def test_accuracy_by_size_has_a_band_for_each_ensemble() -> None:
    rows = [
        {
            "size": size,
            "method": method,
            "accuracy": size / 10,
            "accuracy_low": 0.1,
            "accuracy_high": 0.4,
            "run_id": "e",
        }
        for size in (1, 2, 3)
        for method in ("mean_prediction", "majority_vote")
    ]
    figure = plots.accuracy_by_size(table(ENSEMBLE, *rows))
    assert [panel.get_title() for panel in figure.axes] == ["averaged predictions", "majority vote"]
    for panel in figure.axes:
        assert panel.lines[0].get_xydata().tolist() == [pytest.approx([k, 10 * k]) for k in (1, 2, 3)]
        assert {round(y) for _, y in panel.collections[0].get_paths()[0].vertices} == {10, 40}
    assert legend(figure) == ["lmc, 3 members (n = 1 ensemble)"]


def test_scores_by_size_have_a_panel_each_and_a_band() -> None:
    scores = ("ece", "auroc_max_probability", "auroc_entropy")
    rows = [
        {"size": size, "score": score, "value": size / 10, "low": 0.1, "high": 0.4, "run_id": "e"}
        for size in (1, 2, 3)
        for score in scores
    ]
    figure = plots.scores_by_size(table(ENSEMBLE, *rows))
    assert len(figure.axes) == 3
    for panel in figure.axes:
        assert panel.lines[0].get_xydata().tolist() == [pytest.approx([k, k / 10]) for k in (1, 2, 3)]
        assert {round(y, 9) for _, y in panel.collections[0].get_paths()[0].vertices} == {0.1, 0.4}


def test_members_of_a_path_are_joined_and_those_of_seeds_are_not_and_each_condition_has_a_row() -> None:
    def members(run_id: str, angles: list[float], **row: Any) -> list[dict[str, Any]]:
        own = {"run_id": run_id, "num_members": len(angles)} | row
        return [
            own | {"member": i, "angle_deg": angle, "manhattan": angle, "loss": 1 + i, "accuracy": 0.5}
            for i, angle in enumerate(angles)
        ]

    path = members("a", [0.0, 10.0, 20.0])
    seeds = members("b", [0.0, 90.0], sampling="seeds")
    figure = plots.polar_of_ensembles(table(ENSEMBLE, *path, *seeds, *members("c", [0.0, 5.0, 9.0], lr=0.1)))
    assert [panel.get_title().split("\n")[0] for panel in figure.axes[::3]] == ["lr 0.001", "lr 0.1"]
    drawn = {line.get_label(): line for line in figure.axes[0].lines}
    assert set(drawn) == {
        "mlp_l1_w16, lmc, 3 members (n = 1 ensemble)",
        "mlp_l1_w16, seeds, 2 members (n = 1 ensemble)",
    }
    joined, apart = (drawn[label] for label in sorted(drawn))
    assert np.degrees(joined.get_xdata()) == pytest.approx([0, 10, 20])
    assert joined.get_ydata().tolist() == [1, 2, 3]
    assert (joined.get_linestyle(), apart.get_linestyle()) == ("-", "None")


def test_a_legend_of_ensembles_names_each_kind_once_where_rows_hold_different_numbers_of_them() -> None:
    place = {"angle_deg": 0.0, "manhattan": 0.0, "loss": 1.0, "accuracy": 0.5, "num_members": 1, "member": 0}
    rows = [place | {"run_id": run, "lr": lr} for run, lr in (("a", 0.1), ("b", 0.1), ("c", 0.2))]
    figure = plots.polar_of_ensembles(table(ENSEMBLE, *rows))
    assert legend(figure) == ["mlp_l1_w16, lmc, 1 members (n = 1 to 2 ensembles a row)"]


def test_losses_of_one_batch_size_and_one_rate_are_left_out_beside_others_and_panels_stand_in_rows() -> None:
    rows = [
        {"side": "A", "batch_size": batch, "epochs": epochs, "train/loss": 1.0}
        for epochs, batches in ((5, (32, 64)), (6, (32, 64)), (7, (32,)))
        for batch in batches
    ]
    figure = plots.final_training_loss(table(RUN, *rows))
    assert [panel.get_title().split("\n")[0] for panel in figure.axes] == ["epochs 5", "epochs 6"]
    assert figure.axes[0].get_position().y0 == pytest.approx(figure.axes[1].get_position().y0, abs=0.02)
    assert "1 condition of one batch size and one rate alone left out" in figure.get_suptitle()


def test_the_scheme_of_ensembles_names_both_samplings_and_what_each_trains() -> None:
    left, right = plots.ensemble_scheme().axes
    assert left.get_title() == "lmc: 2 trainings, any number of members (5 here)"
    assert right.get_title() == "seeds: a training for each of the N members (3 here)"
    texts = [{text.get_text() for text in panel.texts} for panel in (left, right)]
    assert {"trained on side A", "trained on side B"} <= texts[0]
    assert {f"A of seed {seed}" for seed in (1, 20, 100)} <= texts[1]


def test_segments_of_a_star_are_a_mean_with_a_band_for_each_kind() -> None:
    rows = [
        {"kind": kind, "run_a": "star", "run_b": other, "alpha": alpha, "loss": loss, "accuracy": 1 - loss}
        for kind, others in {"star_source": {"a": 0.1, "b": 0.3}, "regular": {"c": 0.5}}.items()
        for other, loss in others.items()
        for alpha in (0.0, 0.5, 1.0)
    ]
    figure = plots.segments_figure(pd.DataFrame(rows), "a star")
    assert legend(figure) == ["regular to regular (1 segment)", "star to source (2 segments)"]
    loss = figure.axes[0]
    assert [line.get_ydata().tolist() for line in loss.lines] == [[0.5] * 3, pytest.approx([0.2] * 3)]
    (band,) = loss.collections  # one segment alone has no spread
    spread = np.sqrt(0.02)
    assert {round(y, 9) for _, y in band.get_paths()[0].vertices} == {round(0.2 - spread, 9), round(0.2 + spread, 9)}


def test_stars_of_the_same_seed_and_sources_count_once() -> None:
    key = "star_source/test/barrier_over_chord"
    rows = [
        {"num_sources": 2, "sources": "a,b", "seed": 1, key: 0.1, f"{key}_std": 0.05, "accuracy/star": 0.9},
        {"num_sources": 2, "sources": "a,b", "seed": 1, key: 0.1, f"{key}_std": 0.05, "accuracy/star": 0.9},
        {"num_sources": 2, "sources": "a,c", "seed": 1, key: 0.3, f"{key}_std": 0.05, "accuracy/star": 0.9},
        {"num_sources": 5, "sources": "a,b,c,d,e", "seed": 1, key: 0.05, f"{key}_std": 0.01, "accuracy/star": 0.9},
    ]
    figure = plots.star_by_sources(pd.DataFrame(rows))
    barriers = figure.axes[0]
    assert barriers.lines[0].get_xydata().tolist() == [pytest.approx([2, 0.2]), pytest.approx([5, 0.05])]
    deviations = [np.ptp(ends[:, 1]) / 2 for ends in bars(barriers)]
    assert deviations == pytest.approx([np.sqrt(0.02), 0.01])  # over two stars; over the one star's segments


@pytest.mark.parametrize(("draw", "command"), COMMANDED)
@pytest.mark.parametrize("columns", [[], sorted(PATH), sorted(ENSEMBLE)], ids=["bare", "paths", "ensembles"])
def test_without_data_a_figure_names_the_command(draw, command: str, columns: list[str]) -> None:
    figure = draw(pd.DataFrame(columns=columns))
    (sentence,) = (text.get_text() for panel in figure.axes for text in panel.texts)
    assert f"mlflow run . --env-manager local -e {command} -P" in sentence
    assert not figure.legends


@pytest.mark.parametrize("sentence", [missing.PAIRS, missing.PATHS, missing.STARS, missing.ENSEMBLES])
def test_the_commands_named_exist(sentence: str) -> None:
    words = shlex.split(re.sub(r"<[^>]*>", "x", sentence.split(": ", 1)[1]))
    name = words[words.index("-e") + 1]
    flags = [f"--{words[i + 1]}" for i, word in enumerate(words) if word == "-P"]
    assert isinstance(parse_flags(name, COMMANDS[name].config, flags), COMMANDS[name].config)


def test_legends_never_cover_data_and_notebooks_see_a_picture() -> None:
    figure = plots.paths_over_seeds(curves(curve([1, 2, 1], seed=1)))
    picture, metadata = figure._repr_png_()
    assert picture.startswith(b"\x89PNG")
    assert metadata["alt"].startswith("Paths, test data")
    assert all(panel.get_legend() is None for panel in figure.axes)
    lowest = min(panel.get_tightbbox().y0 for panel in figure.axes)
    assert figure.legends[0].get_window_extent().y1 <= lowest
