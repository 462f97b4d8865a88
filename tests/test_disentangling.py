"""Tables, claims and figures of Altintas et al. agree with the paths of a store."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from paper_frames import PATH, answers, frames, paths

from lmc_mlflow import plots
from lmc_mlflow.findings import conclusions
from lmc_mlflow.findings.condition_table import Frames
from lmc_mlflow.findings.conditions import has_learnt, noise_source
from lmc_mlflow.findings.evidence import CONTRADICTED, INSUFFICIENT, SUPPORTED, UNDECIDED, ConditionTables, Verdict
from lmc_mlflow.papers.altintas.acceptance_table import acceptance, acceptance_note
from lmc_mlflow.papers.altintas.claims import ALTINTAS_CLAIMS
from lmc_mlflow.papers.altintas.error_conditions import error_conditions, printed_error_conditions
from lmc_mlflow.papers.altintas.head_to_head import (
    HIGHER,
    LOWER,
    NONE,
    head_to_head,
)
from lmc_mlflow.papers.altintas.tables import (
    accuracies,
    linear_networks,
    minimal_model,
    patch_parameters,
)
from lmc_mlflow.papers.claims import judge_all
from lmc_mlflow.papers.report.content import report_content
from lmc_mlflow.papers.report.markdown import markdown
from lmc_mlflow.papers.report.page import page
from lmc_mlflow.plots.encoding import Encoding
from lmc_mlflow.plots.over_seeds.barriers.noise_source import MOST_ROWS, TITLE_WIDTH
from lmc_mlflow.plots.style import group_style

ORDERED: dict[str, Any] = {
    "dataset": "mnist",
    "model": "linear_l2_w128",
    "shift": "none",
    "noise": "different",
    "batch_size": 1024,
    "optimizer": "sgd",
    "lr": 0.1,
    "momentum": 0.9,
    "warmup_epochs": 0.0,
    "clip_norm": 0.0,
    "weight_decay": 0.0,
    "schedule": "constant",
    "test/error_barrier": 0.001,
    "test/error_barrier_normalized": 0.002,
    "train_a/error_barrier": 0.0,
    "train_b/error_barrier": 0.002,
}


ACCEPTED = {"test/accuracy": 0.95, "train/loss": 0.25}
"""Networks that are trained as Altintas et al. say."""


def store_of(*rows: dict[str, Any], seeds: tuple[int, ...] = (1, 20)) -> Frames:
    """Two seeds of each row; the second seed's error barrier is 0.0002 higher."""
    walked = paths(*(ORDERED | ACCEPTED | row for row in rows), seeds=seeds)
    walked["test/error_barrier"] += 0.0002 * (walked["seed"] == 20)
    return frames(walked)


def of(*rows: dict[str, Any]) -> pd.DataFrame:
    return error_conditions(store_of(*rows), "interpolate")


def test_a_condition_holds_error_barriers_in_percent_with_the_sides_averaged() -> None:
    (row,) = of({}).to_dict("records")
    assert row["n"] == 2
    assert row["test"] == pytest.approx(0.11)
    assert row["test_sd"] == pytest.approx(0.02 / np.sqrt(2))
    assert row["train"] == pytest.approx(0.1)
    assert row["test_normalized"] == pytest.approx(0.2)
    assert row["accuracy"] == pytest.approx(95)
    assert row["holds"] == 1
    assert (row["init"], row["model"]) == ("same", "linear_l2_w128")


def test_two_initializations_are_a_condition_of_their_own_and_one_side_twice_is_none() -> None:
    found = of({}, {"same_initialization": False}, {"side_b": "A"})
    assert sorted(found["init"]) == ["different", "same"]


def test_the_threshold_is_two_percent_of_error() -> None:
    held = of({"test/error_barrier": 0.0196}, {"test/error_barrier": 0.0201, "lr": 0.01}).set_index("lr")["holds"]
    assert held.to_dict() == {0.1: 1, 0.01: 0}


def test_printed_conditions_are_the_stable_cells_of_both_tables() -> None:
    rows = printed_error_conditions()
    assert len(rows) == 24 - 1 + 5  # 24 cells of Table 1 of which one is unstable, 5 of Table 2
    hot = rows[(rows["model"] == "mlp_l1_w128") & (rows["optimizer"] == "adam") & (rows["lr"] == 0.005)]
    cold, warm = (hot[hot["warmup_epochs"] == epochs].iloc[0] for epochs in (0, 10))
    assert (cold["test"], cold["train"], cold["holds"]) == (2.86, 2.92, 0)
    assert (warm["test"], warm["train"], warm["holds"]) == (0.23, 0.17, 1)


