"""Reads the runs of some experiments of the shipped store, each table once."""

from collections.abc import Callable
from functools import cached_property

import pandas as pd

from lmc_mlflow import query
from lmc_mlflow.findings.condition_table import Frames
from lmc_mlflow.papers.claims import CLAIMS
from lmc_mlflow.papers.report.content import Content, report_content
from lmc_mlflow.workflows.report.report import read_frames

MIN_SEEDS = 2
STAND_INS = {"imagefolder": "cifar10", "resnet10_s222": "resnet10"}
"""Data set or network of the shipped runs -> the paper's that it stands for."""
NAMES = {"imagefolder": "CIFAR-10", "mnist": "MNIST", "moons": "moons", "digits": "digits"}


class ShippedRuns:
    """Tables of some experiments of the store of this process.

    Attributes:
        experiments: their names.
    """

    def __init__(self, *experiments: str) -> None:
        """Read nothing yet.

        Args:
            experiments: names; none: all.
        """
        self.experiments = experiments

    @cached_property
    def frames(self) -> Frames:
        """Return what a report is computed from."""
        return read_frames(self.experiments)

    @cached_property
    def content(self) -> Content:
        """Return the report over these experiments."""
        return report_content(self.frames, STAND_INS, MIN_SEEDS)

    @cached_property
    def paths(self) -> pd.DataFrame:
        """Return a row for each path, aligned ones too."""
        return self.table(query.paths)

    @cached_property
    def endpoints(self) -> pd.DataFrame:
        """Return a row for each trained network."""
        return self.table(query.endpoints)

    def table(self, read: Callable[[str | None], pd.DataFrame]) -> pd.DataFrame:
        """Read a table of `query` of every experiment."""
        return pd.concat([read(name) for name in self.experiments or (None,)], ignore_index=True).copy()

    def verdicts(self, *names: str) -> pd.DataFrame:
        """Judge claims by these runs: columns claim, its sentence, its kind and the verdict with its counts."""
        wanted = [claim for claim in CLAIMS if claim.name in names]
        judged = {claim.name: self.content.verdicts[claim.name]["interpolate"] for claim in wanted}
        return pd.DataFrame(
            {
                "claim": [claim.name for claim in wanted],
                "": [claim.sentence for claim in wanted],
                "[kind](../report.md#how-a-claim-is-judged)": [one.kind for one in judged.values()],
                "verdict": [f"{one.answer}: {one.sentence.split(';')[0]}" for one in judged.values()],
            }
        )
