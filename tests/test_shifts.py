"""The sides of a shift hold the right samples: hand-worked splits, and properties of all shifts."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from lmc_mlflow.data.shifts.registry import SHIFTS, shift_row, split_sides
from lmc_mlflow.own_code import FORM

MNIST_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
MNIST_LABELS = np.repeat(np.arange(10), MNIST_COUNTS)
EXAMPLES = {
    "label": "label_3070",
    "subset": "subset_0.25",
    "dirichlet": "dirichlet_1",
    "corrupt": "corrupt_noise_3",
    "rotate": "rotate_30",
    "bands": "bands_B02_B08",
    "none": "none",
    FORM: "own_nets:split",
}
"""Row of the table -> a shift of it."""
FORMS = sorted(row.form for row in SHIFTS.values())


def test_every_row_of_the_table_has_an_example() -> None:
    assert set(EXAMPLES) == set(SHIFTS)


@pytest.mark.parametrize(("row", "shift"), EXAMPLES.items())
def test_every_shift_gives_both_sides_the_same_samples_or_no_sample_twice(row: str, shift: str) -> None:
    labels = MNIST_LABELS[::50]
    sides = split_sides(shift, labels, 10, split_seed=1)
    a, b = set(sides.a.tolist()), set(sides.b.tolist())
    assert shift_row(shift) is SHIFTS[row]
    assert (len(a), len(b)) == (len(sides.a), len(sides.b))
    assert a | b <= set(range(len(labels)))
    assert a == b or not a & b
    again = split_sides(shift, labels, 10, split_seed=1)
    assert (again.a.tolist(), again.b.tolist()) == (sides.a.tolist(), sides.b.tolist())


def test_label_5050_on_a_toy_label_vector() -> None:
    labels = np.array([0, 1, 0, 1, 0, 1, 0, 0])  # five of class 0, three of class 1
    sides = split_sides("label_5050", labels, 2, split_seed=0)
    assert sorted(labels[sides.a]) == [0, 0, 1]  # floor(5 / 2) and floor(3 / 2)
    assert labels[sides.a].tolist() == labels[sides.b].tolist()
    assert not set(sides.a) & set(sides.b)


def test_label_2080_on_a_toy_label_vector() -> None:
    labels = np.repeat([0, 1, 2, 3], 10)
    sides = split_sides("label_2080", labels, 4, split_seed=3)
    assert np.bincount(labels[sides.a]).tolist() == [2, 2, 8, 8]
    assert np.bincount(labels[sides.b]).tolist() == [8, 8, 2, 2]
    assert sorted([*sides.a, *sides.b]) == list(range(40))


@pytest.mark.parametrize(("shift", "sizes"), [("label_5050", (29997, 29997)), ("label_2080", (29642, 30358))])
def test_mnist_sides_have_the_paper_s_sizes(shift: str, sizes: tuple[int, int]) -> None:
    sides = split_sides(shift, MNIST_LABELS, 10, split_seed=0)
    assert (len(sides.a), len(sides.b)) == sizes


def test_subset_gives_side_a_its_fraction_of_every_class() -> None:
    labels = np.repeat([0, 1], [8, 20])
    sides = split_sides("subset_0.25", labels, 2, split_seed=0)
    assert np.bincount(labels[sides.a]).tolist() == [2, 5]
    assert sorted([*sides.a, *sides.b]) == list(range(28))


def test_dirichlet_skews_labels_the_more_the_smaller_its_concentration() -> None:
    labels = np.repeat(np.arange(10), 1000)

    def skew(shift: str) -> float:
        counts = np.bincount(labels[split_sides(shift, labels, 10, split_seed=0).a], minlength=10)
        return float(np.abs(counts / 1000 - 0.5).mean())

    assert skew("dirichlet_0.01") > 0.45  # nearly every class to one side
    assert skew("dirichlet_1000000") < 0.01  # nearly halves
    sides = split_sides("dirichlet_0.5", labels, 10, split_seed=0)
    assert sorted([*sides.a, *sides.b]) == list(range(10_000))
    assert split_sides("dirichlet_0.5", labels, 10, split_seed=1).a.tolist() != sides.a.tolist()


@pytest.mark.parametrize("shift", ["subset_0", "subset_1", "subset_1.5", "dirichlet_0"])
def test_a_number_that_leaves_no_split_is_refused(shift: str) -> None:
    with pytest.raises(ValueError, match=f"shift '{shift}': the"):
        split_sides(shift, MNIST_LABELS, 10, 0)


def test_none_shows_both_sides_everything_in_one_order() -> None:
    sides = split_sides("none", np.array([0, 1, 1]), 2, split_seed=0)
    assert sorted(sides.a) == [0, 1, 2]
    assert sides.a.tolist() == sides.b.tolist()


def test_the_split_depends_on_its_seed_alone() -> None:
    labels = MNIST_LABELS[::50]
    same = [split_sides("label_2080", labels, 10, split_seed=1).a for _ in range(2)]
    other = split_sides("label_2080", labels, 10, split_seed=2).a
    assert same[0].tolist() == same[1].tolist()
    assert set(same[0]) != set(other)


def test_a_side_is_not_sorted_by_class() -> None:
    labels = np.repeat(np.arange(10), 100)
    a = labels[split_sides("label_5050", labels, 10, split_seed=0).a]
    assert len(set(a[:50])) >= 8


@given(
    labels=st.lists(st.integers(0, 4), min_size=60, max_size=200).map(np.array),
    percent=st.integers(10, 90),
    seed=st.integers(0, 1000),
)
def test_sides_are_disjoint_and_lose_at_most_the_odd_ones(labels: np.ndarray, percent: int, seed: int) -> None:
    sides = split_sides(f"label_{percent}{100 - percent}", labels, 5, seed)
    assert not set(sides.a) & set(sides.b)
    lost = len(labels) - len(sides.a) - len(sides.b)
    assert lost == (sum(np.bincount(labels, minlength=5) % 2) if percent == 50 else 0)


@pytest.mark.parametrize(
    ("shift", "message"),
    [
        ("label_2090", "20 \\+ 90 is 110"),
        ("labels_2080", f"'labels_2080' is unknown; choose from {', '.join(FORMS)}$"),
        ("label_208", "choose from <module>:<function>, bands_<x>_<y>, "),
    ],
)
def test_a_shift_that_there_is_not_says_what_there_is(shift: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_sides(shift, MNIST_LABELS, 10, 0)


def test_a_side_without_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="left without samples"):
        split_sides("label_5050", np.array([0, 1]), 2, 0)


def test_the_tables_of_data_sets_and_shifts_are_read_without_torch_and_mlflow() -> None:
    code = "import sys, lmc_mlflow.data.datasets, lmc_mlflow.data.shifts.registry; "
    code += "print({'torch', 'mlflow', 'pandas', 'sklearn', 'torchvision'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