def test_table_1_sets_the_split_of_a_cell_beside_the_printed_value_and_leaves_widths_open() -> None:
    table = linear_networks(of({"model": "linear_l2_w64", "epochs": 200}, {"epochs": 100}), min_seeds=2)
    assert len(table) == 48
    cell = table[(table["layers"] == 2) & (table["batch_size"] == 1024) & (table["optimizer"] == "sgd")]
    cell = cell[cell["lr"] == 0.1].set_index("split")
    assert cell.loc["test", "error_barrier_pct"] == pytest.approx(0.11)
    assert (cell.loc["test", "printed_pct"], cell.loc["train", "printed_pct"]) == ("0.01", "0.14")
    assert cell.loc["train", "error_barrier_pct"] == pytest.approx(0.1)
    assert cell.loc["test", "condition"] == "200 epochs, model linear_l2_w64, momentum 0.9"
    assert cell.loc["test", "left_out"] == "100 epochs, model linear_l2_w128, momentum 0.9 (n = 2)"
    assert set(cell["mark"]) == {"same conclusion"}
    empty = table[table["n"] == 0]
    assert len(empty) == 46
    assert empty["command"].str.contains("train_pair -P dataset=mnist").all()


@pytest.mark.parametrize(("printed", "others", "chosen"), [(2, 3, 200), (1, 3, 20), (2, 2, 200)])
def test_the_printed_number_of_epochs_comes_before_more_seeds_and_not_before_enough(
    printed: int, others: int, chosen: int
) -> None:
    hot = {"model": "mlp_l1_w64", "optimizer": "adam", "lr": 0.005, "momentum": 0.0}
    conditions = of(hot | {"epochs": 200}, hot | {"epochs": 20})
    table = minimal_model(conditions.assign(n=conditions["epochs"].map({200: printed, 20: others})), 2)
    cell = table[(table["optimizer"] == "adam") & (table["lr"] == 0.005) & (table["warmup_epochs"] == 0)].iloc[0]
    assert cell["condition"].startswith(f"{chosen} epochs")
    assert cell["n"] == {200: printed, 20: others}[chosen]


def test_an_unstable_cell_agrees_with_no_connected_one() -> None:
    unstable = {"model": "linear_l8_w128", "lr": 0.1}
    for barrier, expected in ((0.001, "differs"), (0.8, "same conclusion")):
        table = linear_networks(of(unstable | {"test/error_barrier": barrier}), 2)
        cell = table[(table["printed_pct"] == "unstable") & (table["split"] == "test")].iloc[0]
        assert cell["mark"] == expected


def test_table_2_tells_warm_up_apart() -> None:
    hot = {"model": "mlp_l1_w64", "optimizer": "adam", "lr": 0.005, "momentum": 0.0}
    rows = (hot | {"test/error_barrier": 0.0286}, hot | {"warmup_epochs": 10.0, "test/error_barrier": 0.05})
    table = minimal_model(of(*rows), 2)
    table = table[(table["optimizer"] == "adam") & (table["lr"] == 0.005) & (table["split"] == "test")]
    marks = table.set_index("warmup_epochs")["mark"].to_dict()
    assert marks == {0: "agrees", 10: "differs"}


def test_table_3_counts_what_is_printed() -> None:
    assert patch_parameters()["parameters"].tolist() == [88_202, 483_338, 25_255_946]
    assert set(patch_parameters()["mark"]) == {"agrees"}


def test_table_4_is_of_pairs_and_needs_no_path() -> None:
    pairs = store_of({"model": "mlp_l3_w128"}).pairs.assign(optimizer="sgd", warmup_epochs=0.0)
    pairs["test/accuracy"] = [0.9, 0.92]
    table = accuracies(frames(pairs=pairs), 2)
    assert len(table) == 24
    cell = table[(table["dataset"] == "mnist") & (table["layers"] == 4) & (table["lr"] == 0.1)].iloc[0]
    assert (cell["n"], cell["accuracy_pct"], cell["command"]) == (2, pytest.approx(91), "")
    assert table["command"].ne("").sum() == 23
    assert (cell["printed_pct"], cell["mark"]) == ("98.41 or 98.34", "differs")
    assert set(table[table["dataset"] != "mnist"]["printed_pct"]) == {"not in this project"}


