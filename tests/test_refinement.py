"""Refinement halves gaps between neighbours that differ, in a fixed order, and goes on where it was."""

import json
from pathlib import Path

import pytest
from conftest import runs_of_kind
from mlflow import MlflowClient
from test_sweeps import ONE, assert_whole, only_sweep, process, sweep, wait_for

from lmc_mlflow.config.sweep import RefineConfig
from lmc_mlflow.data.shifts.registry import place_of, shift_with
from lmc_mlflow.findings.axes import axis_of, kind_and_number, value_at
from lmc_mlflow.findings.verdicts import CONNECTED, NOT_CONNECTED, UNDECIDED, majority
from lmc_mlflow.sweeps.grid import Grid
from lmc_mlflow.sweeps.grid_file import read_grid
from lmc_mlflow.sweeps.refinement import next_jobs, with_jobs

REFINE = ("--refine=lmc.connected",)
PLANE = """
seeds: [1, 20]
defaults: {model: mlp_l1_w8, epochs: 2, c2st_samples: 0}
then: [interpolate: {num_alphas: 3}]
cells: [{lr: [0.001, 0.01, 0.1], batch_size: [16, 64]}]
"""
LINE = """
seeds: [1]
defaults: {model: mlp_l1_w8, epochs: 3, batch_size: 16, init: different, c2st_samples: 0}
then:
  - interpolate: {num_alphas: 5, splits: test, num_resamples: 0}
cells:
  - lr: [0.00001, 0.01]
"""


def config(cells: int = 60, halvings: int = 2) -> RefineConfig:
    return RefineConfig(refine="lmc.connected", refine_cells=cells, refine_halvings=halvings)


def grid_of(text: str, tmp_path: Path) -> Grid:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return read_grid(str(path), {}, (), ())


def points(grid: Grid) -> list[tuple[float, int]]:
    return [(j.cells[0].config.optimization.lr, j.cells[0].config.optimization.batch_size) for j in grid.jobs]


def rounds(grid: Grid, is_connected, own: RefineConfig) -> list[list[tuple[float, int]]]:
    """Refine with verdicts that are known everywhere; give the points of each round."""
    found = []
    while True:
        verdicts = [CONNECTED if is_connected(*point) else NOT_CONNECTED for point in points(grid)]
        jobs = next_jobs(grid, verdicts, own)
        if not jobs:
            return found
        found.append(points(Grid("", "", jobs)))
        grid = with_jobs(grid, jobs)


@pytest.mark.parametrize(
    ("name", "numbers", "low", "high", "middle"),
    [
        ("lr", {0.001, 0.01}, 0.001, 0.01, 0.00316),  # the root of 1e-5
        ("lr", {0.1, 0.2, 0.3}, 0.1, 0.2, 0.15),  # these are spaced evenly
        ("batch_size", {16, 64}, 16, 64, 32),
        ("batch_size", {16, 64}, 16, 32, 23),  # the root of 512 is 22.6
        ("batch_size", {16, 64}, 16, 17, None),
        ("epochs", {10, 30}, 10, 30, 20),
        ("epochs", {10, 40, 160}, 10, 40, 20),
        ("shared_epochs", {0, 1, 2, 5, 10}, 5, 10, 8),  # 0 has no ratio
    ],
)
def test_midpoints_follow_the_spacing(
    name: str, numbers: set[float], low: float, high: float, middle: float | None
) -> None:
    found = axis_of(name, "", numbers).midpoint(low, high)
    assert found == (None if middle is None else pytest.approx(middle))


@pytest.mark.parametrize(
    ("low", "high", "middle"),
    [
        ("label_5050", "label_2080", "label_3565"),
        ("label_5050", "label_4951", None),
        ("corrupt_blur_1", "corrupt_blur_3", "corrupt_blur_2"),
        ("corrupt_blur_1", "corrupt_blur_2", None),
        ("rotate_10", "rotate_45", "rotate_27.5"),
        ("dirichlet_0.1", "dirichlet_10", "dirichlet_1"),
        ("subset_0.5", "subset_0.25", "subset_0.375"),
    ],
)
def test_shifts_are_ordered_by_their_number(low: str, high: str, middle: str | None) -> None:
    places = [kind_and_number("shift", name) for name in (low, high)]
    assert places[0] is not None
    assert places[1] is not None
    assert places[0][0] == places[1][0]
    numbers = sorted(place[1] for place in places if place is not None)
    found = axis_of("shift", places[0][0], numbers).midpoint(*numbers)
    assert (None if found is None else value_at("shift", low, found)) == middle


