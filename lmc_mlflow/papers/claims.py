"""All claims of all papers, judged on the tables of a store and on the papers' own tables."""

import functools
from collections import Counter
from collections.abc import Sequence
from typing import Any

from lmc_mlflow.findings.condition_table import POLICIES, Frames
from lmc_mlflow.findings.evidence import ANSWERS, Claim, ConditionTables, Verdict
from lmc_mlflow.papers.altintas.claims import ALTINTAS_CLAIMS
from lmc_mlflow.papers.altintas.error_conditions import error_conditions, printed_error_conditions
from lmc_mlflow.papers.frankle.claims import FRANKLE_CLAIMS
from lmc_mlflow.papers.hepburn.claims import HEPBURN_CLAIMS, printed_conditions
from lmc_mlflow.papers.permutation.claims import PERMUTATION_CLAIMS
from lmc_mlflow.papers.starlight.claims import STARLIGHT_CLAIMS

CLAIMS: tuple[Claim, ...] = (
    *HEPBURN_CLAIMS,
    *ALTINTAS_CLAIMS,
    *STARLIGHT_CLAIMS,
    *PERMUTATION_CLAIMS,
    *FRANKLE_CLAIMS,
)
PAPER = "paper"
"""In the place of a policy: the same judgement on the papers' own numbers."""
JUDGED = (*POLICIES, PAPER)
Verdicts = dict[str, dict[str, Verdict]]
"""Claim -> policy (or `PAPER`) -> verdict."""


def judge_all(frames: Frames, min_seeds: int, claims: Sequence[Claim] = CLAIMS) -> Verdicts:
    """Judge claims under each batch-norm policy and on the papers' own tables.

    Args:
        frames: as `condition_table.prepare` returns them.
        min_seeds: conditions with fewer seeds decide nothing.
        claims: those that are judged.
    """
    tables = {
        policy: ConditionTables(frames.conditions[policy], frames, policy, min_seeds, error_conditions(frames, policy))
        for policy in POLICIES
    }
    return {
        claim.name: {policy: _judge(claim, given) for policy, given in tables.items()}
        | {PAPER: _verdicts_on_printed_tables()[claim.name]}
        for claim in claims
    }


@functools.cache
def _verdicts_on_printed_tables() -> dict[str, Verdict]:
    printed = ConditionTables(printed_conditions(), None, PAPER, 2, printed_error_conditions())
    return {claim.name: _judge(claim, printed) for claim in CLAIMS}


def _judge(claim: Claim, tables: ConditionTables) -> Verdict:
    return claim.judge(tables).verdict(claim.need)


def claims_content(verdicts: Verdicts) -> list[dict[str, Any]]:
    """List every claim with every verdict, its evidence and the runs behind it: the content of `claims.json`."""
    return [
        {
            "claim": claim.name,
            "sentence": claim.sentence,
            "need": claim.need,
            "verdicts": {
                name: {
                    "answer": verdict.answer,
                    "sentence": verdict.sentence,
                    "counts": dict(verdict.counts),
                    "kind": verdict.kind,
                    "evidence": list(verdict.evidence),
                    "run_ids": list(verdict.run_ids),
                }
                for name, verdict in verdicts[claim.name].items()
            },
        }
        for claim in CLAIMS
    ]


def count_answers(verdicts: Verdicts, policy: str) -> dict[str, int]:
    """Count how many claims have each answer under a policy."""
    found = Counter(verdict[policy].answer for verdict in verdicts.values())
    return {answer: found[answer] for answer in ANSWERS}