@pytest.mark.parametrize(
    ("ours", "said"),
    [((98.33, 98.34), "depends on the reading"), ((98.4, 98.42), "depends on the reading"), ((99.0, 99.01), "same")],
)
def test_a_mark_of_table_4_is_given_where_both_readings_have_it(ours: tuple[float, float], said: str) -> None:
    pairs = store_of({"model": "mlp_l3_w128"}).pairs.assign(optimizer="sgd", warmup_epochs=0.0)
    pairs["test/accuracy"] = [value / 100 for value in ours]
    table = accuracies(frames(pairs=pairs), 2)  # 98.41 depth by depth, 98.34 rate by rate
    cell = table[(table["dataset"] == "mnist") & (table["layers"] == 4) & (table["lr"] == 0.1)].iloc[0]
    assert cell["mark"].startswith(said)


@pytest.mark.parametrize(
    ("shift", "noise", "source"),
    [
        ("none", "different", "order alone"),
        ("label_5050", "same", "covariate shift"),
        ("label_2080", "same", "label imbalance"),
        ("label_2080", "different", "label imbalance and order"),
        ("corrupt_blur_3", "same", "corrupt_blur_3"),
        ("none", "same", "nothing"),
    ],
)
def test_a_source_of_noise_has_the_papers_name(shift: str, noise: str, source: str) -> None:
    assert noise_source(shift, noise) == source


THREE = (1, 20, 100)
"""Seeds that the claim of no difference needs."""


def _sizes(shift: str, noise: str, small: float, large: float) -> list[dict[str, Any]]:
    """Two batch sizes whose error barrier, and ten times as much loss barrier in the basin, are told."""
    base = {"shift": shift, "noise": noise, "model": "mlp_l1_w126"}
    return [
        base
        | {"batch_size": size, "test/error_barrier": height}
        | dict.fromkeys(("test/barrier", "test/barrier_in_basin"), 10 * height)
        for size, height in ((32, small), (1024, large))
    ]


def test_head_to_head_compares_the_smallest_with_the_largest_batch_of_one_condition() -> None:
    rows = _sizes("none", "different", 0.001, 0.001) + _sizes("label_5050", "same", 0.1, 0.01)
    rows += _sizes("label_2080", "same", 0.01, 0.1)
    table = head_to_head(error_conditions(store_of(*rows, seeds=THREE), "interpolate"), 2).set_index("source")
    assert table["error_says"].to_dict() == {"order alone": NONE, "covariate shift": LOWER, "label imbalance": HIGHER}
    assert table["loss_says"].to_dict() == table["error_says"].to_dict()
    assert (table["batch_small"].unique().tolist(), table["batch_large"].unique().tolist()) == ([32], [1024])
    assert all(len(ids.split()) == 6 for ids in table["run_ids"])
    scaled = [*rows, *(row | {"normalization": "unit"} for row in rows)]
    by_scaling = head_to_head(error_conditions(store_of(*scaled, seeds=THREE), "interpolate"), 2)
    assert by_scaling["normalization"].value_counts().to_dict() == {"centered": 3, "unit": 3}
    of_two = head_to_head(error_conditions(store_of(*rows), "interpolate"), 2).set_index("source")["error_says"]
    assert of_two.to_dict() == {"order alone": UNDECIDED, "covariate shift": LOWER, "label imbalance": HIGHER}


def test_head_to_head_claims_follow_each_source() -> None:
    as_claimed = _sizes("none", "different", 0.001, 0.001) + _sizes("label_5050", "same", 0.1, 0.01)
    found = answers(judge_all(store_of(*as_claimed, seeds=THREE), 2, claims_named("D-H")))
    assert found == {"D-H-a": SUPPORTED, "D-H-b": SUPPORTED, "D-H-c": INSUFFICIENT}
    otherwise = _sizes("none", "different", 0.1, 0.001) + _sizes("label_5050", "same", 0.01, 0.01)
    otherwise += _sizes("label_2080", "same", 0.01, 0.1)
    found = answers(judge_all(store_of(*otherwise, seeds=THREE), 2, claims_named("D-H")))
    assert found == {"D-H-a": CONTRADICTED, "D-H-b": UNDECIDED, "D-H-c": CONTRADICTED}


