"""All claims of Hepburn et al., and their Tables VI to VIII in the form that claims are judged on."""

import pandas as pd

from lmc_mlflow.findings.condition_table import COLUMNS, with_deviations
from lmc_mlflow.findings.evidence import Claim
from lmc_mlflow.papers.hepburn.ensemble_claims import ENSEMBLE_CLAIMS
from lmc_mlflow.papers.hepburn.shift_claims import SHIFT_CLAIMS
from lmc_mlflow.papers.hepburn.similarity_claims import SIMILARITY_CLAIMS
from lmc_mlflow.papers.hepburn.training_claims import TRAINING_CLAIMS
from lmc_mlflow.papers.printed import SEEDS, all_cells

HEPBURN_CLAIMS: tuple[Claim, ...] = (*SHIFT_CLAIMS, *TRAINING_CLAIMS, *SIMILARITY_CLAIMS, *ENSEMBLE_CLAIMS)
_NOT_PRINTED = with_deviations(("angle", "angle_weights", "reference", "train_barrier", "overfit"))


def printed_conditions() -> pd.DataFrame:
    """Return Tables VI to VIII in the form of `condition_table.conditions`; what they do not print is unknown.

    The barrier stands for the one in the basin too (the paper does not say which of the two a cell has), and a
    cell holds unless its mean accuracy delta is below -6 points.
    """
    frame = all_cells()
    frame = frame.assign(
        in_basin=frame["barrier"],
        in_basin_sd=frame["barrier_sd"],
        holds=(~frame["lost"]).astype(float),
        apparent=0.0,
        n=len(SEEDS),
        score="accuracy",
        condition=frame["table"],
        run_ids=pd.Series([()] * len(frame), dtype=object),
    )
    absent = {name: float("nan") if name in _NOT_PRINTED else "" for name in COLUMNS if name not in frame}
    return frame.assign(**absent)[COLUMNS]
