"""Pruning removes the units that can be removed, and keeps the function where it must."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from torch import Tensor

from entry_points.ensemble import main as ensemble
from entry_points.interpolate import main as interpolate
from entry_points.prune import main as prune_command
from entry_points.train_pair import main as train_pair
from lmc_mlflow import query
from lmc_mlflow.config.ensemble_and_prune import PruneConfig
from lmc_mlflow.models.pruning import (
    LinearLayer,
    PrunedMLP,
    cosines,
    prune,
    widen,
)
from lmc_mlflow.plots.per_run import unit_similarity
from lmc_mlflow.query.networks import load_network
from lmc_mlflow.query.runs import metric_curve
from lmc_mlflow.seeds import stream

Layers = list[LinearLayer]


def double(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def network(weights: Tensor, biases: Tensor, outgoing: Tensor) -> Layers:
    """One hidden layer; outgoing (n, m), a row a unit."""
    return [(weights, biases), (outgoing.T, torch.zeros(outgoing.shape[1], dtype=torch.float64))]


def outputs(layers: Layers, images: Tensor, slope: float = 0.0) -> Tensor:
    for weight, bias in layers[:-1]:
        images = torch.nn.functional.leaky_relu(images @ weight.T + bias, slope)
    weight, bias = layers[-1]
    return images @ weight.T + bias


def pruned(layers: Layers, images: Tensor, slope: float = 0.0, **rules: object) -> PrunedMLP:
    settings = {"merge_cosine": 1.0, "drop_below": 0.0, "drop_dead": False, **rules}
    return prune(
        layers,
        lambda x: torch.nn.functional.leaky_relu(x, slope),
        lambda: iter(images.split(7)),
        PruneConfig(run="x", **settings),  # type: ignore[arg-type]
    )


def images(dimension: int) -> Tensor:
    return torch.randn(50, dimension, dtype=torch.float64, generator=stream(1, "test"))


# hand-worked


def test_a_unit_that_is_twice_another_hands_it_twice_its_outgoing_weights() -> None:
    # unit 1 = 2 x unit 0 in weights and bias; strengths |v| |w|: 0 has 3 * 5 = 15, 1 has 6 * 1 = 6
    layers = network(double((2, 2), (4, 4), (1, -1)), torch.tensor([1.0, 2.0, 0.0]).double(), double((5,), (1,), (7,)))
    found = pruned(layers, images(2), merge_cosine=0.95)
    assert found.statuses == (("kept", "merged", "kept"),)
    assert found.kept[0].tolist() == [0, 2]
    torch.testing.assert_close(found.layers[1][0], double((5 + 2 * 1, 7)))
    torch.testing.assert_close(outputs(list(found.layers), images(2)), outputs(layers, images(2)), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("merge_to", "direction"), [("strongest", (1.0, 0.0)), ("mean", (1.8, 0.6))])
def test_a_merged_unit_points_where_the_strongest_did_or_the_mean(
    merge_to: str, direction: tuple[float, float]
) -> None:
    # (1, 0) and (0.8, 0.6) have cosine 0.8 and are equally strong
    layers = network(double((1, 0), (0.8, 0.6)), torch.zeros(2).double(), double((1,), (1,)))
    found = pruned(layers, images(2), merge_cosine=0.7, merge_to=merge_to)
    length = math.hypot(*direction)
    torch.testing.assert_close(found.layers[0][0], double((direction[0] / length, direction[1] / length)))
    torch.testing.assert_close(found.layers[1][0], double((2.0,)))


def test_units_do_not_merge_by_way_of_others() -> None:
    # at 0, 15 and 30 degrees: neighbours have cosine 0.966, the outer two 0.866; the first is the strongest
    angles = [math.radians(degrees) for degrees in (0, 15, 30)]
    incoming = double(*((math.cos(a), math.sin(a)) for a in angles))
    found = pruned(network(incoming, torch.zeros(3).double(), double((3,), (2,), (1,))), images(2), merge_cosine=0.95)
    assert found.statuses == (("kept", "merged", "kept"),)


def test_opposite_units_stay_two() -> None:
    layers = network(double((1, 1), (-1, -1)), torch.zeros(2).double(), double((1,), (1,)))
    assert pruned(layers, images(2), merge_cosine=0.0).statuses == (("kept", "kept"),)


def test_a_dead_unit_goes_without_a_trace_and_only_if_asked() -> None:
    layers = network(double((1, 0), (0, 1)), torch.tensor([0.0, -100.0]).double(), double((1,), (50,)))
    found = pruned(layers, images(2), drop_dead=True)
    assert found.statuses == (("kept", "dead"),)
    assert torch.equal(outputs(list(found.layers), images(2)), outputs(layers, images(2)))
    assert pruned(layers, images(2)).statuses == (("kept", "kept"),)
    assert pruned(layers, images(2), slope=0.1, drop_dead=True).statuses == (("kept", "kept"),)  # leaks, so it speaks


def test_weak_is_a_share_of_the_mean_strength_whatever_the_scale_of_a_unit() -> None:
    # strengths 1, 1000 * 0.001 = 1 and 0.019: mean 0.673, a share of 0.028
    layers = network(double((1, 0), (0, 1000), (0.019, 0)), torch.zeros(3).double(), double((1, 0), (0.001, 0), (0, 1)))
    assert pruned(layers, images(2), drop_below=0.03).statuses == (("kept", "kept", "weak"),)
    assert pruned(layers, images(2), drop_below=0.025).statuses == (("kept",) * 3,)


def test_units_that_cancel_when_merged_are_weak_afterwards() -> None:
    layers = network(double((1, 1), (1, 1), (1, -1)), torch.zeros(3).double(), double((5,), (-5,), (1,)))
    found = pruned(layers, images(2), merge_cosine=0.95, drop_below=0.01)
    assert sorted(found.statuses[0]) == ["kept", "merged", "weak"]
    torch.testing.assert_close(outputs(list(found.layers), images(2)), outputs(layers, images(2)), atol=1e-12, rtol=0)


def test_a_layer_may_lose_all_its_units_and_the_network_is_constant() -> None:
    layers = network(double((1, 0)), torch.tensor([-100.0]).double(), double((3, 4)))
    found = pruned(layers, images(2), drop_dead=True, drop_below=0.01)
    assert found.kept[0].tolist() == []
    wide = widen(found.layers, [torch.arange(0)], [1])
    assert torch.equal(outputs(wide, images(2)), torch.zeros(50, 2, dtype=torch.float64))


def test_a_row_of_zeros_has_cosine_zero_with_all() -> None:
    assert torch.equal(cosines(double((0, 0), (3, 4), (4, 3))), double((0, 0, 0), (0, 1, 0.96), (0, 0.96, 1)))


# properties


@pytest.mark.parametrize("slope", [0.0, 0.1])
def test_planted_duplicates_in_every_layer_are_found_and_the_function_stays(slope: float) -> None:
    random = stream(2, "test")

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=random)

    layers: Layers = [(draw(8, 6), draw(8)), (draw(10, 8), draw(10)), (draw(3, 10), draw(3))]
    planted: Layers = []
    for i, (weight, bias) in enumerate(layers):
        if i:  # columns of the duplicates that the layer before has got
            weight = torch.cat([weight, draw(len(weight), 4)], dim=1)
        if i < 2:  # units 0 to 3 once more, scaled
            scale = torch.tensor([0.5, 1.0, 2.0, 7.0]).double()
            weight = torch.cat([weight, scale[:, None] * weight[:4]])
            bias = torch.cat([bias, scale * bias[:4]])
        planted.append((weight, bias))
    found = pruned(planted, images(6), slope, merge_cosine=0.999)
    assert [len(kept) for kept in found.kept] == [8, 10]
    expected = outputs(planted, images(6), slope)
    torch.testing.assert_close(outputs(list(found.layers), images(6), slope), expected, atol=1e-9, rtol=0)
    for places in (list(found.kept), [torch.arange(8), torch.arange(10)]):
        wide = widen(found.layers, places, [12, 14])
        assert [tuple(weight.shape) for weight, _ in wide] == [(12, 6), (14, 12), (3, 14)]
        torch.testing.assert_close(outputs(wide, images(6), slope), expected, atol=1e-9, rtol=0)


def test_rules_that_take_nothing_out_change_nothing() -> None:
    random = stream(3, "test")
    layers = [
        (torch.randn(5, 4, generator=random), torch.randn(5, generator=random)),
        (torch.randn(2, 5), torch.ones(2)),
    ]
    found = pruned(layers, images(4))
    for (weight, bias), (old_weight, old_bias) in zip(found.layers, layers, strict=True):
        assert torch.equal(weight, old_weight.double())
        assert torch.equal(bias, old_bias.double())


# the figure


@pytest.mark.parametrize(("num_units", "most", "said"), [(1, 600, "1 unit"), (4, 3, "the 3 strongest of 4 units")])
def test_the_heat_map_shows_cosines_of_the_strongest_units_and_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch, num_units: int, most: int, said: str
) -> None:
    monkeypatch.setattr(unit_similarity, "MOST_UNITS", most)
    table = np.full((num_units, num_units), 0.5) + 0.5 * np.eye(num_units)
    figure = unit_similarity.unit_similarity(table, np.arange(num_units, 0, -1.0), ["weak"] * num_units, "title")
    (panel,) = (axes for axes in figure.axes if axes.get_xlabel() == said)
    shown = panel.collections[0].get_array()
    assert shown is not None
    assert shown.shape == (min(num_units, most),) * 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["dropped: weak"]
    assert plt.get_fignums() == []


def test_a_layer_without_units_is_said_to_be_empty() -> None:
    figure = unit_similarity.unit_similarity(np.zeros((0, 0)), np.zeros(0), [], "title")
    assert [text.get_text() for text in figure.axes[0].texts] == ["no unit is left"]


# the command


def test_pruned_networks_are_logged_and_joined_like_endpoints(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_pair([*QUICK, "--model=mlp_l2_w24_12"]) == 0
    ends = [run.info.run_id for run in runs_of_kind(store, "endpoint")]
    flags = ["--merge_cosine=0.3", "--device=cpu", "--threads=1", "--heat_maps=false"]  # so low that units go
    assert prune_command(["--query=tags.`lmc.seed` = '1'", *flags]) == 0
    runs = runs_of_kind(store, "pruned")
    assert sorted(run.data.tags["lmc.endpoint"] for run in runs) == sorted(ends)
    for run in runs:
        before, after = (load_network(store, run_id) for run_id in (run.data.tags["lmc.endpoint"], run.info.run_id))
        metrics = run.data.metrics
        assert metrics["test/loss_before"] == before.run.data.metrics["test/loss"]
        rows = after.state["linear1.weight"].abs().sum(dim=1) > 0
        assert 0 < int(rows.sum()) == metrics["units/layer_1"] < metrics["units_before/layer_1"] == 24
        lost = sum(metrics[f"units_{why}/layer_1"] for why in ("dead", "merged", "weak"))
        assert metrics["units/layer_1"] + lost == 24
        assert after.spec == before.spec
        assert metrics["cost/train_seconds"] == before.run.data.metrics["cost/train_seconds"]
    assert interpolate([f"--run_a={runs[0].info.run_id}", f"--run_b={runs[1].info.run_id}", "--num_alphas=3"]) == 0
    curve = metric_curve(store, runs_of_kind(store, "path")[0].info.run_id, "test/path_loss")
    assert [curve[0], curve[1000]] == pytest.approx([run.data.metrics["test/loss"] for run in runs], rel=1e-6)

    assert ensemble([f"--runs={runs[0].info.run_id},{ends[0]}", "--num_resamples=2", "--device=cpu"]) == 0

    capsys.readouterr()
    assert prune_command([f"--run={ends[0]}", *flags]) == 0
    assert "(finished before)" in capsys.readouterr().out
    assert prune_command([f"--run={ends[0]}", *flags, "--keep_width=false", "--heat_maps=true"]) == 0
    narrow = load_network(store, runs_of_kind(store, "pruned")[-1].info.run_id)
    (wide,) = (run for run in runs if run.data.tags["lmc.endpoint"] == ends[0])
    widths = [int(wide.data.metrics[f"units/layer_{i}"]) for i in (1, 2)]
    assert narrow.config.model.model == f"mlp_l2_w{widths[0]}_{widths[1]}"
    assert narrow.run.data.metrics["test/loss"] == pytest.approx(wide.data.metrics["test/loss"], rel=1e-5)
    drawn = {item.path for item in store.list_artifacts(narrow.run.info.run_id, "figures")}
    assert drawn == {f"figures/units_layer_{i}_{when}.png" for i in (1, 2) for when in ("before", "after")}
    frame = query.pruned().set_index("run_id")
    assert frame.loc[narrow.run.info.run_id, ["endpoint", "model", "seed", "keep_width"]].tolist() == [
        ends[0],
        "mlp_l2_w24_12",
        1,
        False,
    ]


@pytest.mark.parametrize("model", ["resnet10", "mlp_l1_w16_bn", ""])
def test_what_is_no_plain_mlp_is_refused_before_a_run_is_opened(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    run_id = store.create_run("0", tags={"lmc.kind": "endpoint", "lmc.model": model}).info.run_id
    assert prune_command([f"--run={run_id}"]) == 1
    assert f"run {run_id}: {model or 'no network of ours'} cannot be pruned" in capsys.readouterr().err
    assert runs_of_kind(store, "pruned") == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "give either run=<run id> or query=<MLflow filter>"),
        (["--run=1", "--query=2"], "give either run=<run id> or query=<MLflow filter>"),
        (["--run=1", "--keep_width=false", "--place=front"], "place=front belongs to keep_width=true"),
        (["--query=tags.`lmc.seed` = '7'"], "finds no finished endpoint run"),
    ],
)
def test_contradictions_are_refused(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert prune_command(flags) == 1
    assert message in capsys.readouterr().err
