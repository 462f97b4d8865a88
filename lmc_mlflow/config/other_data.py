"""The option that names further test sets, and the splits that they become."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from lmc_mlflow.config.options import Section, option

TEST = "test"
"""The logged test set."""
RESERVED = frozenset(
    [TEST, "train", "train_a", "train_b", "unseen", "against_alpha", "cost", "mean", "size", "unaligned"]
)
"""First parts of the names of other metrics."""


@dataclass(frozen=True)
class OtherDataConfig(Section):
    """Further images on which networks are tested, whatever they were trained on."""

    test_on: tuple[str, ...] = option(
        (),
        "further test sets, comma-separated, each a split of its name: corrupt_<kind>_<severity> or rotate_<degrees> "
        "of the logged test set; a dataset; a folder with <class>/, test/<class>/ or labels.csv; an .npz file; of the "
        "same shape and classes. They have no influence on verdicts",
    )

    def check(self) -> None:
        """Check that every test set has a name of its own."""
        named: dict[str, str] = {}
        for given in self.test_on:
            first, named[split_name(given)] = named.get(split_name(given), ""), given
            if first:
                raise ValueError(
                    f"test_on={first},{given}: both would be the split {split_name(given)!r}; name each once, or "
                    "rename a folder"
                )

    @property
    def names(self) -> Mapping[str, str]:
        """Return split -> what was given for it."""
        return {split_name(given): given for given in self.test_on}


def split_name(given: str) -> str:
    """Name the split of a test set, in characters that names of metrics may have.

    Raises:
        ValueError: nothing of the text can be in a name, or it is that of another split.
    """
    if given == TEST:
        return TEST
    path = PurePath(given)
    last = path.stem if path.suffix == ".npz" else path.name
    for text in (last, f"{path.parent.name}_{last}"):
        name = re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip("_.")
        if name and name not in RESERVED:
            return name
    raise ValueError(f"test_on={given!r} gives no split a name of its own; rename the folder")
