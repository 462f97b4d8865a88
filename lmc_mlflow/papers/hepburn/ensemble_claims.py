"""Claims on ensembles of one path against ensembles of seeds (Hepburn et al., RQ4, H-05)."""

import functools
from collections.abc import Iterator

import pandas as pd

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.findings.comparisons import describe_condition
from lmc_mlflow.findings.conditions import has_learnt
from lmc_mlflow.findings.differences import difference, mean_of, mean_text
from lmc_mlflow.findings.evidence import Claim, ConditionTables, Evidence, about_shifts
from lmc_mlflow.findings.thresholds import EQUIVALENT_WITHIN, NEGLIGIBLE
from lmc_mlflow.papers.commands import sweep_command
from lmc_mlflow.papers.hepburn.ensemble_groups import (
    EMPTY,
    EnsembleGroup,
    best_size,
    by_size,
    comparable_ensembles,
    match_sizes,
    select_sampling,
)


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
        found = difference(ours, theirs)
        way = found.direction(NEGLIGIBLE["score"])
        signed = way if way is None or lmc_is_higher else -way
        means = f"of paths {mean_text(ours, 4)}, of seeds {mean_text(theirs, 4)}; difference {found.text(4)}"
        text = f"{_label(lmc)}: {score.replace('_', ' ')} {means}, margin {NEGLIGIBLE['score']:g}"
        evidence.add(signed, text, (*lmc.run_ids, *seeds.run_ids))
    return evidence


def lmc_is_worth_its_cost(tables: ConditionTables) -> Evidence:
    """Collect evidence that an ensemble of one path is as accurate as the two seeds that cost as much to train.

    That two networks cost less than many is so by counting. What can fail is that they are as good as what else one
    gets for the training of two networks: it is shown where the ensemble of the path is at most a margin less accurate.
    """
    margin, evidence = EQUIVALENT_WITHIN["score"], Evidence()
    for part in _conditions(tables):
        paths, all_seeds = (by_size(select_sampling(part, kind, tables.policy)) for kind in ("lmc", "seeds"))
        lmc, seeds = paths.get(best_size(paths) or 0, EMPTY), all_seeds.get(2, EMPTY)
        ours, theirs = (group.scores("mean_prediction_accuracy") for group in (lmc, seeds))
        if len(ours) and len(theirs):
            found = difference(ours, theirs)
            times = [group.scores("cost/train_seconds") for group in (lmc, seeds)]
            cost = ", ".join(mean_text(values, 1, " s") for values in times) if all(map(len, times)) else "not logged"
            text = f"{_label(lmc)}: accuracy of paths {mean_text(100 * ours, 2, ' %')}, of two seeds "
            text += (
                f"{mean_text(100 * theirs, 2, ' %')}; difference {found.text(4)}, margin {-margin:g}; training {cost}"
            )
            way = None if found.direction() is None else found.side(-margin)
            evidence.add(way, text, (*lmc.run_ids, *seeds.run_ids))
    return evidence


def lmc_beats_its_members(tables: ConditionTables) -> Evidence:
    """Collect evidence that an ensemble of one path is more accurate than its members are on average."""
    evidence = Evidence()
    for lmc, _ in _by_condition(tables):
        gains = lmc.scores("mean_prediction_accuracy") - lmc.scores("member_accuracy")
        if len(gains) > 1:
            found = mean_of(gains)
            text = f"{_label(lmc)}: {mean_text(100 * gains, 2, ' points')} over its members, {found.text(4)}, "
            evidence.add(found.direction(NEGLIGIBLE["score"]), f"{text}margin {NEGLIGIBLE['score']:g}", lmc.run_ids)
    return evidence


def _by_condition(tables: ConditionTables) -> Iterator[tuple[EnsembleGroup, EnsembleGroup]]:
    """Yield points of paths and seeds of each condition that has ensembles; either may be empty."""
    for part in _conditions(tables):
        yield match_sizes(part, tables.policy)


def _conditions(tables: ConditionTables) -> Iterator[pd.DataFrame]:
    """Yield the ensembles of each condition that `evidence.about_shifts` lets through."""
    rows = comparable_ensembles(tables.frames.ensembles) if tables.frames is not None else pd.DataFrame()
    if len(rows):
        rows = about_shifts(rows.assign(learnt=has_learnt(rows, "member_accuracy")))
        for _, part in rows.groupby("condition", sort=True):
            yield part


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
        "For the training of two networks, points of one path are as accurate as two seeds (to half a point)",
        lmc_is_worth_its_cost,
        f"`{sweep_command('table_iii')}`, then `{RUN} ensemble -P runs=<run id>,<run id of another seed, same side>`",
    ),
    Claim(
        "H-05e",
        "An ensemble of one path is more accurate than its members",
        lmc_beats_its_members,
        f"`{sweep_command('table_iii')}`",
    ),
)
