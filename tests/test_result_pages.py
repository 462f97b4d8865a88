"""Every table, sentence and report in docs/results is what the shipped runs give, and the index has every answer."""

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from analysis.result_pages import ship
from analysis.result_pages.batch_norm import fits_printed, judge_length
from analysis.result_pages.index import index_parts
from analysis.result_pages.mnist_scaling import IN_BASIN, Scaled, judge_scalings, printed_height
from analysis.result_pages.numbers import bounds, half_width, interval
from analysis.result_pages.pages import FOLDER, FRONT, INDEX, PAGES, STORE, Page, fill, filled, shipped_store
from analysis.result_pages.ship import check, export
from analysis.result_pages.shipped_runs import STAND_INS, ShippedRuns
from analysis.result_pages.single_pairs import fits_delta, judge_control, judge_policies
from analysis.result_pages.slope import connected_from, judge_depth
from entry_points.interpolate import main as interpolate
from entry_points.report import main as report
from entry_points.train_pair import main as train_pair
from lmc_mlflow import query
from lmc_mlflow.bundles.archive import RUNS, open_bundle
from lmc_mlflow.findings.condition_table import Frames, prepare, with_overfitting
from lmc_mlflow.papers.claims import Verdicts, judge_all
from lmc_mlflow.papers.hepburn.claims import HEPBURN_CLAIMS
from lmc_mlflow.papers.report.markdown import markdown
from lmc_mlflow.workflows.report.report import read_frames

HEADLINE = ("H-03a", "H-03b", "H-03d", "H-03h")
"""H-03c was one of them, until three layers with batch norm were trained for 400 epochs at both rates."""
DECIDED = ("supported", "contradicted")
ALONE = ("paper", "breaks")
FILES = sorted(FOLDER.glob("*.md"))
SAYS = re.compile(r"<!-- (?:table|text): (\w+) -->\n\n")


@pytest.fixture(scope="module")
def imported() -> Iterator[None]:
    with shipped_store():
        yield


@pytest.mark.slow
@pytest.mark.parametrize("page", [*PAGES, FRONT], ids=lambda page: page.file)
@pytest.mark.usefixtures("imported")
def test_the_tables_and_sentences_of_a_page_are_what_its_runs_give(page: Page) -> None:
    assert filled(page) == (FOLDER / page.file).read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("imported")
def test_the_shipped_report_is_what_the_shipped_runs_give() -> None:
    assert markdown(ShippedRuns().content) == (FOLDER / "report" / "report.md").read_text()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_table_of_a_page_is_computed_and_every_page_answers_its_question(file: Path) -> None:
    text = file.read_text()
    tables = re.findall(r"(?:<!-- table: (\w+) -->\n\n|\n\n)(?=\|)", text)
    assert tables
    assert all(tables)
    assert file.name in {page.file for page in PAGES}
    if file.name != INDEX:
        assert text.splitlines()[0].endswith("?")
        assert "answer" in SAYS.findall(text)
        assert {"## What would change the answer", "## Commands"} <= set(text.splitlines())


def test_the_index_quotes_every_page() -> None:
    index = (FOLDER / INDEX).read_text()
    for page in PAGES[:-1]:
        assert f"({page.file})" in index
    assert index == fill(index, index_parts(FOLDER, [page.file for page in PAGES[:-1]]))


def test_every_figure_of_a_page_is_there_and_drawn_by_the_command() -> None:
    for page in PAGES:
        shown = set(re.findall(r"\.\./images/([\w.]+)", (FOLDER / page.file).read_text()))
        assert set(page.figures) <= shown
        assert all((FOLDER.parent / "images" / name).is_file() for name in shown)


def test_the_shipped_store_is_small() -> None:
    assert STORE.stat().st_size < 20e6
    assert [path.name for path in FOLDER.rglob("*.zip")] == [STORE.name]


def test_a_wrong_number_of_a_page_is_replaced_and_its_text_is_not() -> None:
    page = "Text.\n\n<!-- table: widths -->\n\n| width |\n|---|\n| 5 |\n\nMore | text.\n"
    right = fill(page, {"widths": pd.DataFrame({"width": [4, 16]})})
    assert right == page.replace("| 5 |", "| 4 |\n| 16 |")
    with pytest.raises(ValueError, match="stars: the page has 0 lines"):
        fill(page, {"widths": pd.DataFrame({"width": [4]}), "stars": pd.DataFrame({"width": [4]})})


