"""The notebooks read only the store, run on any store, and conclude what the tables say."""

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from conftest import QUICK, ROOT, runs_of_kind
from mlflow import MlflowClient
from nbclient import NotebookClient

from entry_points.ensemble import main as ensemble
from entry_points.interpolate import main as interpolate
from entry_points.matrix import main as matrix
from entry_points.train_pair import main as train_pair
from lmc_mlflow import plots
from lmc_mlflow.config.commands import COMMANDS
from lmc_mlflow.config.flags import parse_flags
from lmc_mlflow.findings import conclusions
from lmc_mlflow.findings.sentences import each_path_once

NOTEBOOKS = sorted((ROOT / "analysis").glob("0[1-79]*.ipynb"))
"""Those that read the store alone."""
BRING_YOUR_OWN = ROOT / "analysis" / "08_bring_your_own.ipynb"
HERE = ["--device=cpu", "--threads=1"]
SMALL = [*QUICK, "--epochs=2", "--model=mlp_l1_w8", "--lr=0.01"]
RUN: dict[str, Any] = {"dataset": "digits", "model": "mlp", "shift": "label_2080", "lr": 0.1, "batch_size": 32}
PATH = RUN | {
    "pair": "p",
    "connected": "yes",
    "same_initialization": True,
    "side_a": "A",
    "side_b": "B",
    "angle_deg": 60.0,
    "angle_reference_deg": 90.0,
    "test/barrier_in_basin": 0.0,
    "test/accuracy_delta": 0.0,
}


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_of(path: Path) -> str:
    return "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "code")


