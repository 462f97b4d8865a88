"""A cell of a table holds what its runs say, for one condition, with the right mark."""

import math
import re
import shlex
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from conftest import ROOT
from paper_frames import ENSEMBLE, PATH, SETTINGS, frames, paths, runs

from lmc_mlflow.config.commands import COMMANDS
from lmc_mlflow.config.flags import parse_flags
from lmc_mlflow.findings.condition_table import Frames, prepare
from lmc_mlflow.findings.differences import Sample
from lmc_mlflow.papers.anchors import anchor_of, training_note, training_state
from lmc_mlflow.papers.commands import GRIDS
from lmc_mlflow.papers.hepburn.ensemble_tables import table_i, table_iii
from lmc_mlflow.papers.hepburn.tables import path_table, ratio_note
from lmc_mlflow.papers.marks import mark
from lmc_mlflow.papers.pairs_behind import with_pairs_behind
from lmc_mlflow.papers.report.content import count_filled, headline, report_content
from lmc_mlflow.papers.report.markdown import csv_text, markdown, path_rows


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


def test_the_printed_barrier_stands_beside_the_one_in_the_basin_and_equation_1_beside_them() -> None:
    walked = paths({"batch_size": 1024, "test/barrier": 0.4, "test/barrier_in_basin": 0.08})
    row = cell(table_vi(frames(walked)), batch_size=1024)
    assert (row["paper_barrier"], row["in_basin"], row["barrier"]) == (0.08, pytest.approx(0.0805), pytest.approx(0.4))
    assert row["barrier_mark"] == "agrees"
    assert row["ratio"] == pytest.approx(1.0, abs=0.01)


def test_the_ratio_to_a_printed_barrier_below_a_twentieth_is_unknown() -> None:
    rows = {batch: {"batch_size": batch, "test/barrier_in_basin": 0.02} for batch in (32, 1024)}
    table = table_vi(frames(paths(*rows.values())))
    ratios = {batch: cell(table, batch_size=batch)["ratio"] for batch in rows}
    assert math.isnan(ratios[32])  # printed 0.00
    assert ratios[1024] == pytest.approx(0.0205 / 0.08)
    shown = path_rows(table)["ours / printed"]
    assert set(shown) == {"", "n/a", "0.26"}


def test_a_table_says_how_far_its_barriers_are_from_the_printed_ones() -> None:
    # Printed 0.08 and 1.01: a quarter and a hundredth, in the mean of two seeds of which one is 0.001 higher.
    rows = [{"batch_size": 1024, "test/barrier_in_basin": 0.0195}]
    rows += [{"batch_size": 1024, "model": "mlp_l3_w110_256_110", "test/barrier_in_basin": 0.0096}]
    note = ratio_note(table_vi(frames(paths(*rows))))
    assert note == (
        "Where a barrier of 0.05 or more is printed, ours is lower in 2 of 2 rows (interpolate); the geometric mean of "
        "ours / printed is 0.05, the median 0.13."
    )
    assert ratio_note(table_vi(frames(paths({})))) == ""


@pytest.mark.parametrize(
    ("height", "said"), [(0.0, "agrees"), (0.05, "same conclusion"), (0.0999, "differs"), (100.0, "differs")]
)
def test_a_barrier_concludes_by_itself_whatever_accuracy_says(height: float, said: str) -> None:
    # Printed: 0.00 +- 0.00. The second seed is 0.001 higher, so 0.0999 is 0.1004 in the mean: above 0.1.
    row = cell(table_vi(frames(paths({"test/barrier_in_basin": height}))))
    assert (row["barrier_mark"], row["delta_mark"]) == (said, "same conclusion")
    assert (row["has_barrier"], row["paper_has_barrier"]) == ("yes" if height >= 0.0999 else "no", "no")


def test_a_store_without_the_barrier_in_the_basin_has_no_data_for_it() -> None:
    walked = paths({}).drop(columns="test/barrier_in_basin")
    row = cell(table_vi(frames(walked)))
    assert (row["n"], row["barrier_mark"], row["has_barrier"], row["barrier"]) == (2, "no data yet", "", 0.0)
    assert row["delta_mark"] == "same conclusion"


MNIST = {"dataset": "mnist", "model": "mlp_l1_w587"}


def test_the_scaling_of_mnist_is_read_in_two_ways_and_both_are_shown() -> None:
    both = paths(MNIST, MNIST | {"normalization": "half", "test/barrier_in_basin": 0.3})
    table = table_vi(frames(both))
    for name, height in (("centered", 0.0005), ("half", 0.3005)):
        row = cell(table, **MNIST, normalization=name)
        assert (row["reading"], row["n"], row["in_basin"]) == ("assumed", 2, pytest.approx(height))
    assert count_filled(table) == (1, 30)
    shown = path_rows(table)
    assert {"centered (assumed)", "half (assumed)", "centered"} == set(shown["normalization"])


