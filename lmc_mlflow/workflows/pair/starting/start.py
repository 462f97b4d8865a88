"""Finds the network that both sides of a pair start from, and puts the sides there."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.starting import NEW, StartConfig
from lmc_mlflow.config.train_pair import ModelConfig
from lmc_mlflow.contract import Kind, Tag
from lmc_mlflow.data.loading import ShiftedData
from lmc_mlflow.models.registry import NetworkSpec
from lmc_mlflow.own_code import GRAPH
from lmc_mlflow.query.kept_states import load_kept
from lmc_mlflow.query.networks import load_network
from lmc_mlflow.query.runs import Run, resolve_run
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.training.kept_state import KeptState, restore_kept
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.weights import check_compatible, digest
from lmc_mlflow.workflows.pair.runs import network_spec
from lmc_mlflow.workflows.pair.starting.start_files import is_given_by_file, read_start

logger = logging.getLogger(__name__)
DIGEST = 32
"""Characters of a start's digest."""


@dataclass(frozen=True)
class StartingPoint:
    """The network that both sides start from.

    Attributes:
        run_id: of the run that holds it; or the file or URI that it was read from.
        model: name of its architecture.
        network: its state dict.
        state: with optimizer and noise, where the training goes on; None: it begins.
    """

    run_id: str
    model: str
    network: dict[str, Tensor]
    state: KeptState | None = None

    def digest(self) -> str:
        """Digest what decides the result: the weights, and where the training goes on all that it goes on with."""
        return (digest(self.network) if self.state is None else self.state.digest())[:DIGEST]


def resolve_start(store: Store, start: str) -> Run:
    """Find the run that `start` names.

    Raises:
        ValueError: there is no such run, or it is of a pair, which is two networks.
    """
    run = resolve_run(store.client, start)
    if run.data.tags.get(Tag.KIND) == Kind.PAIR:
        raise ValueError(f"start={start}: run {run.info.run_id} is a pair, two networks; give one of its endpoints")
    return run


def find_start(store: Store, config: TrainPairConfig, data: Callable[[], ShiftedData]) -> StartingPoint | None:
    """Load the network that both sides start from; None without `start`.

    Args:
        store: where runs and URIs are looked up.
        config: of the pair.
        data: loads what it is trained on; called where a file or URI is given.

    Raises:
        ValueError: no such run, an epoch that it has not kept, or weights of another digest than the one given.
    """
    return find_given_start(store, config.starting, config.model, lambda: network_spec(config, data()))


def find_given_start(
    store: Store, starting: StartConfig, model: ModelConfig, spec: Callable[[], NetworkSpec]
) -> StartingPoint | None:
    """Load the network that a training starts from; None without `start`.

    Args:
        store: where runs and URIs are looked up.
        starting: names it.
        model: which network is trained.
        spec: of that network, for the images; called where a file or URI is given.

    Raises:
        ValueError: as in `find_start`.
    """
    if not starting.start:
        return None
    is_file = is_given_by_file(starting.start)
    point = _of_files(store, starting, model, spec) if is_file else _of_run(store, starting)
    if starting.start_digest and starting.start_digest != point.digest():
        raise ValueError(
            f"start={starting.start} has the digest {point.digest()}, start_digest={starting.start_digest} was given; "
            "it is another network: leave start_digest out, or give another start"
        )
    return point


def _of_files(
    store: Store, starting: StartConfig, model: ModelConfig, spec: Callable[[], NetworkSpec]
) -> StartingPoint:
    if starting.start_epoch is not None:
        raise ValueError(
            f"start_epoch={starting.start_epoch}: start={starting.start} is no run of a training here, "
            "which could go on; leave start_epoch out"
        )
    return StartingPoint(starting.start, model.model, read_start(store, starting.start, model, spec()))


def _of_run(store: Store, starting: StartConfig) -> StartingPoint:
    run = resolve_start(store, starting.start)
    if starting.start_epoch is not None:
        point = kept_start(store, run, starting.start_epoch)
    elif run.data.tags.get(Tag.KIND) == Kind.TRAJECTORY:
        raise ValueError(
            f"start={starting.start}: a trajectory is many networks; give start_epoch or a run of an epoch"
        )
    else:
        logged = load_network(store.client, run.info.run_id)
        logged.refuse_if_diverged()
        point = StartingPoint(run.info.run_id, logged.spec.model, logged.state)
    return point


