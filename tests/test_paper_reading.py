"""Pairs trained by the earlier reading of Algorithm 1 stay readable, go on as they began, and are told apart."""

import hashlib
import logging
import sqlite3
from pathlib import Path

import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from safetensors.torch import load_file

from lmc_mlflow import query
from lmc_mlflow.config.canonical import fingerprint, from_nested, to_nested
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.flags import parse_flags
from lmc_mlflow.query.networks import load_network
from lmc_mlflow.training.loop import EpochReport
from lmc_mlflow.workflows.pair.pair_outcome import PairOutcome
from lmc_mlflow.workflows.pair.recorder import Recorder
from lmc_mlflow.workflows.pair.train_pair import train_pair

PAPER = [*QUICK, "--noise_scope=paper", "--checkpoint_every=1"]
EARLIER = [*PAPER, "--paper_first_epoch=1"]


def config(*flags: str) -> TrainPairConfig:
    return parse_flags("train_pair", TrainPairConfig, flags)


def digest(*lines: str) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


def test_the_fingerprint_says_which_reading_and_that_of_earlier_pairs_stays() -> None:
    assert fingerprint(config("--noise_scope=paper", "--paper_first_epoch=1")) == digest("noise.noise_scope=paper")
    printed = digest("noise.noise_scope=paper", "noise.paper_first_epoch=0")
    assert fingerprint(config("--noise_scope=paper")) == printed
    different = digest("noise.noise_scope=paper", "noise.noise=different")  # its draws are those of earlier versions
    assert fingerprint(config("--noise_scope=paper", "--noise=different")) == different
    assert fingerprint(config()) == digest()


def test_a_stored_configuration_without_the_reading_means_the_earlier_one() -> None:
    nested = to_nested(config("--noise_scope=paper"))
    assert from_nested(TrainPairConfig, nested).noise.paper_first_epoch == 0
    del nested["noise"]["paper_first_epoch"]
    earlier = from_nested(TrainPairConfig, nested)
    assert earlier == config("--noise_scope=paper", "--paper_first_epoch=1")
    assert fingerprint(earlier) == digest("noise.noise_scope=paper")
    for flags in ([], ["--noise_scope=paper", "--noise=different"]):
        nested = to_nested(config(*flags))
        del nested["noise"]["paper_first_epoch"]
        assert from_nested(TrainPairConfig, nested) == config(*flags)


@pytest.mark.parametrize("flags", [[], ["--noise_scope=paper", "--noise=different"]])
def test_a_reading_where_epochs_have_no_seeds_is_refused(flags: list[str]) -> None:
    with pytest.raises(ValueError, match="paper_first_epoch=1 belongs to noise_scope=paper and noise=same; leave it"):
        config(*flags, "--paper_first_epoch=1")


def interrupt_in_epoch(epoch: int, flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Recorder.on_epoch

    def stopped(self: Recorder, number: int, reports: list[EpochReport]) -> None:
        if number == epoch:
            raise KeyboardInterrupt
        usual(self, number, reports)

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "on_epoch", stopped)
        with pytest.raises(KeyboardInterrupt):
            train_pair(config(*flags))


def make_as_an_earlier_version_did(store: MlflowClient, run_ids: list[str]) -> None:
    """Take away from interrupted runs what an earlier version did not log."""
    with sqlite3.connect(store.tracking_uri.removeprefix("sqlite:///")) as connection:
        for run_id in run_ids:
            connection.execute("DELETE FROM params WHERE key = 'noise.paper_first_epoch' AND run_uuid = ?", (run_id,))
    connection.close()


def weights(store: MlflowClient, outcome: PairOutcome) -> dict[str, torch.Tensor]:
    folder = Path(store.get_run(outcome.endpoints["A"]).info.artifact_uri)
    return load_file(folder / "checkpoint" / "model.safetensors")


def equal(x: dict[str, torch.Tensor], y: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, y[name]) for name, value in x.items())


def test_an_interrupted_pair_of_an_earlier_version_goes_on_with_the_draws_it_began_with(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    interrupt_in_epoch(2, EARLIER, monkeypatch)
    runs = [run.info.run_id for kind in ("pair", "endpoint") for run in runs_of_kind(store, kind)]
    make_as_an_earlier_version_did(store, runs)
    interrupt_in_epoch(3, PAPER, monkeypatch)  # continued once, and interrupted again
    assert len(runs_of_kind(store, "pair")) == 1
    with caplog.at_level(logging.WARNING):
        resumed = train_pair(config(*PAPER))
    assert (resumed.run_id, resumed.how) == (runs[0], "resumed")
    assert f"pair {runs[0]} was begun by an earlier version" in caplog.text
    whole = train_pair(config(*EARLIER, "--force=true"))
    assert equal(weights(store, resumed), weights(store, whole))
    tags = [store.get_run(outcome.run_id).data.tags["lmc.fingerprint"] for outcome in (resumed, whole)]
    assert tags[0] == tags[1] == fingerprint(config(*EARLIER))
    assert load_network(store, resumed.endpoints["A"]).config.noise.paper_first_epoch == 1

    make_as_an_earlier_version_did(store, [whole.run_id])
    printed = train_pair(config(*PAPER))
    assert printed.how == "trained"
    table = query.pairs().set_index("run_id")["paper_first_epoch"]
    assert [table[outcome.run_id] for outcome in (resumed, whole, printed)] == [1, 1, 0]
    assert not equal(weights(store, printed), weights(store, whole))
    run = store.get_run(printed.run_id)
    assert run.data.tags["lmc.fingerprint"] == fingerprint(config(*PAPER)) != tags[0]
    assert run.data.params["noise.paper_first_epoch"] == "0"
    assert train_pair(config(*PAPER)).run_id == printed.run_id


def test_an_interrupted_pair_that_asked_for_the_earlier_reading_is_not_taken_for_the_printed_one(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_in_epoch(2, EARLIER, monkeypatch)
    printed = train_pair(config(*PAPER))
    assert printed.how == "trained"
    assert len(runs_of_kind(store, "pair")) == 2
    assert train_pair(config(*EARLIER)).how == "resumed"
