"""Differences of means have the t intervals that tables print, and no difference needs two one-sided tests."""

import math

import pandas as pd
import pytest
from conftest import ROOT

from lmc_mlflow.findings.differences import Estimate, Sample, contrast_of, difference, mean_of

T_975 = {1: 12.7062, 2: 4.3027, 4: 2.7764, 8: 2.3060}
"""Degrees of freedom -> 97.5 % quantile of Student's t, as printed in every table of it."""
T_95 = {8: 1.8595}


def test_a_mean_has_the_interval_of_student() -> None:
    found = mean_of(pd.Series([1.0, 2.0, 3.0, math.nan]))
    assert (found.value, found.n, found.freedom) == (2, 3, 2)
    half = T_975[2] / math.sqrt(3)  # the deviation is 1
    assert found.interval() == pytest.approx((2 - half, 2 + half), abs=1e-4)
    assert found.text(2, " nats") == "2.00 [-0.48, 4.48] nats"


def test_a_difference_is_welchs() -> None:
    found = difference(pd.Series([3.0, 5.0]), pd.Series([1.0, 1.0, 1.0]))
    # The second sample has no spread: one degree of freedom of the first, error sqrt(2 / 2).
    assert (found.value, found.error, found.freedom, found.n) == (3, 1, 1, 2)
    assert found.interval()[1] == pytest.approx(3 + T_975[1], abs=1e-4)
    equal = contrast_of((1, -1), (Sample(1, 0.5, 5), Sample(0, 0.5, 5)))
    assert (equal.freedom, equal.error) == (pytest.approx(8), pytest.approx(0.5 * math.sqrt(2 / 5)))


def test_two_standard_errors_of_two_seeds_are_no_difference() -> None:
    # With two degrees of freedom 18 % of differences exceed two errors by chance, and 10 % exceed three.
    found = contrast_of((1, -1), (Sample(0.3, 0.1, 2), Sample(0.0, 0.1, 2)))
    assert found.value == pytest.approx(3 * found.error)
    assert found.direction() == 0
    assert contrast_of((1, -1), (Sample(0.5, 0.1, 2), Sample(0.0, 0.1, 2))).direction() == 1  # 5 errors; t is 4.30


def test_a_direction_needs_a_known_error_and_a_size_of_consequence() -> None:
    assert contrast_of((1,), (Sample(0.5, math.nan, 1),)).direction() is None
    assert contrast_of((1,), (Sample(0.5, math.nan, 3),)).direction() is None
    certain = contrast_of((1, -1), (Sample(0.005, 0.0, 2), Sample(0.0, 0.0, 2)))
    assert [certain.direction(), certain.direction(0.01)] == [1, 0]
    assert Estimate(-1, 0.1, 4, 5).direction() == -1


def test_a_side_is_that_of_the_whole_interval() -> None:
    above, across, below = (Estimate(value, 0.01, 4, 5) for value in (0.13, 0.12, 0.07))  # half an interval is 0.028
    assert [found.side(0.1) for found in (above, across, below)] == [1, 0, -1]
    unknown = contrast_of((1,), (Sample(0.2, math.nan, 3),))
    assert unknown.side(0.1) == 1  # by the value alone
    assert contrast_of((1,), (Sample(math.nan, math.nan, 3),)).side(0.1) is None


def test_no_difference_needs_two_tests_a_margin_and_three_values() -> None:
    found = Estimate(0.2, 0.4, 8, 5)
    assert 0.2 + T_95[8] * 0.4 == pytest.approx(0.944, abs=1e-3)
    assert [found.no_difference(margin) for margin in (1.0, 0.9)] == [1, 0]
    assert Estimate(0.2, 0.4, 8, 2).no_difference(1.0) == 0
    assert Estimate(2.0, 0.4, 8, 5).no_difference(1.0) == -1  # from 1.08 on
    assert Estimate(2.0, 0.4, 2, 2).no_difference(1.0) == 0  # from 0.28 on
    assert (
        Estimate(2.93, 0.28, 2, 2).no_difference(1.0) == -1
    )  # two seeds show a difference, and never that there is none
    assert Estimate(0.2, math.nan, math.nan, 5).no_difference(1.0) is None


def test_a_difference_of_differences_has_four_errors() -> None:
    found = contrast_of((1, -1, -1, 1), [Sample(mean, 1.0, 4) for mean in (5, 1, 3, 2)])
    assert (found.value, found.error, found.n) == (3, 1, 4)


def test_the_worked_examples_of_the_page_are_computed_from_their_numbers() -> None:
    page = " ".join((ROOT / "docs" / "report.md").read_text().split())
    batches = contrast_of((1, -1), (Sample(0.350, 0.041, 5), Sample(0.073, 0.007, 5)))
    trained = contrast_of((1,), (Sample(61.92, 0.12, 5),))
    errors = contrast_of((1, -1), (Sample(0.46, 0.03, 2), Sample(0.17, 0.05, 2)))
    across = contrast_of((1,), (Sample(0.112, 0.041, 5),))
    for text in (batches.text(3), trained.text(2), errors.text(2), across.text(3)):
        assert text in page
    assert (batches.error, batches.freedom) == (pytest.approx(0.0186, abs=1e-4), pytest.approx(4.2, abs=0.05))
    assert [batches.direction(0.01), errors.no_difference(1.0), across.side(0.1)] == [1, 0, 0]
    assert contrast_of((1,), (Sample(61.92 - 98, 0.12, 5),)).no_difference(3.0) == -1
