"""The plane through three networks has the right geometry and is logged as the contract says."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from torch import nn

from entry_points.plane import main
from entry_points.train_pair import main as train_pair
from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.models.parameters import trainable
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.paths.curves import barycentric_point, clip_to_triangle
from lmc_mlflow.paths.engines.table import PATH_ENGINES
from lmc_mlflow.paths.plane import Plane, RowMeasurer, join_rows
from lmc_mlflow.query.verified_artifacts import download_verified

HERE = ["--device=cpu", "--threads=1"]
CORNERS = tuple({"w": torch.tensor(values)} for values in ([1.0, 0.0, 0.0], [4.0, 0.0, 4.0], [1.0, 2.0, 0.0]))


def test_a_is_the_origin_b_lies_on_the_first_axis_and_lengths_are_kept() -> None:
    plane = Plane.through(CORNERS, ["w"])
    assert plane.b == 5.0  # (3, 0, 4)
    assert plane.c == pytest.approx((0.0, 2.0))  # at right angles to it
    slanted = Plane.through((CORNERS[0], CORNERS[1], {"w": torch.tensor([4.0, 2.0, 4.0])}), ["w"])
    assert slanted.c == pytest.approx((5.0, 2.0))


def test_barycentric_weights_are_one_at_their_own_corner_and_negative_beyond_an_edge() -> None:
    plane = Plane.through(CORNERS, ["w"])
    assert plane.shares(0, 0) == (1, 0, 0)
    assert plane.shares(5, 0) == (0, 1, 0)
    assert plane.shares(0, 2) == pytest.approx((0, 0, 1))
    assert plane.shares(5, 2) == pytest.approx((-1, 1, 1))
    assert clip_to_triangle((-1.0, 1.0, 1.0)) == (0, 0.5, 0.5)
    assert barycentric_point(CORNERS, (-1.0, 1.0, 1.0))["w"].tolist() == [4.0, 2.0, 4.0]


def test_counts_are_copied_and_not_mixed() -> None:
    corners = tuple({"n": torch.tensor(n)} for n in (3, 5, 7))
    assert barycentric_point(corners, (0.0, 1.0, 0.0))["n"] == 3


def test_the_grid_has_room_around_the_three() -> None:
    xs, ys = Plane(5.0, (-1.0, 2.0)).axes(3, 0.5)
    assert xs.tolist() == [-4.0, 2.0, 8.0]
    assert ys.tolist() == [-1.0, 1.0, 3.0]


def test_three_networks_on_one_line_make_no_plane() -> None:
    between = {"w": torch.tensor([2.5, 0.0, 2.0])}
    with pytest.raises(ValueError, match="lie on one line"):
        Plane.through((CORNERS[0], CORNERS[1], between), ["w"])
    with pytest.raises(ValueError, match="lie on one line"):
        Plane.through((CORNERS[0], CORNERS[0], CORNERS[1]), ["w"])


@pytest.mark.parametrize("bn", ["recalibrate", "interpolate"])
def test_every_point_is_the_network_that_its_weights_make(bn: str) -> None:
    spec = NetworkSpec("mlp_l2_w5_4_bn", 1, 2, 2, 3)
    networks = [build_network(spec, seed) for seed in (1, 2, 3)]
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(40, 1, 2, 2, generator=generator)
    labels = torch.randint(3, (40,), generator=generator)
    for network in networks:
        network.train()(images + torch.rand(1, generator=generator))  # statistics of their own
    corners = tuple({k: v.clone() for k, v in network.state_dict().items()} for network in networks)
    data = {"test": (ResidentImages(images), labels)}
    measurer = RowMeasurer(networks[0], corners, (3, 0.3), data, bn, ResidentImages(images))
    rows = {index: measurer.row(index) for index in range(3)}
    surface = join_rows(Plane.through(corners, trainable(networks[0])), (3, 0.3), rows)
    assert surface.engine == "fast"
    for row, column in ((0, 0), (1, 1), (2, 2)):
        shares = surface.plane.shares(surface.xs[column], surface.ys[row])
        state = barycentric_point(corners, shares)
        kept = barycentric_point(corners, clip_to_triangle(shares))
        network = build_network(spec, 0).eval()
        network.load_state_dict(state | {name: kept[name] for name, _ in network.named_buffers()})
        if bn == "recalibrate":
            norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d)]
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None
            network.train()(images)
        loss, accuracy = evaluate(network.eval(), *data["test"])
        assert surface.losses[row, column] == pytest.approx(loss, abs=1e-5)
        assert surface.scores[row, column] == accuracy
    assert np.isfinite(surface.losses).all()


@pytest.mark.parametrize("method", ["weights", "activations", "sinkhorn"])
def test_a_plane_is_logged_before_and_after_alignment(store: MlflowClient, tmp_path: Path, method: str) -> None:
    assert train_pair([*QUICK, "--init=different", "--shift=none", "--seeds=1,20"]) == 0
    a, b, c, _ = (run.info.run_id for run in runs_of_kind(store, "endpoint"))
    flags = [f"--run_a={a}", f"--run_b={b}", f"--run_c={c}", "--num_points=3", f"--align={method}", *HERE]
    assert main(flags) == 0
    run = runs_of_kind(store, "plane")[0]
    assert run.info.status == "FINISHED"
    files = download_verified(store, run, ["plane.csv", "points.json", "figures/plane.png"], tmp_path)
    table = pd.read_csv(files["plane.csv"])
    assert len(table) == 2 * 3 * 3
    assert (table[["weight_a", "weight_b", "weight_c"]].sum(axis=1) - 1).abs().max() < 1e-9
    points = json.loads(files["points.json"].read_text())
    metrics = run.data.metrics
    for panel, prefix in (("aligned", ""), ("unaligned", "unaligned/")):
        assert points[panel]["A"] == [0, 0]
        assert math.hypot(*points[panel]["C"]) == pytest.approx(metrics[f"{prefix}length_ac"])
    assert metrics["length_ab"] < metrics["unaligned/length_ab"]
    for key, end in zip(("loss_a", "loss_b", "loss_c"), (a, b, c), strict=True):
        assert metrics[key] == pytest.approx(store.get_run(end).data.metrics["test/loss"], abs=1e-5)


def interrupted_after(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process get a Ctrl-C while it measures the row after these."""
    done = []
    engine = PATH_ENGINES["fast"]

    def stopped(*args: Any, **kwargs: Any) -> Any:
        if len(args[2]) == POINTS:  # a row, and no edge
            if len(done) == rows:
                raise KeyboardInterrupt
            done.append(1)
        return engine(*args, **kwargs)

    monkeypatch.setitem(PATH_ENGINES, "fast", stopped)


