"""Models are adopted from a tracking server: with proxied artifacts, without, and where one has to log in."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from foreign_process import Net
from servers import running_server

import lmc_mlflow as lmc
from entry_points.adopt import main as adopt

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*AnyType:UserWarning")]
MODES = {"proxied": [], "direct": ["--no-serve-artifacts"], "login": ["--app-name=basic-auth"]}
LOGIN = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "a password of tests"}


@pytest.fixture(scope="module", params=list(MODES))
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A server of one of the modes: the mode, and its address."""
    mode = str(request.param)
    if mode == "login" and find_spec("flask_wtf") is None:
        pytest.skip("mlflow[auth] is not installed")
    folder = tmp_path_factory.mktemp(mode)
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/auth.db\nadmin_username = admin\n"
        f"admin_password = {LOGIN['MLFLOW_TRACKING_PASSWORD']}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    settings = {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of tests",
    }
    place = "--default-artifact-root" if mode == "direct" else "--artifacts-destination"
    with running_server(folder, place, MODES[mode], settings) as found:
        yield mode, found


def test_two_models_on_a_server_are_adopted_and_walked(
    address: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mode, server = address
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    for name, value in LOGIN.items() if mode == "login" else ():
        monkeypatch.setenv(name, value)
    uris = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        with mlflow.start_run():
            info = mlflow.pytorch.log_model(
                Net().eval(),
                name="model",
                input_example=np.zeros((4, 1, 28, 28), np.float32),
                registered_model_name="net",
                pip_requirements=[],
            )
            uris.append(info.model_uri)
    given = {"dataset": "digits", "normalization": "unit"}
    found = lmc.adopt(uris[0], **given)
    if mode != "login":  # each of many requests is slow there
        assert len(lmc.interpolate(found, "models:/net/2", num_alphas=3, **given).frame()) == 3
    artifacts = mlflow.MlflowClient().get_run(found.run_id).info.artifact_uri
    assert artifacts.startswith("mlflow-artifacts:") == (mode != "direct")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "another")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    capsys.readouterr()
    status = adopt([f"--model={uris[0]}", "--dataset=digits", "--normalization=unit", "--device=cpu", "--threads=1"])
    said = capsys.readouterr()
    if mode == "login":
        assert status == 1
        assert "does not let you in" in said.err
        assert said.err.count("\n") == 1
    else:
        assert status == 0
        assert "finished before" in said.out
