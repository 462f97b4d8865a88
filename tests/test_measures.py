"""The measures of a point: hand-worked numbers, for every kind of labels and however the batches fall."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lmc_mlflow.paths.measures import CLASSES, FRACTION, MEASURES, SEVERAL_LABELS, RowBuilder, measures_for
from lmc_mlflow.predictions.scores import score_name

KINDS = {CLASSES: torch.tensor([0, 1]), SEVERAL_LABELS: torch.tensor([[0, 1], [1, 1]])}


def row_of(outputs: Tensor, labels: Tensor, batch_size: int) -> dict[str, float]:
    builder = RowBuilder(labels)
    for part, truth in zip(outputs.split(batch_size), labels.split(batch_size), strict=True):
        builder.add(part, truth)
    return dict(builder.row())


@pytest.mark.parametrize("labels", KINDS.values(), ids=list(KINDS))
def test_every_kind_of_labels_has_the_loss_and_one_score(labels: Tensor) -> None:
    names = list(measures_for(labels))
    assert names[:2] == ["loss", score_name(labels)]
    assert len({"accuracy", "average_precision"} & set(names)) == 1


@pytest.mark.parametrize("batch_size", [1, 3, 4])
def test_numbers_do_not_depend_on_the_batches(batch_size: int) -> None:
    # Probabilities of class 0: 0.9, 0.79, 0.61, 0.25; the second and the third are wrong.
    first = torch.tensor([0.9, 0.79, 0.61, 0.25], dtype=torch.float64)
    outputs, labels = torch.stack([first, 1 - first], dim=1).log().float(), torch.tensor([0, 1, 1, 1])
    found = row_of(outputs, labels, batch_size)
    assert found["loss"] == pytest.approx(-(math.log(0.9) + math.log(0.21) + math.log(0.39) + math.log(0.75)) / 4)
    assert found["accuracy"] == 0.5
    # Of 15 bins 0.9 lies in the 14th (right), 0.79 and 0.75 in the 12th (wrong, right), 0.61 in the 10th (wrong).
    assert found["ece"] == pytest.approx((0.1 + abs(0.79 + 0.75 - 1) + 0.61) / 4, abs=1e-6)
    assert set(found) == {"loss", "accuracy", "ece"}  # each with its number above


def test_outputs_that_are_no_numbers_have_no_calibration_error() -> None:
    outputs = torch.tensor([[math.nan, math.nan], [-0.1, -2.0]])
    assert math.isnan(row_of(outputs, torch.tensor([0, 1]), 2)["ece"])


def test_several_labels_an_image_have_a_loss_and_an_average_precision_alone() -> None:
    assert list(measures_for(KINDS[SEVERAL_LABELS])) == ["loss", "average_precision"]


def test_a_barrier_of_a_measure_is_how_much_worse_the_worst_point_is_than_the_ends() -> None:
    assert MEASURES["loss"].barrier(np.array([1.0, 5.0, 2.0])) == 3.5
    assert MEASURES["accuracy"].barrier(np.array([0.9, 0.2, 0.7])) == pytest.approx(0.6)


@pytest.mark.parametrize("name", list(MEASURES))
def test_every_measure_says_its_unit_on_the_axis(name: str) -> None:
    measure = MEASURES[name]
    assert measure.axis_label.endswith("(%)" if measure.unit == FRACTION else f"({measure.unit})")
    assert set(measure.kinds) <= set(KINDS)
