"""What training a pair gives: its runs, and the last metrics of both sides."""

from dataclasses import dataclass, field

from lmc_mlflow.query.networks import endpoints_of_pair
from lmc_mlflow.query.runs import latest_metrics
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.workflows.lifecycle.outcome import Outcome
from lmc_mlflow.workflows.pair.stopping import STOPPED, stopped_ends


@dataclass(frozen=True)
class PairOutcome(Outcome):
    """A trained pair: `run_id` is the pair's, `how` is `trained`, `resumed` or `finished before`.

    Attributes:
        endpoints: side -> run id.
        sides: side -> last metrics of its endpoint.
        models: side -> address of its published model; empty where none was wanted.
    """

    endpoints: dict[str, str]
    sides: dict[str, dict[str, float]]
    models: dict[str, str] = field(default_factory=dict)


def outcome_of_pair(store: Store, run_id: str, how: str) -> PairOutcome:
    """Read what the store has of a pair that is finished or stopped, and say how it came about."""
    run = store.client.get_run(run_id)
    ends = stopped_ends(store, run) if how == STOPPED else endpoints_of_pair(store.client, run_id)
    endpoints = dict(zip("AB", ends, strict=True))
    sides = {side: latest_metrics(store.client, endpoint) for side, endpoint in endpoints.items()}
    return PairOutcome.of(run, how, endpoints=endpoints, sides=sides)
