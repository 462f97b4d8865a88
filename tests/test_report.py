"""A report is one run with everything in it, the same for the same store, and a page that needs nothing else."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from conftest import QUICK, ROOT, command, runs_of_kind
from mlflow import MlflowClient
from paper_frames import frames, paths

from entry_points.ensemble import main as ensemble
from entry_points.interpolate import main as interpolate
from entry_points.report import main as report
from entry_points.train_pair import main as train_pair
from lmc_mlflow.contract import Artifact
from lmc_mlflow.papers.claims import CLAIMS
from lmc_mlflow.papers.report.content import TABLE_TITLES, report_content
from lmc_mlflow.papers.report.html import runs
from lmc_mlflow.papers.report.page import page
from lmc_mlflow.papers.report.sections import MOST_CONDITIONS, Picture
from lmc_mlflow.plots import beside_paper

HERE = ["--device=cpu", "--threads=1"]
FILES = {
    *(f"tables/{name}.{end}" for name in TABLE_TITLES for end in ("csv", "md")),
    *("claims.json", "report.md", "report.html"),
}


class Tags(HTMLParser):
    """Opened and closed tags, and every address."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br", "link", "source"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(text: str) -> Tags:
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    return tags


@pytest.fixture
def filled(store: MlflowClient) -> MlflowClient:
    """Two seeds on digits that stand in for CIFAR-10, their paths, an ensemble of each kind."""
    assert train_pair([*QUICK, "--model=mlp_l1_w126", "--seeds=1,20", "--augmentation=flip"]) == 0
    pairs = [run.info.run_id for run in runs_of_kind(store, "pair")]
    for pair in pairs:
        assert interpolate([f"--pair={pair}", "--num_alphas=3", *HERE]) == 0
    ends = [run.info.run_id for run in runs_of_kind(store, "endpoint") if run.data.tags["lmc.side"] == "A"]
    scores = [*HERE, "--num_resamples=20", "--num_orders=3"]
    assert ensemble([f"--pair={pairs[0]}", "--num_alphas=3", *scores]) == 0
    assert ensemble([f"--runs={','.join(ends)}", *scores]) == 0
    return store


