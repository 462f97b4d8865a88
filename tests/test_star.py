"""`star` logs what it trained and tested, resumes bit by bit, and refuses networks that do not fit."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient

from entry_points.ensemble import main as ensemble
from entry_points.interpolate import main as interpolate
from entry_points.star import main
from entry_points.train_pair import main as train_pair
from lmc_mlflow import plots, query
from lmc_mlflow.query.networks import load_network
from lmc_mlflow.query.runs import metric_curve
from lmc_mlflow.workflows.star.recorder import StarRecorder

HERE = ["--device=cpu", "--threads=1"]
MODEL = "--model=mlp_l1_w16_bn"
TRAINED = [*QUICK, "--epochs=1", MODEL, "--init=different", "--shift=none", "--noise=different", "--batch_size=256"]
STAR = [*HERE, "--epochs=4", "--batch_size=256", "--num_alphas=3", "--evaluate_every=2"]


@pytest.fixture
def networks(store: MlflowClient) -> list[str]:
    """Run ids of four networks from four initializations."""
    assert train_pair([*TRAINED, "--seeds=1,2"]) == 0
    return [run.info.run_id for run in runs_of_kind(store, "endpoint")]


def contents(store: MlflowClient, run_id: str, path: str) -> dict:
    return json.loads(Path(store.download_artifacts(run_id, path)).read_text())


def test_a_star_is_logged_verified_and_usable_wherever_an_endpoint_is(
    store: MlflowClient, networks: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [f"--sources={networks[0][:12]},{networks[1]},{networks[2]}", f"--held_out={networks[3]}", *STAR]
    assert main(flags) == 0
    (run,) = runs_of_kind(store, "star")
    star_id, tags, metrics = run.info.run_id, run.data.tags, run.data.metrics
    assert run.info.status == "FINISHED"
    assert tags["lmc.sources"] == ",".join(networks[:3])
    assert tags["lmc.star"] in ("yes", "no: barrier", "no: its own accuracy", "no: barrier and its own accuracy")
    assert f"a star: {tags['lmc.star']}" in capsys.readouterr().out
    assert run.data.params["optimization.batch_size"] == "256"
    assert run.data.params["training.lr"] == "auto"
    assert run.data.params["optimization.lr"] == "0.001"

    assert sorted(metric_curve(store, star_id, "star/test/loss")) == [1, 2, 3, 4]
    curves = [metric_curve(store, star_id, f"barrier_to_source/{i}") for i in range(3)]
    assert sorted(curves[0]) == [2, 4]
    assert metric_curve(store, star_id, "barrier_to_source/max")[4] == max(curve[4] for curve in curves)

    table = contents(store, star_id, "barriers.json")
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [row["kind"] for row in rows] == ["star_source"] * 3 + ["star_held_out"] + ["regular"] * 6
    barriers = [row["barrier_over_chord"] for row in rows[:3]]
    assert metrics["star_source/test/barrier_over_chord"] == pytest.approx(np.mean(barriers))
    assert metrics["star_source/test/barrier_over_chord_std"] == pytest.approx(np.std(barriers, ddof=1))
    assert metrics["star_source/test/barrier_over_chord_max"] == max(barriers)
    assert "star_held_out/test/barrier_over_chord_std" not in metrics
    assert all(row["distance"] <= row["distance_unaligned"] for row in rows)
    assert metrics["accuracy/sources"] == pytest.approx(
        np.mean([store.get_run(run_id).data.metrics["test/accuracy"] for run_id in networks[:3]])
    )

    assert interpolate([f"--run_a={star_id}", f"--run_b={networks[0]}", *HERE, "--num_alphas=3"]) == 0
    path = runs_of_kind(store, "path")[0]
    logged = metric_curve(store, star_id, "star/test/loss")[4]
    assert metric_curve(store, path.info.run_id, "test/path_loss")[0] == pytest.approx(logged, rel=1e-5)

    assert main(flags) == 0
    assert "finished before" in capsys.readouterr().out
    assert len(runs_of_kind(store, "star")) == 1
    (row,) = query.stars().to_dict("records")
    assert (row["num_sources"], row["model"], row["star"]) == (3, "mlp_l1_w16_bn", tags["lmc.star"])
    figure = plots.star_by_sources(query.stars())
    (label,) = {text.get_text() for text in figure.legends[0].get_texts() if "star to source" in text.get_text()}
    assert label == "star to source"


def test_points_of_a_stars_segments_are_an_ensemble(store: MlflowClient, networks: list[str]) -> None:
    assert main([f"--sources={networks[0]},{networks[1]}", *STAR]) == 0
    star_id = runs_of_kind(store, "star")[0].info.run_id
    here = [*HERE, "--num_resamples=0", "--num_orders=2"]
    assert ensemble([f"--star={star_id[:10]}", "--num_samples=4", "--samples_seed=3", *here]) == 0
    assert ensemble([f"--star={star_id}", "--num_samples=4", "--samples_seed=3", *here]) == 0
    first, again = runs_of_kind(store, "ensemble")
    assert first.data.tags["lmc.sampling"] == "star"
    names = [name.split("@") for name in first.data.tags["lmc.members"].split(",")]
    assert len(names) == 4
    assert {name[0] for name in names} == {star_id}
    assert {name[1] for name in names} <= set(networks[:2])
    assert (first.data.metrics["num_cached_members"], again.data.metrics["num_cached_members"]) == (0, 4)
    assert first.data.metrics["mean_prediction_accuracy"] == again.data.metrics["mean_prediction_accuracy"]
    assert metric_curve(store, first.info.run_id, "size/ece")[4] == pytest.approx(first.data.metrics["ece"])
    frame = query.ensembles()
    assert list(frame["epochs"]) == [4, 4]
    assert set(query.ensemble_scores(frame)["score"]) == {"ece", "auroc_max_probability", "auroc_entropy"}
    assert ensemble([f"--star={networks[0]}", *here]) != 0


def test_a_star_that_was_stopped_resumes_under_its_id_bit_equal(
    store: MlflowClient, networks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [f"--sources={','.join(networks[:3])}", *STAR, "--match_every=2", "--max_regular_pairs=0"]
    original = StarRecorder.on_epoch

    def stop_in_epoch_four(self: StarRecorder, epoch: int, scores: object) -> None:
        if epoch == 4:
            raise KeyboardInterrupt
        original(self, epoch, scores)

    monkeypatch.setattr(StarRecorder, "on_epoch", stop_in_epoch_four)
    assert main(flags) == 130
    (stopped,) = runs_of_kind(store, "star")
    assert stopped.info.status == "KILLED"
    monkeypatch.setattr(StarRecorder, "on_epoch", original)
    assert main(flags) == 0
    (resumed,) = runs_of_kind(store, "star")
    assert (resumed.info.run_id, resumed.info.status) == (stopped.info.run_id, "FINISHED")
    assert [p.step for p in store.get_metric_history(resumed.info.run_id, "train/loss")] == [1, 2, 3, 4]
    assert not store.list_artifacts(resumed.info.run_id, "resume")
    assert main([*flags, "--force=true"]) == 0
    whole = runs_of_kind(store, "star")[1]
    states = [load_network(store, run.info.run_id).state for run in (resumed, whole)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert resumed.data.metrics["star_source/distance"] == whole.data.metrics["star_source/distance"]


@pytest.mark.parametrize(
    ("method", "bn", "more"),
    [
        ("weights", "interpolate", []),
        ("activations", "repair", ["--num_matching_images=200"]),
        ("sinkhorn", "nearest", ["--sinkhorn_steps=10", "--sinkhorn_objective=midpoint", "--star_init=mean"]),
    ],
)
def test_sources_are_aligned_by_every_method_and_segments_measured_under_every_policy(
    store: MlflowClient, networks: list[str], method: str, bn: str, more: list[str]
) -> None:
    a, b, c = networks[:3]
    flags = [*STAR, "--epochs=2", f"--match_method={method}", f"--bn={bn}", *more]
    assert main([f"--sources={a},{b}", f"--held_out={c}", *flags]) == 0
    (run,) = runs_of_kind(store, "star")
    assert run.data.params["segments.match_method"] == method
    assert run.data.params["judging.bn"] == bn
    with np.load(store.download_artifacts(run.info.run_id, "permutations.npz")) as orders:
        assert any((order != np.arange(len(order))).any() for order in orders.values())
    # Training keeps no statistics of batch norm: the star has those of its training images under every policy.
    assert load_network(store, run.info.run_id).state["norm1.running_mean"].abs().max() > 0
    table = contents(store, run.info.run_id, "segments.json")
    points = pd.DataFrame(table["data"], columns=table["columns"])
    for row in points[points["alpha"] == 1].to_dict("records"):  # none but recalibration changes a network itself
        logged = store.get_run(row["run_b"]).data.metrics
        assert row["loss"] == pytest.approx(logged["test/loss"], rel=1e-5)
        assert row["accuracy"] == logged["test/accuracy"]


def test_what_cannot_be_joined_is_refused_in_one_line_before_a_run_is_opened(
    store: MlflowClient, networks: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_pair([*QUICK, MODEL, "--seed=9", "--epochs=1"]) == 0  # another shift: other subsets
    assert train_pair([*TRAINED, "--model=mlp_l1_w8", "--seed=9"]) == 0
    other_subset, other_width = (runs_of_kind(store, "endpoint")[i].info.run_id for i in (4, 6))
    a, b, c = networks[:3]
    cases = {
        f"--sources={a}": "sources: name at least two different runs",
        f"--sources={a},{a[:9]}": "two of the ids are of one run",
        f"--sources={a},{other_width}": "model: mlp_l1_w16_bn vs mlp_l1_w8",
        f"--sources={a},{other_subset}": "was trained on another subset",
        f"--sources={a},{b} --held_out={b}": "is a source and held out",
        f"--sources={a},{'0' * 32}": "does not exist",
        "--source_query=tags.`lmc.seed`='77'": "finds 0 networks; a star joins at least 2",
        "--star_seed=1": "give either sources=",
        f"--sources={a},{b} --optimizer=sdg": "did you mean 'sgd'",
        f"--sources={a},{b} --beta_a=2": "beta_a and beta_b belong to t_distribution=beta",
        f"--sources={a},{b} --match_every=0 --match_method=activations": "belongs to a match_every above 0",
        f"--sources={a},{b} --match_method=activations --max_sweeps=5": "max_sweeps belongs to match_method=weights",
        f"--sources={a},{b} --sinkhorn_steps=5": "sinkhorn_steps belongs to match_method=sinkhorn",
        f"--sources={a},{b} --bn=repiar": "did you mean 'repair'",
        f"--sources={a},{b} --held_out={c} --max_held_out=1": "max_held_out belongs to a query",
    }
    for flags, message in cases.items():
        capsys.readouterr()
        assert main([*flags.split(), *HERE]) == 1, flags
        told = capsys.readouterr().err.strip().splitlines()
        assert len(told) == 1, told
        assert message in told[0]
    assert runs_of_kind(store, "star") == []


def test_without_matching_and_from_the_first_source_nothing_is_permuted(
    store: MlflowClient, networks: list[str]
) -> None:
    flags = [*STAR, "--epochs=1", "--match_every=0", "--star_init=first", "--star_data=side_a", "--own_loss_weight=1"]
    query_of_both = ["--source_query=tags.`lmc.side` = 'A'", "--held_out_query=tags.`lmc.seed` = '1'"]
    assert main([*flags, *query_of_both]) == 0
    (run,) = runs_of_kind(store, "star")
    assert (run.data.tags["lmc.num_sources"], run.data.tags["lmc.side"]) == ("2", "A")
    assert run.data.tags["lmc.held_out"] == networks[1]  # side A of seed 1 is a source
    metrics = run.data.metrics
    assert metrics["star_source/distance"] == metrics["star_source/distance_unaligned"]
    with np.load(store.download_artifacts(run.info.run_id, "permutations.npz")) as arrays:
        assert arrays.files == []