def test_shifts_of_other_kinds_are_no_neighbours() -> None:
    kinds = [place.kind for name in ("corrupt_blur_1", "corrupt_noise_1", "label_2080") if (place := place_of(name))]
    assert len(set(kinds)) == 3
    assert place_of("none") is None
    assert shift_with("corrupt_noise_4", 2) == "corrupt_noise_2"
    with pytest.raises(ValueError, match="shift 'none' has no number"):
        shift_with("none", 1)


def test_a_majority_needs_more_than_half_of_all_pairs_with_certain_verdicts() -> None:
    assert majority([("yes", "yes"), ("yes", ""), ("no", "no")]) == CONNECTED
    assert majority([("no", "no"), ("apparent", "apparent"), ("yes", "yes")]) == NOT_CONNECTED
    assert majority([("yes", "undecided"), ("yes", "undecided"), ("no", "no")]) == UNDECIDED
    assert majority([("yes", "yes"), ("no", "no")]) == UNDECIDED
    assert majority([]) == ""


def test_gaps_are_halved_as_often_as_is_said_and_no_others(tmp_path: Path) -> None:
    found = rounds(grid_of(PLANE, tmp_path), lambda lr, batch: lr < 0.02 * batch / 16, config(halvings=2))
    # Batches of 16 break between 0.01 and 0.1, those of 64 between 0.01 and 0.1 too: at 0.02 and 0.08.
    assert found[0] == [(0.0316, 16), (0.0316, 64)]  # the two are new neighbours, and differ: 0.02 < 0.0316 < 0.08
    assert found[1] == [(0.0316, 32), (0.0178, 16), (0.0562, 64)]  # wider gaps first
    assert (0.0316, 23) in found[2]
    assert rounds(grid_of(PLANE, tmp_path), lambda lr, batch: lr < 0.02, config(halvings=1)) == [
        [(0.0316, 16), (0.0316, 64)]
    ]
    assert rounds(grid_of(PLANE, tmp_path), lambda lr, batch: True, config()) == []


def test_halving_finds_a_planted_boundary_as_bisection_does(tmp_path: Path) -> None:
    grid = grid_of("seeds: [1]\nthen: [interpolate: ]\ncells: [{lr: [0.0001, 1]}]", tmp_path)
    found = rounds(grid, lambda lr, _: lr < 0.037, config(halvings=5))
    low, high, expected = -4.0, 0.0, []
    for _ in range(5):
        middle = (low + high) / 2
        expected.append(10**middle)
        low, high = (middle, high) if 10**middle < 0.037 else (low, middle)
    assert [[lr for lr, _ in one] for one in found] == [[pytest.approx(lr, rel=0.01)] for lr in expected]


def test_cells_are_added_up_to_the_number_with_all_their_seeds(tmp_path: Path) -> None:
    found = rounds(grid_of(PLANE, tmp_path), lambda lr, batch: lr < 0.02 * batch / 16, config(cells=5))
    assert found == [[(0.0316, 16), (0.0316, 64)]]  # two cells each; a third one would make six


def test_undecided_cells_come_after_clear_differences(tmp_path: Path) -> None:
    grid = grid_of(PLANE, tmp_path)
    verdicts = [CONNECTED, CONNECTED, UNDECIDED, CONNECTED, NOT_CONNECTED, NOT_CONNECTED]  # lr outer, batch inner
    assert points(Grid("", "", next_jobs(grid, verdicts, config()))) == [
        (0.0316, 64),  # yes against no
        (0.00316, 16),  # yes against undecided
        (0.0316, 16),
        (0.01, 32),
    ]
    assert next_jobs(grid, ["", *[CONNECTED] * 5], config()) == ()


