"""Claims on ensembles of one path against ensembles of seeds (Hepburn et al., RQ4, H-05)."""

import functools
import math
from collections.abc import Iterator

from lmc_mlflow.findings.comparisons import describe_condition
from lmc_mlflow.findings.differences import difference, direction, mean_text
from lmc_mlflow.findings.evidence import Claim, ConditionTables, Evidence
from lmc_mlflow.findings.thresholds import NEGLIGIBLE
from lmc_mlflow.papers.commands import sweep_command
from lmc_mlflow.papers.hepburn.ensemble_groups import EnsembleGroup, comparable_ensembles, match_sizes


def compare_lmc_with_seeds(tables: ConditionTables, score: str, lmc_is_higher: bool) -> Evidence:
    """Collect evidence that points of a path have a higher (or a lower) score than seeds.

    Ensembles with equal numbers of members are compared where they are logged.

    Args:
        tables: whose ensembles are compared.
        score: a column of `query.ensembles`.
        lmc_is_higher: whether the claim is that points of a path have the higher score.
    """
    evidence = Evidence()
    for lmc, seeds in _by_condition(tables):
        ours, theirs = lmc.scores(score), seeds.scores(score)
        if not len(ours) or not len(theirs):
            continue
        gap, error = difference(ours, theirs)
        way = direction(gap, max(error, NEGLIGIBLE["score"] / 2)) if not math.isnan(error) else None
        signed = way if way is None or lmc_is_higher else -way
        means = f"of paths {mean_text(ours, 4)}, of seeds {mean_text(theirs, 4)}"
        evidence.add(signed, f"{_label(lmc)}: {score.replace('_', ' ')} {means}", (*lmc.run_ids, *seeds.run_ids))
    return evidence


def lmc_is_cheaper(tables: ConditionTables) -> Evidence:
    """Collect evidence that the networks of an ensemble of one path take less time to train than those of seeds."""
    evidence = Evidence()
    for lmc, seeds in _by_condition(tables):
        ours, theirs = (group.scores("cost/train_seconds") for group in (lmc, seeds))
        if len(ours) and len(theirs) and ours.mean() > 0 and theirs.mean() > 0:
            times = f"{mean_text(ours, 1, ' s')} for paths, {mean_text(theirs, 1, ' s')} for seeds"
            way = 1 if ours.mean() < theirs.mean() else -1
            evidence.add(way, f"{_label(lmc)}: training took {times}", (*lmc.run_ids, *seeds.run_ids))
    return evidence


def lmc_beats_its_members(tables: ConditionTables) -> Evidence:
    """Collect evidence that an ensemble of one path is more accurate than its members are on average."""
    evidence = Evidence()
    for lmc, _ in _by_condition(tables):
        gains = lmc.scores("mean_prediction_accuracy") - lmc.scores("member_accuracy")
        if len(gains) > 1:
            error = max(float(gains.std(ddof=1)) / math.sqrt(len(gains)), NEGLIGIBLE["score"] / 2)
            text = f"{_label(lmc)}: {mean_text(100 * gains, 2, ' points')} over its members"
            evidence.add(direction(float(gains.mean()), error), text, lmc.run_ids)
    return evidence


def _by_condition(tables: ConditionTables) -> Iterator[tuple[EnsembleGroup, EnsembleGroup]]:
    """Yield points of paths and seeds of each condition that has ensembles; either may be empty."""
    if tables.frames is None:
        return
    rows = comparable_ensembles(tables.frames.ensembles)
    for _, part in rows.groupby("condition", sort=True) if len(rows) else []:
        yield match_sizes(part, tables.policy)


def _label(group: EnsembleGroup) -> str:
    return f"{describe_condition(group.rows.iloc[0])}, {int(group.rows['num_members'].iloc[0])} members"


def _score_claim(name: str, sentence: str, score: str, lmc_is_higher: bool) -> Claim:
    judge = functools.partial(compare_lmc_with_seeds, score=score, lmc_is_higher=lmc_is_higher)
    return Claim(name, sentence, judge, f"`{sweep_command('table_iii')}`")


ENSEMBLE_CLAIMS = (
    _score_claim("H-05a", "Points of one path agree more often on a mistake than seeds do", "wrong_agreement", True),
    _score_claim("H-05b", "Seeds make more different mistakes than points of one path", "wrong_disagreement", False),
    _score_claim(
        "H-05c", "Ensembles of seeds are more accurate than those of one path", "mean_prediction_accuracy", False
    ),
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
