"""Asks the questions about two networks one after the other, and notes what was found."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lmc_mlflow.diagnosis.attribution import attribute, is_cause
from lmc_mlflow.diagnosis.causes import (
    ANOTHER_BASIN,
    COARSE_GRID,
    OTHER_DATA,
    OVERFITTING,
    SINGLE_LAYER,
    UNDERTRAINED,
    cause_of,
)
from lmc_mlflow.diagnosis.ends import NAMES, better_scalings, gap_of_ends
from lmc_mlflow.diagnosis.findings import (
    CONNECTED,
    EXPLAINED,
    GENUINE,
    UNDECIDED,
    Curve,
    Diagnosis,
    Finding,
    Number,
)
from lmc_mlflow.diagnosis.layer import find_guilty_layer
from lmc_mlflow.diagnosis.remedies import RECALIBRATE, Chosen, applicable
from lmc_mlflow.diagnosis.symptoms import Rules, Symptom, images_needed
from lmc_mlflow.diagnosis.treated_paths import BARRIER, ERROR, NONE, TreatedPaths, interval
from lmc_mlflow.paths.barriers import Values


@dataclass
class Examination:
    """The questions that are asked of two networks, and what was found so far."""

    paths: TreatedPaths
    rules: Rules
    symptom: Symptom
    coarse: TreatedPaths | None

    def __post_init__(self) -> None:
        self.findings: list[Finding] = []
        self.shown: dict[str, Chosen] = {}
        self.without_gap = False
        self.after_layer: Values | None = None

    def diagnosis(self) -> Diagnosis:
        """Ask all questions that are still open, in their order."""
        symptom = self.symptom
        if symptom.what is None:
            answer = CONNECTED if symptom.answer == "yes" else UNDECIDED
            needed = "" if answer == CONNECTED else images_needed(symptom, self.paths)
            said = f"The path is {answer}: {symptom.reading}."
            return self._close(answer, symptom.barrier, said, needed)
        if self.coarse is not None:
            hidden = self.height(NONE) - self.coarse.rows()[symptom.what]
            points = f"{len(self.coarse.alphas)} points showed none of it, {len(self.paths.alphas)} do"
            self._found(COARSE_GRID, hidden, points)
        if symptom.answer == "apparent":
            self._found(OVERFITTING, self.height(NONE), f"{symptom.reading}; test images show no barrier")
            said = "The connection is apparent: the networks part on their training images, and test images hide it."
            return self._close(EXPLAINED, self.height(NONE), said, "")
        if self._other_scaling():
            said = "One network sees images in a scaling that is not its own; whether there is a barrier is open."
            return self._close(
                UNDECIDED,
                self.height(NONE),
                said,
                "the same question with the scaling that each network was trained with",
            )
        base = self._statistics()
        self._layer(base)
        if not self.findings or self.findings[-1].cause != SINGLE_LAYER:
            self._undertrained(base)
        return self._after_remedies(base)

    def height(self, chosen: Chosen, split: str = "") -> Values:
        """Compute what is to be explained (1 + R,) under remedies, without the part of an undertrained end."""
        assert self.symptom.what is not None
        values = self.paths.rows(chosen, split or self.symptom.split)[self.symptom.what]
        return values - gap_of_ends(self.paths, chosen).height if self.without_gap else values

    def _is_cause(self, explained: Values) -> bool:
        return is_cause(explained, self.height(NONE), self.symptom.threshold, self.rules.confidence)

    def _number(self, values: Values) -> Number:
        return Number(float(values[0]), *interval(values, self.rules.confidence))

    def _found(self, cause: str, explained: Values, reason: str) -> None:
        self.findings.append(Finding(cause, self._number(explained), reason))

    def _other_scaling(self) -> bool:
        for other in better_scalings(self.paths):
            if self._is_cause(other.explained):
                reason = (
                    f"{NAMES[other.end]} has a loss of {other.loss:.3f} on the images as they are scaled here, and of "
                    f"{other.rescaled_loss:.3f} with normalization={other.name}"
                )
                self._found(OTHER_DATA, other.explained, reason)
        return any(finding.cause == OTHER_DATA for finding in self.findings)

    def _statistics(self) -> Chosen:
        """Recalibrate before single layers and ends are looked at, where there are statistics and they matter."""
        recalibrated = frozenset({RECALIBRATE} & set(applicable(self.paths.treatable)))
        if recalibrated and self._is_cause(self.height(NONE) - self.height(recalibrated)):
            return recalibrated
        return NONE

    def _layer(self, base: Chosen) -> None:
        """Look for a single layer that is the reason."""
        whole, what = self.height(base), self.symptom.what
        if not float(whole[0]) > self.symptom.threshold or what is None:
            return
        found = find_guilty_layer(self.paths, base, what, float(whole[0]))
        if found is not None and self._is_cause(whole - found.remaining):
            reason = f"with A's {found.name} in B, {self._number(found.remaining).text(what)} is left"
            self._found(SINGLE_LAYER, whole - found.remaining, reason)
            self.after_layer = found.remaining

    def _undertrained(self, base: Chosen) -> None:
        """Look for an end that is worse than the other on its own training images, and take its part away."""
        if self.symptom.what == ERROR or not float(self.height(base)[0]) > self.symptom.threshold:
            return
        gap = gap_of_ends(self.paths, base)
        if gap.own_losses and gap.is_undertrained(self.rules.barrier) and self._is_cause(gap.height):
            self._found(UNDERTRAINED, gap.height, self._of_ends(gap.worse, gap.own_losses, base))
            self.without_gap = self.symptom.what == BARRIER

    def _after_remedies(self, base: Chosen) -> Diagnosis:
        if self.after_layer is not None:
            if base:
                left = self._number(self.height(base)).text(self.symptom.what or "")
                reason = f"{left} is left after {RECALIBRATE}"
                self._found(cause_of(RECALIBRATE), self.height(NONE) - self.height(base), reason)
            return self._last_word(self.after_layer)
        if self._is_enough(NONE):
            return self._last_word(self.height(NONE))
        found = attribute(
            self.height,
            self._is_enough,
            applicable(self.paths.treatable),
            self.symptom.threshold,
            self.rules.confidence,
        )
        names: list[str] = []
        for remedy, explained in found.explained.items():
            names.append(remedy)
            left = self._number(self.height(frozenset(names))).text(self.symptom.what or "")
            self._found(cause_of(remedy), explained, f"{left} is left after {' and '.join(names)}")
            self.shown[" + ".join(names)] = frozenset(names)
        applied = frozenset(names)
        if applied and self._is_enough(applied):
            return self._last_word(found.remaining)
        return self._last_word(self._after_ends(found.remaining, applied))

    def _is_enough(self, chosen: Chosen) -> bool:
        """Whether the path counts as connected under remedies."""
        delta = float(self.paths.rows(chosen, self.symptom.split)["accuracy_delta"][0])
        return float(self.height(chosen)[0]) <= self.symptom.threshold and not delta < self.rules.accuracy_delta

    def _after_ends(self, remaining: Values, applied: Chosen) -> Values:
        """Take what the ends differ by, and what only test images show, from what is left."""
        if self.symptom.what != ERROR and not self.without_gap:
            gap = gap_of_ends(self.paths, applied)
            if self._is_cause(gap.height):
                kind = UNDERTRAINED if gap.is_undertrained(self.rules.barrier) else OVERFITTING
                self._found(kind, np.minimum(gap.height, remaining), self._of_ends(gap.worse, gap.own_losses, applied))
                remaining = remaining - np.minimum(gap.height, remaining)
        if self.paths.treatable.subject.own_training and float(remaining[0]) > self.symptom.threshold:
            on_training = self.height(applied, "training")
            _, high = interval(on_training, self.rules.confidence)
            if high <= self.symptom.threshold and self._is_cause(remaining - on_training):
                left = self._number(on_training).text(self.symptom.what or "")
                self._found(OVERFITTING, remaining - on_training, f"on their own training images {left} is left")
                remaining = on_training
        return remaining

    def _of_ends(self, worse: int, own: Sequence[float], applied: Chosen) -> str:
        losses = self.paths.samples(applied).under(applied).losses.mean(axis=1, dtype=np.float64)
        epochs = self.paths.treatable.subject.epochs
        text = f"loss of A {losses[0]:.3f}, of B {losses[-1]:.3f} on test images"
        if own:
            text += f", {own[0]:.3f} and {own[1]:.3f} on the images that each was trained on"
        if all(epochs) and epochs[0] != epochs[1]:
            text += f"; A was trained for {epochs[0]} epochs, B for {epochs[1]}"
        return f"{NAMES[worse]} is worse: {text}"

    def _last_word(self, remaining: Values) -> Diagnosis:
        """Judge what no cause explains."""
        self.findings.sort(key=lambda finding: -finding.explained.value)
        low, high = interval(remaining, self.rules.confidence)
        what, threshold = self.symptom.what or "", self.symptom.threshold
        left, names = self._number(remaining).text(what), " and ".join(finding.title for finding in self.findings)
        if low > threshold:
            self._found(ANOTHER_BASIN, remaining, f"{left} is left after all remedies, threshold {threshold:g}")
            before = f"Explained in part by {names}; the rest, {left}," if names else f"The barrier, {left},"
            return self._close(GENUINE, remaining, f"{before} lies between two different solutions.", "")
        if high <= threshold and self.findings:
            return self._close(EXPLAINED, remaining, f"The barrier is explained by {names}; {left} is left.", "")
        before = f"Explained in part by {names}" if names else "No cause was found"
        said = f"{before}; the images do not tell whether the rest, {left}, is a barrier."
        return self._close(UNDECIDED, remaining, said, images_needed(self.symptom, self.paths, self._number(remaining)))

    def _close(self, answer: str, remaining: Values, sentence: str, would_decide: str) -> Diagnosis:
        what, split = self.symptom.what or self.symptom.shown, self.symptom.split
        whole = self.paths.rows(NONE, split)[what]
        return Diagnosis(
            answer,
            self.symptom.answer,
            what,
            split,
            self._number(whole),
            self._number(remaining),
            tuple(self.findings),
            sentence,
            would_decide,
            tuple(self._curve(label, chosen) for label, chosen in ({"as they are": NONE} | self.shown).items()),
            self.paths.num_measured,
        )

    def _curve(self, label: str, chosen: Chosen) -> Curve:
        samples = self.paths.samples(chosen, self.symptom.split).under(chosen)
        correct = samples.correct
        is_error = self.symptom.what == ERROR and correct is not None
        values = 1 - correct.mean(axis=1) if is_error and correct is not None else samples.losses.mean(axis=1)
        return Curve(label, self.paths.alphas, np.asarray(values, dtype=np.float64))
