"""A pair that a loop of a user's own trains: the split, the noise, the runs and the tests are ours."""

from collections.abc import Callable

import pytest
import torch
from conftest import runs_of_kind
from mlflow import MlflowClient
from torch.nn import functional

import lmc_mlflow as lmc
from entry_points.train_pair import main as train_pair
from lmc_mlflow.config.train_pair import OWN_LOOP
from lmc_mlflow.findings.condition_table import prepare
from lmc_mlflow.query.networks import load_network
from lmc_mlflow.workflows.pair.own_loop.own_pair import OwnPair
from lmc_mlflow.workflows.pair.own_loop.side import Side
from lmc_mlflow.workflows.report.report import read_frames

SMALL = {"model": "mlp_l1_w16_dropout", "epochs": 2, "device": "cpu", "threads": 1, "c2st_samples": 0}


def train(side: Side) -> torch.nn.Module:
    """The plain loop, as a user would write it."""
    network, loader = side.network(), side.loader()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(side.epochs):
        for images, labels in loader:
            optimizer.zero_grad()
            functional.nll_loss(network(images), labels).backward()
            optimizer.step()
    return network


def trained(pair: OwnPair) -> None:
    for side in pair.sides:
        pair.log(side, train(side), metrics={"temperature": 0.5})


def test_the_plain_loop_on_a_side_gives_the_weights_of_ours(store: MlflowClient) -> None:
    own = {**SMALL, "shift": "label_5050", "augmentation": "flip_translate"}
    with lmc.pair(**own) as pair:
        trained(pair)
    ours = lmc.train_pair(**own)
    for side, network in zip(pair.sides, (ours.a, ours.b), strict=True):
        mine, theirs = load_network(store, side.run_id), load_network(store, network.run_id)
        assert all(torch.equal(mine.state[name], theirs.state[name]) for name in mine.state)
        assert mine.run.data.metrics["test/loss"] == theirs.run.data.metrics["test/loss"]
        assert mine.run.data.metrics["temperature"] == 0.5
    tags = store.get_run(pair.run_id).data.tags
    assert (tags["lmc.engine"], tags["lmc.same_noise"]) == ("own", "true")
    path = lmc.interpolate(pair, num_alphas=3)
    first = path.frame().query("alpha == 0 and split == 'test'")
    assert float(first["loss"].iloc[0]) == mine_loss(store, pair)


def mine_loss(store: MlflowClient, pair: OwnPair) -> float:
    return store.get_run(pair.sides[0].run_id).data.metrics["test/loss"]


def test_each_block_makes_a_pair_of_its_own_that_fills_no_paper_s_cell(store: MlflowClient) -> None:
    for _ in range(2):
        with lmc.pair(**SMALL) as pair:
            trained(pair)
    lmc.train_pair(**SMALL)
    table = lmc.query.pairs()
    assert ["own loop" in name for name in table["name"]] == [True, True, False]
    assert list(table["loop"]) == [OWN_LOOP, OWN_LOOP, "lmc_mlflow"]
    assert len(set(table["run_id"])) == 3
    frames = prepare(read_frames(""), {})
    assert list(frames.pairs["loop"]) == ["lmc_mlflow"]
    assert len(frames.endpoints) == 2


def test_an_exception_ends_all_three_runs_as_failed(store: MlflowClient) -> None:
    def interrupted() -> None:
        with lmc.pair(**SMALL) as pair:
            pair.log(pair.sides[0], train(pair.sides[0]))
            raise ZeroDivisionError("of the user's loop")

    with pytest.raises(ZeroDivisionError):
        interrupted()
    runs = [*runs_of_kind(store, "pair"), *runs_of_kind(store, "endpoint")]
    assert [run.info.status for run in runs] == ["FAILED"] * 3
    assert "of the user's loop" in runs[0].data.tags["lmc.error"]


def _once(pair: OwnPair) -> None:
    pair.log(pair.sides[0], train(pair.sides[0]))


def _twice(pair: OwnPair) -> None:
    _once(pair)
    _once(pair)


def _another(pair: OwnPair) -> None:
    pair.log(pair.sides[0], torch.nn.Linear(2, 2))


def _not_finite(pair: OwnPair) -> None:
    network = pair.sides[0].network()
    next(network.parameters()).data.fill_(float("nan"))
    pair.log(pair.sides[0], network)


