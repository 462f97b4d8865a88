"""Concludes from the tables of `query`, in sentences with every n; nothing is claimed from fewer than two seeds."""

import math
from collections.abc import Iterator

import pandas as pd

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.findings.conditions import CONDITIONS, per_ensemble, per_seed, plain_rows
from lmc_mlflow.findings.differences import RULE, difference, mean_of, mean_text
from lmc_mlflow.findings.evidence import ComparisonCounts
from lmc_mlflow.findings.next_command import aligned_path, another_seed, another_value, ensemble_of_seeds
from lmc_mlflow.findings.sentences import each_condition, is_first_policy, markdown, measured_last, rows_having
from lmc_mlflow.findings.what_breaks import what_breaks as what_breaks
from lmc_mlflow.findings.when_chosen import when_chosen as when_chosen
from lmc_mlflow.findings.zoo import model_zoo as model_zoo
from lmc_mlflow.predictions.scores import SCORE_NAMES

INTERPOLATE = f"`{RUN} interpolate -P pair=<pair run id>`"
ANOTHER_SEED = f"at least two seeds are needed: `{RUN} train_pair -P seed=20`, then {INTERPOLATE}"
BETWEEN_SEEDS = f"at least two are needed: `{RUN} interpolate -P run_a=<run id> -P run_b=<run id of another seed>`"
OF_A_PAIR = f"{RUN} ensemble -P pair=<pair run id>"


def pairs_and_paths(paths: pd.DataFrame) -> str:
    """Conclude whether both sides of a shift end in one basin: Markdown, from `query.paths`.

    The verdicts speak of plain paths (`conditions.plain_rows`); the lines show the others too, and name what they are.
    """
    paths = _with_delta(measured_last(paths))
    rows = rows_having(paths, "connected", "test/barrier_in_basin", "delta", "same_initialization")
    rows = rows[~rows["joins_star"].astype(bool)] if "joins_star" in rows else rows
    counts, lines, need = {True: ComparisonCounts(), False: ComparisonCounts()}, [], ANOTHER_SEED
    for label, part in each_condition(rows, ["same_initialization", "side_a", "side_b", *CONDITIONS]):
        connected = part["connected"] == "yes"
        by_seed = per_seed(part.assign(share=connected.astype(float)), "share")
        if len(plain_rows(part)):  # a condition is plain as a whole, or not at all
            counts[bool(part["same_initialization"].iloc[0])].add_shares(by_seed)
        apparent = int((part["connected"] == "apparent").sum())
        lines.append(
            f"- {label}: {int(connected.sum())} of {len(part)} paths connected"
            + (f" ({apparent} more in appearance only: the training data show a break)" if apparent else "")
            + f"; barrier in basin {mean_text(per_seed(part, 'test/barrier_in_basin'), 3)}, "
            + f"{part['score'].iloc[0]} delta {mean_text(100 * per_seed(part, 'delta'), 1, ' points')}"
        )
        if len(by_seed) < 2 and part["same_initialization"].all() and len(plain_rows(part)):
            need = f"at least two seeds are needed: `{another_seed(part)}`, then {INTERPOLATE}"
            lines[-1] += f"; one seed says nothing of others: `{another_seed(part)}`"
    heads = [
        counts[True].verdict("Sides of one initialization stay connected, in every seed", need),
        counts[False].verdict("Networks of different initializations are connected, in every seed", BETWEEN_SEEDS),
    ]
    return markdown(heads, lines)


def _with_delta(paths: pd.DataFrame) -> pd.DataFrame:
    """Add columns delta, of accuracy or of average precision, and score, which of the two."""
    frame = paths.assign(delta=float("nan"), score="accuracy")
    for score in reversed(SCORE_NAMES):
        if (column := f"test/{score}_delta") in paths:
            known = paths[column].notna()
            frame["delta"] = paths[column].where(known, frame["delta"])
            frame["score"] = frame["score"].mask(known, score.replace("_", " "))
    return frame


