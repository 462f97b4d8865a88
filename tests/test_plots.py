"""Figures of one run show what they are given: the mark of the barrier, every split, no state of an earlier figure."""

import io

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends import backend_agg

from lmc_mlflow.paths.intervals import Interval
from lmc_mlflow.plots.per_run.alignment import aligned_path_figure
from lmc_mlflow.plots.per_run.learning import learning_figure
from lmc_mlflow.plots.per_run.matrix import matrix_figure
from lmc_mlflow.plots.per_run.paths import path_figure, polar_figure
from lmc_mlflow.plots.per_run.plane import plane_figure
from lmc_mlflow.plots.per_run.star import segments_figure
from lmc_mlflow.plots.per_run.trajectories import trajectory_figure
from lmc_mlflow.plots.style import png_bytes


def table(losses: list[float], splits: tuple[str, ...] = ("test", "train_a")) -> pd.DataFrame:
    alphas = np.linspace(0, 1, len(losses))
    parts = [
        pd.DataFrame(
            {
                "alpha": alphas,
                "split": split,
                "loss": losses,
                "accuracy": 0.5,
                "angle_deg": 90 * alphas,
                "manhattan": alphas,
            }
        )
        for split in splits
    ]
    return pd.concat(parts, ignore_index=True)


def marks(figure) -> dict[str, tuple[list[float], list[float]]]:
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in figure.axes[0].lines}


def test_a_barrier_and_its_minima_are_marked() -> None:
    found = marks(path_figure(table([1, 0.2, 0.8, 0.4, 0.9]), "title"))
    assert found["test barrier in basin 0.5"] == ([0.5], [0.8])
    assert found["minima beside it"] == ([0.25, 0.75], [0.2, 0.4])
    assert found["their mean"][1] == pytest.approx([0.3, 0.3])
    assert {"test", "training side A"} <= set(found)


def test_a_path_says_what_its_ends_are_and_where_it_would_be_broken() -> None:
    figure = path_figure(table([1, 0.2, 0.8, 0.4, 0.9]), "title", None, (0.1, -0.06), ("seed 1 A", "seed 2 A"))
    loss, accuracy = figure.axes
    assert loss.get_xlabel() == "alpha (0: start (seed 1 A), 1: end (seed 2 A))"
    lines = {line.get_label(): line.get_ydata() for line in loss.lines}
    assert list(lines["thresholds: barrier 0.1, accuracy delta -6 points"]) == pytest.approx([0.4, 0.4])  # 0.3 + 0.1
    assert list(accuracy.lines[-1].get_ydata()) == pytest.approx([44, 44])  # 50 - 6
    assert path_figure(table([1, 2, 1]), "title").axes[0].get_xlabel() == "alpha (0: start of the path, 1: its end)"


def test_an_aligned_path_shows_what_decided_on_it() -> None:
    aligned, plain = table([0.3, 0.2, 0.25, 0.2, 0.3]), table([1, 2, 9, 2, 1])
    intervals = {"test": {"barrier_in_basin": Interval(0.05, 0.01, 0.07)}}
    figure = aligned_path_figure(aligned, plain, "title", "weights", ("", ""), intervals, (0.1, -0.06))
    loss = figure.axes[0]
    lines = {line.get_label(): line.get_ydata() for line in loss.lines}
    assert list(lines["thresholds: barrier 0.1, accuracy delta -6 points"]) == pytest.approx([0.3, 0.3])  # 0.2 + 0.1
    (band,) = loss.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((0.21, 0.27))


def test_an_interval_is_a_band() -> None:
    intervals = {"test": {"barrier_in_basin": Interval(0.5, 0.4, 0.7)}}
    loss = path_figure(table([1, 0.2, 0.8, 0.4, 0.9]), "title", intervals).axes[0]
    (band,) = loss.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((0.7, 1.0))  # 0.3 + 0.4, 0.3 + 0.7