def kept_start(store: Store, run: Run, epoch: int) -> StartingPoint:
    """Load the state that a run has kept of an epoch.

    Raises:
        ValueError: it has not kept it, or the run has no network.
    """
    if run.info.status != "FINISHED":
        load_network(store.client, run.info.run_id)  # says why not
    state = load_kept(store.client, run, epoch)
    return StartingPoint(run.info.run_id, run.data.tags.get(Tag.MODEL, ""), state.network, state)


def with_digest(config: TrainPairConfig, start: StartingPoint | None) -> TrainPairConfig:
    """Give the configuration with the full id and the digest of its start, which is part of its identity."""
    if start is None:
        return config
    return replace(config, starting=replace(config.starting, start=start.run_id, start_digest=start.digest()))


def put_at_start(trainees: Sequence[Trainee], config: TrainPairConfig, start: StartingPoint) -> None:
    """Set the trainees (in place) to a starting point.

    Args:
        trainees: sides of a pair, or its trunk; freshly initialized.
        config: of the pair.
        start: of the same architecture, its head apart if that is drawn anew.

    Raises:
        ValueError: another architecture, a head of another size that is to be kept, or another optimizer.
    """
    for trainee in trainees:
        network = fitted_state(trainee.network, config.model.model, config.starting.start_head, start)
        state = start.state
        if state is None:
            trainee.network.load_state_dict(network)
        elif state.optimizer != config.optimization.optimizer:
            raise ValueError(
                f"run {start.run_id}, epoch {state.epoch}: it was trained by {state.optimizer}, and its optimizer's "
                f"state does not fit {config.optimization.optimizer}; give optimizer={state.optimizer}"
            )
        else:
            # Side B draws its own noise under noise=different: a state of another side's stream is not its own.
            parent = state.side if state.side in ("A", "B") else "A"
            same = config.noise.noise == "same" or parent == trainee.side
            restore_kept(trainee, state, with_noise=same)


def head_of(network: nn.Module) -> list[str]:
    """Name the tensors of the last layer: the last module that has parameters of its own."""
    *_, last = (name for name, module in network.named_modules() if list(module.parameters(recurse=False)))
    prefix = f"{last}." if last else ""
    return [name for name in network.state_dict() if name.startswith(prefix) and "." not in name.removeprefix(prefix)]


def fitted_state(
    network: nn.Module, model: str, head_from: str, start: StartingPoint, what: str = "pair"
) -> dict[str, Tensor]:
    """Give the state that a network starts with: that of the start, with a new head if one is asked for.

    Args:
        network: freshly initialized.
        model: its name.
        head_from: `keep` or `new`, the value of `start_head`.
        start: of the same architecture.
        what: is trained, for messages.

    Raises:
        ValueError: the start is of another architecture, or its head has other outputs.
    """
    own, head = dict(network.state_dict()), head_of(network)
    label = f"start={start.run_id}"
    if start.model.startswith(GRAPH):
        raise ValueError(
            f"{label} is an adopted network whose code is not here; give start=<its URI, or a file of its weights> and "
            "model=<module>:<function>"
        )
    if start.model != model:
        raise ValueError(f"{label} is a {start.model}, this {what} trains {model}; give the same model")
    found = dict(start.network)
    if head_from == NEW:
        found |= {name: own[name] for name in head}
        logger.warning("%s: its last layer (%s) is drawn anew", label, ", ".join(head))
    else:
        for name in head:
            if name in found and found[name].shape != own[name].shape:
                raise ValueError(
                    f"{label}: its last layer has {len(found[name])} outputs ({name}), this data set needs "
                    f"{len(own[name])}; start_head=new draws a new one"
                )
    try:
        check_compatible({name: value.cpu() for name, value in own.items()}, found)
    except ValueError as error:
        raise ValueError(
            f"{label} does not fit this {what}'s network: {error}; choose a start for such images"
        ) from None
    return found