def ensembles(frame: pd.DataFrame) -> str:
    """Conclude whether ensembles of seeds are better than ensembles of one path: Markdown, from `query.ensembles`."""
    rows = rows_having(frame, "sampling", "num_members", "mean_prediction_accuracy")
    accuracy, mistakes, lines = ComparisonCounts(), ComparisonCounts(), []
    for label, part in each_condition(
        rows, [name for name in CONDITIONS if name not in ("bn", "sampling", "num_members")]
    ):
        for seeds, lmc, way in _kinds_to_compare(part):
            better = difference(*(per_ensemble(rows, "mean_prediction_accuracy") for rows in (seeds, lmc)))
            accuracy.add_difference(better)
            if "wrong_agreement" in part:
                mistakes.add_difference(difference(*(per_ensemble(rows, "wrong_agreement") for rows in (lmc, seeds))))
            line = f"- {label}{way}: {_ensembles_text('seeds', seeds)}; {_ensembles_text('lmc', lmc)}; "
            line += f"seeds minus lmc {100 * better.value:+.2f} points"
            low, high = (100 * limit for limit in better.interval())
            line += " (no claim: n is below 2)" if math.isnan(low) else f" [{low:.2f}, {high:.2f}]"
            if set(lmc["num_members"]) != set(seeds["num_members"]):
                line += "; the numbers of members differ: see accuracy against size for equal ones"
            lines.append(line + _cost_text(lmc, seeds))
        if part["sampling"].nunique() < 2:
            kind = part["sampling"].iloc[0]
            other = f": `{ensemble_of_seeds(part) if kind == 'lmc' else OF_A_PAIR}`" if kind in ("lmc", "seeds") else ""
            lines.append(f"- {label}: ensembles of one kind only, {kind}{other}")
    need = f"at least two of each kind are needed: `{OF_A_PAIR}` and `{ensemble_of_seeds(rows)}`"
    heads = [
        accuracy.verdict("Ensembles over seeds are more accurate than those of one path", need),
        mistakes.verdict("Members from one path agree more often on a mistake", need),
    ]
    return markdown(heads, lines, f"{RULE} It speaks of these test sets only.")


def similarity(paths: pd.DataFrame) -> str:
    """Conclude whether connected sides are more alike than random networks: Markdown, from `query.paths`."""
    rows = rows_having(plain_rows(paths), "connected", "pair", "angle_deg", "angle_reference_deg")
    rows = rows[rows["pair"] != ""].sort_values("connected", ascending=False).drop_duplicates("pair")
    need = f"at least two seeds are needed: `{another_seed(rows.head(1))}`, then {INTERPOLATE}"
    counts, lines = ComparisonCounts(), []
    for label, part in each_condition(rows, CONDITIONS):
        for verdict, alike in part.groupby("connected", sort=False):
            closer = per_seed(alike.assign(closer=alike["angle_reference_deg"] - alike["angle_deg"]), "closer")
            if verdict == "yes" and len(closer) > 1:
                counts.add_difference(mean_of(closer))
            lines.append(
                f"- {label}, connected: {verdict}: {mean_text(per_seed(alike, 'angle_deg'), 1, ' degrees')}; two "
                f"independent initializations: {alike['angle_reference_deg'].mean():.1f}"
            )
    claim = "Connected sides are more alike than two independent initializations"
    return markdown([counts.verdict(claim, need if len(rows) else ANOTHER_SEED)], lines, RULE)