def claims_named(start: str) -> list[Any]:
    return [claim for claim in ALTINTAS_CLAIMS if claim.name.startswith(start)]


BROKEN = {"test/error_barrier": 0.3}
ADAM = {"optimizer": "adam", "lr": 0.005, "momentum": 0.0}
HIDDEN = {"model": "mlp_l1_w64"}
DEEP, LEAKY, DEEP_LEAKY = ({"model": f"mlp_{name}"} for name in ("l3_w64", "l1_w64_leaky0.9", "l3_w64_leaky0.9"))
DENSE, LOCAL, CONV = ({"model": f"patches_{name}"} for name in ("dense", "local", "conv"))
LOW, HIGH = {"test/error_barrier": 0.01}, {"test/error_barrier": 0.04}
CIFAR, CIFAR_100 = ({"dataset": name, "augmentation": "none"} for name in ("cifar10", "cifar100"))
NORMALIZED, NORMALIZED_HIGH = ({"test/error_barrier_normalized": height} for height in (0.05, 0.2))
CASES: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "D-06a": ([HIDDEN | HIGH, LEAKY | LOW], [HIDDEN | LOW, LEAKY | HIGH]),
    "D-06b": (
        [HIDDEN | LOW, LEAKY, DEEP | HIGH, DEEP_LEAKY],
        [HIDDEN | HIGH, LEAKY, DEEP | LOW, DEEP_LEAKY],
    ),
    "D-12a": ([DENSE, LOCAL, CONV | HIGH], [DENSE, LOCAL, CONV]),
    "D-12b": ([DENSE, CONV | HIGH], [DENSE | HIGH, CONV]),
    "D-16": (
        [HIDDEN, HIDDEN | CIFAR | NORMALIZED, HIDDEN | CIFAR_100 | NORMALIZED_HIGH],
        [HIDDEN, HIDDEN | CIFAR | NORMALIZED_HIGH, HIDDEN | CIFAR_100 | NORMALIZED],
    ),
    "D-20": (
        [HIDDEN | ADAM, HIDDEN | ADAM | CIFAR | NORMALIZED],
        [HIDDEN | ADAM | NORMALIZED, HIDDEN | ADAM | CIFAR],
    ),
    "D-01a": ([{}], [{}, BROKEN | {"lr": 0.01}]),
    "D-01c": ([{}], [{"train/loss": 0.4}]),
    "D-21": ([HIDDEN | {"train/loss": 0.001}], [HIDDEN | {"train/loss": 0.1}]),
    "D-01b": (
        [ADAM | BROKEN | {"model": "linear_l4_w8"}],
        [ADAM | {"model": "linear_l4_w8"}, ADAM | BROKEN, ADAM | BROKEN | {"model": "linear_l4_w8", "clip_norm": 1.0}],
    ),
    "D-02": (
        [{"model": "linear_l1", "same_initialization": False}],
        [{"model": "linear_l1", "same_initialization": False} | BROKEN],
    ),
    "D-08a": ([HIDDEN], [HIDDEN | BROKEN]),
    "D-08b": (
        [HIDDEN | ADAM | BROKEN],
        [HIDDEN | ADAM, *(HIDDEN | ADAM | BROKEN | remedy for remedy in ({"warmup_epochs": 5.0}, {"clip_norm": 1.0}))],
    ),
    "D-08c": (
        [HIDDEN | ADAM | BROKEN, HIDDEN | ADAM | {"warmup_epochs": 5.0}],
        [HIDDEN | ADAM | BROKEN, HIDDEN | ADAM | BROKEN | {"warmup_epochs": 5.0}],
    ),
    "D-10": (
        [HIDDEN | ADAM | BROKEN, HIDDEN | ADAM | {"clip_norm": 1.0}],
        [HIDDEN | ADAM | BROKEN, HIDDEN | ADAM | BROKEN | {"clip_norm": 1.0}],
    ),
    "D-11a": ([HIDDEN, HIDDEN | {"batch_size": 32}], [HIDDEN, HIDDEN | BROKEN | {"batch_size": 32}]),
    "D-11b": ([HIDDEN, HIDDEN | {"momentum": 0.0}], [HIDDEN, HIDDEN | BROKEN | {"momentum": 0.0}]),
    "D-11c": ([HIDDEN, HIDDEN | {"weight_decay": 0.1}], [HIDDEN, HIDDEN | BROKEN | {"weight_decay": 0.1}]),
    "D-11d": ([HIDDEN, HIDDEN | {"schedule": "cosine"}], [HIDDEN, HIDDEN | BROKEN | {"schedule": "cosine"}]),
}


