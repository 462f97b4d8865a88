"""Reads the rows of docs/coverage.md: their commands, at toy size, and what each row says there is to see."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from conftest import ROOT

PAGE = (ROOT / "docs" / "coverage.md").read_text()
NUMBERS = {"H": range(1, 75), "D": range(1, 24), "S": range(1, 24), "P": range(1, 27), "F": range(1, 4)}
"""Paper -> its rows."""
COMMAND = "mlflow run . --env-manager local -e "
TOY: Mapping[str, Mapping[str, str]] = {
    "train_pair": {"epochs": "1", "warmup_epochs": "1", "c2st_samples": "20", "image_size": "32"},
    "prepare_data": {"image_size": "32"},
    "interpolate": {"num_alphas": "5"},
    "star": {"epochs": "1", "num_alphas": "3"},
    "matrix": {"num_alphas": "3"},
    "plane": {"num_points": "3"},
    "ensemble": {"num_resamples": "20", "num_samples": "4"},
    "trajectory": {"epochs": "2"},
    "curvature": {"num_images": "20"},
}
"""Command -> options at toy size: set where the row gives the option, and those of ALWAYS in any case."""
ALWAYS = {
    "train_pair": ("epochs", "c2st_samples"),
    "prepare_data": (),
    "interpolate": (),
    "star": ("epochs", "num_alphas"),
    "matrix": ("num_alphas",),
    "plane": ("num_points",),
    "ensemble": ("num_resamples",),
    "trajectory": ("epochs",),
    "curvature": ("num_images",),
}
WITHOUT_DEVICE = ("report", "export", "import", "prepare_data", "sweep")
"""Commands that take neither device nor threads."""
TWO_SEEDS = 2


@dataclass(frozen=True)
class Row:
    """A row of the page.

    Attributes:
        name: as in H-28.
        what: what the paper defines or shows.
        how: commands, and what there is to see.
        state: tested, partly or not yet.
    """

    name: str
    what: str
    how: str
    state: str

    @cached_property
    def tokens(self) -> list[str]:
        """List what stands in backticks."""
        return re.findall(r"`([^`]+)`", self.how)

    @property
    def commands(self) -> list[str]:
        """List the commands, as printed."""
        return [token for token in self.tokens if token.startswith(COMMAND)]

    @property
    def names(self) -> list[str]:
        """List what there is to see, and whatever else is named."""
        return [token for token in self.tokens if not token.startswith(COMMAND)]

    @property
    def notebooks(self) -> list[str]:
        """List the notebooks that show it."""
        return re.findall(r"\]\(\.\./(analysis/\w+\.ipynb)\)", self.how)

    @property
    def in_report(self) -> list[str]:
        """List the claims, tables and figures of the report that show it, as the report names them."""
        told = re.sub(r"`[^`]+`", "", self.how)
        spans = re.findall(r"\b([HDSPF]-(?:\d\d|H))([a-z]?)(?: to ([a-z]))?", told)
        claims = [
            f"{name}{chr(letter)}" if first else name
            for name, first, last in spans
            for letter in range(ord(first or "a"), ord(last or first or "a") + 1)
        ]
        printed = re.findall(r"(?:Table|Fig\.|Figs\.) (?:[IVX]+|\d+)\b", self.what) if self.reported else []
        return [*claims, *printed, *re.findall(r"\"([^\"]+)\"", told)]

    @property
    def reported(self) -> bool:
        """Say whether the report is one of the commands."""
        return any(command.startswith(f"{COMMAND}report") for command in self.commands)


def rows_of(paper: str) -> list[Row]:
    """Read the rows of a paper."""
    lines = [line for line in PAGE.splitlines() if line.startswith(f"| {paper}-")]
    return [Row(*(cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|")))) for line in lines]


def section_of(paper: str) -> str:
    """Return the text around the rows of a paper."""
    return next(part for part in PAGE.split("\n## ") if f"| {paper}-01 |" in part)


def toy_flags(command: str, places: Mapping[str, list[str]]) -> tuple[str, list[str]]:
    """Give the name of a printed command and its flags at toy size.

    Args:
        command: as printed, with places to fill in: <run id>.
        places: place -> what fills it, in order of its occurrence; the last fills all further ones.
    """
    waiting = {place: list(values) for place, values in places.items()}

    def fill(found: re.Match[str]) -> str:
        values = waiting[found[1].replace("_", " ")]
        return values.pop(0) if len(values) > 1 else values[0]

    whole = re.sub(r"<([^>]+)>", lambda found: f"<{found[1].replace(' ', '_')}>", command.removeprefix(COMMAND))
    name, *words = (re.sub(r"<([^>]+)>", fill, word) for word in shlex.split(whole))
    given = dict(word.split("=", 1) for word in words if word != "-P")
    toy = TOY.get(name, {})
    for option, value in toy.items():
        if option in given or option in ALWAYS[name]:
            given[option] = value
    if "warmup_epochs" in given:
        given["epochs"] = "2"
    if "seeds" in given:
        given["seeds"] = ",".join(given["seeds"].split(",")[:TWO_SEEDS])
    if name not in WITHOUT_DEVICE:
        given |= {"device": "cpu", "threads": "1"}
    return name, [f"--{option}={value}" for option, value in given.items()]