def test_one_reading_of_mnist_is_marked_as_assumed_and_that_of_cifar10_is_printed() -> None:
    table = table_vi(frames(paths(MNIST | {"normalization": "half"})))
    assert cell(table, **MNIST, normalization="half")["reading"] == "assumed"
    assert ((table["model"] == "mlp_l1_w587") & (table["batch_size"] == 32)).sum() == 1
    assert set(table[table["dataset"] == "cifar10"]["reading"]) == {"printed"}
    empty = table[(table["dataset"] == "mnist") & (table["n"] == 0)]
    assert set(empty["normalization"]) == {"centered"}
    assert count_filled(table) == (1, 30)


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
    assert headline(content).endswith("networks. Here stand imagefolder for cifar10.")
    assert headline(report_content(found, {}, 2)).endswith("Printed cells with data: none.")


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


def trained(pairs: dict[str, Any], walked: pd.DataFrame) -> pd.Series:
    found = frames(walked)
    found = replace(found, pairs=found.pairs.assign(**pairs))
    return cell(with_pairs_behind("table_vi", table_vi(found), found), batch_size=walked["batch_size"].iloc[0])


@pytest.mark.parametrize(
    ("accuracy", "state"), [(0.62, "undertrained"), (0.949, "undertrained"), (0.951, "reached"), (0.99, "reached")]
)
def test_a_row_says_whether_its_networks_reached_the_printed_training_accuracy(accuracy: float, state: str) -> None:
    row = trained({"train/accuracy": accuracy}, paths({"batch_size": 1024}))
    assert row["trained"] == state
    assert row["training"] == f"{100 * accuracy:.1f} % (n = 2); printed 98 % on training data (App. G)"


def test_a_table_counts_its_undertrained_rows() -> None:
    table = pd.DataFrame({"trained": ["undertrained", "reached", "no anchor printed", ""]})
    assert training_note(table) == "1 of 2 rows with a printed anchor of training are undertrained."
    assert training_note(table.iloc[2:]) == ""


def test_a_row_without_a_printed_anchor_says_so_and_an_old_store_has_not_logged_it() -> None:
    assert trained({"train/accuracy": 0.1}, paths({}))["trained"] == "no anchor printed"
    assert trained({"train/accuracy": float("nan")}, paths({"batch_size": 1024}))["trained"] == "not logged"
    empty = with_pairs_behind("table_vi", table_vi(frames()), frames())
    assert set(empty["trained"]) == {""}


def test_a_row_shows_the_shift_that_its_pairs_logged() -> None:
    logged = {"shift/c2st_accuracy": 0.504, "shift/c2st_accuracy_low": 0.474, "shift/c2st_accuracy_high": 0.534}
    row = trained(logged | {"shift/label_divergence": 0.0}, paths({}))
    assert (row["c2st"], row["label_divergence"]) == ("0.504 (0.474 to 0.534)", "0.000")
    assert trained({}, paths({}))["c2st"] == ""


def test_ensembles_of_the_printed_condition_say_how_far_they_were_trained() -> None:
    made = ensembles([0.24, 0.25], [0.18, 0.19], batch_size=1024)
    walked = paths({"batch_size": 1024})
    made.loc[made["sampling"] == "lmc", "pair"] = walked["pair"].to_numpy()
    found = frames(walked, made)
    table = with_pairs_behind("table_iii", table_iii(found, 2), found)
    for sampling in ("lmc", "seeds"):
        assert agreement(table, sampling)["trained"] == "undertrained"
    other = frames(paths({}), ensembles([0.24, 0.25], []).assign(pair=""))
    row = agreement(with_pairs_behind("table_iii", table_iii(other, 2), other), "lmc")
    assert row["trained"] in ("", "no anchor printed")


def test_linear_networks_reach_the_printed_training_loss_or_are_undertrained() -> None:
    linear = anchor_of("altintas_table_1", {})
    losses = (0.54, 0.31, 0.3, 0.25, 0.1)
    pairs = [pd.DataFrame({"seed": [1, 20], "train/loss": [loss, loss]}) for loss in losses]
    states = [training_state(rows, linear)[0] for rows in pairs]
    assert states == ["undertrained", "undertrained", "reached", "reached", "reached"]


def test_table_2_has_the_anchor_of_table_4_for_sgd_without_warm_up() -> None:
    row = {"optimizer": "sgd", "lr": 0.1, "warmup_epochs": 0, "split": "test"}
    found = anchor_of("altintas_table_2", row)
    assert found is not None
    assert found.words == "printed 98.32 % on test data (Table 4)"
    assert anchor_of("altintas_table_2", row | {"warmup_epochs": 10}) is None
    assert anchor_of("altintas_table_2", row | {"optimizer": "adam"}) is None


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
