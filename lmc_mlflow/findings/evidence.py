"""Is a claim supported, contradicted, or not decided yet? Evidence is collected, counted and put in a sentence."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pandas as pd

from lmc_mlflow.findings.condition_table import Frames
from lmc_mlflow.findings.tally import Tally

SUPPORTED = "supported"
CONTRADICTED = "contradicted"
INSUFFICIENT = "insufficient"
ANSWERS = (SUPPORTED, CONTRADICTED, INSUFFICIENT)
MOSTLY_OF = 4


@dataclass(frozen=True)
class Verdict:
    """An answer with its reasons.

    Attributes:
        answer: one of `ANSWERS`.
        sentence: numbers and n.
        evidence: one line a comparison, the deciding ones first.
        run_ids: the runs behind the evidence.
    """

    answer: str
    sentence: str
    evidence: tuple[str, ...]
    run_ids: tuple[str, ...]


@dataclass(frozen=True)
class Store:
    """What a claim is judged on.

    Attributes:
        conditions: from `measured.conditions`, or the printed tables in that form.
        frames: the tables they come from; None for the printed ones.
        policy: batch norm on the path.
        min_seeds: fewer seeds decide nothing.
        errors: from `disentangling.measured.error_conditions`, or what Altintas et al. print in that form.
    """

    conditions: pd.DataFrame
    frames: Frames | None
    policy: str
    min_seeds: int
    errors: pd.DataFrame

    @property
    def enough(self) -> pd.DataFrame:
        """The conditions with enough seeds to count."""
        return self.conditions[self.conditions["n"] >= max(2, self.min_seeds)]

    @property
    def enough_errors(self) -> pd.DataFrame:
        """The conditions of error barriers with enough seeds to count, and networks that were trained at all."""
        enough = self.errors["n"] >= max(2, self.min_seeds)
        return self.errors[enough & self.errors["learnt"].astype(bool)]


@dataclass(frozen=True)
class Claim:
    """One decidable sentence of a paper.

    Attributes:
        name: as in H-02a: row of the list of results, letter of the sub-claim.
        sentence: what is claimed, in this project's words.
        judge: evidence from a store.
        need: what decides it, with a command.
    """

    name: str
    sentence: str
    judge: Callable[[Store], "Evidence"]
    need: str


@dataclass
class Evidence:
    """Comparisons for and against one claim.

    `kind` says what is claimed, and so what decides it:
    can: something can happen; one case supports it, and cases that should have shown it and did not speak
    against it only where there is no such case.
    always: it is so everywhere; one case against it contradicts it.
    mostly: it tends to be so; contradicted where at least as many cases speak against it as for it, and not
    decided where a minority does, or where fewer than one case in `MOSTLY_OF` speaks at all (chance does so).
    """

    kind: str = "mostly"
    tally: Tally = field(default_factory=Tally)
    lines: list[tuple[int, str]] = field(default_factory=list)
    run_ids: set[str] = field(default_factory=set)

    def add(self, way: int | None, text: str, run_ids: Iterable[str]) -> None:
        """Count a comparison: 1 for the claim, -1 against it, 0 undecided; None, unknown, counts as nothing."""
        if way is None:
            return
        self.tally.supporting += way == 1
        self.tally.contradicting += way == -1
        self.tally.undecided += way == 0
        self.lines.append((way, f"{_WORDS[way]}: {text}"))
        self.run_ids |= set(run_ids)

    def verdict(self, need: str) -> Verdict:
        """The answer, in the sense of `kind`."""
        ordered = sorted(self.lines, key=lambda line: (-abs(line[0]), line[0], line[1]))
        texts = tuple(text for _, text in ordered)
        if not texts:
            return Verdict(INSUFFICIENT, f"no data yet: {need}", (), ())
        counts = self.tally
        sentence = (
            f"{counts.supporting} for, {counts.contradicting} against, {counts.undecided} undecided of "
            f"{len(texts)} comparison{'s' if len(texts) > 1 else ''}; {self._telling(ordered)}"
        )
        return Verdict(self._answer(), sentence, texts, tuple(sorted(self.run_ids)))

    def _answer(self) -> str:
        good, bad = self.tally.supporting, self.tally.contradicting
        if self.kind == "mostly" and MOSTLY_OF * (good + bad) < len(self.lines):
            return INSUFFICIENT
        if good and (self.kind == "can" or not bad):
            return SUPPORTED
        if bad and (self.kind != "mostly" or bad >= good):
            return CONTRADICTED
        return INSUFFICIENT

    def _telling(self, ordered: list[tuple[int, str]]) -> str:
        wanted = {SUPPORTED: 1, CONTRADICTED: -1, INSUFFICIENT: ordered[0][0]}[self._answer()]
        return next((text for way, text in ordered if way == wanted), ordered[0][1])


_WORDS = {1: "for", -1: "against", 0: "undecided"}