POINTS = 4


def test_an_interrupted_plane_goes_on_under_its_id_and_a_finished_one_is_not_measured_again(
    store: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_pair([*QUICK, "--init=different", "--shift=none", "--seeds=1,20"]) == 0
    a, b, c, _ = (run.info.run_id for run in runs_of_kind(store, "endpoint"))
    wanted = [f"--run_a={a}", f"--run_b={b}", f"--run_c={c}", f"--num_points={POINTS}", "--align=weights", *HERE]
    with pytest.MonkeyPatch.context() as patch:
        interrupted_after(6, patch)  # two rows into the second panel
        assert main(wanted) != 0
    (stopped,) = runs_of_kind(store, "plane")
    assert stopped.info.status == "KILLED"
    with pytest.MonkeyPatch.context() as patch:
        interrupted_after(2, patch)  # a third row would be one too many
        assert main(wanted) == 0
    assert "(resumed)" in capsys.readouterr().out
    (resumed,) = runs_of_kind(store, "plane")
    assert (resumed.info.run_id, resumed.info.status) == (stopped.info.run_id, "FINISHED")
    assert store.list_artifacts(resumed.info.run_id, "resume") == []
    assert main(wanted) == 0
    assert f"plane {resumed.info.run_id} (finished before)" in capsys.readouterr().out
    assert main([*wanted, "--force=true"]) == 0
    _, whole = runs_of_kind(store, "plane")
    first, second = (
        pd.read_csv(store.download_artifacts(run.info.run_id, "plane.csv", str(tmp_path))) for run in (resumed, whole)
    )
    pd.testing.assert_frame_equal(first, second)
    assert resumed.data.metrics == whole.data.metrics
    swapped = [f"--run_a={b}", f"--run_b={a}", *wanted[2:]]  # another plane: A is its origin
    assert main(swapped) == 0
    assert len(runs_of_kind(store, "plane")) == 3


def test_three_different_networks_are_asked_for(store: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run_a=a", "--run_b=b", *HERE]) == 1
    assert "give three different networks" in capsys.readouterr().err
    assert not runs_of_kind(store, "plane")
