"""What lies between a job and its server: TLS and proxies."""

from __future__ import annotations

import http.server
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from conftest import Run

from jobhook import Job, ServerAway
from jobhook.testing import FakeHook


class _Answer(http.server.BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.asked.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def https(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A TLS server with a certificate that nobody knows: its address and that certificate."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
            # A certificate that only names a host, and is no authority.
            *("-addext", "basicConstraints=critical,CA:FALSE"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}/async", certificate
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_unknown_certificate_is_told_with_the_whole_chain_of_causes(
    job_hook: FakeHook, https: tuple[str, Path]
) -> None:
    job = Job.from_env(job_hook.environ | {"JOB_HOOK": https[0]}, flush_limit=1.0)
    job.log("x")
    with pytest.raises(ServerAway) as raised:
        job.close()
    assert "invalid peer certificate" in str(raised.value), str(raised.value)


def test_a_certificate_that_is_named_is_trusted(
    job_hook: FakeHook, https: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = job_hook.environ | {"JOB_HOOK": https[0]}
    with Job.from_env(environ, ca_file=https[1]) as job:
        job.log("over TLS")
    monkeypatch.setenv("JOBHOOK_CA_FILE", os.fspath(https[1]))
    with Job.from_env(environ) as job:
        job.log("over TLS")


@pytest.fixture
def proxy() -> Iterator[str]:
    """A proxy that answers itself: its address."""
    _Answer.asked.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://user:secret@127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


PROGRAM = """
    import os
    from jobhook import Job
    os.environ.update({environ!r})
    with Job.from_env(flush_limit=2) as job:
        job.log("x")
"""


def test_a_proxy_of_the_environment_is_used(run: Run, proxy: str) -> None:
    environ = {"HTTP_PROXY": proxy, "JOB_HOOK": "http://jobhook.invalid/async"}
    assert run(PROGRAM.format(environ=environ)).end() == (0, "")
    assert _Answer.asked
    assert set(_Answer.asked) == {"http://jobhook.invalid/async/status"}


def test_no_proxy_is_asked_for_what_it_is_not_for_or_is_on_this_machine(
    job_hook: FakeHook, run: Run, proxy: str
) -> None:
    environ = {"HTTP_PROXY": proxy}
    assert run(PROGRAM.format(environ=environ)).end() == (0, "")
    assert job_hook.status == "SUCCESS"
    environ |= {"JOB_HOOK": "http://jobhook.invalid/async", "NO_PROXY": "jobhook.invalid"}
    code, stderr = run(PROGRAM.format(environ=environ)).end()
    assert code == 1
    assert "dns error" in stderr
    assert "secret" not in stderr
    assert _Answer.asked == []