def test_the_digest_of_a_refined_grid_stays_while_cells_are_added(tmp_path: Path) -> None:
    grid = grid_of(PLANE, tmp_path)
    verdicts = [CONNECTED] * 4 + [NOT_CONNECTED] * 2
    assert with_jobs(grid, next_jobs(grid, verdicts, config())).digest == grid.digest
    assert len(with_jobs(grid, next_jobs(grid, verdicts, config())).cells) == 12 + 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cells: [{lr: [0.1, 1]}]", "has cells without one; list '- interpolate: {}' under then"),
        (
            "then: [interpolate: {layers: each}, interpolate: {epochs: 1}]\n"
            "cells: [{lr: [0.1, 1], epochs: 1, keep_epochs: 1}]",
            "has cells without one; list '- interpolate: {}' under then",
        ),
        ("then: [interpolate: ]\ncells: [{model: [mlp_l1_w8, mlp_l1_w9]}]", "no two cells differ in one number alone"),
    ],
)
def test_what_cannot_be_refined_is_refused_before_anything_runs(
    store: MlflowClient, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.yaml").write_text(text)
    assert sweep(["--grid=mine.yaml", *ONE, *REFINE]) == 1
    assert message in capsys.readouterr().err
    assert store.search_runs(["0"]) == []


def test_options_of_refinement_belong_to_it(store: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep(["--refine_cells=5"]) != 0
    assert "refine_cells=5 belongs to refine=lmc.connected; leave it out" in capsys.readouterr().err
    assert sweep(["--refine=connected"]) != 0
    assert "refine 'connected' is unknown (did you mean 'lmc.connected'?)" in capsys.readouterr().err


@pytest.mark.slow
def test_a_verdict_is_that_of_a_path_and_not_of_layers_that_are_listed_before_it(store: MlflowClient) -> None:
    layers = LINE.replace("then:\n", "then:\n  - interpolate: {layers: each, num_alphas: 3, num_resamples: 0}\n")
    Path("mine.yaml").write_text(layers)
    assert sweep(["--grid=mine.yaml", *ONE, *REFINE, "--refine_halvings=1"]) == 0
    assert_whole(store, 3, {"path": 3, "path_by_layer": 3})
    assert 0.000316 in rates(store)


def rates(store: MlflowClient) -> list[float]:
    return sorted({float(run.data.params["optimization.lr"]) for run in runs_of_kind(store, "pair")})


@pytest.mark.slow
def test_a_sweep_refines_says_so_and_has_nothing_to_do_afterwards(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.yaml").write_text(LINE)
    flags = ["--grid=mine.yaml", *ONE, *REFINE]
    assert sweep([*flags, "--dry_run=true"]) == 0
    assert "refine=lmc.connected: 0 cells added so far, up to 60 in all" in capsys.readouterr().out
    assert sweep(flags) == 0
    out = capsys.readouterr().out
    assert "refinement 1: 1 cell between neighbours whose verdicts differ" in out
    assert "refinement 2: 1 cell between neighbours whose verdicts differ" in out
    assert_whole(store, 4, {"path": 4})
    by_rate = {
        lr: {
            run.data.tags["lmc.connected"]
            for run in runs_of_kind(store, "path")
            if store.get_run(run.data.tags["lmc.pair"]).data.params["optimization.lr"] == str(lr)
        }
        for lr in rates(store)
    }
    assert by_rate[1e-05] == {"yes"}
    assert by_rate[0.01] == {"no"}
    tags = {
        float(run.data.params["optimization.lr"]): run.data.tags.get("lmc.refined")
        for run in runs_of_kind(store, "pair")
    }
    middle = 0.000316  # the root of 1e-7
    assert tags.pop(middle) == "1"
    assert (tags.pop(1e-05), tags.pop(0.01)) == (None, None)
    assert list(tags.values()) == ["2"]
    assert {run.data.tags.get("lmc.refined") for run in runs_of_kind(store, "path")} == {None, "1", "2"}
    folder = Path(only_sweep(store).info.artifact_uri)
    assert [row["refinement"] for row in json.loads((folder / "cells.json").read_text())] == [0, 0, 1, 2]
    assert "lr=0.000316 (refinement 1) | 1 of 1" in only_sweep(store).data.tags["mlflow.note.content"]

    assert sweep(flags) == 0
    assert "all 4 cells finished before; nothing to do" in capsys.readouterr().out
    assert sweep([*flags, "--dry_run=true"]) == 0
    assert "refine=lmc.connected: 2 cells added so far" in capsys.readouterr().out


@pytest.mark.slow
def test_a_killed_refinement_goes_on_and_ends_with_the_same_cells(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.yaml").write_text(LINE)
    flags = ["--grid=mine.yaml", *ONE, *REFINE]
    with process("sweep", flags) as killed:
        wait_for(killed, lambda: len(runs_of_kind(store, "pair")) > 2)  # the third was added by refinement
        killed.kill()
    assert sweep(flags) == 0
    found = rates(store)
    assert_whole(store, 4, {"path": 4})
    assert len(found) == 4
    assert 0.000316 in found
