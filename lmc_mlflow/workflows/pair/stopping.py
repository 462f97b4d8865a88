"""Stops pairs of a sweep that will hardly end connected, after a certain epoch."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from lmc_mlflow.contract import Tag
from lmc_mlflow.findings.hopeless import hopeless
from lmc_mlflow.query.networks import sides_of_pair
from lmc_mlflow.query.runs import Run
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.workflows.lifecycle.run_once import RunSession
from lmc_mlflow.workflows.pair.recorder import Recorder
from lmc_mlflow.workflows.pair.runs import PairRuns

STOPPED = "stopped"
"""How the outcome of such a pair came about."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StopRule:
    """When hopeless pairs are stopped, and which never are.

    Attributes:
        epoch: after which they are.
        spared_seed: a pair with this seed is trained to its end, so that each configuration has a verdict.
    """

    epoch: int
    spared_seed: int

    def stop_hopeless(self, epoch: int, recorders: Sequence[Recorder]) -> None:
        """Stop those of several pairs that are hopeless, where this is the epoch for it.

        Args:
            epoch: the last whole one.
            recorders: of the pairs that train in step.
        """
        if epoch != self.epoch:
            return
        open_pairs = {
            recorder.run_id: recorder
            for recorder in recorders
            if recorder.progress.epoch == epoch and recorder.seed != self.spared_seed and recorder.unfinished()
        }
        found = hopeless(open_pairs, epoch) if open_pairs else None
        for run_id, reason in found.reasons.items() if found is not None else ():
            logger.info("pair %s is stopped: %s", run_id, reason)
            open_pairs[run_id].stop(reason)


def stopped_ends(store: Store, pair: Run) -> tuple[str, str]:
    """Find the run ids of sides A and B of a pair that was stopped."""
    sides = sides_of_pair(store.client, pair)
    return sides["A"].info.run_id, sides["B"].info.run_id


def end_stopped(session: RunSession, runs: PairRuns, recorder: Recorder) -> None:
    """End the runs of a pair that was stopped as KILLED, with what they are resumed from."""
    recorder.progress.save()
    runs.pair.set_tags({Tag.STOPPED: recorder.stopped})
    session.leave(recorder.stopped, *runs.endpoints.values(), runs.pair)