def table(usual: dict[str, Any], *rows: dict[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame(
        [usual | {"run_id": str(i), "pair": str(i), "seed_a": i, "seed_b": i} | r for i, r in enumerate(rows)]
    )
    return frame.assign(seed=frame["seed_a"])


def executed(folder: Path) -> tuple[str, int]:
    """All notebooks, one after the other in one kernel that forgets in between: their text, and how many pictures."""
    forget = nbformat.v4.new_code_cell("%reset -f")
    cells = [dict(cell) for path in NOTEBOOKS for cell in [*read(path).cells, forget]]
    named = [nbformat.from_dict(cell | {"id": f"cell-{i}"}) for i, cell in enumerate(cells)]
    notebook = nbformat.v4.new_notebook(cells=named)
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    printed = [output.text for cell in notebook.cells for output in cell.get("outputs", []) if "text" in output]
    assert printed == []  # neither warnings nor progress
    shown = [output.data for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    text = "\n".join(str(data.get("text/markdown", data.get("text/html", ""))) for data in shown)
    return text, sum("image/png" in data for data in shown)


def test_the_notebooks_are_numbered() -> None:
    numbers = [path.stem[:2] for path in sorted((ROOT / "analysis").glob("*.ipynb"))]
    assert numbers == ["01", "02", "03", "04", "05", "06", "07", "08", "09"]


@pytest.mark.parametrize("path", [*NOTEBOOKS, BRING_YOUR_OWN], ids=lambda path: path.stem)
def test_notebooks_are_stored_without_output(path: Path) -> None:
    for cell in read(path).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_use_query_findings_and_plots_alone(path: Path) -> None:
    for node in ast.walk(ast.parse(code_of(path))):
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= {"os", "pandas"}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            findings = r"lmc_mlflow\.findings\.(boundaries|chosen_conditions|conclusions|sentences)"
            allowed = rf"IPython\.display\.\w+|lmc_mlflow\.(query|plots)|{findings}"
            assert all(re.fullmatch(allowed, name) for name in names), names


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_conclusions_are_computed(path: Path) -> None:
    last = read(path).cells[-1]
    assert last.cell_type == "code"
    assert last.source.startswith("Markdown(conclusions.")


@pytest.mark.slow
def test_notebooks_run_on_an_empty_store(store: MlflowClient, tmp_path: Path) -> None:
    text, num_pictures = executed(tmp_path)
    assert num_pictures == sum(code_of(path).count("plots.") for path in NOTEBOOKS)
    assert text.count("not enough runs yet") == 16


@pytest.fixture
def filled(store: MlflowClient) -> MlflowClient:
    """Two seeds at two batch sizes, their paths, two ensembles of each kind, two matrices."""
    for seed in (1, 20):
        for batch in (64, 256):
            assert train_pair([*SMALL, f"--seed={seed}", f"--batch_size={batch}"]) == 0
    pairs = [run.info.run_id for run in runs_of_kind(store, "pair")]
    for pair in pairs:
        assert interpolate([f"--pair={pair}", "--num_alphas=3", *HERE]) == 0
    flags = [*HERE, "--num_resamples=20", "--num_orders=3"]
    ends = {
        (
            run.data.params["optimization.batch_size"],
            run.data.tags["lmc.side"],
            run.data.tags["lmc.seed"],
        ): run.info.run_id
        for run in runs_of_kind(store, "endpoint")
    }
    for side in "AB":
        assert ensemble([f"--runs={ends['64', side, '1']},{ends['64', side, '20']}", *flags]) == 0
        join = [f"--run_a={ends['64', side, '1']}", f"--run_b={ends['64', side, '20']}", *HERE]
        assert interpolate(join) == 0
        for first, second in (("1", "20"), ("20", "1")):
            both = [f"--run_a={ends['64', side, first]}", f"--run_b={ends['64', side, second]}", *HERE]
            assert interpolate([*both, "--align=weights", "--num_alphas=3", "--splits=test"]) == 0
    for align in ("none", "weights"):
        assert matrix([f"--runs={','.join(sorted(ends.values()))}", "--num_alphas=3", f"--align={align}", *HERE]) == 0
    for pair in pairs[::2]:
        assert ensemble([f"--pair={pair}", "--num_alphas=3", *flags]) == 0
    return store


@pytest.mark.slow
def test_notebooks_run_on_a_real_store_and_conclude_from_it(filled: MlflowClient, tmp_path: Path) -> None:
    text, num_pictures = executed(tmp_path)
    assert num_pictures == sum(code_of(path).count("plots.") for path in NOTEBOOKS)
    for claim in (
        "Sides of one initialization",
        "Ensembles over seeds",
        "Members from one path",
        "A larger batch_size",
        "Aligning lowers",
        "Exchanging units",
        "Under covariate shift",
    ):
        (sentence,) = re.findall(rf"\*\*{claim}[^\n]*", text)
        assert "not enough runs yet" not in sentence
    (sentence,) = re.findall(r"\*\*A smaller lr[^\n]*", text)
    assert "not enough runs yet" in sentence  # there is one learning rate
    assert "digits" in text


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        (["yes", "yes"], "stay connected, in every seed: supported** by 1 condition."),
        (["no", "apparent"], "stay connected, in every seed: contradicted** by 1 condition."),
        (["yes", "no"], "stay connected, in every seed: undecided** after 1 condition."),
        (["yes"], "stay connected, in every seed: not enough runs yet**; at least two seeds are needed: `mlflow run"),
    ],
)
def test_connection_is_concluded_from_two_seeds_or_more(verdicts: list[str], said: str) -> None:
    text = conclusions.pairs_and_paths(table(PATH, *({"connected": verdict} for verdict in verdicts)))
    assert said in text
    assert f"{verdicts.count('yes')} of {len(verdicts)} paths connected" in text
    assert ("1 more in appearance only" in text) == ("apparent" in verdicts)


def test_barriers_are_told_with_mean_deviation_and_n() -> None:
    rows = [{"test/barrier_in_basin": 1.0, "test/accuracy_delta": -0.1}, {"test/barrier_in_basin": 3.0}]
    text = conclusions.pairs_and_paths(table(PATH, *rows))
    assert "barrier in basin 2.000 ± 1.414 (n = 2), accuracy delta -5.0 ± 7.1 points (n = 2)" in text


def test_different_initializations_are_judged_apart() -> None:
    other = {"same_initialization": False, "side_b": "A", "connected": "no"}
    text = conclusions.pairs_and_paths(table(PATH, {}, {}, other | {"seed_b": 9}, other | {"seed_b": 8}))
    assert "Sides of one initialization stay connected, in every seed: supported" in text
    assert "Networks of different initializations are connected, in every seed: contradicted" in text


def ensembles_table(lmc: list[float], seeds: list[float], members: int = 5) -> pd.DataFrame:
    usual = RUN | {"num_members": 5, "cost/train_seconds": 10.0, "wrong_agreement": 0.2, "wrong_disagreement": 0.1}
    rows = [{"sampling": "lmc", "mean_prediction_accuracy": value, "num_members": members} for value in lmc]
    rows += [
        {"sampling": "seeds", "pair": "", "seed_a": f"1, {i}", "mean_prediction_accuracy": value}
        for i, value in enumerate(seeds)
    ]
    frame = table(usual, *rows)
    return frame.assign(**{"cost/train_seconds": frame["sampling"].map({"lmc": 20.0, "seeds": 50.0})})


@pytest.mark.parametrize(
    ("lmc", "seeds", "said"),
    [
        ([0.5, 0.51], [0.6, 0.61], "supported** by 1 condition"),
        ([0.6, 0.61], [0.5, 0.51], "contradicted** by 1 condition"),
        ([0.5, 0.6], [0.55, 0.56], "undecided** after 1 condition"),
        ([0.5], [0.6, 0.61], "not enough runs yet**; at least two of each kind are needed: `mlflow run"),
    ],
)
def test_ensembles_are_compared_by_intervals(lmc: list[float], seeds: list[float], said: str) -> None:
    text = conclusions.ensembles(ensembles_table(lmc, seeds))
    assert f"**Ensembles over seeds are more accurate than those of one path: {said}" in text
    assert ("(no claim: n is below 2)" in text) == (len(lmc) < 2)
    assert "training the seeds took 2.5 times as long" in text


def test_the_numbers_behind_an_ensemble_comparison() -> None:
    text = conclusions.ensembles(ensembles_table([0.5, 0.52], [0.6, 0.62]))
    assert "seeds 61.00 ± 1.41 % (n = 2 ensembles) with 5 members, WA 0.200, WD 0.100" in text
    # The standard error is sqrt(2/2 + 2/2), its two degrees of freedom make 4.30 of it.
    assert "seeds minus lmc +10.00 points [3.92, 16.08]" in text


def test_ensembles_are_compared_at_equal_size_where_that_is_possible() -> None:
    few, many = ensembles_table([0.5, 0.51], [0.6, 0.61]), ensembles_table([0.9, 0.91], [], members=21)
    text = conclusions.ensembles(pd.concat([few, many.assign(pair=["x", "y"])]))
    assert "lmc 50.50" in text
    assert "21 members" not in text
    assert "the numbers of members differ" in conclusions.ensembles(
        ensembles_table([0.5, 0.51], [0.6, 0.61], members=21)
    )


def test_two_samplings_of_one_path_are_one_ensemble() -> None:
    text = conclusions.ensembles(ensembles_table([0.5, 0.51], [0.6, 0.61]).assign(pair="one", seed="1"))
    assert "(n = 1 pair)" in text
    assert "not enough runs yet" in text


@pytest.mark.parametrize(
    ("angles", "said"),
    [([60, 62], "supported"), ([99, 100], "contradicted"), ([80, 100], "undecided"), ([60], "not enough runs yet")],
)
def test_similarity_is_held_against_the_reference(angles: list[float], said: str) -> None:
    text = conclusions.similarity(table(PATH, *({"angle_deg": angle} for angle in angles)))
    assert f"than two independent initializations: {said}**" in text
    assert "two independent initializations: 90.0" in text


def test_three_policies_of_one_network_are_one_condition() -> None:
    def rows(model: str) -> pd.DataFrame:
        values = [(size, seed) for size in (32, 1024) for seed in (1, 20)]
        usual = PATH | {"model": model}
        found = [
            {"batch_size": size, "pair": f"{size} {seed}", "seed_a": seed, "seed_b": seed, "bn": bn}
            | {"test/barrier_in_basin": 32 / size + seed / 1000}
            for bn in ("nearest", "interpolate", "recalibrate")
            for size, seed in values
        ]
        return table(usual, *found)

    text = conclusions.batch_size_and_learning_rate(rows("mlp_l1_w8"))
    assert "A larger batch_size lowers the barrier: supported** by 1 condition." in text
    assert conclusions.pairs_and_paths(rows("mlp_l1_w8")).count("2 of 2 paths connected") == 2
    text = conclusions.batch_size_and_learning_rate(rows("mlp_l1_w8_bn"))
    assert "A larger batch_size lowers the barrier: supported** by 1 condition." in text
    assert text.count("barrier in basin") == 3


def test_figures_of_batch_sizes_draw_a_path_without_batch_norm_once() -> None:
    def lines(model: str) -> int:
        usual = PATH | {"model": model, "test/accuracy_delta": 0.0}
        found = [
            {"batch_size": size, "pair": f"{size}", "seed_a": 1, "seed_b": 1, "bn": bn}
            for bn in ("nearest", "interpolate", "recalibrate")
            for size in (32, 1024)
        ]
        panel = plots.barrier_by_batch_and_lr(each_path_once(table(usual, *found))).axes[0]
        return len(panel.containers)

    assert (lines("mlp_l1_w8"), lines("mlp_l1_w8_bn")) == (1, 3)
    assert "each_path_once" in code_of(ROOT / "analysis" / "04_batch_size_and_learning_rate.ipynb")


def test_broken_pairs_are_no_evidence_for_similarity_of_connected_ones() -> None:
    text = conclusions.similarity(table(PATH, {"connected": "no"}, {"connected": "no"}))
    assert "not enough runs yet" in text
    assert "connected: no: 60.0 ± 0.0 degrees (n = 2)" in text


@pytest.mark.parametrize(
    ("small", "large", "said"),
    [
        ([1.0, 1.1], [0.1, 0.2], "supported"),
        ([0.1, 0.2], [1.0, 1.1], "contradicted"),
        ([0.0, 1.0], [0.4, 0.5], "undecided"),
    ],
)
def test_batch_sizes_are_compared_at_one_learning_rate(small: list[float], large: list[float], said: str) -> None:
    rows = [
        {"batch_size": batch, "test/barrier_in_basin": barrier, "seed_a": i, "seed_b": i}
        for batch, barriers in ((32, small), (256, large))
        for i, barrier in enumerate(barriers)
    ]
    text = conclusions.batch_size_and_learning_rate(table(PATH, *rows))
    assert f"**A larger batch_size lowers the barrier: {said}**" in text
    assert "**A smaller lr lowers the barrier: not enough runs yet**" in text
    mixed = table(PATH, *(row | {"lr": 1.0 / row["batch_size"]} for row in rows))
    assert "supported" not in conclusions.batch_size_and_learning_rate(mixed)


def by_batch_size(source: dict[str, Any], small: list[float], large: list[float]) -> list[dict[str, Any]]:
    return [
        source | {"batch_size": batch, "test/error_barrier": barrier, "seed_a": i, "seed_b": i}
        for batch, barriers in ((32, small), (256, large))
        for i, barrier in enumerate(barriers)
    ]


ORDER = {"shift": "none", "noise": "different"}
SHIFTED = {"shift": "label_5050", "noise": "same"}
LEAVES = "Under other orders alone batch_size leaves the error barrier as it is"
LOWERS = "Under covariate shift a larger batch_size lowers the error barrier"


@pytest.mark.parametrize(
    ("source", "small", "large", "said"),
    [
        (ORDER, [0.01, 0.011, 0.012], [0.011, 0.012, 0.011], f"{LEAVES}: supported"),
        (ORDER, [0.1, 0.11, 0.1], [0.01, 0.012, 0.01], f"{LEAVES}: contradicted"),
        (ORDER, [0.01, 0.01], [0.01, 0.01], f"{LEAVES}: undecided"),
        (SHIFTED, [0.1, 0.11], [0.01, 0.012], f"{LOWERS}: supported"),
        (SHIFTED, [0.01, 0.012], [0.1, 0.11], f"{LOWERS}: contradicted"),
        (SHIFTED, [0.01, 0.012], [0.01, 0.012], f"{LOWERS}: undecided"),
    ],
)
def test_batch_size_is_judged_by_source_of_noise(
    source: dict[str, str], small: list[float], large: list[float], said: str
) -> None:
    text = conclusions.what_breaks(table(PATH, *by_batch_size(source, small, large)))
    assert f"**{said}" in text
    assert text.count("not enough runs yet") == 2


def test_what_breaks_tells_both_ends_of_a_setting_and_where_the_verdict_changes() -> None:
    text = conclusions.what_breaks(table(PATH, *by_batch_size(ORDER, [0.10, 0.11], [0.01, 0.01])))
    (line,) = [line for line in text.splitlines() if line.startswith("- batch_size")]
    assert line.startswith("- batch_size, order alone, 1 comparison: the highest value lowers the error barrier in 1,")
    assert "on another side of 2 % in 1; digits, mlp, none" in line
    assert line.endswith("32 10.50 ± 0.71 % (n = 2), 256 1.00 ± 0.00 % (n = 2)")


@pytest.mark.parametrize(
    "conclude",
    [
        conclusions.pairs_and_paths,
        conclusions.ensembles,
        conclusions.similarity,
        conclusions.batch_size_and_learning_rate,
        conclusions.up_to_permutation,
        conclusions.what_breaks,
    ],
)
def test_without_runs_a_conclusion_names_commands_that_exist(conclude) -> None:
    text = conclude(pd.DataFrame())
    assert "not enough runs yet" in text
    commands = re.findall(r"`(mlflow run [^`]*)`", text)
    assert commands
    for line in commands:
        words = shlex.split(re.sub(r"<[^>,]*>", lambda match: f"x{match.start()}", line))
        name = words[words.index("-e") + 1]
        parse_flags(name, COMMANDS[name].config, [f"--{words[i + 1]}" for i, word in enumerate(words) if word == "-P"])


def test_the_notebook_for_own_networks_trains_measures_and_shows(store: MlflowClient, tmp_path: Path) -> None:
    notebook = read(BRING_YOUR_OWN)
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = [output.text for output in outputs if "text" in output]
    assert printed == ["Writing my_network.py\n"]
    shown = [output.data for output in outputs if "data" in output]
    assert sum("image/png" in data for data in shown) == 3
    tables = "".join(str(data.get("text/html", "")) for data in shown)
    for words in ("test/accuracy", "connected", "test/barrier_in_basin", "mean_prediction_accuracy"):
        assert words in tables
    assert {run.data.tags["lmc.model"] for run in runs_of_kind(store, "pair")} == {"my_network:build"}
    assert len(runs_of_kind(store, "path")) == 3