def test_a_plane_says_that_its_losses_are_logarithmic_and_every_colour_bar_has_a_unit() -> None:
    places = pd.DataFrame([(x, y) for x in (0.0, 1.0, 2.0) for y in (0.0, 1.0)], columns=["x", "y"])
    surface = places.assign(panel="as logged", loss=0.1 + places["x"], accuracy=0.9 - 0.1 * places["y"])
    figure = plane_figure(surface, {"as logged": {"A": (0, 0), "B": (1, 0), "C": (0, 1)}}, "title")
    labels = [panel.get_ylabel() for panel in figure.axes[2:]]
    assert labels == ["loss (nats per sample, logarithmic scale)", "accuracy (%)"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["run_a", "run_b", "run_c"]  # A and B are sides
    assert figure.axes[0].get_title() == "not aligned"  # the word of every figure


def test_a_measure_that_a_table_has_gets_a_panel_with_its_unit_and_one_that_it_lacks_none() -> None:
    old = table([1, 2, 1])
    assert [panel.get_ylabel() for panel in path_figure(old, "title").axes] == [
        "loss (nats per sample)",
        "accuracy (%)",
    ]
    panel = path_figure(old.assign(ece=0.25), "title").axes[2]
    assert panel.get_ylabel() == "expected calibration error (%)"
    assert list(panel.lines[0].get_ydata()) == [25, 25, 25]


def test_without_a_barrier_the_lowest_point_is_marked() -> None:
    found = marks(path_figure(table([1, 0.5, 0, 0.5, 1]), "title"))
    assert found["lowest test loss, no barrier"] == ([0.5], [0.0])
    assert "minima beside it" not in found


def test_the_polar_plot_has_the_angle_from_a_and_three_radii() -> None:
    figure = polar_figure(table([1, 2, 3]), "title")
    panels = [axes for axes in figure.axes if axes.name == "polar"]
    assert len(panels) == 3
    for panel, radius in zip(panels, ([1, 2, 3], [50, 50, 50], [0, 0.5, 1]), strict=True):
        assert list(panel.lines[0].get_xdata()) == pytest.approx([0, np.pi / 4, np.pi / 2])
        assert list(panel.lines[0].get_ydata()) == pytest.approx(radius)


def test_learning_curves_show_every_side_and_split() -> None:
    rows = [
        {"epoch": e, "side": s, "split": p, "loss": 1 / e, "accuracy": 0.5}
        for e in (1, 2)
        for s in "AB"
        for p in ("train", "test")
    ]
    labels = {line.get_label() for line in learning_figure(pd.DataFrame(rows), "title").axes[0].lines}
    assert labels == {"side A, train", "side A, test", "side B, train", "side B, test"}


NO_NUMBERS = {
    "nan in the middle": [0.1, 5.0, float("nan"), 5.0, 0.1],
    "nan at an end": [float("nan"), 5.0, 1.0, 5.0, 0.1],
    "infinite": [0.1, float("inf"), 1.0, 5.0, 0.1],
    "nan alone": [float("nan")] * 5,
    "infinite alone": [float("inf")] * 5,
    "zero": [0.0] * 5,
    "near the largest": [0.1, 1e38, 1.0, 5.0, 0.1],
}


@pytest.mark.parametrize("losses", NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_every_figure_of_one_run_is_drawn_where_losses_are_no_numbers(losses: list[float]) -> None:
    path = table(losses)
    diverged = path.assign(angle_deg=float("nan"), manhattan=float("nan"))
    places = pd.DataFrame([(x, y) for y in range(5) for x in range(5)], columns=["x", "y"])
    surface = places.assign(panel="as logged", loss=losses * 5, accuracy=0.5)
    ends = {"as logged": {"A": (0, 0), "B": (4, 0), "C": (0, 4)}}
    epochs = pd.DataFrame({"epoch": range(5), "split": "test", "side": "A", "loss": losses, "accuracy": 0.5})
    barriers = pd.DataFrame({"run_a": ["1", "1", "2"], "run_b": ["2", "3", "3"], "barrier": losses[:3]})
    networks = pd.DataFrame({"network": ["1", "2", "3"], "label": ["a", "b", "c"], "constant": False})
    segments = path[path["split"] == "test"].assign(kind="star_source", run_a="1", run_b="2")
    summary = {"test/loss_swa": losses[2], "test/accuracy_swa": 0.5}
    figures = [
        path_figure(path, "title", None, (0.1, -0.06)),
        polar_figure(path, "title"),
        polar_figure(diverged, "title"),
        aligned_path_figure(path, path, "title"),
        plane_figure(surface, ends, "title"),
        learning_figure(epochs, "title"),
        trajectory_figure(epochs, summary, "title"),
        matrix_figure(barriers, networks, "barrier"),
        segments_figure(segments, "title"),
    ]
    for figure in figures:
        figure.savefig(io.BytesIO(), dpi=30)
        limits = [limit for panel in figure.axes for limit in (*panel.get_xlim(), *panel.get_ylim())]
        assert np.isfinite(limits).all(), figure.get_suptitle()


def test_a_class_named_in_chinese_is_drawn_without_a_warning() -> None:
    path_figure(table([1, 2, 1]), "\u6f22\u5b57", None, None, ("\u6f22", "\u5b57"))
    assert png_bytes(matrix_figure(*two_networks("\u6f22\u5b57"), "barrier"))


def two_networks(name: str, number: int = 2) -> tuple[pd.DataFrame, pd.DataFrame]:
    ids = [str(i) for i in range(number)]
    rows = [(a, b, 0.1) for i, a in enumerate(ids) for b in ids[i + 1 :]]
    networks = pd.DataFrame({"network": ids, "label": name, "constant": False})
    return pd.DataFrame(rows, columns=["run_a", "run_b", "barrier"]), networks


def test_a_matrix_of_many_networks_is_laid_out_with_one_image_and_not_with_one_for_each_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []
    original = backend_agg.RendererAgg.__init__

    def counted(self: backend_agg.RendererAgg, *args: float) -> None:
        made.append(args)
        original(self, *args)

    monkeypatch.setattr(backend_agg.RendererAgg, "__init__", counted)
    matrix_figure(*two_networks("a network", 20), "barrier")
    assert len(made) < 5  # 60 names made 120 images of 35 MB


def test_drawing_leaves_matplotlib_s_settings_alone() -> None:
    before = dict(mpl.rcParams)
    path_figure(table([1, 2, 1]), "title")
    assert dict(mpl.rcParams) == before
