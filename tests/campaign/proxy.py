"""A tracking server, and a proxy before it that fails as servers do: errors, silence, absence, lost answers."""

import http.client
import http.server
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import requests

PASSED = ("transfer-encoding", "content-length", "connection")


@contextmanager
def tracking_server(folder: Path) -> Iterator[int]:
    """Start a server whose database is in a folder; give its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}", "-w", "1"]
    command += [f"--backend-store-uri=sqlite:///{folder}/mlflow.db", f"--artifacts-destination={folder}/artifacts"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                requests.get(f"http://127.0.0.1:{port}/health", timeout=5)
                break
            except requests.ConnectionError:
                time.sleep(0.2)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Proxy:
    """Passes requests on to a server.

    Attributes:
        mode: `pass`, `500` or `hang`.
        delay: seconds that each request takes longer.
        lost: how many answers to `runs/create` are lost: every other one as an error, or as a closed connection.
        port: of the proxy.
    """

    def __init__(self, backend: int) -> None:
        self.mode, self.delay, self.lost, self.port = "pass", 0.0, 0, 0
        self._backend = backend
        self.come_back()

    def come_back(self) -> None:
        """Listen, at the same port as before."""
        proxy = self

        class Handler(_Handler):
            pass

        Handler.proxy = proxy
        self._server = _Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        self.mode = "pass"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def go_away(self) -> None:
        """Refuse connections; those that are open get errors."""
        self.mode = "500"
        self._server.shutdown()
        self._server.server_close()

    def ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        """Pass a request on."""
        connection = http.client.HTTPConnection("127.0.0.1", self._backend, timeout=60)
        with closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.proxy.mode == "500":
            return self._answer(500, b"out of order", {})
        if self.proxy.mode == "hang":
            return time.sleep(100)
        time.sleep(self.proxy.delay)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        status, answer, found = self.proxy.ask(self.command, self.path, body, headers)
        if self.proxy.lost and self.path.endswith("runs/create"):
            self.proxy.lost -= 1
            self.close_connection = True
            return self.connection.close() if self.proxy.lost % 2 == 0 else self._answer(500, b"lost", {})
        return self._answer(status, answer, found)

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in PASSED:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _pass  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle(self) -> None:
        """Drop a connection that was closed."""
        try:
            super().handle()
        except (OSError, ValueError):
            return
