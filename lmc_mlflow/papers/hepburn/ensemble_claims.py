"""Do networks from one basin repeat mistakes, and at what price (Hepburn et al., RQ4, H-05)?"""

import functools
import math
from collections.abc import Iterator

from lmc_mlflow.findings.comparing import label
from lmc_mlflow.findings.evidence import Claim, Evidence, Store
from lmc_mlflow.findings.tally import difference, direction, spread
from lmc_mlflow.papers.commands import sweep_command
from lmc_mlflow.papers.hepburn.ensemble_samples import Group, comparable, matched

FLOOR = 0.001
"""Shares and accuracies that differ by no more are the same."""


def _pairs_of_kinds(store: Store) -> Iterator[tuple[Group, Group]]:
    if store.frames is None:
        return
    rows = comparable(store.frames.ensembles)
    for _, part in rows.groupby("condition", sort=True) if len(rows) else []:
        lmc, seeds = matched(part, store.policy)
        if lmc.n and seeds.n:
            yield lmc, seeds


def lmc_against_seeds(store: Store, score: str, lmc_is_higher: bool) -> Evidence:
    """Is a score higher for points of a path than for seeds, or lower? Of equal numbers of members where logged."""
    evidence = Evidence()
    for lmc, seeds in _pairs_of_kinds(store):
        ours, theirs = lmc.scores(score), seeds.scores(score)
        if not len(ours) or not len(theirs):
            continue
        gap, error = difference(ours, theirs)
        way = direction(gap, max(error, FLOOR / 2)) if not math.isnan(error) else None
        signed = way if way is None or lmc_is_higher else -way
        text = f"{_label(lmc)}: {score.replace('_', ' ')} of paths {spread(ours, 4)}, of seeds {spread(theirs, 4)}"
        evidence.add(signed, text, (*lmc.run_ids, *seeds.run_ids))
    return evidence


def lmc_is_cheaper(store: Store) -> Evidence:
    """Does training for an ensemble of one path take less time than for one of seeds?"""
    evidence = Evidence()
    for lmc, seeds in _pairs_of_kinds(store):
        ours, theirs = (group.scores("cost/train_seconds") for group in (lmc, seeds))
        if len(ours) and len(theirs) and ours.mean() > 0 and theirs.mean() > 0:
            text = (
                f"{_label(lmc)}: training took {spread(ours, 1, ' s')} for paths, {spread(theirs, 1, ' s')} for seeds"
            )
            evidence.add(1 if ours.mean() < theirs.mean() else -1, text, (*lmc.run_ids, *seeds.run_ids))
    return evidence


def lmc_beats_its_members(store: Store) -> Evidence:
    """Is an ensemble of one path more accurate than its members are on average, in every pair?"""
    evidence = Evidence()
    for lmc, _ in _lmc_groups(store):
        gains = lmc.scores("mean_prediction_accuracy") - lmc.scores("member_accuracy")
        if len(gains) > 1:
            error = max(float(gains.std(ddof=1)) / math.sqrt(len(gains)), FLOOR / 2)
            text = f"{_label(lmc)}: {spread(100 * gains, 2, ' points')} over its members"
            evidence.add(direction(float(gains.mean()), error), text, lmc.run_ids)
    return evidence


def _lmc_groups(store: Store) -> Iterator[tuple[Group, Group]]:
    if store.frames is None:
        return
    rows = comparable(store.frames.ensembles)
    for _, part in rows.groupby("condition", sort=True) if len(rows) else []:
        found = matched(part, store.policy)
        if found[0].n:
            yield found


def _label(group: Group) -> str:
    return f"{label(group.rows.iloc[0])}, {int(group.rows['num_members'].iloc[0])} members"


def _claim(name: str, sentence: str, score: str, lmc_is_higher: bool) -> Claim:
    judge = functools.partial(lmc_against_seeds, score=score, lmc_is_higher=lmc_is_higher)
    return Claim(name, sentence, judge, f"`{sweep_command('table_iii')}`")


ENSEMBLE_CLAIMS = (
    _claim("H-05a", "Points of one path agree more often on a mistake than seeds do", "wrong_agreement", True),
    _claim("H-05b", "Seeds make more different mistakes than points of one path", "wrong_disagreement", False),
    _claim("H-05c", "Ensembles of seeds are more accurate than those of one path", "mean_prediction_accuracy", False),
    Claim(
        "H-05d",
        "An ensemble of one path is cheaper to train than one of seeds",
        lmc_is_cheaper,
        f"`{sweep_command('table_iii')}`",
    ),
    Claim(
        "H-05e",
        "An ensemble of one path is more accurate than its members",
        lmc_beats_its_members,
        f"`{sweep_command('table_iii')}`",
    ),
)
