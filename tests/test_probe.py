"""A server is asked as MLflow's own client asks it, and no message, link, tag or report repeats a password."""

import base64
import datetime
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
import requests
from conftest import runs_of_kind
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mlflow import MlflowClient

from entry_points.train_pair import main as train_pair
from lmc_mlflow.errors import first_line, without_secrets
from lmc_mlflow.terminal.hints import next_command
from lmc_mlflow.tracking.connection.probe import StoreError, probe
from lmc_mlflow.tracking.connection.store import open_store
from lmc_mlflow.tracking.lifecycle import open_runs
from lmc_mlflow.tracking.links import run_link, ui_command, view_link
from lmc_mlflow.workflows.report.report import _source

PASSWORD = "s3cret/p:w"


class Guarded(BaseHTTPRequestHandler):
    """Answers whoever brings a password or a token."""

    allowed = ("Bearer a token", f"Basic {base64.b64encode(f'user:{PASSWORD}'.encode()).decode()}")

    def do_GET(self) -> None:
        self.send_response(200 if self.headers.get("Authorization") in self.allowed else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve in a thread; give the port."""
    server = HTTPServer(("127.0.0.1", 0), Guarded)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("USERNAME", "PASSWORD", "TOKEN", "INSECURE_TLS", "SERVER_CERT_PATH"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.mark.parametrize("login", [{"USERNAME": "user", "PASSWORD": PASSWORD}, {"TOKEN": "a token"}])
def test_user_password_and_token_of_mlflow_are_used(monkeypatch: pytest.MonkeyPatch, login: dict[str, str]) -> None:
    with serving() as port:
        uri = f"http://127.0.0.1:{port}"
        with pytest.raises(StoreError, match=f"{uri} does not let you in; set MLFLOW_TRACKING_USERNAME and "):
            probe(uri)
        for name, value in login.items():
            monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
        probe(uri)
        probe(f"{uri}/")


def certificate(folder: Path) -> Path:
    """Write a certificate of 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = (
        built.serial_number(1)
        .not_valid_before(now - datetime.timedelta(1))
        .not_valid_after(now + datetime.timedelta(1))
    )
    built = built.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    built = built.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    path = folder / "certificate.pem"
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    path.write_bytes(built.sign(key, hashes.SHA256()).public_bytes(pem) + key.private_bytes(pem, *plain))
    return path


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_the_certificate_of_mlflow_s_settings_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "a token")
    with serving(context) as port:
        uri = f"https://127.0.0.1:{port}"
        with pytest.raises(StoreError, match=r"\(SSLError\); give its certificate as MLFLOW_TRACKING_SERVER_CERT_PATH"):
            probe(uri)
        for name, value in (("SERVER_CERT_PATH", str(path)), ("INSECURE_TLS", "true")):
            with monkeypatch.context() as patch:
                patch.setenv(f"MLFLOW_TRACKING_{name}", value)
                probe(uri)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("postgresql+pg8000://u:s3cret@127.0.0.1:9/x", r"needs a driver that is not installed \(No module named"),
        ("mysql://u:s3cret@127.0.0.1:9/x", "pip install pymysql and write mysql"),
        ("mssql+nodriver://u:s3cret@127.0.0.1:9/x", "cannot be used"),
    ],
)
def test_a_database_without_its_driver_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], uri: str, message: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(StoreError, match=message):
        probe(uri)
    assert train_pair(["--epochs=1"]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "s3cret" not in told
    assert "//u:***@127.0.0.1:9/x" in told


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at http://user:s3cret@host:5000/x (no)", "at http://user:***@host:5000/x (no)"),
        ("http://user:s3/cr@et@host", "http://user:***@host"),
        ("http://:s3cret@host and sqlite:////a/b.db", "http://:***@host and sqlite:////a/b.db"),
        ("postgresql://h/x?user=u&password=s3cret&a=b", "postgresql://h/x?user=u&password=***&a=b"),
        ("http://127.0.0.1:5000/#/experiments/0 of me@home", "http://127.0.0.1:5000/#/experiments/0 of me@home"),
        ("http://127.0.0.1:5000/a@b", "http://127.0.0.1:5000/a@b"),
        ("header: a secret token of mine", "header: ***"),
    ],
)
def test_secrets_of_a_text_are_hidden_and_nothing_else(monkeypatch: pytest.MonkeyPatch, text: str, shown: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "a secret token of mine")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "abc")  # too short to be looked for
    assert without_secrets(text) == shown
    assert first_line(ValueError(f"{text}\nmore")) == shown


SERVER = "http://user:s3cret@host:5000"
DATABASE = "postgresql+psycopg2://user:s3cret@host/db"


def test_links_commands_and_reports_have_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_link(SERVER, "0", "r") == "http://host:5000/#/experiments/0/runs/r?workflowType=machine_learning"
    assert view_link(SERVER, "0").startswith("http://host:5000/#/")
    assert ui_command(DATABASE) == "mlflow ui --backend-store-uri postgresql+psycopg2://user:***@host/db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SERVER)
    assert _source() == "http://host:5000"
    assert "MLFLOW_TRACKING_URI=http://user:***@host:5000" in next_command("repair").replace("'", "")


def fail_with_an_address() -> None:
    with open_runs() as runs:
        runs.open(open_store(), "report", "cut short", {})
        raise requests.HTTPError(f"404 for {SERVER}/api")


def test_an_error_s_tag_and_the_source_s_tag_have_no_password(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = {"mlflow.source.name": "https://user:s3cret@host/team/lmc_mlflow.git", "mlflow.project.entryPoint": "main"}
    monkeypatch.setenv("MLFLOW_RUN_ID", store.create_run("0", tags=source).info.run_id)
    with pytest.raises(requests.HTTPError):
        fail_with_an_address()
    (run,) = runs_of_kind(store, "report")
    tags = run.data.tags
    assert tags["lmc.error"] == "404 for http://user:***@host:5000/api"
    assert tags["mlflow.source.name"] == "https://user:***@host/team/lmc_mlflow.git"