def _weights_alone(pair: OwnPair) -> None:
    pair.log(pair.sides[0], pair.sides[0].network().state_dict())  # type: ignore[arg-type]


def _of_the_other_side(pair: OwnPair) -> None:
    pair.log(pair.sides[0], pair.sides[1].network())


def _by_name(pair: OwnPair) -> None:
    pair.log("A", pair.sides[0].network())  # type: ignore[arg-type]


def _in_half_precision(pair: OwnPair) -> None:
    pair.log(pair.sides[0], pair.sides[0].network().half())


def _wrapped(pair: OwnPair) -> None:
    pair.log(pair.sides[0], torch.nn.DataParallel(pair.sides[0].network()))


def _score_in_batches(pair: OwnPair) -> None:
    pair.sides[0].log_metrics({"train/loss": 1.0}, step=2)
    pair.sides[0].log_metrics({"train/loss": 1.0}, step=3)


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (_weights_alone, ValueError, "side A: a OrderedDict is no network; give the torch.nn.Module"),
        (_of_the_other_side, ValueError, "side A: this is the network of the other side"),
        (_by_name, ValueError, "'A' is no side of this pair; give one of pair.sides"),
        (_in_half_precision, ValueError, "type torch.float32 vs torch.float16; log the network itself in float32"),
        (_wrapped, ValueError, "only the first network has it; log the network itself"),
        (_score_in_batches, ValueError, "train/loss at step 3: pair.log measures it at step 2"),
        (_once, ValueError, r"side B was not logged; call pair.log\(side, network\)"),
        (_twice, ValueError, "side A was logged before"),
        (_another, ValueError, r"side A: this is not the network of side.network\(\)"),
        (_not_finite, FloatingPointError, "is not finite; lower your loop's learning rate"),
    ],
)
def test_what_cannot_be_logged_is_one_line_and_the_pair_has_failed(
    store: MlflowClient, use: Callable[[OwnPair], None], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message), lmc.pair(**SMALL) as pair:
        use(pair)
    assert [run.info.status for run in runs_of_kind(store, "pair")] == ["FAILED"]


def test_options_of_our_loop_are_refused(store: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("engine", "force", "checkpoint_every", "loop", "devices"):
        with pytest.raises(ValueError, match=f"{name} is about our training loop"), lmc.pair(**{name: "1"}):
            pass
    assert train_pair(["--loop=own", "--device=cpu"]) == 1
    assert "leave it out" in capsys.readouterr().err


def test_a_loader_replays_the_same_order_on_both_sides_and_another_in_each_epoch(store: MlflowClient) -> None:
    with lmc.pair(shift="none", **SMALL) as pair:
        a, b = (side.loader(batch_size=100) for side in pair.sides)
        assert len(a) == -(-len(pair.sides[0].labels) // 100)
        epochs = [[labels for _, labels in loader] for loader in (a, b, a)]
        assert all(torch.equal(x, y) for x, y in zip(epochs[0], epochs[1], strict=True))
        assert not all(torch.equal(x, y) for x, y in zip(epochs[0], epochs[2], strict=True))
        assert pair.sides[0].images.shape[0] == len(pair.sides[0].labels)
        for side in pair.sides:
            pair.log(side, side.network())


@pytest.mark.parametrize("size", [0, -1, 2.5, "a"])
def test_a_batch_size_that_is_none_is_refused(store: MlflowClient, size: object) -> None:
    with pytest.raises(ValueError, match="give a whole number of at least 1"), lmc.pair(**SMALL) as pair:
        pair.sides[0].loader(size)


def test_a_pair_writes_itself_without_its_images(store: MlflowClient) -> None:
    with pytest.raises(ValueError, match="was not logged"), lmc.pair(**SMALL) as pair:
        assert len(repr(pair)) < 1000


def test_images_that_are_read_batch_by_batch_come_from_the_loader_alone(store: MlflowClient) -> None:
    with lmc.pair(memory_gb=0, **SMALL) as pair:
        with pytest.raises(ValueError, match=r"use side.loader\(\)"):
            _ = pair.sides[0].images
        assert next(iter(pair.sides[0].loader()))[0].shape == (32, 1, 28, 28)
        for side in pair.sides:
            pair.log(side, side.network())
