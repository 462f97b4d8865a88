"""The page doctor.md: three real pairs, diagnosed."""

import pandas as pd

from analysis.result_pages.numbers import number
from analysis.result_pages.shipped_runs import NAMES, ShippedRuns
from lmc_mlflow.contract import Artifact, Kind, Tag
from lmc_mlflow.query.rows import runs_of
from lmc_mlflow.query.run_tables import read_table

EXPLAINED = "explained"


def parts(shipped: ShippedRuns) -> dict[str, pd.DataFrame | str]:
    """Compute the tables and the answer of doctor.md."""
    (experiment,) = shipped.experiments
    runs = sorted(runs_of(Kind.DIAGNOSIS, experiment, True, None), key=lambda run: run.data.tags[Tag.MODEL])
    epochs = shipped.endpoints.set_index("run_id")["epochs"]
    answers, causes = [], []
    for run in runs:
        tags, metrics = run.data.tags, run.data.metrics
        name = f"{NAMES[tags[Tag.DATASET]]}, `{tags[Tag.MODEL]}`, `{tags[Tag.SHIFT]}`, rate {tags[Tag.LR]}, "
        name += f"{epochs[tags[Tag.RUN_A]]} epochs"
        answers.append(
            {
                "pair": name,
                "answer": tags[Tag.DIAGNOSIS],
                "barrier (nats)": number(metrics["to_explain"], 3),
                "left (nats)": number(metrics["unexplained"], 3),
                "paths": int(metrics["num_paths"]),
            }
        )
        for _, row in read_table(run.info.run_id, Artifact.DIAGNOSIS).iterrows():
            explained = f"{number(row['explained'], 3)} ({number(row['low'], 3)} to {number(row['high'], 3)})"
            causes.append({"pair": name, "cause": row["title"], "explains (nats)": explained, "because": row["reason"]})
    found, named = pd.DataFrame(answers), pd.DataFrame(causes)
    return {"answer": _answer(found, named), "answers": found, "causes": named}


def _answer(answers: pd.DataFrame, causes: pd.DataFrame) -> str:
    explained = answers[answers["answer"] == EXPLAINED]
    told = "; ".join(
        f"{cause} for {explains} of {barrier} nats ({pair})"
        for pair, cause, explains, barrier in causes.merge(explained, on="pair")[
            ["pair", "cause", "explains (nats)", "barrier (nats)"]
        ].to_numpy()
    )
    return (
        f"**Of {len(answers)} real pairs, the barriers of {len(explained)} are explained by something else than two "
        f"basins: "
        f"{told}.** Intervals are over test images; one pair of each kind was diagnosed, the other is undecided."
    )