def written(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_report_is_one_whole_run_and_the_same_store_gives_the_same_bytes(
    filled: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--stand_ins=digits:cifar10"]
    assert report([*flags, f"--out={tmp_path / 'first'}"]) == 0
    said = capsys.readouterr().out
    assert report([*flags, f"--out={tmp_path / 'second'}"]) == 0
    first, second = written(tmp_path / "first"), written(tmp_path / "second")
    assert set(first) == FILES
    assert first == second
    run = runs_of_kind(filled, "report")[0]
    assert run.info.status == "FINISHED"
    assert run.data.params["report.stand_ins"] == "digits:cifar10"
    logged = {
        str(path.relative_to(tmp_path / "mlruns" / "0" / run.info.run_id / "artifacts")): path.read_bytes()
        for path in (tmp_path / "mlruns" / "0" / run.info.run_id / "artifacts").rglob("*")
        if path.is_file()
    }
    assert set(logged) == FILES | {Artifact.MANIFEST}
    assert all(logged[name] == first[name] for name in FILES)
    rows = pd.read_csv(tmp_path / "first" / "tables" / "table_vi.csv").query("n > 0")
    assert rows["n"].tolist() == [2]
    assert set(rows["run_ids"].iloc[0].split()) == {run.info.run_id for run in runs_of_kind(filled, "path")}
    assert rows["condition"].tolist() == ["3 epochs"]
    means = [run.data.metrics["test/barrier"] for run in runs_of_kind(filled, "path")]
    assert rows["barrier"].iloc[0] == pytest.approx(sum(means) / 2, rel=1e-5)
    claims = json.loads(first["claims.json"])
    assert [entry["claim"] for entry in claims] == [claim.name for claim in CLAIMS]
    note = run.data.tags["mlflow.note.content"]
    assert note.startswith("**2 trained pairs, 2 paths.** Paths between both sides of a pair: **2 of 2** connected.")
    assert "**Claims (batch norm: interpolate): " in note
    assert "1 of 30 in Table VI" in note
    assert run.data.metrics["cells/table_vi_filled"] == 1
    assert run.info.run_id in said
    assert str(tmp_path / "first" / "report.html") in said
    check_page(first["report.html"].decode(), tmp_path)


def check_page(text: str, folder: Path) -> None:
    """The page needs nothing else, names no path of this machine, and opens with the runs of the store."""
    tags = parsed(text)
    assert not {"script", "link"} & tags.seen
    assert all(address.startswith(("#", "data:image/svg+xml;base64,")) for address in tags.addresses)
    assert str(folder) not in text
    anchors = re.findall(r'<h2 id="(\w+)">', text)
    assert anchors[0] == "mine"
    assert anchors.index("mine") < anchors.index("claims") < anchors.index("table_vi") < anchors.index("empty")
    assert {"table_vii", "table_iii", "model_zoo"}.isdisjoint(anchors)  # they have no data
    assert all(f'href="#{anchor}"' in text for anchor in anchors if anchor != "papers")
    assert "<b>2 of 2</b> connected" in text or "<b>0 of 2</b> connected" in text
    shown = unfolded(text)
    assert "no data yet" not in shown
    assert "No path with this" not in text
    assert shown.count("<img") == 3  # the overview, and those of Tables VI and VIII
    assert '<source media="(max-width: 640px)"' in shown


def unfolded(text: str) -> str:
    """What a page shows before anything is opened."""
    while (inner := re.sub(r"<details[^>]*>(?:(?!<details).)*?</details>", "", text, flags=re.DOTALL)) != text:
        text = inner
    return text


def test_an_empty_store_gives_a_report_of_what_is_missing(store: MlflowClient, tmp_path: Path) -> None:
    done = command("report", f"--out={tmp_path / 'out'}")
    assert done.returncode == 0, done.stderr
    assert "0 supported, 0 contradicted" in done.stdout
    assert "Traceback" not in done.stderr
    text = (tmp_path / "out" / "report.md").read_text()
    assert "Printed cells with data: none." in text
    assert text.count("-e sweep -P grid=paper_table_") >= 4
    page_text = (tmp_path / "out" / "report.html").read_text()
    pictures = re.findall(r'<img alt="([^"]+)"', page_text)
    assert pictures == ["How ensembles are made (paper: Fig. 17)"]  # a drawing; a command is text that can be copied
    assert "<pre><code>mlflow run . --env-manager local -e main</code></pre>" in unfolded(page_text)
    assert "<pre><code>mlflow run . --env-manager local -e sweep -P grid=paper_table_vi</code></pre>" in page_text
    assert unfolded(page_text).count("<tr>") == 0
    assert "nan" not in text.lower().replace("finan", "")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--experiment=none"], "experiment 'none' does not exist"),
        (["--experiment=Default,Default"], "each experiment once"),
        (["--min_seeds=1"], "min_seeds=1: must be at least 2"),
        (["--stand_ins=imagefolder"], "as in imagefolder:cifar10"),
        (["--stand_ins=imagefolder:"], "as in imagefolder:cifar10"),
        (["--out=mlflow.db"], "mlflow.db"),
        (["--outt=x"], "did you mean '--out'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_run(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert report(flags) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert runs_of_kind(store, "report") == []


def test_only_the_experiments_named_are_read_and_runs_without_artifacts_too(
    filled: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for path in tmp_path.glob("mlruns/0/*/artifacts/path.json"):  # as after an import without artifacts
        path.unlink()
    filled.create_experiment("other")
    assert report(["--experiment=other", "--stand_ins=digits:cifar10,moons:mnist", f"--out={tmp_path / 'out'}"]) == 0
    said = [text for text in [*caplog.messages, *capsys.readouterr().err.splitlines()] if "stand_ins" in text]
    assert any(text.endswith("no run has a data set or network moons") for text in said)
    assert pd.read_csv(tmp_path / "out" / "tables" / "table_vi.csv")["n"].max() == 0
    both = ["--experiment=other,Default", "--stand_ins=digits:cifar10", f"--out={tmp_path / 'out'}"]
    assert report(both) == 0
    assert pd.read_csv(tmp_path / "out" / "tables" / "table_vi.csv")["n"].max() == 2


def test_runs_are_linked_where_a_server_is_tracked_to_and_named_in_full_where_not() -> None:
    assert runs("abcdefghijk", lambda run_id: f"http://host/{run_id}") == (
        '<details><summary>1 run</summary><a href="http://host/abcdefghijk"><code>abcdefgh</code></a></details>'
    )
    assert "<code>abcdefghijk</code>" in runs("abcdefghijk", lambda _: None)
    assert runs("", lambda _: None) == ""


def test_every_measured_number_has_its_runs_and_every_empty_cell_its_command_on_the_page() -> None:
    content = report_content(frames(paths({})), {}, 2)
    text = page(content, [Picture(b"svg", "a figure", "")], lambda run_id: f"http://host/{run_id}", "http://host")
    tags = parsed(text)
    assert {"http://host/run000", "http://host/run001"} <= set(tags.addresses)
    assert text.count("<summary>command</summary>") >= 29
    assert "10 pairs" not in text
    assert "2 pairs, 2 paths, 0 ensembles from http://host" in text


def test_my_runs_name_every_condition_and_keep_aligned_paths_apart() -> None:
    rows = paths(
        {}, {"connected": "no", "test/barrier_in_basin": 0.4, "test/accuracy_delta": -0.1, "lr": 0.1}, seeds=(1, 2, 3)
    )
    found = frames(rows)
    aligned = rows.iloc[:2].assign(run_id=["a0", "a1"], pair="", same_initialization=False, align="weights")
    mine = report_content(replace(found, other_paths=aligned), {}, 2).mine
    assert mine.paths[["between", "n", "verdict", "paths"]].to_numpy().tolist() == [
        ["both sides of a pair", 3, "connected", "3 of 3 connected"],
        ["both sides of a pair", 3, "not connected", "0 of 3 connected"],
        ["two networks of different initializations, aligned by weights", 2, "connected", "2 of 2 connected"],
    ]
    assert mine.paths["barrier in basin (nats)"].tolist()[1] == "0.400 ± 0.001"  # 0.4, 0.401, 0.4
    assert mine.paths["accuracy delta (points)"].tolist()[1] == "-10.0 ± 0.0"
    assert mine.summary.startswith("6 trained pairs, 8 paths. Paths between both sides of a pair: **3 of 6** connected")


def test_a_store_with_many_conditions_shows_the_first_and_folds_the_others() -> None:
    content = report_content(frames(paths(*({"batch_size": 2**i} for i in range(MOST_CONDITIONS + 3)))), {}, 2)
    text = page(content, [], lambda _: None, "here")
    mine = text[: text.index('id="papers"')]
    assert "3 more conditions" in mine
    assert unfolded(mine).count("both sides of a pair</td>") == MOST_CONDITIONS
    assert mine.count("both sides of a pair</td>") == MOST_CONDITIONS + 3


def test_a_table_shows_its_cells_with_data_and_folds_the_others() -> None:
    content = report_content(frames(paths({})), {}, 2)
    text = page(content, [], lambda _: None, "here")
    part = text[text.index('id="table_vi"') : text.index('id="table_viii"')]
    assert unfolded(part).count("<tr>") == 2  # its head, and the one cell
    assert "73 rows without data of enough seeds" in part
    assert text.count('<div class="wide"><table>') == text.count("<table>")  # a wide table scrolls


def test_names_from_the_store_are_escaped() -> None:
    content = report_content(frames(paths({"dataset": "cifar10", "data_digest": "<b>x</b>"})), {}, 2)
    assert "<b>x</b>" not in page(content, [], lambda _: None, "<i>here</i>")
    assert "<i>here</i>" not in page(content, [], lambda _: None, "<i>here</i>")


def test_the_figure_beside_the_paper_has_a_marker_for_the_paper_and_each_policy() -> None:
    heights = {"interpolate": 0.1, "recalibrate": 0.2, "nearest": 0.3}
    rows = ({"model": "mlp_l1_w126_bn", "bn": bn, "test/barrier_in_basin": b} for bn, b in heights.items())
    walked = paths(*rows, seeds=(1,))
    figure = beside_paper(report_content(frames(walked), {}, 2).tables["table_vi"], "Table VI")
    left, right = figure.axes
    drawn = [container.lines[0].get_xdata()[0] for container in left.containers]
    assert drawn == pytest.approx([0.06, 0.1, 0.2, 0.3])  # the paper's 0.06 first
    assert right.containers[0].lines[0].get_xdata()[0] == pytest.approx(-3.19)
    assert [label.get_text() for label in left.get_yticklabels()] == ["mlp_l1_w126_bn (n = 1)"]


def test_the_papers_tables_and_the_style_travel_with_the_package() -> None:
    names = {path.name for path in (ROOT / "lmc_mlflow" / "papers" / "printed").iterdir()}
    assert len(names) == 11
    text = (ROOT / "pyproject.toml").read_text()
    assert '"lmc_mlflow.papers" = ["printed/*.csv"]' in text
    assert '"lmc_mlflow.papers.report" = ["page.css"]' in text
