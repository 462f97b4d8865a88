"""Outputs that are no log-probabilities, and names that ask for pretrained weights, are refused in one line."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from torch import nn

from entry_points.train_pair import main as train_pair
from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.models.families import check_model
from lmc_mlflow.models.libraries.timm_networks import check_timm, timm_network
from lmc_mlflow.paths.barriers import alpha_grid
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.engines.table import PATH_ENGINES
from lmc_mlflow.paths.plane import RowMeasurer
from lmc_mlflow.paths.walk import measure_path
from lmc_mlflow.predictions.ensembles import score_ensemble
from lmc_mlflow.predictions.scores import check_outputs

PIXELS = torch.ones(6, 1, 1, 2)
IMAGES, LABELS = ResidentImages(PIXELS), torch.tensor([0, 1, 2, 0, 1, 2])
REFUSED = r"no log-probabilities: their exponentials sum to \S+, not to 1; end the network with nn.LogSoftmax"


def network(*last: nn.Module) -> nn.Module:
    """Three outputs; without a last module they are logits."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3), *last)


def walk(engine: str) -> Callable[[nn.Module], object]:
    def measure(of: nn.Module) -> object:
        segment = Segment(of.state_dict(), {name: 2 * value for name, value in of.state_dict().items()})
        return measure_path(of, segment, alpha_grid(3), {"test": (IMAGES, LABELS)}, "interpolate", engine=engine)

    return measure


def plane(of: nn.Module) -> object:
    state = of.state_dict()
    corners = [
        {n: v + i * torch.randn(v.shape, generator=torch.manual_seed(i)) for n, v in state.items()} for i in range(3)
    ]
    return RowMeasurer(of, tuple(corners), (2, 0.0), {"test": (IMAGES, LABELS)}, "interpolate")


def ensemble(of: nn.Module) -> object:
    outputs = of(PIXELS).detach().numpy()
    return score_ensemble(np.stack([outputs, outputs]), LABELS.numpy(), 0, 0.95, np.random.default_rng(0))


DOORS = {
    "evaluate": lambda of: evaluate(of, IMAGES, LABELS),
    **{f"{engine} path": walk(engine) for engine in PATH_ENGINES},
    "plane": plane,
    "ensemble": ensemble,
}


@pytest.mark.parametrize("door", sorted(DOORS))
def test_logits_are_refused_at_every_door(door: str) -> None:
    with pytest.raises(ValueError, match=REFUSED):
        DOORS[door](network())
    DOORS[door](network(nn.LogSoftmax(dim=1)))


def test_what_is_no_sum_of_probabilities_is_told_by_its_number() -> None:
    halves = torch.tensor([[0.5, 0.5]]).log()
    check_outputs(halves, torch.tensor([0]))
    with pytest.raises(ValueError, match="sum to 2, not to 1"):
        check_outputs(torch.zeros(1, 2), torch.tensor([0]))


def test_logits_of_several_labels_and_diverged_networks_pass() -> None:
    check_outputs(torch.zeros(1, 2), torch.tensor([[1, 0]]))
    check_outputs(torch.full((1, 2), torch.nan), torch.tensor([0]))
    check_outputs(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))


def test_a_tag_of_pretrained_weights_is_refused_before_a_run_is_opened(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_pair([*QUICK, "--model=timm:resnet18.a1_in1k"]) == 1
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert (
        "'a1_in1k' names pretrained weights, and networks start from random ones here; give model=timm:resnet18" in told
    )
    assert not runs_of_kind(store, "pair")
    assert check_timm("timm:resnet18") == "resnet18"
    with pytest.raises(ValueError, match="names pretrained weights"):
        check_model("timm:resnet18.a1_in1k")
    assert timm_network(
        "timm:resnet10t.c3_in1k", "", (3, 32, 32), 10, nn.Identity()
    )  # an earlier version's still loads
