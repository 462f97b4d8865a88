"""Loads the network that a run logged: its verified checkpoint, and what rebuilds the network and its data."""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lmc_mlflow.config.canonical import from_nested
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.contract import UNKNOWN_SIDE, Artifact, Kind, Tag
from lmc_mlflow.data.shifts.sides import Sides
from lmc_mlflow.models.registry import NetworkSpec, build_network, empty_state
from lmc_mlflow.own_code import GRAPH, changed_lines, source_digest, source_file
from lmc_mlflow.query.checkpoint_config import read_checkpoint_config
from lmc_mlflow.query.runs import children, resolve_run
from lmc_mlflow.query.verified_artifacts import download_verified, left_out
from lmc_mlflow.stored_arrays import read_arrays
from lmc_mlflow.weights import check_compatible

logger = logging.getLogger(__name__)
SPLIT_ARRAYS = ("A", "B")


@dataclass(frozen=True)
class LoggedNetwork:
    """A network as a run logged it.

    Attributes:
        run: the run.
        spec: what rebuilds the architecture.
        state: the state dict, on the CPU.
        config: how it was trained.
        side: the side it was trained on; `unknown` where nobody has named it.
        split_run: id of the run whose `split.npz` holds that side's indices.
        digests: of the data set (`data`), the test set (`test`) and its training subset (`train`).
    """

    run: Run
    spec: NetworkSpec
    state: dict[str, Tensor]
    config: TrainPairConfig
    side: str
    split_run: str
    digests: dict[str, str]

    def network(self) -> nn.Module:
        """Build the network, in evaluation mode."""
        network = build_network(self.spec, seed=0)
        network.load_state_dict(self.state)
        return network.eval()

    @property
    def knows_training(self) -> bool:
        """Whether it is known on which images the network was trained."""
        return self.side != UNKNOWN_SIDE

    def refuse_if_diverged(self) -> None:
        """Refuse a network whose weights are no numbers.

        Raises:
            ValueError: naming the run and the first such tensor.
        """
        for name, value in self.state.items():
            if value.is_floating_point() and not value.isfinite().all():
                raise ValueError(
                    f"run {self.run.info.run_id}: {name} is not finite, its training diverged; leave the run out, or "
                    "train it again with a lower lr"
                )


def load_network(client: MlflowClient, run_id: str) -> LoggedNetwork:
    """Load the network that a run logged, every byte verified against its manifest.

    Args:
        client: of the server.
        run_id: an id or a unique prefix of one.

    Raises:
        ValueError: no such run, not finished, without a checkpoint, or with an altered one.
    """
    run = _finished(resolve_run(client, run_id))
    label = f"run {run.info.run_id}"
    with tempfile.TemporaryDirectory() as folder:
        parts = [Artifact.CHECKPOINT, Artifact.CHECKPOINT_CONFIG]
        if run.data.tags.get(Tag.MODEL, "").startswith(GRAPH):
            parts.append(Artifact.CHECKPOINT_GRAPH)
        files = download_verified(client, run, parts, Path(folder))
        try:
            content = read_checkpoint_config(files[Artifact.CHECKPOINT_CONFIG])
            state = load_file(files[Artifact.CHECKPOINT])
            graph = files[Artifact.CHECKPOINT_GRAPH].read_text() if Artifact.CHECKPOINT_GRAPH in files else ""
            spec = NetworkSpec(**vars(content.network), graph=graph)
            _say_if_source_changed(client, run, spec)
            check_compatible(empty_state(spec), state)
            config = from_nested(TrainPairConfig, content.config)
        except (SafetensorError, ValueError) as error:
            raise ValueError(f"{label}: its checkpoint cannot be used: {error}") from None
    return LoggedNetwork(run, spec, state, config, content.side, content.split_run, vars(content.digests))


