"""A cell of a table holds what its runs say, for one condition, with the right mark."""

import re
import shlex
from typing import Any

import pandas as pd
import pytest
from conftest import ROOT
from paper_frames import ENSEMBLE, PATH, SETTINGS, frames, paths, runs

from lmc_mlflow.config.commands import COMMANDS
from lmc_mlflow.config.flags import parse_flags
from lmc_mlflow.findings.condition_table import Frames, prepare
from lmc_mlflow.papers.commands import GRIDS
from lmc_mlflow.papers.hepburn.ensemble_tables import table_i, table_iii
from lmc_mlflow.papers.hepburn.tables import path_table
from lmc_mlflow.papers.marks import Sample, mark
from lmc_mlflow.papers.report.content import count_filled, headline, report_content
from lmc_mlflow.papers.report.markdown import csv_text, markdown


def cell(table: pd.DataFrame, **wanted: Any) -> pd.Series:
    usual = {name: SETTINGS[name] for name in ("dataset", "model", "lr", "batch_size", "noise", "shift")}
    for name, value in {**usual, "normalization": "centered", "bn": "interpolate", **wanted}.items():
        table = table[table[name] == value]
    (row,) = (row for _, row in table.iterrows())
    return row


def table_vi(found: Frames, min_seeds: int = 2) -> pd.DataFrame:
    return path_table(found, "table_vi", min_seeds)


@pytest.mark.parametrize(
    ("ours", "same", "said"),
    [
        (Sample(1.0, 0.0, 4), False, "agrees"),
        (Sample(1.4, 0.0, 4), False, "agrees"),  # theirs: 1 +- 0.4 of 4, so 2 standard errors are 0.4
        (Sample(1.5, 0.0, 4), True, "same conclusion"),
        (Sample(1.5, 0.0, 4), False, "differs"),
        (Sample(1.5, 0.3, 4), False, "agrees"),  # sqrt(0.3^2 + 0.4^2) / 2 = 0.25 an error
        (Sample(1.51, 0.3, 4), False, "differs"),
        (Sample(1.0, float("nan"), 1), True, "no data yet"),
        (Sample(float("nan"), float("nan"), 0), True, "no data yet"),
    ],
)
def test_marks(ours: Sample, same: bool, said: str) -> None:
    assert mark(ours, Sample(1.0, 0.4, 4), same, 0.0, 2) == said


def test_rounding_and_missing_deviations_are_allowed_for() -> None:
    assert mark(Sample(0.004, 0.0, 5), Sample(0.0, 0.0, 5), False, 0.005, 2) == "agrees"
    assert mark(Sample(0.006, 0.0, 5), Sample(0.0, 0.0, 5), False, 0.005, 2) == "differs"
    # Ours stands in: 2 sqrt(0.1^2 / 4 + 0.1^2 / 2) = 0.173
    assert mark(Sample(1.17, 0.1, 4), Sample(1.0, float("nan"), 2), False, 0.0, 2) == "agrees"
    assert mark(Sample(1.18, 0.1, 4), Sample(1.0, float("nan"), 2), False, 0.0, 2) == "differs"


def test_more_seeds_can_be_asked_for() -> None:
    assert mark(Sample(1.0, 0.1, 2), Sample(1.0, 0.1, 5), True, 0.0, 3) == "no data yet"


def test_a_cell_is_the_mean_over_seeds_and_repeated_runs_of_a_seed_count_once() -> None:
    rows = [(1, 0.1), (1, 0.3), (20, 0.4)]
    walked = runs(PATH, *({"seed": s, "seed_a": s, "seed_b": s, "test/barrier": b, "pair": str(b)} for s, b in rows))
    row = cell(table_vi(frames(walked)))
    assert row["n"] == 2
    assert row["barrier"] == pytest.approx(0.3)
    assert row["barrier_sd"] == pytest.approx(0.2 / 2**0.5)
    assert row["run_ids"] == "run000 run001 run002"
    assert (row["paper_barrier"], row["paper_delta"]) == (0.0, -3.54)
    assert row["holds"] == "2 of 2"


def test_delta_is_in_points_and_lost_follows_the_rule_of_the_bold_print() -> None:
    row = cell(table_vi(frames(paths({"test/accuracy_delta": -0.0601}))))
    assert row["delta"] == pytest.approx(-6.01)
    assert (row["lost"], row["paper_lost"], row["delta_mark"]) == ("yes", "no", "differs")
    row = cell(table_vi(frames(paths({"test/accuracy_delta": -0.0599}))))
    assert (row["lost"], row["delta_mark"]) == ("no", "same conclusion")


def test_epochs_are_never_mixed_and_the_others_are_named() -> None:
    walked = paths({"epochs": 50, "test/barrier": 9.0}, {"epochs": 100}, {"epochs": 200})
    more = paths({"epochs": 100}, seeds=(100,))
    walked = pd.concat([walked, more.assign(run_id="run900", pair="pair 900")], ignore_index=True)
    row = cell(table_vi(frames(walked)))
    assert (row["n"], row["barrier"], row["condition"]) == (3, 0.0, "100 epochs")
    assert row["left_out"] == "200 epochs (n = 2); 50 epochs (n = 2)"