def test_every_claim_is_tried_both_ways() -> None:
    named = {claim.name for claim in ALTINTAS_CLAIMS if not claim.name.startswith("D-H")}
    assert set(CASES) == named


@pytest.mark.parametrize("name", CASES)
def test_a_claim_is_supported_contradicted_or_open(name: str) -> None:
    (claim,) = claims_named(name)
    for rows, expected in zip((*CASES[name], []), (SUPPORTED, CONTRADICTED, INSUFFICIENT), strict=True):
        made = store_of(*rows, seeds=THREE) if rows else frames()
        verdict = judge_all(made, 2, [claim])[name]["interpolate"]
        assert verdict.answer == expected, verdict
        assert bool(verdict.run_ids) == bool(rows)


def test_networks_are_accepted_by_loss_and_accuracy_as_the_paper_says() -> None:
    rows: list[tuple[dict[str, Any], str]] = [
        ({}, "yes"),  # linear: 0.25 nats, 95 %
        ({"lr": 0.01, "train/loss": 0.31}, "no"),
        ({"lr": 0.02, "test/accuracy": 0.89}, "no"),
        (HIDDEN | {"train/loss": 0.01}, "yes"),
        (HIDDEN | {"train/loss": 0.011, "lr": 0.01}, "no"),
        (HIDDEN | {"train/loss": 0.0, "lr": 0.02, "test/accuracy": 0.9}, "no"),
    ]
    made = store_of(*(row for row, _ in rows))
    table = acceptance(error_conditions(made, "interpolate"), 2)
    found = {(row["model"], row["lr"]): row["accepted"] for row in table.to_dict("records")}
    assert found == {((ORDERED | row)["model"], f"{(ORDERED | row)['lr']:g}"): said for row, said in rows}
    assert acceptance_note(table) == "Accepted by the paper's criteria, of 6 conditions: 2 yes, 4 no, 0 undecided."
    assert table["criteria"].iloc[0] == "training loss 0.2 to 0.3, accuracy above 90 %"
    apart = store_of({})
    apart.pairs["train/loss"] = [0.25, 0.27]  # the interval leaves 0.2 to 0.3
    crossing = error_conditions(apart, "interpolate")
    assert acceptance(crossing, 2)["accepted"].tolist() == [UNDECIDED]
    assert acceptance(crossing, 3).empty
    assert acceptance(error_conditions(frames(), "interpolate"), 2).empty


@pytest.mark.parametrize(
    ("name", "rows", "said"),
    [
        ("D-06a", [HIDDEN | HIGH, LEAKY | HIGH], UNDECIDED),  # the same barrier at both slopes
        ("D-06a", [HIDDEN | ADAM | HIGH, LEAKY | ADAM | LOW], INSUFFICIENT),  # Fig. 1 is of SGD
        ("D-06b", [HIDDEN | HIGH, LEAKY, DEEP | HIGH, DEEP_LEAKY], UNDECIDED),  # both fall alike
        ("D-06b", [HIDDEN | LOW, LEAKY, DEEP | HIGH, {"model": "linear_l4_w64"}], INSUFFICIENT),  # one slope in common
        ("D-12a", [DENSE, CONV | {"test/error_barrier": 0.005}], CONTRADICTED),  # 0.4 points: within the margin
        ("D-12a", [DENSE, CONV | {"test/error_barrier": 0.0125, "noise": "same"}], INSUFFICIENT),
        ("D-16", [HIDDEN, HIDDEN | CIFAR | NORMALIZED | {"lr": 0.01}], INSUFFICIENT),  # at another rate
        ("D-16", [HIDDEN, HIDDEN | CIFAR | NORMALIZED | {"augmentation": "flip"}], INSUFFICIENT),
        ("D-20", [HIDDEN | ADAM, HIDDEN | ADAM | CIFAR_100 | NORMALIZED], INSUFFICIENT),
        ("D-16", [HIDDEN, HIDDEN | CIFAR | NORMALIZED | {"test/accuracy": 0.4}], INSUFFICIENT),  # four guesses
        ("D-16", [HIDDEN, HIDDEN | CIFAR | NORMALIZED | {"test/accuracy": 0.41}], SUPPORTED),
        ("D-06a", [HIDDEN | {"shift": "label_5050", "noise": "same"}], INSUFFICIENT),  # no such condition at all
        ("D-12b", [DENSE | CIFAR, CONV | CIFAR | HIGH | {"test/accuracy": 0.1}], INSUFFICIENT),
    ],
)
def test_a_figure_decides_nothing_where_it_compares_nothing(name: str, rows: list[dict[str, Any]], said: str) -> None:
    verdict = judged_by_errors(name, store_of(*rows, seeds=THREE))
    assert verdict.answer == said, verdict


