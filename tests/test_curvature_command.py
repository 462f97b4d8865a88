"""`curvature` measures pairs, paths and any two networks, resumes, and refuses what it cannot use in one line."""

import json

import pandas as pd
import pytest
from conftest import runs_of_kind
from mlflow import MlflowClient

import lmc_mlflow as lmc
from entry_points.curvature import main
from lmc_mlflow.query import curvatures
from lmc_mlflow.results.networks import Pair

OPTIONS = {"dataset": "digits", "epochs": 2, "device": "cpu", "threads": 1}
FAST = {"num_images": 40, "num_probes": 4, "device": "cpu", "threads": 1}
HERE = ("--num_images=40", "--num_probes=4", "--device=cpu", "--threads=1")


@pytest.fixture
def pair(store: MlflowClient) -> Pair:
    return lmc.train_pair(shift="label_2080", model="mlp_l1_w8", seed=1, **OPTIONS)


def test_a_pair_is_measured_at_its_ends_and_halfway_and_found_again(
    store: MlflowClient,
    pair: Pair,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([f"--pair={pair.run_id}", *HERE]) == 0
    printed = capsys.readouterr().out
    assert "eigenvalue" in printed
    assert "midpoint" in printed
    assert main([f"--run_a={pair.a.run_id}", f"--run_b={pair.b.run_id}", *HERE]) == 0
    assert "finished before" in capsys.readouterr().out
    (run,) = runs_of_kind(store, "curvature")
    metrics = run.data.metrics
    own = (metrics["train_a/eigenvalue_a"] + metrics["train_b/eigenvalue_b"]) / 2
    assert metrics["ends/eigenvalue"] == metrics["headline"] == pytest.approx(own)
    assert metrics["train_a/trace_low_midpoint"] < metrics["train_a/trace_midpoint"]
    assert run.data.tags["lmc.pair"] == pair.run_id
    (row,) = curvatures().to_dict(orient="records")
    assert (row["pair"], row["run_a"], row["num_images"]) == (pair.run_id, pair.a.run_id, 40)
    assert row["ends/adaptive_sharpness"] == metrics["ends/adaptive_sharpness"] > 0


def test_layers_points_and_all_images_are_as_asked_for(pair: Pair) -> None:
    found = lmc.curvature(
        pair, points="path", num_alphas=3, layers=True, measures=["eigenvalue"], splits=["test"], **FAST
    )
    table, layers = found.frame(), found.frame(layers=True)
    assert list(table["alpha"]) == [0.0, 0.5, 1.0]
    assert set(table["split"]) == {"test"}
    assert list(layers["layer"])[:2] == ["linear1", "linear2"]
    for alpha, part in layers.groupby("alpha"):  # a block has no larger eigenvalue than the whole
        whole = float(table.loc[table["alpha"] == alpha, "eigenvalue"].iloc[0])
        assert part["eigenvalue"].max() <= whole * (1 + 1e-5)
    everything = lmc.curvature(
        pair, points="ends", splits=["test"], measures=["eigenvalue"], device="cpu", threads=1, num_images=10**6
    )
    logged = pair.a.metrics["test/loss"]
    assert everything.metrics["test/loss_a"] == pytest.approx(logged, rel=1e-5)
    assert found.figure().get_suptitle()


def test_a_path_gives_its_networks_and_its_policy(store: MlflowClient) -> None:
    pair = lmc.train_pair(shift="label_2080", model="mlp_l1_w8_bn", seed=1, **OPTIONS)
    path = lmc.interpolate(pair, num_alphas=3, bn="recalibrate", device="cpu", threads=1)
    found = lmc.curvature(path, measures=["eigenvalue"], **FAST)
    (run,) = runs_of_kind(store, "curvature")
    assert run.data.tags["lmc.bn"] == "recalibrate"
    assert lmc.curvature(pair, bn="recalibrate", measures=["eigenvalue"], **FAST).run_id == found.run_id
    other = lmc.curvature(pair, measures=["eigenvalue"], **FAST)
    assert other.metrics["train_a/eigenvalue_midpoint"] != found.metrics["train_a/eigenvalue_midpoint"]
    by_batch = lmc.interpolate(pair, num_alphas=3, bn="batch", device="cpu", threads=1)
    with pytest.raises(ValueError, match="bn=batch changes more than parameters; give run_a, run_b and bn"):
        lmc.curvature(by_batch, **FAST)
    aligned = lmc.interpolate(pair, num_alphas=3, align="weights", device="cpu", threads=1)
    with pytest.raises(ValueError, match=f"align run_a={pair.a.run_id} run_b={pair.b.run_id} method=weights"):
        lmc.curvature(aligned, **FAST)
    curve = lmc.interpolate(pair, num_alphas=3, path="bezier", bn="nearest", curve_epochs=1, device="cpu", threads=1)
    with pytest.raises(ValueError, match="is a bezier curve, and curvature is measured on the segment"):
        lmc.curvature(curve, **FAST)
    ends = lmc.curvature(curve, measures=["eigenvalue"], points="ends", **FAST)
    assert ends.metrics["ends/eigenvalue"] == other.metrics["ends/eigenvalue"]


def test_an_interrupted_measurement_goes_on_after_its_last_piece(
    store: MlflowClient,
    pair: Pair,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import lmc_mlflow.workflows.curvature.points as points

    real, seen = points.measure_loss, []

    def stops_at_the_third(*args: object) -> dict[str, float]:
        seen.append(1)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(points, "measure_loss", stops_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        lmc.curvature(pair, **FAST)
    (run,) = runs_of_kind(store, "curvature")
    assert run.info.status != "RUNNING"
    monkeypatch.setattr(points, "measure_loss", lambda *args: seen.append(1) or real(*args))
    resumed = lmc.curvature(pair, **FAST)
    assert (resumed.how, resumed.run_id, len(seen)) == ("resumed", run.info.run_id, 3 + 4)  # two of six were kept
    whole = lmc.curvature(pair, force=True, **FAST)
    assert whole.run_id != resumed.run_id
    pd.testing.assert_frame_equal(whole.frame(), resumed.frame())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--pair=x", "--path=y"], "give one of pair="),
        (["--run_a=x"], "give one of pair="),
        (["--pair=x", "--num_alphas=5"], "num_alphas=5 belongs to points=path"),
        (["--pair=x", "--measures="], "measures=: name at least one"),
        (["--pair=x", "--splits=test,test"], "splits=test,test: name at least one, each once"),
        (["--path=x", "--bn=nearest"], "bn=nearest: a path has its own"),
        (["--pair=x", "--measures=flatness"], "measures 'flatness' is unknown"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_loaded(
    store: MlflowClient, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(flags) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not runs_of_kind(store, "curvature")


def test_a_run_that_is_no_path_is_named(pair: Pair) -> None:
    with pytest.raises(ValueError, match=f"run {pair.run_id} is a pair, no path"):
        lmc.curvature(path=pair.run_id)


def test_one_training_subset_is_measured_once(store: MlflowClient) -> None:
    one, two = (lmc.train_pair(shift="none", model="mlp_l1_w8", seed=seed, **OPTIONS) for seed in (1, 2))
    found = lmc.curvature(one.a, two.a, measures=["eigenvalue"], points="ends", **FAST)
    assert set(found.frame()["split"]) == {"train_a"}
    metrics = found.metrics
    mean = (metrics["train_a/eigenvalue_a"] + metrics["train_a/eigenvalue_b"]) / 2
    assert metrics["ends/eigenvalue"] == pytest.approx(mean)
    (run,) = runs_of_kind(store, "curvature")
    assert len(run.inputs.dataset_inputs) == 1
    assert json.loads(json.dumps(found.summary()))["ends/eigenvalue"]


def test_pairs_and_their_curvatures_are_joined_in_figures_and_in_table_i(store: MlflowClient) -> None:
    from lmc_mlflow import plots, query
    from lmc_mlflow.findings.condition_table import prepare
    from lmc_mlflow.papers.hepburn.ensemble_tables import table_i
    from lmc_mlflow.plots.missing import missing_command
    from lmc_mlflow.workflows.report.report import read_frames

    blank = plots.angle_against_sharpness(query.paths(), curvatures())
    assert "curvature -P pair=" in missing_command(blank)
    eigenvalues = []
    for seed in (1, 2):
        pair = lmc.train_pair(shift="label_2080", model="mlp_l1_w8", **OPTIONS | {"epochs": 8}, seed=seed)
        lmc.interpolate(pair, num_alphas=3, device="cpu", threads=1)
        lmc.ensemble(pair, num_alphas=3, device="cpu", threads=1)
        eigenvalues.append(lmc.curvature(pair, **FAST).metrics["ends/eigenvalue"])
    angles = plots.angle_against_sharpness(query.paths(), curvatures(), "eigenvalue")
    drawn = sorted(float(x) for line in angles.axes[0].lines for x in line.get_xdata())
    assert drawn == pytest.approx(sorted(eigenvalues))
    others = query.paths().assign(connected="no", path="bezier", start_time=0)  # measured before, along curves
    both = pd.concat([others, query.paths()], ignore_index=True)
    again = plots.angle_against_sharpness(both, curvatures(), "eigenvalue")
    assert [line.get_fillstyle() for line in again.axes[0].lines] == [
        line.get_fillstyle() for line in angles.axes[0].lines
    ]
    assert len(plots.diversity_against_sharpness(query.ensembles(), curvatures()).axes) == 3
    rows = table_i(prepare(read_frames(()), {}))
    (row,) = rows[rows["n"] > 0].to_dict(orient="records")
    assert row["recipe"] == "LMC, B <= 512"
    assert row["eigenvalue"] == pytest.approx(sum(eigenvalues) / 2)
    assert row["adaptive_sharpness"] > 0
    with pytest.raises(ValueError, match="there are eigenvalue, trace"):
        plots.angle_against_sharpness(query.paths(), curvatures(), "flatness")
