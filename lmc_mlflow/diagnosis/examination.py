"""Asks the questions about two networks one after the other, and notes what was found."""

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
from lmc_mlflow.diagnosis.ends import NAMES, Gap, better_scalings, gap_height, gap_of_ends
from lmc_mlflow.diagnosis.findings import (
    CONNECTED,
    EXPLAINED,
    GENUINE,
    UNDECIDED,
    Diagnosis,
    Finding,
    Number,
    ShownPath,
)
from lmc_mlflow.diagnosis.layer import find_decisive_layer
from lmc_mlflow.diagnosis.remedies import RECALIBRATE, Chosen, applicable
from lmc_mlflow.diagnosis.symptoms import Rules, Symptom, images_needed
from lmc_mlflow.diagnosis.treated_paths import BARRIER, ERROR, NONE, TRAINING, TreatedPaths, interval
from lmc_mlflow.paths.barriers import Values
from lmc_mlflow.predictions.ensembles import Interval


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
        self.base = NONE
        self.without_gap = False

    def diagnosis(self) -> Diagnosis:
        """Ask all questions that are still open, in their order."""
        symptom, reading = self.symptom, self.symptom.reading
        if symptom.what is None:
            answer = CONNECTED if symptom.answer == "yes" else UNDECIDED
            needed = "" if answer == CONNECTED else self._needed(reading.split, reading.interval, reading.threshold)
            said = f"The path is {answer}: {reading.sentence('accuracy')}."
            return self._close(answer, symptom.barrier, said, needed)
        whole = self.height(NONE)
        if self.coarse is not None:
            hidden = whole - self.coarse.rows(NONE, symptom.split)[symptom.what]
            points = f"{len(self.coarse.alphas)} points showed none of it, {len(self.paths.alphas)} do"
            if self._is_cause(hidden):
                self._found(COARSE_GRID, hidden, points)
        if symptom.answer == "apparent":
            self._found(OVERFITTING, whole, f"{reading.sentence('accuracy')}; test images show no barrier")
            said = "The connection is apparent: the networks part on their training images, and test images hide it."
            return self._close(EXPLAINED, whole - whole, said, "")
        base = self._statistics()
        if self._other_scaling(base):
            said = "One network sees images in a scaling that is not its own; whether there is a barrier is open."
            again = "the same question with the scaling that each network was trained with"
            return self._close(UNDECIDED, whole, said, again)
        without_layer = self._layer(base)
        if without_layer is not None:
            return self._last_word(without_layer, "the same question with this layer of A in B")
        self._undertrained(base)
        return self._after_remedies()

    def height(self, chosen: Chosen) -> Values:
        """Compute what is to be explained (1 + R,) under remedies, without what was explained before them."""
        return self._height(chosen | self.base, self.symptom.split)

    def _height(self, chosen: Chosen, split: str) -> Values:
        assert self.symptom.what is not None
        values = self.paths.rows(chosen, split)[self.symptom.what]
        return values - gap_height(self.paths, chosen, split) if self.without_gap else values

    def _needed(self, split: str, number: Interval, threshold: float) -> str:
        return images_needed(self.paths, split, number, threshold)

    def _is_cause(self, explained: Values) -> bool:
        return is_cause(explained, self.height(NONE), self.symptom.threshold, self.rules.confidence)

    def _number(self, values: Values) -> Number:
        return Number(float(values[0]), *interval(values, self.rules.confidence))

    def _found(self, cause: str, explained: Values, reason: str) -> None:
        self.findings.append(Finding(cause, self._number(explained), reason))

    def _other_scaling(self, base: Chosen) -> bool:
        for other in better_scalings(self.paths, base):
            if self._is_cause(other.explained) and self._is_cause(other.explained_calibrated):
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

    def _layer(self, base: Chosen) -> Values | None:
        """Look for a single layer that is the reason; give what is left of the number without it."""
        whole, what = self.height(base), self.symptom.what
        if not float(whole[0]) > self.symptom.threshold or what is None:
            return None
        found = find_decisive_layer(self.paths, base, what, float(whole[0]))
        if found is None or not self._is_cause(whole - found.remaining):
            return None
        self._found_statistics(base)
        reason = f"with A's {found.name} in B, {self._number(found.remaining).text(what)} is left"
        self._found(SINGLE_LAYER, whole - found.remaining, reason)
        return found.remaining

    def _found_statistics(self, base: Chosen) -> None:
        """Note what recalibration explains, where it comes before all else."""
        if base:
            left = self._number(self.height(base)).text(self.symptom.what or "")
            explained = self.height(NONE) - self.height(base)
            self._found(cause_of(RECALIBRATE), explained, f"{left} is left after {RECALIBRATE}")
            self.shown[RECALIBRATE] = base

    def _undertrained(self, base: Chosen) -> None:
        """Look for an end that is worse than the other on its own training images, and take its part away."""
        if self.symptom.what != BARRIER or not float(self.height(base)[0]) > self.symptom.threshold:
            return
        gap = gap_of_ends(self.paths, base)
        if gap.cause(self.rules.barrier) == UNDERTRAINED and self._is_cause(gap.height):
            self._found_statistics(base)
            self._found(UNDERTRAINED, gap.height, self._of_ends(gap, base))
            self.base, self.without_gap = base, True

    def _after_remedies(self) -> Diagnosis:
        if self._is_enough(NONE):
            return self._last_word(self.height(NONE))
        remedies = [name for name in applicable(self.paths.treatable) if name not in self.base]
        threshold, confidence = self.symptom.threshold, self.rules.confidence
        found = attribute(self.height, self._is_enough, remedies, threshold, confidence)
        names = list(self.base)
        for remedy, explained in found.explained.items():
            names.append(remedy)
            left = self._number(self.height(frozenset(names))).text(self.symptom.what or "")
            self._found(cause_of(remedy), explained, f"{left} is left after {' and '.join(names)}")
            self.shown[" + ".join(names)] = frozenset(names)
        applied = frozenset(names)
        if found.explained and self._is_enough(applied):
            return self._last_word(found.remaining)
        return self._last_word(self._after_ends(found.remaining, applied))

    def _is_enough(self, chosen: Chosen) -> bool:
        """Whether the path counts as connected under remedies."""
        delta = float(self.paths.rows(chosen, self.symptom.split)["accuracy_delta"][0])
        return float(self.height(chosen)[0]) <= self.symptom.threshold and not delta < self.rules.accuracy_delta

    def _after_ends(self, remaining: Values, applied: Chosen) -> Values:
        """Take what the ends differ by, and what only test images show, from what is left."""
        if self.symptom.what == BARRIER and not self.without_gap:
            gap = gap_of_ends(self.paths, applied)
            if self._is_cause(gap.height):
                explained = np.minimum(gap.height, remaining)
                self._found(gap.cause(self.rules.barrier), explained, self._of_ends(gap, applied))
                remaining, self.without_gap = remaining - explained, True
        if self.paths.treatable.subject.own_training and float(remaining[0]) > self.symptom.threshold:
            on_training = self._height(applied, TRAINING)
            _, high = interval(on_training, self.rules.confidence)
            if high <= self.symptom.threshold and self._is_cause(remaining - on_training):
                left = self._number(on_training).text(self.symptom.what or "")
                self._found(OVERFITTING, remaining - on_training, f"on their own training images {left} is left")
                remaining = on_training
        return remaining

    def _of_ends(self, gap: Gap, applied: Chosen) -> str:
        losses = self.paths.samples(applied).under(applied).losses.mean(axis=1, dtype=np.float64)
        epochs, own = self.paths.treatable.subject.epochs, gap.own_losses
        text = f"loss of A {losses[0]:.3f}, of B {losses[-1]:.3f} on test images"
        if own:
            text += f", {own[0]:.3f} and {own[1]:.3f} on the images that each was trained on"
        if all(epochs) and epochs[0] != epochs[1]:
            text += f"; A was trained for {epochs[0]} epochs, B for {epochs[1]}"
        return f"{NAMES[gap.worse]} is worse: {text}"

    def _last_word(self, remaining: Values, untried: str = "") -> Diagnosis:
        """Judge what no cause explains.

        Args:
            remaining: it (1 + R,).
            untried: what to ask next, where the remedies were not tried on it; empty: they were.
        """
        self.findings.sort(key=lambda finding: -finding.explained.value)
        low, high = interval(remaining, self.rules.confidence)
        what, threshold = self.symptom.what or "", self.symptom.threshold
        named = [finding.title for finding in self.findings if finding.cause != COARSE_GRID]
        left, names = self._number(remaining).text(what), " and ".join(named)
        if low > threshold and not untried:
            self._found(ANOTHER_BASIN, remaining, f"{left} is left after all remedies, threshold {threshold:g}")
            before = f"Explained in part by {names}; the rest, {left}," if names else f"The barrier, {left},"
            return self._close(GENUINE, remaining, f"{before} lies between two different solutions.", "")
        if high <= threshold and names:
            return self._close(EXPLAINED, remaining, f"The barrier is explained by {names}; {left} is left.", "")
        before = f"Explained in part by {names}" if names else "No cause was found"
        if low > threshold:
            return self._close(UNDECIDED, remaining, f"{before}; why the rest, {left}, is there is open.", untried)
        said = f"{before}; the images do not tell whether the rest, {left}, is a barrier."
        needed = self._needed(self.symptom.split, self._number(remaining), threshold)
        return self._close(UNDECIDED, remaining, said, needed)

    def _close(self, answer: str, remaining: Values, sentence: str, would_decide: str) -> Diagnosis:
        what, split = self.symptom.what or BARRIER, self.symptom.split
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
            tuple(self._shown(label, chosen) for label, chosen in ({"as they are": NONE} | self.shown).items()),
            self.paths.num_measured,
        )

    def _shown(self, label: str, chosen: Chosen) -> ShownPath:
        samples = self.paths.samples(chosen, self.symptom.split).under(chosen)
        correct = samples.correct
        is_error = self.symptom.what == ERROR and correct is not None
        values = 1 - correct.mean(axis=1) if is_error and correct is not None else samples.losses.mean(axis=1)
        return ShownPath(label, self.paths.alphas, np.asarray(values, dtype=np.float64))