def judged_by_errors(name: str, made: Frames) -> Verdict:
    """One claim's verdict under the first policy, from error barriers alone."""
    (claim,) = claims_named(name)
    errors = error_conditions(made, "interpolate")
    return claim.judge(ConditionTables(errors, made, "interpolate", 2, errors)).verdict(claim.need)


def test_falls_of_two_depths_are_compared_between_the_slopes_that_both_have() -> None:
    heights = {"mlp_l1_w64": 0.03, "mlp_l1_w64_leaky0.9": 0.01, "mlp_l3_w64": 0.09, "mlp_l3_w64_leaky0.9": 0.02}
    rows = [{"model": model, "test/error_barrier": height} for model, height in heights.items()]
    rows.append({"model": "mlp_l3_w64_leaky0.99", "test/error_barrier": 0.0})
    verdict = judged_by_errors("D-06b", store_of(*rows))
    assert "from slope 0 to 0.9: 2 layers, 64 falls by 2.00 " in verdict.sentence
    assert "4 layers, 64 by 7.00 " in verdict.sentence
    assert "further by 5.00 " in verdict.sentence


def test_one_seed_apart_leaves_a_figure_undecided() -> None:
    noisy = store_of(HIDDEN | HIGH, LEAKY | LOW, seeds=THREE)
    noisy.paths["test/error_barrier"] += 0.09 * (noisy.paths["seed"] == 100)
    assert judged_by_errors("D-06a", noisy).answer == UNDECIDED


def test_the_papers_own_tables_support_what_is_in_them() -> None:
    found = answers(judge_all(frames(), 2), "paper")
    assert {name: found[name] for name in ("D-01a", "D-01b", "D-08a", "D-08b", "D-08c")} == dict.fromkeys(
        ("D-01a", "D-01b", "D-08a", "D-08b", "D-08c"), SUPPORTED
    )
    assert found["D-02"] == INSUFFICIENT


def test_a_report_says_what_batch_size_does() -> None:
    rows = _sizes("label_5050", "same", 0.1, 0.01)
    content = report_content(store_of(*rows, seeds=THREE), {}, 2)
    assert content.notes["head_to_head"] == (
        "**covariate shift**, 1 comparison: by error 1 lower with the larger batch, 0 higher, 0 without a difference, "
        "0 undecided; by loss 1 lower with the larger batch, 0 higher, 0 without a difference, 0 undecided."
    )
    text = page(content, [], lambda run_id: f"http://server/{run_id}", "a store")
    assert text.count("larger batches: lower") == 2
    assert "http://server/run000" in text
    assert "larger batches: lower" in markdown(content)
    assert report_content(frames(), {}, 2).notes["head_to_head"].startswith("**Not decided**")


def test_no_difference_needs_three_seeds_and_two_one_sided_tests() -> None:
    (claim,) = claims_named("D-11a")
    rows = [HIDDEN, HIDDEN | {"batch_size": 32}]

    def judged(*rows: dict[str, Any], seeds: tuple[int, ...]) -> str:
        return judge_all(store_of(*rows, seeds=seeds), 2, [claim])["D-11a"]["interpolate"].answer

    assert judged(*rows, seeds=(1, 20)) == UNDECIDED  # supported, by two standard errors
    assert judged(*rows, seeds=THREE) == SUPPORTED
    assert judged(HIDDEN, HIDDEN | {"batch_size": 32, "test/error_barrier": 0.0115}, seeds=THREE) == CONTRADICTED
    noisy = store_of(*rows, seeds=THREE)
    noisy.paths["test/error_barrier"] += 0.02 * (noisy.paths["seed"] == 100)
    verdict = judge_all(noisy, 2, [claim])["D-11a"]["interpolate"]
    assert verdict.answer == UNDECIDED
    assert "margin 1 %, two one-sided tests [" in verdict.sentence


