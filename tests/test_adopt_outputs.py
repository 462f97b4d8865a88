"""What an adopted network gives is compared with what the command says of it."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.models.registry import NetworkSpec
from lmc_mlflow.workflows.adopt import fit

ENDS: dict[str, nn.Module] = {
    "logits": nn.Identity(),
    "softmax": nn.Softmax(dim=1),
    "log_softmax": nn.LogSoftmax(dim=1),
    "sigmoid": nn.Sigmoid(),
    "log_sigmoid": nn.LogSigmoid(),
    "nan": nn.Threshold(9.0, float("nan")),
}


def check(end: str, gives: str, several: bool) -> str:
    """Check a linear layer of 3 classes with an end, for one label or several; return the refusal, or nothing."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Flatten(), nn.Linear(16, 3), ENDS[end])
    labels = torch.zeros(8, 3) if several else torch.zeros(8, dtype=torch.int64)
    output = "logits" if several else "log_probabilities"
    spec = NetworkSpec("nets:build", 1, 4, 4, 3, output=output, gives=gives)
    data: Any = SimpleNamespace(test=SimpleNamespace(images=ResidentImages(torch.randn(8, 1, 4, 4)), labels=labels))
    try:
        fit._check_output(fit.ForeignNetwork(body, nn.Identity()), gives, spec, data)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("end", "gives", "several"),
    [
        ("logits", "logits", False),
        ("log_softmax", "logits", False),
        ("log_softmax", "log_probabilities", False),
        ("softmax", "probabilities", False),
        ("logits", "logits", True),
        ("sigmoid", "probabilities", True),
    ],
)
def test_what_is_true_is_taken(end: str, gives: str, several: bool) -> None:
    assert check(end, gives, several) == ""


@pytest.mark.parametrize(
    ("end", "gives", "several", "words"),
    [
        ("softmax", "logits", False, "give output=probabilities"),
        ("softmax", "log_probabilities", False, "give output=probabilities"),
        ("logits", "log_probabilities", False, "do not sum to 1"),
        ("logits", "probabilities", False, "numbers that are none"),
        ("sigmoid", "probabilities", False, "numbers that are none"),
        ("sigmoid", "logits", True, "give output=probabilities"),
        ("log_sigmoid", "log_probabilities", True, "several labels"),
        ("logits", "probabilities", True, "numbers that are none"),
        ("nan", "logits", False, "is no number"),
    ],
)
def test_what_would_give_a_wrong_loss_is_refused(end: str, gives: str, several: bool, words: str) -> None:
    assert words in check(end, gives, several)