def test_of_equally_many_seeds_the_longer_training_is_taken() -> None:
    assert cell(table_vi(frames(paths({"epochs": 50}, {"epochs": 200}))))["condition"] == "200 epochs"


def test_centered_is_ours_before_half_and_half_is_named() -> None:
    both = paths({"normalization": "half", "test/barrier": 9.0}, {"normalization": "centered"})
    assert cell(table_vi(frames(both)))["barrier"] == 0.0
    row = cell(table_vi(frames(paths({"normalization": "half"}))))
    assert (row["n"], row["condition"]) == (2, "100 epochs, half")


@pytest.mark.parametrize(
    "other",
    [
        {"optimizer": "sgd"},
        {"noise": "different"},
        {"shift": "label_2080"},
        {"lr": 0.002},
        {"augmentation": "none"},
        {"same_initialization": False},
        {"pair": ""},
        {"test_split": "random80"},
        {"dataset": "imagefolder"},
    ],
    ids=str,
)
def test_other_runs_are_not_the_cell(other: dict[str, Any]) -> None:
    walked = paths(PATH | other).assign(**other)
    assert cell(table_vi(frames(walked, pairs=walked.iloc[:0])))["n"] == 0


def test_a_data_set_can_stand_in_for_the_papers() -> None:
    found = frames(paths({"dataset": "imagefolder", "augmentation": "flip"}))
    row = cell(table_vi(prepare(found, {"imagefolder": "cifar10"})))
    assert row["n"] == 2


def test_a_network_can_stand_in_for_the_papers_whose_own_runs_make_room() -> None:
    mine = {"dataset": "mnist", "model": "resnet10_s222", "shift": "label_2080", "batch_size": 1024}
    walked = paths(mine | {"test/barrier": 0.3}, mine | {"model": "resnet10", "test/barrier": 0.1})
    for stand_ins, barrier in (({"resnet10_s222": "resnet10"}, 0.3), ({}, 0.1)):
        table = path_table(prepare(frames(walked), stand_ins), "table_vii", 2)
        row = cell(table, dataset="mnist", model="resnet10", shift="label_2080", batch_size=1024)
        assert (row["n"], row["barrier"]) == (2, pytest.approx(barrier))


def test_a_report_says_what_stands_for_what() -> None:
    walked = paths({"dataset": "imagefolder", "augmentation": "flip"})
    found = Frames(walked, walked.iloc[:0], walked, runs(ENSEMBLE | {"seed": "1"}))
    content = report_content(found, {"imagefolder": "cifar10", "resnet10_s222": "resnet10"}, 2)
    assert content.stand_ins == {"imagefolder": "cifar10"}
    assert headline(content).endswith("zoo. Here stand imagefolder for cifar10.")
    assert headline(report_content(found, {}, 2)).endswith("zoo.")


def test_a_network_with_batch_norm_has_a_row_for_each_policy() -> None:
    heights = {"interpolate": 0.1, "recalibrate": 0.2, "nearest": 0.3}
    walked = paths(*({"model": "mlp_l1_w126_bn", "bn": bn, "test/barrier": b} for bn, b in heights.items()))
    table = table_vi(frames(walked))
    for policy, height in heights.items():
        assert cell(table, model="mlp_l1_w126_bn", bn=policy)["barrier"] == pytest.approx(height)
    assert table["bn"].value_counts().to_dict() == {"interpolate": 30, "recalibrate": 22, "nearest": 22}


def parsed(line: str) -> None:
    for part in line.split(" && "):
        words = shlex.split(re.sub(r"<[^>]*>", "x", part.replace("<run id>,<run id>", "x0,x1")))
        assert words[:5] == ["mlflow", "run", ".", "--env-manager", "local"]
        flags = [f"--{words[i + 1]}" for i, word in enumerate(words) if word == "-P"]
        name = words[words.index("-e") + 1]
        assert isinstance(parse_flags(name, COMMANDS[name].config, flags), COMMANDS[name].config)


@pytest.mark.parametrize("table", ["table_vi", "table_vii", "table_viii"])
def test_every_empty_cell_names_the_command_that_fills_it(table: str) -> None:
    rows = path_table(frames(), table, 2)
    assert set(rows["barrier_mark"]) == {"no data yet"}
    for line in rows["command"]:
        parsed(line)
    first = rows["command"].iloc[0]
    assert f"-P dataset={rows['dataset'].iloc[0]} " in first
    assert "-P seeds=1,20,100,500,1500" in first