def test_batch_sizes_at_equal_steps_or_at_one_loss_say_nothing_of_batch_size_at_equal_epochs() -> None:
    (claim,) = claims_named("D-11a")
    rows = [HIDDEN, HIDDEN | {"batch_size": 32}]
    for ended in ({"steps": 400}, {"until_train_loss": 0.1}):
        frame = store_of(*(row | ended for row in rows), seeds=THREE)
        assert judge_all(frame, 2, [claim])["D-11a"]["interpolate"].answer == "insufficient"


def test_networks_outside_the_papers_acceptance_decide_nothing() -> None:
    (claim,) = claims_named("D-01a")
    for wrong in ({"train/loss": 0.31}, {"train/loss": 0.19}, {"test/accuracy": 0.89}):
        verdict = judge_all(store_of(BROKEN | wrong, {"lr": 0.01}), 2, [claim])["D-01a"]["interpolate"]
        assert verdict.answer == SUPPORTED, verdict
        assert verdict.sentence.startswith("1 for, 0 against")
    # Elsewhere, and of other networks, the paper says nothing of the training loss.
    for kept in ({"dataset": "cifar10", "test/accuracy": 0.4}, {"model": "mlp_l1_w128", "train/loss": 0.0}):
        assert of(kept)["accepted"].tolist() == [True]


def _curves(panel: Any) -> dict[str, list[list[float]]]:
    made = {}
    for container in panel.containers:
        line = container.lines[0]
        made[container.get_label()] = [list(map(float, line.get_xdata())), list(map(float, line.get_ydata()))]
    return made


def test_slopes_are_drawn_from_relu_to_linear_by_depth() -> None:
    slopes = [("mlp_l1_w128", 0.05), ("mlp_l1_w128_leaky0.5", 0.03), ("linear_l2_w128", 0.01), ("mlp_l3_w128", 0.4)]
    walked = store_of(*({"model": model, "test/error_barrier": height} for model, height in slopes)).paths
    figure = plots.error_barrier_by_slope(walked)
    test, train = figure.axes
    assert test.get_title() == "2 layers, 128, test"  # the three-layer network has a single slope
    ((places, heights),) = _curves(test).values()
    assert places == [0, 0.5, 1]
    assert heights == pytest.approx([5.01, 3.01, 1.01])
    ((_, trained),) = _curves(train).values()
    assert trained == pytest.approx([0.1] * 3)


def test_leaky_networks_are_not_asked_to_fit_their_data_as_those_with_relus_are() -> None:
    (claim,) = claims_named("D-21")
    leaky = HIDDEN | {"model": "mlp_l1_w128_leaky0.9", "train/loss": 0.25}
    assert judge_all(store_of(leaky), 2, [claim])["D-21"]["interpolate"].answer == INSUFFICIENT
    found = judge_all(store_of(leaky, HIDDEN | {"train/loss": 0.001}), 2, [claim])["D-21"]["interpolate"]
    assert found.answer == SUPPORTED
    assert found.sentence.startswith("1 for, 0 against")


def test_equal_trainings_make_one_curve_however_their_augmentation_was_asked_for() -> None:
    asked = [("mlp_l1_w128", "none"), ("mlp_l1_w128_leaky0.5", "auto"), ("linear_l2_w128", "none")]
    rows = [{"model": model, "augmentation": name, "dataset": "mnist"} for model, name in asked]
    figure = plots.error_barrier_by_slope(store_of(*rows).paths)
    ((places, _),) = _curves(figure.axes[0]).values()
    assert places == [0, 0.5, 1]
    rows[1]["augmentation"] = "flip"
    (line,) = _curves(plots.error_barrier_by_slope(store_of(*rows).paths).axes[0]).values()
    assert line[0] == [0, 1]


def test_a_row_a_network_shows_test_and_training_data() -> None:
    walked = store_of({"model": "patches_conv"}, {"model": "patches_dense"} | BROKEN).paths
    test, train = plots.error_barrier_by_model(walked).axes
    labels = [label.get_text() for label in test.get_yticklabels()]
    assert labels == ["patches_conv (n = 2 seeds)", "patches_dense (n = 2 seeds)"]
    means = [container.lines[0].get_xdata()[0] for container in test.containers]
    assert means == pytest.approx([0.11, 30.01])
    assert [container.lines[0].get_xdata()[0] for container in train.containers] == pytest.approx([0.1, 0.1])
    normalized = plots.error_barrier_by_model(walked, normalized=True).axes[0]
    assert normalized.containers[0].lines[0].get_xdata()[0] == pytest.approx(0.2)