def batch_size_and_learning_rate(paths: pd.DataFrame) -> str:
    """Conclude whether larger batches and lower learning rates lower the barrier: Markdown, from `query.paths`.

    A verdict counts a path once, under the first batch-norm policy it was measured with; the lines show all.
    """
    rows = rows_having(plain_rows(paths), "batch_size", "lr", "same_initialization", "test/barrier_in_basin")
    rows = rows[rows["same_initialization"].astype(bool)]
    rows = rows.assign(counted=is_first_policy(rows))
    heads, lines = [], []
    for axis, word, example, descending in (("batch_size", "larger", 256, False), ("lr", "smaller", 0.0001, True)):
        counts = ComparisonCounts()
        for label, part in each_condition(rows, [name for name in CONDITIONS if name != axis]):
            values = sorted(part[axis].unique(), reverse=descending)
            if len(values) > 1:
                first, last = (
                    per_seed(part[part[axis] == value], "test/barrier_in_basin") for value in (values[0], values[-1])
                )
                if part["counted"].all():
                    counts.add_difference(difference(first, last))
                lines.append(
                    f"- {label}: barrier in basin {mean_text(first, 3)} at {axis} {values[0]:g}, "
                    f"{mean_text(last, 3)} at {values[-1]:g}"
                )
        command = another_value(rows.head(1), axis, example)
        need = f"two values with two seeds each are needed: `{command}`, then {INTERPOLATE} of each"
        heads.append(counts.verdict(f"A {word} {axis} lowers the barrier", need))
    return markdown(heads, lines, RULE)


def up_to_permutation(paths: pd.DataFrame) -> str:
    """Conclude whether networks are connected once units are exchanged: Markdown, from `query.paths`."""
    aligned, plain = "test/barrier", "unaligned/test/barrier"
    rows = rows_having(measured_last(paths), "align", aligned, plain, "connected", "connected_unaligned")
    connections, barriers, lines = ComparisonCounts(), ComparisonCounts(), []
    for label, part in each_condition(rows, [name for name in CONDITIONS if name != "same_initialization"]):
        connected = part["connected"] == "yes"
        by_seed = per_seed(part.assign(share=connected.astype(float)), "share")
        gain = per_seed(part.assign(gain=part[plain] - part[aligned]), "gain")
        if len(gain) > 1:
            barriers.add_difference(mean_of(gain))
        connections.add_shares(by_seed)
        methods = " and ".join(sorted(set(part["align"])))
        lines.append(
            f"- {label}: barrier {mean_text(per_seed(part, plain), 3)} not aligned, "
            f"{mean_text(per_seed(part, aligned), 3)} aligned by {methods}, the highest {part[aligned].max():.3f}; "
            f"connected: {(part['connected_unaligned'] == 'yes').sum()} of {len(part)} not aligned, "
            f"{connected.sum()} aligned"
        )
    need = f"at least two are needed: `{aligned_path(paths)}`"
    heads = [
        connections.verdict("Networks are connected up to permutation, in every seed", need),
        barriers.verdict("Aligning lowers the barrier", need),
    ]
    return markdown(heads, lines, RULE)


def _kinds_to_compare(part: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, pd.DataFrame, str]]:
    """Yield ensembles of seeds, the ensembles of paths to compare them with, and the policy of these if it varies.

    Both have equal numbers of members where such ensembles are logged; else all are compared.
    """
    seeds, lmc = (part[part["sampling"] == name] for name in ("seeds", "lmc"))
    if seeds.empty or lmc.empty:
        return
    for way, of_way in each_condition(lmc, ["bn"]):
        name = f", {way}" if way else ""
        equal = sorted(set(seeds["num_members"]) & set(of_way["num_members"]))
        for size in equal:
            yield seeds[seeds["num_members"] == size], of_way[of_way["num_members"] == size], name
        if not equal:
            yield seeds, of_way, name


def _ensembles_text(name: str, rows: pd.DataFrame) -> str:
    members = " and ".join(f"{number:g}" for number in sorted(set(rows["num_members"])))
    accuracy = 100 * per_ensemble(rows, "mean_prediction_accuracy")
    text = f"{name} {mean_text(accuracy, 2, ' %', 'pair' if name == 'lmc' else 'ensemble')} with {members} members"
    if {"wrong_agreement", "wrong_disagreement"} <= set(rows):
        text += f", WA {rows['wrong_agreement'].mean():.3f}, WD {rows['wrong_disagreement'].mean():.3f}"
    return text


def _cost_text(lmc: pd.DataFrame, seeds: pd.DataFrame) -> str:
    cost = "cost/train_seconds"
    if cost not in lmc or not lmc[cost].mean() > 0 or not seeds[cost].mean() > 0:
        return ""
    return f"; training the seeds took {seeds[cost].mean() / lmc[cost].mean():.2g} times as long"
