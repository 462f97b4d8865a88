"""Evidence for and against a claim, and the verdict that follows from it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from lmc_mlflow.findings.condition_table import Frames
from lmc_mlflow.findings.differences import Estimate
from lmc_mlflow.findings.families import linear_layers

SUPPORTED = "supported"
CONTRADICTED = "contradicted"
INSUFFICIENT = "insufficient"
UNDECIDED = "undecided"
ANSWERS = (SUPPORTED, CONTRADICTED, INSUFFICIENT, UNDECIDED)
"""Insufficient: no comparison could be made. Undecided: comparisons were made, and they do not decide."""
MOSTLY_OF = 4
_WORDS = {1: "for", -1: "against", 0: "neither"}


@dataclass
class ComparisonCounts:
    """How many comparisons of at least two values each speak for a claim, against it, or for neither."""

    supporting: int = 0
    contradicting: int = 0
    undecided: int = 0

    def add(self, way: int | None) -> None:
        """Count one comparison.

        Args:
            way: 1 for the claim, -1 against it, 0 undecided; None (unknown) is not counted.
        """
        self.supporting += way == 1
        self.contradicting += way == -1
        self.undecided += way == 0

    def add_difference(self, difference: Estimate) -> None:
        """Count one difference of means where the claim is that it is positive; one of unknown error is not counted."""
        self.add(difference.direction())

    def add_shares(self, by_seed: "pd.Series[float]") -> None:
        """Count one condition where the claim is that something is so in every seed; one seed alone is not counted.

        Args:
            by_seed: the share of each seed's runs in which it is so.
        """
        if len(by_seed) < 2:
            return
        self.supporting += bool((by_seed == 1).all())
        self.contradicting += bool((by_seed == 0).all())
        self.undecided += bool(by_seed.min() < by_seed.max() or 0 < by_seed.iloc[0] < 1)

    def verdict(self, claim: str, need: str) -> str:
        """Write the claim with its verdict as Markdown; where nothing was counted, say what is needed.

        Args:
            claim: a sentence without its full stop.
            need: how many more runs are needed, and the command that makes them.
        """
        number = self.supporting + self.contradicting + self.undecided
        if not number:
            return f"**{claim}: not enough runs yet**; {need}"
        of_all = f"{number} condition{'s' if number > 1 else ''}"
        if self.supporting == number:
            return f"**{claim}: supported** by {of_all}."
        if self.contradicting == number:
            return f"**{claim}: contradicted** by {of_all}."
        if self.undecided == number:
            return f"**{claim}: undecided** after {of_all}."
        return (
            f"**{claim}: it depends.** Among {of_all}, {self.supporting} for it, {self.contradicting} against, "
            f"{self.undecided} undecided."
        )


@dataclass(frozen=True)
class Verdict:
    """The answer to a claim, with its reasons.

    Attributes:
        answer: one of `ANSWERS`.
        sentence: the numbers behind the answer, with every n.
        evidence: one line a comparison, the deciding ones first; those that stand beside last.
        run_ids: the runs behind the evidence.
        counts: how many comparisons speak for, against, for neither, and how many stand beside.
        kind: in which sense it is decided: can, mostly or always, as in `Evidence`.
    """

    answer: str
    sentence: str
    evidence: tuple[str, ...]
    run_ids: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    kind: str = "mostly"


@dataclass(frozen=True)
class ConditionTables:
    """The tables that a claim is judged on, for one batch-norm policy.

    Attributes:
        conditions: from `condition_table.conditions`, or the printed tables in that form.
        frames: the tables of `query` that they come from; None for the printed ones.
        policy: what is done with batch norm's running statistics on the path.
        min_seeds: conditions with fewer seeds decide nothing.
        errors: from `error_conditions.error_conditions`, or what Altintas et al. print in that form.
    """

    conditions: pd.DataFrame
    frames: Frames | None
    policy: str
    min_seeds: int
    errors: pd.DataFrame

    @property
    def enough(self) -> pd.DataFrame:
        """Select the conditions that claims on shifts are about, with enough seeds to count (`about_shifts`)."""
        return about_shifts(self.conditions[self.conditions["n"] >= max(2, self.min_seeds)])

    @property
    def enough_errors(self) -> pd.DataFrame:
        """Select the conditions of error barriers with enough seeds to count, trained as Altintas et al. train."""
        enough = self.errors["n"] >= max(2, self.min_seeds)
        return self.errors[enough & self.errors["learnt"].astype(bool) & self.errors["accepted"].astype(bool)]


def about_shifts(rows: pd.DataFrame) -> pd.DataFrame:
    """Select the rows that sentences about shifts are about.

    Both sides see other data, the networks are not linear, and they have learnt.

    Args:
        rows: with columns shift, model and learnt.
    """
    linear = rows["model"].map(linear_layers).astype(bool)
    return rows[(rows["shift"] != "none") & ~linear & rows["learnt"].astype(bool)]


@dataclass
class Evidence:
    """Comparisons for and against one claim.

    `kind` says what is claimed, and so what decides it:
    can: something can happen. One case supports it. It is contradicted where every case speaks against it.
    always: it is so everywhere. One case against it contradicts it. It is supported where every case speaks for it.
    mostly: it tends to be so. It is contradicted where at least as many cases speak against it as for it. It is
    undecided where a minority speaks against it, or where fewer than one case in `MOSTLY_OF` speaks for or against it
    (that many do so by chance).
    Without any case it is insufficient; what is neither supported nor contradicted is undecided.
    """

    kind: str = "mostly"
    counts: ComparisonCounts = field(default_factory=ComparisonCounts)
    lines: list[tuple[int, str]] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    run_ids: set[str] = field(default_factory=set)

    def add(self, way: int | None, text: str, run_ids: Iterable[str]) -> None:
        """Add one comparison.

        Args:
            way: 1 for the claim, -1 against it, 0 neither; None (unknown) adds nothing.
            text: what was compared, with n, interval and margin.
            run_ids: the runs behind it.
        """
        if way is None:
            return
        self.counts.add(way)
        self.lines.append((way, f"{_WORDS[way]}: {text}"))
        self.run_ids |= set(run_ids)

    def mention(self, text: str, run_ids: Iterable[str]) -> None:
        """Add a case that the claim says nothing about: it is shown and counted beside, and decides nothing."""
        self.beside.append(f"beside: {text}")
        self.run_ids |= set(run_ids)

    def verdict(self, need: str) -> Verdict:
        """Decide the claim in the sense of `kind`; where there is no comparison, say what is needed."""
        ordered = sorted(self.lines, key=lambda line: (-abs(line[0]), line[0], line[1]))
        texts = (*(text for _, text in ordered), *sorted(self.beside))
        counts = {word: sum(way == one for one, _ in ordered) for way, word in _WORDS.items()}
        counts |= {"beside": len(self.beside)}
        answer, sentence = INSUFFICIENT, f"no data yet{self._beside_text()}: {need}"
        if ordered:
            number = f"{len(ordered)} comparison{'s' if len(ordered) > 1 else ''}"
            number += f" ({len(self.beside)} more beside)" if self.beside else ""
            said = ", ".join(f"{counts[word]} {word}" for word in _WORDS.values())
            answer, sentence = self._answer(), f"{said}, of {number}; {self._deciding(ordered)}"
        return Verdict(answer, sentence, texts, tuple(sorted(self.run_ids)), counts, self.kind)

    def _beside_text(self) -> str:
        return f" that decides it, {len(self.beside)} beside" if self.beside else ""

    def _answer(self) -> str:
        good, bad, neither = self.counts.supporting, self.counts.contradicting, self.counts.undecided
        supported, contradicted = {
            "can": (good > 0, bad > 0 and not good and not neither),
            "always": (good > 0 and not bad and not neither, bad > 0),
            "mostly": (good > 0 and not bad, bad > 0 and bad >= good),
        }[self.kind]
        if self.kind == "mostly" and MOSTLY_OF * (good + bad) < len(self.lines):
            return UNDECIDED
        return SUPPORTED if supported else CONTRADICTED if contradicted else UNDECIDED

    def _deciding(self, ordered: list[tuple[int, str]]) -> str:
        """Return the first line that speaks for the answer; where it is undecided, the first that does for neither."""
        wanted = {SUPPORTED: 1, CONTRADICTED: -1, UNDECIDED: 0}[self._answer()]
        return next((text for way, text in ordered if way == wanted), ordered[0][1])


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper that runs can decide.

    Attributes:
        name: as in H-02a: a row of the list of results, and the letter of the part of it that is claimed.
        sentence: what is claimed, in this project's words.
        judge: collects the evidence from the tables of a store.
        need: what decides it, with a command.
    """

    name: str
    sentence: str
    judge: Callable[[ConditionTables], Evidence]
    need: str
