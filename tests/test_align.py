"""`align` logs the same function with permuted units, and `interpolate align=` measures two paths."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient

from entry_points.align import main as align
from entry_points.ensemble import main as ensemble
from entry_points.interpolate import main as interpolate
from entry_points.train_pair import main as train_pair
from lmc_mlflow import plots, query, weights
from lmc_mlflow.alignment import Symmetry, permute
from lmc_mlflow.alignment.symmetry import Channels
from lmc_mlflow.config.alignment import AligningConfig, MatchingConfig
from lmc_mlflow.config.commands import AlignConfig, InterpolateConfig
from lmc_mlflow.config.path import EndsConfig
from lmc_mlflow.findings import conclusions
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.query.networks import load_network
from lmc_mlflow.query.runs import metric_curve
from lmc_mlflow.workflows.alignment import align as align_module
from lmc_mlflow.workflows.alignment.find_alignment import channels_sentence, held_table
from lmc_mlflow.workflows.path.interpolate import path_fingerprint

HERE = ["--device=cpu", "--threads=1"]
FEW = [*HERE, "--num_alphas=3"]


@pytest.fixture
def pair(store: MlflowClient) -> str:
    """Two networks from different initializations."""
    assert train_pair([*QUICK, "--epochs=2", "--init=different"]) == 0
    return runs_of_kind(store, "pair")[0].info.run_id


def ends_of(store: MlflowClient) -> tuple[str, str]:
    a, b = runs_of_kind(store, "endpoint")
    return a.info.run_id, b.info.run_id


def test_align_logs_the_permuted_network_as_an_endpoint_is_logged(
    store: MlflowClient, pair: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert align([f"--pair={pair}", *HERE]) == 0
    run, (a, b) = runs_of_kind(store, "alignment")[0], ends_of(store)
    assert run.info.status == "FINISHED"
    tags, metrics = run.data.tags, run.data.metrics
    assert (tags["lmc.run_a"], tags["lmc.run_b"], tags["lmc.method"]) == (a, b, "weights")
    assert (tags["lmc.converged"], tags["lmc.dataset"], tags["lmc.side"]) == ("yes", "digits", "B")
    files = Path(store.download_artifacts(run.info.run_id, "", str(tmp_path / "alignment")))
    names = {str(f.relative_to(files)) for f in files.rglob("*") if f.is_file()}
    kept = {"checkpoint/model.safetensors", "checkpoint/config.json", "permutation.npz", "manifest.json"}
    assert kept <= names
    with np.load(files / "permutation.npz") as arrays:
        permutations = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    (order,) = permutations.values()
    assert order.dtype == torch.int64
    network, origin = load_network(store, run.info.run_id), load_network(store, b)
    assert torch.equal(network.state["linear1.weight"], origin.state["linear1.weight"][order])
    assert torch.equal(network.state["linear2.weight"], origin.state["linear2.weight"][:, order])
    assert metrics["units_moved"] == (order != torch.arange(16)).double().mean().item()
    curve = metric_curve(store, run.info.run_id, "objective")
    assert (curve[0], curve[max(curve)]) == (metrics["objective_before"], metrics["objective_after"])
    assert curve[max(curve)] > curve[0]
    assert metrics["max_output_difference"] < 1e-5
    assert metrics["angle_deg"] < metrics["unaligned/angle_deg"]
    # <a, Pb> is largest where |a - Pb|^2 = |a|^2 + |b|^2 - 2 <a, Pb> is smallest
    gained = 2 * (metrics["objective_after"] - metrics["objective_before"])
    assert metrics["unaligned/euclidean_squared"] - metrics["euclidean_squared"] == pytest.approx(gained, rel=1e-4)
    printed = capsys.readouterr().out
    assert f"entry_points.interpolate --run_a {a} --run_b {run.info.run_id}" in printed
    assert metrics["channels_free"] == 1
    assert "16 of 16 hidden channels may move (100%)." in printed
    table = json.loads((files / "held_still.json").read_text())
    assert table == {"columns": ["layer", "channels", "free", "held_by"], "data": []}


def test_layers_that_are_held_still_are_listed() -> None:
    free, held = Channels(5, 5), Channels(8, 2, ("roll in body", "select in body"))
    symmetry = Symmetry({}, {}, {}, channels={"first": held, "second": free})
    assert channels_sentence(symmetry) == (
        "7 of 13 hidden channels may move (54%); the layer first is held still in whole or in part, by roll in body."
    )
    assert held_table(symmetry)["data"] == [["first", 8, 2, "roll in body; select in body"]]


def test_an_alignment_is_usable_wherever_an_endpoint_is(store: MlflowClient, pair: str) -> None:
    a, b = ends_of(store)
    assert align([f"--run_a={a}", f"--run_b={b}", *HERE]) == 0
    first = runs_of_kind(store, "alignment")[0].info.run_id
    assert interpolate([f"--run_a={a}", f"--run_b={first}", *FEW]) == 0
    assert interpolate([f"--run_a={a}", f"--run_b={b}", "--align=weights", *FEW]) == 0
    before, on_the_way = runs_of_kind(store, "path")
    shared = [key for key in before.data.metrics if not key.startswith("cost/")]
    for key in shared:
        assert on_the_way.data.metrics[key] == pytest.approx(before.data.metrics[key], abs=1e-6), key
    assert ensemble([f"--runs={a},{first}", "--num_resamples=0", *HERE]) == 0
    assert align([f"--run_a={a}", f"--run_b={first}", *HERE]) == 0  # a reference for several: nothing is left to move
    second = runs_of_kind(store, "alignment")[1]
    assert second.data.metrics["units_moved"] == 0
    paths = query.paths()
    assert list(paths["align"]) == ["weights", "weights"]
    assert list(paths["side_b"]) == ["B", "B"]
    assert list(paths["model"]) == ["mlp_l1_w16"] * 2
    assert list(query.alignments()["method"]) == ["weights", "weights"]


@pytest.mark.parametrize("method", ["weights", "activations", "sinkhorn"])
def test_interpolate_walks_both_ways_and_logs_them_in_one_run(
    store: MlflowClient, pair: str, tmp_path: Path, method: str
) -> None:
    few = ["--sinkhorn_steps=20"] if method == "sinkhorn" else []
    assert interpolate([f"--pair={pair}", *FEW]) == 0
    assert interpolate([f"--pair={pair}", f"--align={method}", *few, *FEW]) == 0
    plain, both = runs_of_kind(store, "path")
    once = re.compile("angle_reference_deg|against_alpha/.*|.*/(half_)?paid_by.*|.*/ends_.*")  # of the run's own path
    for key, value in plain.data.metrics.items():
        if not once.fullmatch(key):
            assert both.data.metrics[f"unaligned/{key}"] == value, key
        assert key in both.data.metrics
    assert both.data.metrics["test/barrier"] <= plain.data.metrics["test/barrier"]
    assert both.data.tags["lmc.align"] == method
    assert both.data.tags["lmc.connected_unaligned"] == plain.data.tags["lmc.connected"]
    assert "lmc.align" not in plain.data.tags
    assert not [key for key in plain.data.metrics if "aligned" in key or "alignment" in key]
    curves = {key: metric_curve(store, both.info.run_id, f"{key}test/path_loss") for key in ("", "unaligned/")}
    first = [metric_curve(store, both.info.run_id, f"against_alpha/test_loss{end}") for end in ("", "_not_aligned")]
    assert first == [curves[""], curves["unaligned/"]]
    assert min(key.partition("/")[0] for key in both.data.metrics if "/" in key) == "against_alpha"
    assert curves[""][0] == curves["unaligned/"][0]  # A stays
    assert curves[""][1000] == pytest.approx(curves["unaligned/"][1000], abs=1e-6)  # B is the same function
    files = Path(store.download_artifacts(both.info.run_id, "", str(tmp_path / "path")))
    for name, prefix in (("path.json", ""), ("path_unaligned.json", "unaligned/")):
        content = json.loads((files / name).read_text())
        table = pd.DataFrame(content["data"], columns=content["columns"])
        middle = table[(table["alpha"] == 0.5) & (table["split"] == "test")]["loss"].item()
        assert middle == curves[prefix][500]
    with np.load(files / "permutation.npz") as arrays:
        state = load_network(store, both.data.tags["lmc.run_b"]).state
        assert arrays["linear1"].shape == (state["linear1.weight"].shape[0],)
    unaligned = query.path_curves(query.paths(), unaligned=True)
    assert set(unaligned["run_id"]) == {both.info.run_id}


def test_the_same_matching_is_found_again(store: MlflowClient, pair: str) -> None:
    for method in ("activations", "sinkhorn", "activations", "sinkhorn"):
        few = ["--sinkhorn_steps=20"] if method == "sinkhorn" else []
        assert align([f"--pair={pair}", f"--method={method}", *few, *HERE]) == 0
    runs = runs_of_kind(store, "alignment")
    digests = [weights.digest(load_network(store, run.info.run_id).state) for run in runs]
    assert digests[0] == digests[2]
    assert digests[1] == digests[3]
    fingerprints = [run.data.tags["lmc.fingerprint"] for run in runs]
    assert fingerprints[0] == fingerprints[2] != fingerprints[1]


def test_a_limit_of_sweeps_that_is_hit_is_said(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert train_pair([*QUICK, "--model=mlp_l3_w16_16_16", "--epochs=1", "--init=different"]) == 0
    assert align([f"--pair={runs_of_kind(store, 'pair')[0].info.run_id}", "--max_sweeps=1", *HERE]) == 0
    run = runs_of_kind(store, "alignment")[0]
    assert run.data.tags["lmc.converged"] == "no"
    assert "max_sweeps" in run.data.tags["mlflow.note.content"]
    assert "had not converged after 1 sweeps" in caplog.text
    assert "the permutation still changed in the last sweep" in capsys.readouterr().out


def test_a_permuted_network_that_computes_something_else_is_not_logged_as_whole(
    store: MlflowClient, pair: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = align_module.find_alignment

    def broken(*arguments):
        found = find(*arguments)
        found.network.state["linear2.bias"][0] += 1
        return found

    monkeypatch.setattr(align_module, "find_alignment", broken)
    assert align([f"--pair={pair}", *HERE]) == 1
    assert "changed its outputs by" in capsys.readouterr().err
    run = runs_of_kind(store, "alignment")[0]
    assert run.info.status == "FAILED"
    assert interpolate([f"--run_a={ends_of(store)[0]}", f"--run_b={run.info.run_id}", *FEW]) == 1


@pytest.mark.parametrize(
    ("command", "flags", "said"),
    [
        (align, ["--method=activations", "--max_sweeps=5"], "max_sweeps belongs to method=weights; leave it out"),
        (align, ["--match_on=kernels", "--method=activations"], r"match_on belongs to method=weights\|sinkhorn"),
        (align, ["--sinkhorn_steps=9"], "sinkhorn_steps belongs to method=sinkhorn; leave it out with method=weights"),
        (align, ["--method=weight"], "method 'weight' is unknown .did you mean 'weights'.."),
        (interpolate, ["--max_sweeps=5"], "max_sweeps belongs to align=weights; leave it out with align=none"),
        (interpolate, ["--align_seed=1"], "align_seed belongs to align=weights.*leave it out with align=none"),
    ],
)
def test_options_without_a_meaning_are_refused_before_a_run_is_opened(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], command, flags: list[str], said: str
) -> None:
    assert command(["--run_a=a", "--run_b=b", *flags]) == 1
    error = capsys.readouterr().err
    assert re.search(said, error)
    assert error.count("\n") == 1
    assert not runs_of_kind(store, "alignment") + runs_of_kind(store, "path")


def test_kernels_alone_are_matched_where_a_loss_counts_nothing_else() -> None:
    with pytest.raises(ValueError, match="match_on belongs to sinkhorn_objective=distance"):
        MatchingConfig(match_on="kernels", sinkhorn_objective="midpoint").check_method("method", "sinkhorn")


def test_networks_that_do_not_fit_or_cannot_be_permuted_are_refused(
    store: MlflowClient, pair: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train_pair([*QUICK, "--model=mlp_l1_w8", "--epochs=1"]) == 0
    runs = [run.info.run_id for run in runs_of_kind(store, "endpoint")]
    assert align([f"--run_a={runs[0]}", f"--run_b={runs[2]}", *HERE]) == 1
    assert "model: mlp_l1_w16 vs mlp_l1_w8" in capsys.readouterr().err

    def refuse(network, images):
        raise ValueError("attn.qkv: no rule for scaled_dot_product_attention")

    monkeypatch.setattr("lmc_mlflow.workflows.alignment.find_alignment.derive_symmetry", refuse)
    for command, flags in ((align, []), (interpolate, ["--align=weights"])):
        assert command([f"--run_a={runs[0]}", f"--run_b={runs[1]}", *flags, *HERE]) == 1
        assert "mlp_l1_w16 cannot be aligned: attn.qkv: no rule for scaled_dot" in capsys.readouterr().err
    assert not runs_of_kind(store, "alignment") + runs_of_kind(store, "path")


def test_paths_without_an_alignment_keep_the_fingerprints_they_had() -> None:
    ends = EndsConfig(pair="x")
    assert path_fingerprint(InterpolateConfig(ends)) == "e3b0c44298fc1c14"  # of nothing: all at their defaults
    other = AlignConfig(ends, AligningConfig(method="activations"), MatchingConfig(num_matching_images=50))
    assert other.matching.num_matching_images == 50


def test_a_product_of_interpolated_matrices_is_not_the_interpolated_product() -> None:
    # Two linear layers, B being A with its units exchanged: S = [[1, 0], [0, 1]] at both ends, and midway, where
    # (A2 + B2)(A1 + B1) / 4 = (A2 A1 + B2 B1 + A2 B1 + B2 A1) / 4, the mixed terms are [[0, 1], [1, 0]].
    identity, exchange = torch.eye(2), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    middle = [Segment({"w": identity}, {"w": exchange}).point(0.5)["w"] for _ in range(2)]
    assert (middle[1] @ middle[0]).tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert (exchange @ exchange).tolist() == identity.tolist()  # B2 B1 = P^T P


def test_barriers_by_width_show_every_path() -> None:
    rows = pd.DataFrame(
        [
            {"model": f"mlp_l1_w{width}", "dataset": "digits", "align": "weights", "test/barrier": 0.1 * i, "bn": "x"}
            | {"unaligned/test/barrier": float(i), "run_a": str(i), "run_b": "b", "connected": "no", "seed": i}
            | {"connected_unaligned": "no", "shift": "none"}
            for width in (16, 4)
            for i in (1, 1.1, 1.2, 1.3, 90)
        ]
    )
    (panel,) = plots.aligned_by_width(rows).axes
    assert [label.get_text() for label in panel.get_xticklabels()] == ["4", "16"]
    drawn = [y for line in panel.lines if line.get_marker() in ("o", "s") for y in line.get_ydata()]
    assert drawn.count(90.0) == 2  # the outliers too
    assert len(drawn) == 20
    text = conclusions.up_to_permutation(rows.assign(seed_a=rows["seed"]))
    assert "aligned by weights, the highest 9.000; connected: 0 of 5 not aligned, 0 aligned" in text


def test_permuting_leaves_the_caller_s_state_alone(store: MlflowClient, pair: str) -> None:
    from lmc_mlflow.workflows.alignment.find_alignment import find_symmetry

    network = load_network(store, ends_of(store)[0])
    symmetry, before = find_symmetry(network), weights.digest(network.state)
    orders = {name: torch.arange(size - 1, -1, -1) for name, size in symmetry.sizes.items()}
    assert weights.digest(permute(symmetry, network.state, orders)) != before
    assert weights.digest(network.state) == before


def test_heads_are_mapped_only_where_a_network_has_some(
    store: MlflowClient, pair: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert align([f"--pair={pair}", "--heads=map", *HERE]) != 0
    assert "mlp_l1_w16 has no heads that may be mapped" in capsys.readouterr().err
    assert align([f"--pair={pair}", "--heads=map", "--rescale=true", *HERE]) != 0
    assert "heads=map and rescale=true were given" in capsys.readouterr().err
    assert not runs_of_kind(store, "alignment")