def test_commands_say_what_is_not_the_default_and_no_more() -> None:
    line = cell(path_table(frames(), "table_vii", 2), model="resnet10", shift="label_2080", lr=1e-4, batch_size=1024)
    assert line["command"] == (
        "mlflow run . --env-manager local -e train_pair -P dataset=cifar10 -P model=resnet10 -P lr=0.0001 "
        "-P batch_size=1024 -P shift=label_2080 -P seeds=1,20,100,500,1500 && "
        "mlflow run . --env-manager local -e interpolate -P pair=<pair run id>"
    )


def test_trained_pairs_need_only_their_paths() -> None:
    walked = paths({"model": "mlp_l1_w126_bn"})
    table = table_vi(frames(walked))
    assert cell(table, model="mlp_l1_w126_bn")["command"] == ""
    line = cell(table, model="mlp_l1_w126_bn", bn="nearest")["command"]
    run = "mlflow run . --env-manager local -e interpolate -P pair="
    assert line == f"{run}pair of run000 -P bn=nearest && {run}pair of run001 -P bn=nearest"


def test_the_order_of_the_store_does_not_matter() -> None:
    rows = [{"test/barrier": 0.1 * i, "epochs": e, "batch_size": b} for i, (e, b) in enumerate([(50, 32), (100, 1024)])]
    walked = paths(*rows, seeds=(1, 20, 100))
    made = runs(ENSEMBLE, *({"seed": str(s), "pair": str(s), "wrong_agreement": s / 7000} for s in (1, 20, 100)))
    found = frames(walked, made)
    shuffled = Frames(*(frame.sample(frac=1, random_state=3) for frame in found.tables()))
    first, second = (report_content(f, {}, 2) for f in (found, shuffled))
    for name in first.tables:
        assert csv_text(first.tables[name]) == csv_text(second.tables[name])
    assert markdown(first) == markdown(second)


def ensembles(lmc: list[float], seeds: list[float], **other: Any) -> pd.DataFrame:
    """Wrong agreement of ensembles of paths and of seeds."""
    rows = [{"sampling": "lmc", "pair": f"p{i}", "seed": str(i), "wrong_agreement": v} for i, v in enumerate(lmc)]
    rows += [{"sampling": "seeds", "side": "AB"[i], "seed": "1, 20", "wrong_agreement": v} for i, v in enumerate(seeds)]
    return runs(ENSEMBLE | other, *rows)


def agreement(table: pd.DataFrame, sampling: str, model: str = "mlp_l1_w126") -> pd.Series:
    keep = (table["model"] == model) & (table["metric"] == "wrong_agreement") & (table["sampling"] == sampling)
    return table[keep & table["bn"].isin(["interpolate", ""])].iloc[0]


def test_table_iii_holds_the_mean_over_pairs_and_over_sides() -> None:
    table = table_iii(frames(ensembles=ensembles([0.24, 0.25], [0.18, 0.19])), 2)
    lmc, seeds = agreement(table, "lmc"), agreement(table, "seeds")
    assert (lmc["n"], lmc["mean"], lmc["mark"]) == (2, pytest.approx(0.245), "agrees")
    assert (seeds["n"], seeds["mean"], seeds["mark"]) == (2, pytest.approx(0.185), "agrees")
    assert lmc["run_ids"] == "run000 run001"


@pytest.mark.parametrize(("seeds", "said"), [(0.3, "same conclusion"), (0.5, "differs")])
def test_table_iii_concludes_by_which_is_higher(seeds: float, said: str) -> None:
    table = table_iii(frames(ensembles=ensembles([0.4, 0.41], [seeds, seeds])), 2)
    assert agreement(table, "lmc")["mark"] == said


def test_table_iii_compares_equal_numbers_of_members() -> None:
    five, many = ensembles([0.24, 0.25], [0.18, 0.19]), ensembles([0.5, 0.6], [], num_members=21)
    both = pd.concat([five, many.assign(run_id=["run100", "run101"])], ignore_index=True)
    row = agreement(table_iii(frames(ensembles=both), 2), "lmc")
    assert (row["num_members"], row["mean"]) == ("5", pytest.approx(0.245))


def test_table_i_has_a_row_for_each_recipe_and_counts_what_is_trained() -> None:
    made = ensembles([0.24, 0.25], [0.18, 0.19], batch_size=1024)
    rows = table_i(frames(paths({"batch_size": 1024}), made)).set_index("recipe")
    assert rows.loc["LMC, B > 512", ["n", "networks", "num_members"]].tolist() == [2, 2, 5]
    assert rows.loc["LMC, B > 512", "holds"] == 1.0
    assert rows.loc["LMC, B <= 512", "n"] == 0
    assert rows.loc["seeds, B <= 512", "command"].endswith("grid=paper_table_iii")


def test_every_command_of_table_iii_parses() -> None:
    commands = table_iii(frames(), 2)["command"]
    assert len(commands) > 0
    for line in commands:
        parsed(line)


def test_cells_are_counted_under_the_first_policy() -> None:
    assert count_filled(table_vi(frames(paths({})))) == (1, 30)


def test_the_grids_named_exist() -> None:
    for grid in GRIDS.values():
        assert (ROOT / "grids" / f"{grid}.yaml").is_file()
