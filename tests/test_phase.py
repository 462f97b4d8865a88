"""A phase diagram counts connected seeds at each cell, as a plain loop does, and draws irregular cells."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from paper_frames import frames, paths

from lmc_mlflow import query
from lmc_mlflow.findings.phase import phase_axes, phase_table
from lmc_mlflow.papers.hepburn.tables import path_table
from lmc_mlflow.papers.printed import PATH_TABLES
from lmc_mlflow.plots import missing_command, phase_diagram
from lmc_mlflow.workflows.report.curves import ReportCurves
from lmc_mlflow.workflows.report.figures import report_pictures

RATES, BATCHES = (0.001, 0.01, 0.1), (16, 64)
ADDED = (0.0316, 16)


def cell(lr: float, batch_size: int, **more: Any) -> dict[str, Any]:
    verdict = "yes" if lr < 0.02 * batch_size / 16 else "no"
    own = {"refined": "1" if (lr, batch_size) == ADDED else "", "connected_interval": verdict}
    return {"lr": lr, "batch_size": batch_size, "connected": verdict} | own | more


def plane(**more: Any) -> pd.DataFrame:
    points = [*((lr, batch) for lr in RATES for batch in BATCHES), ADDED]
    return paths(*(cell(*point, **more) for point in points), seeds=(1, 20, 100))


def drawn_texts(figure: Figure) -> Counter[str]:
    return Counter(text.get_text() for panel in figure.axes for text in panel.texts)


def contours(figure: Figure) -> list[np.ndarray]:
    return [
        path.vertices
        for panel in figure.axes
        for made in panel.collections
        if type(made).__name__ == "TriContourSet"
        for path in made.get_paths()
    ]


def test_the_table_counts_what_a_plain_loop_counts() -> None:
    rows = plane()
    rows.loc[(rows["lr"] == 0.01) & (rows["batch_size"] == 16) & (rows["seed"] == 20), "connected"] = "apparent"
    rows.loc[(rows["lr"] == 0.1) & (rows["seed"] == 1), "connected_interval"] = "undecided"
    found = phase_table(rows).set_index(["lr", "batch_size"])
    assert len(found) == 7
    for (lr, batch_size), part in rows.groupby(["lr", "batch_size"]):
        own = found.loc[(lr, batch_size)]
        num_connected = sum(verdict == "yes" for verdict in part["connected"])
        assert (own["n"], own["connected"], own["share"]) == (3, num_connected, num_connected / 3)
        assert own["undecided"] == sum(verdict == "undecided" for verdict in part["connected_interval"])
        assert own["run_ids"].split() == sorted(part["run_id"])
        assert own["refinement"] == ((lr, batch_size) == ADDED)
    assert found.loc[(0.01, 16), ["connected", "verdict"]].tolist() == [2, "connected"]
    assert found.loc[(0.1, 16), "verdict"] == "not connected"
    assert query.phase_table is phase_table


def test_other_settings_make_other_panels_in_the_order_of_their_severity() -> None:
    rows = pd.concat([plane(shift=shift) for shift in ("label_2080", "label_3565", "label_5050")], ignore_index=True)
    rows = rows.assign(run_id=[f"r{i:03d}" for i in range(len(rows))], pair=[f"p{i}" for i in range(len(rows))])
    assert list(dict.fromkeys(phase_table(rows)["panel"])) == ["label_5050", "label_3565", "label_2080"]
    assert phase_axes(rows) == ["lr", "batch_size", "shift"]
    by_shift = phase_table(rows, "lr", "shift")
    assert by_shift["panel"].unique().tolist() == ["batch_size 16", "batch_size 64"]
    assert by_shift["shift"].tolist()[:3] == ["label_5050", "label_3565", "label_2080"]
    assert phase_table(rows[rows["lr"] == 0.1]).empty
    with pytest.raises(ValueError, match="seed: no axis of a phase diagram; choose from lr, batch_size, shift"):
        phase_table(rows, "seed")


def test_paths_measured_twice_count_once_and_epochs_that_follow_from_steps_make_no_condition() -> None:
    rows = plane()
    twice = pd.concat([rows, rows.assign(run_id="again" + rows["run_id"], bn="nearest")], ignore_index=True)
    assert phase_table(twice)["n"].tolist() == [3] * 7
    by_steps = rows.assign(steps=500, epochs=500 // rows["batch_size"])
    assert phase_table(by_steps)["n"].tolist() == [3] * 7


def test_the_figure_shows_every_cell_with_its_numbers_and_the_contour_between_them() -> None:
    figure = phase_diagram(plane())
    assert drawn_texts(figure) == {"3/3": 4, "0/3": 3}
    assert "3 seeds a cell" in figure.get_suptitle()
    labels = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert "added by refinement" in labels
    (line,) = contours(figure)
    at_16 = line[line[:, 1].argmin()]
    assert at_16 == pytest.approx([np.log10(0.01) + (np.log10(0.0316) + 2) / 2, np.log10(16)], abs=1e-6)
    panel = figure.axes[0]
    assert [f"{10**tick:.3g}" for tick in panel.get_xticks()] == ["0.001", "0.01", "0.1"]


def test_cells_in_a_row_and_cells_that_agree_are_drawn_too() -> None:
    row = plane()[lambda frame: frame["batch_size"] == 16]
    assert drawn_texts(phase_diagram(row)) == {"3/3": 2, "0/3": 2}
    (line,) = [
        one for one in phase_diagram(row).axes[0].lines if one.get_linestyle() == "-" and one.get_linewidth() == 2
    ]
    assert line.get_xdata()[0] == pytest.approx((np.log10(0.01) + np.log10(0.0316)) / 2)
    assert contours(phase_diagram(plane().assign(connected="yes"))) == []
    assert "grid=phase_diagram" in missing_command(phase_diagram(plane().head(3)))
    assert "grid=phase_diagram" in missing_command(phase_diagram(pd.DataFrame()))


def test_the_report_shows_it_among_my_runs() -> None:
    ready = frames(plane())
    tables = {name: path_table(ready, name, 2) for name in PATH_TABLES}
    curves = ReportCurves(*[pd.DataFrame()] * 4)
    (picture,) = [one for one in report_pictures(ready, tables, curves) if one.title.startswith("Where are")]
    assert picture.below == "mine"
    assert picture.svg