def test_a_wrong_sentence_of_a_page_is_replaced_and_the_next_is_not() -> None:
    page = "Text.\n\n<!-- text: answer -->\n\n**5 of 5.** And more.\n\nNext.\n"
    assert fill(page, {"answer": "**4 of 5.**"}) == "Text.\n\n<!-- text: answer -->\n\n**4 of 5.**\n\nNext.\n"
    with pytest.raises(ValueError, match="other: the page has 0 lines"):
        fill(page, {"answer": "**4 of 5.**", "other": "x"})
    with pytest.raises(ValueError, match="answer: nothing computes this part"):
        fill(page, {})


def test_an_index_needs_questions_and_answers(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Is it?\n\n<!-- text: answer -->\n\n**Yes.** And more.\n")
    assert index_parts(tmp_path, ["a.md"])["answers"].to_dict("records") == [
        {"question": "[Is it?](a.md)", "answer": "Yes."}
    ]
    (tmp_path / "b.md").write_text("# Is it?\n\nYes.\n")
    with pytest.raises(ValueError, match=r"b\.md: a results page has a question"):
        index_parts(tmp_path, ["b.md"])


def test_intervals_are_those_of_student() -> None:
    low, mean, high = bounds([1.0, 2.0, 3.0])
    assert (low, mean, high) == pytest.approx((2 - 4.302653 / 3**0.5, 2, 2 + 4.302653 / 3**0.5))
    assert interval([1.0, 2.0, 3.0], 2) == "2.00 (-0.48 to 4.48)"
    with pytest.raises(ValueError, match="1 values have no interval"):
        bounds([1.0])


@pytest.mark.usefixtures("store")
def test_numbers_are_shipped_and_reports_and_places_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train_pair(["--model=mlp_l1_w4", "--epochs=1", "--c2st_samples=0"]) == 0
    assert interpolate([f"--pair={query.pairs()['run_id'].item()}", "--num_alphas=3"]) == 0
    assert report([]) == 0
    bundle = tmp_path / "store.zip"
    export(bundle)
    with open_bundle(bundle) as opened:
        kinds = {json.loads(line)["tags"]["lmc.kind"] for line in opened.lines(RUNS)}
        files = {Path(name).name for name in opened.files}
    assert {"pair", "endpoint", "path"} <= kinds
    assert "report" not in kinds
    assert "path.json" in files
    assert not files & {"barrier_by_sample.json", "model.safetensors", "path.png"}
    with pytest.raises(ValueError, match="nothing was exported; see the line above"):
        export(bundle)  # never written over
    assert "exists already" in capsys.readouterr().err

    check(bundle, (tmp_path,))
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr("artifacts/x/grid.yaml", f"data_root: {tmp_path}/data")
    with pytest.raises(
        ValueError, match=r"artifacts/x/grid\.yaml names the folder .*: give data and grids by relative"
    ):
        check(bundle, (tmp_path,))
    monkeypatch.setattr(ship, "LARGEST", 1000)
    with pytest.raises(ValueError, match=r"MB; at most 0\.001 MB are shipped"):
        check(bundle, ())


@pytest.mark.parametrize(("barrier", "fits"), [(2.51, True), (0.47, True), (0.46, False), (4.56, False)])
def test_a_policy_fits_a_printed_barrier_within_three_deviations_and_the_rounding(barrier: float, fits: bool) -> None:
    printed = pd.Series({"barrier": 2.51, "barrier_sd": 0.68})
    assert fits_printed(pd.Series([barrier - 0.1, barrier + 0.1]), printed) is fits
    assert fits_printed(pd.Series([0.004]), pd.Series({"barrier": 0.0, "barrier_sd": 0.0}))


@pytest.mark.parametrize(
    ("lasting", "said"), [(1.5, "may be the reason"), (0.2, "no matter"), (0.3, "undecided"), (3.0, "undecided")]
)
def test_more_epochs_are_judged_as_written_down(lasting: float, said: str) -> None:
    assert said in judge_length(0.26, lasting, 0.965, 2.835)


@pytest.mark.parametrize(
    ("plain", "nearest", "a", "said"),
    [
        (0.05, 0.2, 0.05, "do not give the printed 0.0 under `nearest`"),
        (0.05, 0.2, 2.0, "under `nearest` or `a`"),
        (0.2, 0.2, 2.0, "by itself"),
        (0.2, 0.05, 0.05, "by itself"),
        (0.05, 0.1, 0.1, "every policy stays possible"),
    ],
)
def test_a_network_that_the_paper_prints_as_connected_is_judged_as_written_down(
    plain: float, nearest: float, a: float, said: str
) -> None:
    assert said in judge_policies(pd.Series({"interpolate": plain, "nearest": nearest, "a": a}))


@pytest.mark.parametrize(
    ("plain", "nearest", "said"),
    [
        (0.11, 0.0, "depth breaks this pair without"),
        (0.11, 2.0, "depth breaks this pair without"),
        (0.1, 0.11, "the statistics of the nearer end"),
        (0.1, 0.1, "do not have what is printed"),
    ],
)
def test_a_pair_without_imbalance_is_judged_as_written_down(plain: float, nearest: float, said: str) -> None:
    assert said in judge_control(plain, nearest)


def test_a_delta_fits_within_three_printed_deviations() -> None:
    assert [fits_delta(ours, -54.07, 11.45) for ours in (-88.5, -88.4, -19.8, -19.7)] == [False, True, True, False]


@pytest.mark.parametrize(
    ("mean", "said"), [(0.05, ""), (0.15, "printed height"), (0.69, "printed height"), (0.75, "printed conclusion")]
)
def test_a_scaling_has_the_printed_conclusion_or_height_by_its_rule(mean: float, said: str) -> None:
    assert printed_height(pd.Series([mean - 0.01, mean + 0.01]), 0.39, 0.1) == said


@pytest.mark.parametrize(
    ("main", "other", "reasons", "raised", "lowered"),
    [
        ([0.05, 0.07], [0.30, 0.33], 1, 1, 0),  # only the other scaling has a barrier
        ([0.15, 0.17], [0.30, 0.33], 0, 1, 0),  # both have one
        ([0.30, 0.33], [0.05, 0.07], 0, 0, 1),
        ([0.09, 0.09], [0.05, 0.25], 1, 0, 0),  # higher, and two seeds cannot say so
    ],
)
def test_a_scaling_is_the_reason_where_it_alone_has_the_barrier(
    main: list[float], other: list[float], reasons: int, raised: int, lowered: int
) -> None:
    frames = [pd.DataFrame({IN_BASIN: barriers}, index=[1, 20]) for barriers in (main, other)]
    said = judge_scalings([Scaled(pd.Series(dtype=float), *frames)])
    assert f"not: in {reasons} of 1 rows" in said
    assert f"in {raised} of 1 and lowers it in {lowered} of 1." in said


def test_networks_are_connected_from_the_slope_on_after_which_none_is_broken() -> None:
    assert connected_from(pd.Series({0.0: 9.0, 0.5: 1.9, 0.9: 0.1, 1.0: 0.1})) == 0.5
    assert connected_from(pd.Series({0.0: 0.1, 0.5: 2.0, 0.9: 0.1, 1.0: 0.1})) == 0.9
    assert connected_from(pd.Series({0.0: 0.1, 1.0: 2.0})) is None


@pytest.mark.parametrize(
    ("firsts", "deeper"),
    [([0.0, 0.5], True), ([0.5, 0.5], False), ([0.5, 0.0], False), ([0.5, None], True), ([None, 0.5], False)],
)
def test_depth_matters_where_the_deepest_network_is_connected_later(firsts: list[float | None], deeper: bool) -> None:
    assert ("have to be more nearly linear" in judge_depth(firsts)) is deeper
    assert ("need not be more nearly linear" in judge_depth(firsts)) is not deeper


def test_the_width_of_an_interval_is_that_of_its_values() -> None:
    values = pd.Series([1.0, 2.0, 4.0])
    low, mean, high = bounds(values)
    assert (mean - low, high - mean) == pytest.approx([half_width(values.std(ddof=1), 3)] * 2)


# Verdicts


def judged(found: Frames) -> Verdicts:
    return judge_all(with_overfitting(prepare(found, STAND_INS)), 2, HEPBURN_CLAIMS)


@pytest.mark.slow
@pytest.mark.usefixtures("imported")
def test_no_verdict_on_shifts_is_worse_together_than_alone() -> None:
    together, alone = judged(read_frames(ALONE)), [judged(read_frames((name,))) for name in ALONE]
    for claim, verdicts in together.items():
        found = [one[claim]["interpolate"] for one in alone]
        before = {one.answer for one in found} & set(DECIDED)
        if any(one.counts["for"] for one in found) and any(one.counts["against"] for one in found):
            before.add("undecided")  # comparisons on both sides, whichever series they are of
        assert verdicts["interpolate"].answer in (before or {"insufficient", "undecided"}), claim
    assert {together[claim]["interpolate"].answer for claim in HEADLINE} == {"supported"}


@pytest.mark.slow
@pytest.mark.usefixtures("imported")
def test_further_series_leave_the_headline_verdicts_as_they_are() -> None:
    together = judged(read_frames(()))
    assert {together[claim]["interpolate"].answer for claim in HEADLINE} == {"supported"}
