import contextlib
import datetime as dt
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from bulkcmp.cmp.messages import BodyType, decode_message
from bulkcmp.errors import BulkcmpError, InputError
from bulkcmp.model import KeySpec
from bulkcmp.testca import state
from bulkcmp.testca.aliases import Behaviour
from bulkcmp.testca.app import MAX_BODY
from bulkcmp.testca.server import ServerSettings, serve, serving
from bulkcmp.testca.store import CertificateStatus

if TYPE_CHECKING:
    from tests.testca.conftest import Ca

PATH = "/.well-known/cmp"

# serves the CA in argv[1], on any port, and prints its URL
SERVE = """
import pathlib, sys
from bulkcmp.testca.server import ServerSettings, serve
serve(ServerSettings(pathlib.Path(sys.argv[1]), port=0), lambda url: print(url, flush=True))
print("in good order", flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "ca"
    state.create(path, KeySpec.parse("ec:P-256"), dt.datetime.now(dt.UTC))
    return path


def test_requests_over_one_connection(folder: Path) -> None:
    with serving(ServerSettings(folder, port=0)) as ca, httpx.Client() as http:
        assert ca.url.startswith("http://127.0.0.1:")
        for _ in range(3):
            response = http.post(ca.url + PATH, content=b"x")
            assert response.headers["content-type"] == "application/pkixcmp"
            assert decode_message(response.content).body_type is BodyType.ERROR
        assert "server" not in response.headers
        stream = response.extensions["network_stream"]
        assert stream.get_extra_info("socket") is not None
        assert http.get(ca.url + PATH).status_code == 405
        assert http.post(ca.url + PATH, content=b"x" * (MAX_BODY + 1)).status_code == 413


def test_chunked_requests_and_http_1_0(folder: Path) -> None:
    with serving(ServerSettings(folder, port=0)) as ca:
        chunks = iter([b"x", b"y"])
        assert httpx.post(ca.url + PATH, content=chunks).status_code == 200
        host, port = ca.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(b"POST %s HTTP/1.0\r\nContent-Length: 1\r\n\r\nx" % PATH.encode())
            answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_tls(folder: Path) -> None:
    # the CA's own certificate will do: what is tested is that TLS is spoken
    settings = ServerSettings(folder, port=0, tls_cert=folder / "ca.pem", tls_key=folder / "ca.key")
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.check_hostname = False
    with serving(settings) as ca:
        assert ca.url.startswith("https://")
        response = httpx.post(ca.url + PATH, content=b"x", verify=context)
    assert response.status_code == 200


def wait_for_end(process: "subprocess.Popen[str]") -> str:
    out, _ = process.communicate(timeout=20)
    return out


@contextlib.contextmanager
def started(folder: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_in_good_order(folder: Path, number: signal.Signals) -> None:
    with started(folder) as (process, url):
        assert httpx.post(url + PATH, content=b"x").status_code == 200
        process.send_signal(number)
        assert wait_for_end(process) == "in good order\n"
        assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_start_ends_it_in_good_order(
    folder: Path, number: signal.Signals
) -> None:
    early = (
        "import signal\n"
        "from bulkcmp.testca import server\n"
        "check_tls = server._check_tls\n"
        "def interrupted(settings):\n"
        f"    signal.raise_signal({number.value})\n"
        "    check_tls(settings)\n"
        "server._check_tls = interrupted\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", early + SERVE, str(folder)],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert done.stdout.endswith("in good order\n")
    assert done.stderr == ""


def test_a_restart_after_a_kill_takes_the_confirmation(make_ca: "Callable[..., Ca]") -> None:
    ca = make_ca("ec:P-256", dt.datetime.now(dt.UTC).replace(microsecond=0))
    peer = ca.ra_hmac()
    with started(ca.folder) as (process, ca.url):
        issued = peer.enroll()
        process.kill()
        process.wait()
    with started(ca.folder) as (_, ca.url):
        assert peer.confirm(issued).type is BodyType.PKICONF
    found = ca.store.certificate(issued.certificate.serial_number)
    assert found is not None
    assert found.status is CertificateStatus.CONFIRMED


def test_the_child_ends_with_its_parent(folder: Path) -> None:
    code = (
        "import pathlib, sys, time\n"
        "from bulkcmp.testca.server import ServerSettings, serving\n"
        "if __name__ == '__main__':\n"
        "    with serving(ServerSettings(pathlib.Path(sys.argv[1]), port=0)) as ca:\n"
        "        print(ca.url, flush=True)\n"
        "        time.sleep(60)\n"
    )
    script = folder / "parent.py"
    script.write_text(code)
    parent = subprocess.Popen(
        [sys.executable, str(script), str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    url = parent.stdout.readline().strip()
    assert httpx.post(url + PATH, content=b"x").status_code == 200
    parent.kill()
    parent.wait()
    # the child holds the other end of the pipe too: it is closed when both are gone
    assert parent.stdout.read() == ""
    parent.stdout.close()


def test_the_child_does_not_mind_ctrl_c(folder: Path) -> None:
    with serving(ServerSettings(folder, port=0)) as ca:
        assert ca.process.pid is not None
        os.kill(ca.process.pid, signal.SIGINT)
        time.sleep(0.3)
        assert httpx.post(ca.url + PATH, content=b"x").status_code == 200


def test_a_delayed_answer_is_given_before_the_end(folder: Path) -> None:
    settings = ServerSettings(folder, port=0, behaviour=Behaviour(delay=0.5))
    with serving(settings) as ca:
        host, port = ca.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(
                b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx" % PATH.encode()
            )
            time.sleep(0.2)
            ca.process.terminate()
            assert raw.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_what_keeps_it_from_starting(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no CA"):
        serve(ServerSettings(tmp_path / "none"), print)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = ServerSettings(folder, port=taken.getsockname()[1])
        with pytest.raises(InputError, match="Address already in use"):
            serve(settings, print)
        with pytest.raises(InputError, match="did not start: can't listen"), serving(settings):
            pass
    with pytest.raises(InputError, match="can't listen on 256"):
        serve(ServerSettings(folder, host="256.1.1.1"), print)
    with pytest.raises(InputError, match="without a certificate"):
        serve(ServerSettings(folder, tls_key=folder / "ra.key"), print)
    with pytest.raises(InputError, match="a TLS client CA without a certificate"):
        serve(ServerSettings(folder, tls_client_ca=folder / "ca.pem"), print)
    good = ServerSettings(folder, tls_cert=folder / "ca.pem", tls_key=folder / "ca.key")
    with pytest.raises(InputError, match="holds no certificate of a CA"):
        serve(replace(good, tls_client_ca=folder / "ca.key"), print)
    with pytest.raises(InputError, match="can't be used for TLS"):
        serve(ServerSettings(folder, tls_cert=folder / "ra.pem", tls_key=folder / "ca.key"), print)


def test_a_child_that_dies_at_its_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bulkcmp.testca.server._serve_child", _die)
    with (
        pytest.raises(BulkcmpError, match="ended before it served"),
        serving(ServerSettings(folder, port=0)),
    ):
        pass


def _die(*_: object) -> None:
    os._exit(3)
