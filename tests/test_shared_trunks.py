"""Shared epochs are trained once for all shifts whose shared images are the same, and found in earlier stores."""

import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from mlflow.entities import Run
from torch import Tensor

from entry_points.sweep import main as sweep
from entry_points.train_pair import main as train_pair
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.flags import parse_flags
from lmc_mlflow.data.loading import load_shifted
from lmc_mlflow.query.networks import load_network
from lmc_mlflow.workflows.pair.starting.trunk import Trunk

OF_A = [*QUICK, "--shared_epochs=2", "--shared_data=A"]


def trunks(store: MlflowClient) -> list[Run]:
    return [run for run in runs_of_kind(store, "endpoint") if "mlflow.parentRunId" not in run.data.tags]


def last_b(store: MlflowClient) -> dict[str, Tensor]:
    """Weights of side B of the last pair."""
    pair = runs_of_kind(store, "pair")[-1].info.run_id
    (run,) = (
        run
        for run in runs_of_kind(store, "endpoint")
        if run.data.tags.get("mlflow.parentRunId") == pair and run.data.tags["lmc.side"] == "B"
    )
    return load_network(store, run.info.run_id).state


def test_a_trunk_on_the_same_images_is_one_whatever_the_shift_is_called(store: MlflowClient) -> None:
    for shift in ("label_5050", "rotate_30", "corrupt_blur_3"):
        assert train_pair([*OF_A, f"--shift={shift}"]) == 0
    (trunk,) = trunks(store)
    pairs = runs_of_kind(store, "pair")
    assert [pair.data.tags["lmc.start"] for pair in pairs] == [trunk.info.run_id] * 3
    assert len({pair.data.tags["lmc.fingerprint"] for pair in pairs}) == 3
    shared = last_b(store)
    store.delete_run(trunk.info.run_id)
    assert train_pair([*OF_A, "--shift=corrupt_blur_3", "--force=true"]) == 0  # a trunk of its own
    alone = last_b(store)
    assert all(torch.equal(shared[name], alone[name]) for name in shared)


@pytest.mark.parametrize(
    "flag", ["--shift=label_2080", "--split_seed=1", "--shared_data=both", "--seed=2", "--lr=0.01"]
)
def test_another_subset_or_setting_is_another_trunk(store: MlflowClient, flag: str) -> None:
    assert train_pair(OF_A) == 0
    assert train_pair([*OF_A, flag]) == 0
    assert len(trunks(store)) == 2


def test_a_trunk_of_an_earlier_version_is_found_and_gone_on_from(store: MlflowClient) -> None:
    assert train_pair(OF_A) == 0
    config = parse_flags("train_pair", TrainPairConfig, OF_A)
    data = load_shifted(config.data, torch.device("cpu"))
    now, before = Trunk(config, data, ()).identities()
    (trunk,) = trunks(store)
    assert now.items() <= trunk.data.tags.items()
    # the digest was computed by the version before, which knew the shift by its name
    assert before["lmc.fingerprint"] == "70b91f9aeecfda28"
    store.set_tag(trunk.info.run_id, "lmc.fingerprint", before["lmc.fingerprint"])
    assert train_pair([*OF_A, "--noise=different"]) == 0
    assert len(trunks(store)) == 1
    assert train_pair([*OF_A, "--shared_epochs=3"]) == 0
    _, longer = trunks(store)
    assert longer.data.tags["lmc.start"] == trunk.info.run_id


GRID = """
seeds: [1]
defaults: {model: mlp_l1_w8, epochs: 2, c2st_samples: 0, shared_epochs: 1, shared_data: A}
cells:
  - shift: [label_5050, rotate_30]
"""


def test_a_sweep_trains_a_trunk_once_for_several_shifts(store: MlflowClient, tmp_path) -> None:
    grid = tmp_path / "shifts.yaml"
    grid.write_text(GRID)
    assert sweep([f"--grid={grid}", "--device=cpu", "--threads=1", "--processes=2"]) == 0
    assert len(trunks(store)) == 1
    assert {run.info.status for run in runs_of_kind(store, "pair")} == {"FINISHED"}