def load_permutation(client: MlflowClient, run: Run) -> dict[str, Tensor]:
    """Load the permutation of B's units that a run logged: group of units -> their order.

    Raises:
        ValueError: there is none, or an altered one.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = download_verified(client, run, [Artifact.PERMUTATION], Path(folder))
        try:
            arrays = read_arrays(files[Artifact.PERMUTATION])
        except ValueError as error:
            raise ValueError(f"run {run.info.run_id}: its {Artifact.PERMUTATION} cannot be used: {error}") from None
    return {group: torch.from_numpy(order) for group, order in arrays.items()}


def _say_if_source_changed(client: MlflowClient, run: Run, spec: NetworkSpec) -> None:
    """Warn where the file of a user's own builder is not the one that the network was made with."""
    if not spec.source or source_digest("model", spec.model) == spec.source:
        return
    now = source_file("model", spec.model).read_text()
    with tempfile.TemporaryDirectory() as folder:
        before = download_verified(client, run, [Artifact.CHECKPOINT_SOURCE], Path(folder))
        changes = changed_lines(before[Artifact.CHECKPOINT_SOURCE].read_text(), now)
    logger.warning(
        "run %s: the file of model %s has changed since (%s); it is used as it is now",
        run.info.run_id,
        spec.model,
        changes,
    )


def load_split(client: MlflowClient, run_id: str) -> Sides:
    """Load the two sides that a pair run logged.

    Raises:
        ValueError: the split is missing, altered, or no two lists of samples.
    """
    run = resolve_run(client, run_id)
    with tempfile.TemporaryDirectory() as folder:
        files = download_verified(client, run, [Artifact.SPLIT], Path(folder))
        try:
            arrays = read_arrays(files[Artifact.SPLIT], SPLIT_ARRAYS)
            for name, indices in arrays.items():
                _check_indices(name, indices)
        except ValueError as error:
            raise ValueError(f"run {run.info.run_id}: its {Artifact.SPLIT} cannot be used: {error}") from None
    return Sides(*(arrays[name] for name in SPLIT_ARRAYS))


def _check_indices(name: str, indices: NDArray[Any]) -> None:
    if indices.dtype.kind not in "iu" or indices.ndim != 1 or not len(indices) or indices.min() < 0:
        raise ValueError(
            f"{name} is {indices.dtype} of shape {indices.shape}; the samples of a side are whole numbers from 0 on"
        )


def endpoints_of_pair(client: MlflowClient, pair_id: str) -> tuple[str, str]:
    """Find the run ids of a finished pair's sides A and B.

    Raises:
        ValueError: no such run, not a pair, or not finished.
    """
    run = resolve_run(client, pair_id)
    kind = run.data.tags.get(Tag.KIND)
    if kind != Kind.PAIR:
        raise ValueError(
            f"run {run.info.run_id} is of kind {kind or 'none of ours'}, not a pair; give the pair's id, "
            "or run_a and run_b"
        )
    _finished(run)
    sides = sides_of_pair(client, run)
    if not {"A", "B"} <= set(sides):
        raise ValueError(f"pair {run.info.run_id} has no endpoint runs for both sides; were they deleted?")
    return sides["A"].info.run_id, sides["B"].info.run_id


def lacks_weights(client: MlflowClient, pair_id: str) -> bool:
    """Tell whether an imported pair has an endpoint whose checkpoint was left out of the bundle."""
    ends = (client.get_run(run_id) for run_id in endpoints_of_pair(client, pair_id))
    return any(Artifact.CHECKPOINT in left_out(end) for end in ends)


def sides_of_pair(client: MlflowClient, pair: Run) -> dict[str, Run]:
    """Find the endpoint run of each side of a pair, finished or not."""
    return by_side(children(client, pair, Kind.ENDPOINT))


def by_side(runs: Sequence[Run]) -> dict[str, Run]:
    """Give the endpoint of each side of a pair.

    Of several runs of one side it is the finished one, or the one that holds most: where the answer of a server was
    lost, the client has asked for the run a second time, and the first is empty.
    """
    ordered = sorted(runs, key=lambda run: (run.info.status == "FINISHED", len(run.data.metrics), len(run.data.params)))
    return {run.data.tags.get(Tag.SIDE, ""): run for run in ordered}


def resolve_finished(client: MlflowClient, run_id: str) -> Run:
    """Find a finished run by its id, or by a prefix that only one run has.

    Raises:
        ValueError: there is none, or it is deleted or not finished.
    """
    return _finished(resolve_run(client, run_id))


def _finished(run: Run) -> Run:
    if run.info.lifecycle_stage != "active":
        raise ValueError(f"run {run.info.run_id} is deleted; restore it in the UI first")
    if run.info.status != "FINISHED":
        raise ValueError(
            f"run {run.info.run_id} is {run.info.status}, not FINISHED; repeat the command that started it to resume it"
        )
    return run