def test_sources_of_noise_are_panels_and_batch_sizes_the_axis() -> None:
    rows = _sizes("none", "different", 0.001, 0.002) + _sizes("label_5050", "same", 0.1, 0.01)
    rows += [{"shift": "label_2080", "noise": "same", "model": "mlp_l1_w126", "batch_size": 32}]  # one size: not drawn
    figure = plots.barrier_by_noise_source(store_of(*rows).paths)
    assert [panel.get_title() for panel in figure.axes] == [
        f"{source}\nn = 2 seeds a condition" for source in ("order alone", "covariate shift") * 2
    ]
    ((sizes, heights),) = _curves(figure.axes[1]).values()
    assert sizes == [32, 1024]
    assert heights == pytest.approx([10.01, 1.01])
    ((_, losses),) = _curves(figure.axes[3]).values()
    assert losses == pytest.approx([1.0005, 0.1005])  # in the basin


def test_conditions_that_rows_of_panels_tell_apart_need_no_colour() -> None:
    style = Encoding(pd.DataFrame({"model": ["mlp_l1_w8"]}), colors=()).of(pd.DataFrame({"model": ["mlp_l1_w8"]}))
    assert style["color"] == group_style(0)["color"]
    rates = [{"lr": 0.001 * 2**power, "optimizer": name} for power in range(6) for name in ("adam", "rmsprop")]
    models = [f"mlp_l1_w{width}" for width in (4, 8, 16, 32, 64, 128)]
    sizes = _sizes("none", "different", 0.001, 0.002)
    rows = [row | {"model": model} | how for row in sizes for model in models for how in rates]
    figure = plots.barrier_by_noise_source(store_of(*rows).paths)
    assert len(figure.axes) == 2 * MOST_ROWS
    assert "the first 4 of 12 rows" in figure.get_suptitle()
    assert max(len(line) for panel in figure.axes for line in panel.get_title().split("\n")) <= TITLE_WIDTH


@pytest.mark.parametrize(
    "draw", [plots.error_barrier_by_slope, plots.error_barrier_by_model, plots.barrier_by_noise_source]
)
def test_a_figure_without_data_names_the_command(draw: Any) -> None:
    text = draw(pd.DataFrame(columns=list(PATH))).axes[0].texts[0].get_text()
    assert "interpolate" in text


def test_networks_that_have_not_learnt_decide_nothing() -> None:
    rows = _sizes("none", "different", 0.001, 0.001) + _sizes("label_5050", "same", 0.3, 0.01)
    made = store_of(*rows, seeds=THREE)
    chance = (made.paths["shift"] == "label_5050") & (made.paths["batch_size"] == 32)
    made.paths["test/path_accuracy"] = np.where(chance, 0.1, 0.98)
    ids = set(made.paths.loc[chance, "pair"])
    made.pairs["test/accuracy"] = np.where(made.pairs["run_id"].isin(ids), 0.1, 0.98)
    found = error_conditions(made, "interpolate")
    assert found.loc[~found["learnt"], ["shift", "batch_size"]].to_numpy().tolist() == [["label_5050", 32]]
    assert head_to_head(found, 2)["source"].tolist() == ["order alone"]
    assert answers(judge_all(made, 2, claims_named("D-H")))["D-H-b"] == INSUFFICIENT
    figure = plots.barrier_by_noise_source(made.paths)
    assert [panel.get_title() for panel in figure.axes] == ["order alone\nn = 3 seeds a condition"] * 2
    assert "3 paths of networks that have not learnt left out" in " ".join(figure.get_suptitle().split())
    text = conclusions.what_breaks(made.paths)
    assert "Under covariate shift a larger batch_size lowers the error barrier: not enough runs yet" in text


def test_what_is_not_known_counts_as_learnt() -> None:
    frame = pd.DataFrame({"dataset": "d", "model": ["m", "m", "m", "n"], "accuracy": [0.9, 0.79, np.nan, 0.2]})
    assert has_learnt(frame, "accuracy").tolist() == [True, False, True, True]
    assert has_learnt(frame, "nothing").all()
