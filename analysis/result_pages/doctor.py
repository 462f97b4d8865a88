"""Tables of doctor.md."""

import pandas as pd

from analysis.result_pages.numbers import Tables, number
from lmc_mlflow.contract import Artifact, Kind, Tag
from lmc_mlflow.query.rows import runs_of
from lmc_mlflow.query.run_tables import read_table

NETWORKS = {"imagefolder": "CIFAR-10", "mnist": "MNIST"}


def doctor_tables() -> Tables:
    """Compute the tables of doctor.md."""
    runs = sorted(runs_of(Kind.DIAGNOSIS, None, True, None), key=lambda run: run.data.tags[Tag.MODEL])
    answers, causes = [], []
    for run in runs:
        tags, metrics = run.data.tags, run.data.metrics
        name = f"{NETWORKS[tags[Tag.DATASET]]}, `{tags[Tag.MODEL]}`, `{tags[Tag.SHIFT]}`"
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
    return {"answers": pd.DataFrame(answers), "causes": pd.DataFrame(causes)}
