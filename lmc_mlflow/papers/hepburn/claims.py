"""Which claims of the papers are decided by the runs, and how? One row a claim, one answer a batch-norm policy."""

import functools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from lmc_mlflow.findings.condition_table import POLICIES, Frames, table_columns
from lmc_mlflow.findings.evidence import (
    ANSWERS,
    Claim,
    Store,
    Verdict,
)
from lmc_mlflow.papers.altintas.claims import DISENTANGLING_CLAIMS
from lmc_mlflow.papers.altintas.error_conditions import error_conditions
from lmc_mlflow.papers.altintas.error_conditions import printed_conditions as printed_errors
from lmc_mlflow.papers.hepburn.ensemble_claims import ENSEMBLE_CLAIMS
from lmc_mlflow.papers.hepburn.shift_claims import SHIFT_CLAIMS
from lmc_mlflow.papers.hepburn.similarity_claims import SIMILARITY_CLAIMS
from lmc_mlflow.papers.hepburn.training_claims import TRAINING_CLAIMS
from lmc_mlflow.papers.printed import NUM_SEEDS, all_cells

CLAIMS: tuple[Claim, ...] = (
    *SHIFT_CLAIMS,
    *TRAINING_CLAIMS,
    *SIMILARITY_CLAIMS,
    *ENSEMBLE_CLAIMS,
    *DISENTANGLING_CLAIMS,
)
PAPER = "paper"
"""In the place of a policy: the same judgement on the papers' own tables (VI to VIII; 1 and 2)."""
JUDGED = (*POLICIES, PAPER)
Verdicts = dict[str, dict[str, Verdict]]


def judge_all(frames: Frames, min_seeds: int, claims: Sequence[Claim] = CLAIMS) -> Verdicts:
    """Claim -> policy (or `PAPER`) -> verdict.

    Args:
        frames: prepared.
        min_seeds: conditions with fewer seeds decide nothing.
        claims: those that are judged.
    """
    stores = {
        policy: Store(frames.conditions[policy], frames, policy, min_seeds, error_conditions(frames, policy))
        for policy in POLICIES
    }
    return {
        claim.name: {name: claim.judge(store).verdict(claim.need) for name, store in stores.items()}
        | {PAPER: _on_its_own_tables()[claim.name]}
        for claim in claims
    }


@functools.cache
def _on_its_own_tables() -> dict[str, Verdict]:
    store = Store(printed_conditions(), None, PAPER, 2, printed_errors())
    return {claim.name: claim.judge(store).verdict(claim.need) for claim in CLAIMS}


def printed_conditions() -> pd.DataFrame:
    """The paper's Tables VI to VIII in the form of `measured.conditions`; what they do not print is unknown.

    The barrier stands for the one in the basin too (the paper does not say which of the two a cell has), and a
    cell holds unless its mean delta is below -6 points.
    """
    frame = all_cells()
    frame = frame.assign(
        in_basin=frame["barrier"],
        in_basin_sd=frame["barrier_sd"],
        holds=(~frame["lost"]).astype(float),
        apparent=0.0,
        n=NUM_SEEDS,
        score="accuracy",
        condition=frame["table"],
        run_ids=pd.Series([()] * len(frame), dtype=object),
    )
    texts = {"score", "condition", "run_ids"}
    measures = {name for name in table_columns() if name not in frame and name not in texts}
    open_ = {name: float("nan") if name.split("_sd")[0] in _NUMBERS else "" for name in measures}
    return frame.assign(**open_)[table_columns()]


_NUMBERS = {"angle", "angle_weights", "reference", "train_barrier", "overfit"}


def claims_table(verdicts: Verdicts) -> pd.DataFrame:
    """One row a claim: what it says, and each policy's answer and sentence."""
    rows = []
    for claim in CLAIMS:
        row: dict[str, Any] = {"claim": claim.name, "sentence": claim.sentence}
        row |= {name: verdicts[claim.name][name].answer for name in JUDGED}
        row |= {f"{name}_evidence": verdicts[claim.name][name].sentence for name in JUDGED}
        rows.append(row)
    return pd.DataFrame(rows)


def claims_content(verdicts: Verdicts) -> list[dict[str, Any]]:
    """What `claims.json` holds: every claim with every verdict, its evidence and the runs behind it."""
    return [
        {
            "claim": claim.name,
            "sentence": claim.sentence,
            "verdicts": {
                name: {
                    "answer": verdict.answer,
                    "sentence": verdict.sentence,
                    "evidence": list(verdict.evidence),
                    "run_ids": list(verdict.run_ids),
                }
                for name, verdict in verdicts[claim.name].items()
            },
        }
        for claim in CLAIMS
    ]


def counts(verdicts: Verdicts, policy: str) -> dict[str, int]:
    """How many claims have each answer under a policy."""
    found = Counter(verdict[policy].answer for verdict in verdicts.values())
    return {answer: found[answer] for answer in ANSWERS}
