"""All claims of Hepburn et al., and their Tables VI to VIII in the form that claims are judged on."""

import pandas as pd

from lmc_mlflow.findings.condition_table import COLUMNS, MEASURES, with_deviations
from lmc_mlflow.findings.evidence import Claim
from lmc_mlflow.findings.thresholds import breaks
from lmc_mlflow.papers.hepburn.ensemble_claims import ENSEMBLE_CLAIMS
from lmc_mlflow.papers.hepburn.noise_scale_claims import NOISE_SCALE_CLAIMS
from lmc_mlflow.papers.hepburn.shift_claims import SHIFT_CLAIMS
from lmc_mlflow.papers.hepburn.similarity_claims import SIMILARITY_CLAIMS
from lmc_mlflow.papers.hepburn.training_claims import TRAINING_CLAIMS
from lmc_mlflow.papers.hepburn.training_loss_claims import TRAINING_LOSS_CLAIMS
from lmc_mlflow.papers.printed import SEEDS, all_cells
from lmc_mlflow.training.optimizers import noise_scale

HEPBURN_CLAIMS: tuple[Claim, ...] = (
    *SHIFT_CLAIMS,
    *TRAINING_CLAIMS,
    *NOISE_SCALE_CLAIMS,
    *SIMILARITY_CLAIMS,
    *TRAINING_LOSS_CLAIMS,
    *ENSEMBLE_CLAIMS,
)
IMAGES_PER_SIDE = {"mnist": 29_997, "cifar10": 25_000}
"""Data set -> training images of one side (Appendix A), for the noise scale of a printed cell."""
_NUMBERS = with_deviations(MEASURES)


def printed_conditions() -> pd.DataFrame:
    """Return Tables VI to VIII in the form of `condition_table.conditions`; what they do not print is unknown.

    The barrier stands for the one in the basin too: the paper measures from the local minima where there are some
    (IV-A). Cells are judged by the same rule as ours, `thresholds.breaks`, from mean, deviation and five seeds.
    """
    frame = all_cells()
    broken = [breaks(barrier, delta) for barrier, delta in frame[["barrier", "delta"]].to_numpy()]
    scales = [noise_scale(lr, IMAGES_PER_SIDE[data], size) for data, lr, size in _rates(frame)]
    frame = frame.assign(
        in_basin=frame["barrier"],
        in_basin_sd=frame["barrier_sd"],
        noise_scale=scales,
        noise_scale_sd=0.0,
        holds=[float(not broke) for broke in broken],
        apparent=0.0,
        n=len(SEEDS),
        score="accuracy",
        learnt=True,
        condition=frame["table"],
        run_ids=pd.Series([()] * len(frame), dtype=object),
    )
    absent = {name: float("nan") if name in _NUMBERS else "" for name in COLUMNS if name not in frame}
    return frame.assign(**absent)[COLUMNS]


def _rates(frame: pd.DataFrame) -> list[tuple[str, float, int]]:
    return list(zip(frame["dataset"], frame["lr"], frame["batch_size"], strict=True))
