"""Whether we saturate OpenSSL's own CMP server, `openssl cmp -port`: its CPU over the clock.

It has one thread and returns one fixed certificate, so that every row asks with one key and
subject; with implicit confirmation each ir is a transaction. Its answers are checked in full.

Who has a few cores for client and server may lack CPU rather than requests for the server. So its
time in line for a core is counted too, and a second server does more for each answer than we do: it
signs by an RSA key of 4096 bits.
"""

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.benchmark import Benchmark, Scale
from benchmarks.enrollment import IN_PROCESS, Steady, enroll
from benchmarks.figure import Figure, Findings, Series, at_least
from benchmarks.profile import profiled
from bulkcmp.engine.colleague import Hire
from bulkcmp.engine.options import Options
from bulkcmp.engine.run import hire_process
from tests.openssl import missing, mock_server

_FULL: Final = 2500
_SIGNED: Final = 1000
_IN_FLIGHT: Final = 16
_SUBJECT: Final = "/CN=device/O=Acme/C=SE"
_CURVE: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
_RSA: Final = ("-newkey", "rsa:4096", "-nodes")
_RESPONSE: Final = ("-rsp_cert", "device.pem", "-rsp_capubs", "ca.pem", "-grant_implicitconf")


@dataclass(frozen=True, slots=True)
class _Way:
    """How server and client protect their messages.

    Attributes:
        ca_key: options of `openssl req` for the key of the CA, which the server signs by.
        server: options of the server.
        client: ours.
    """

    ca_key: tuple[str, ...]
    server: tuple[str, ...]
    client: Mapping[str, Any]


_MACS: Final = _Way(
    _CURVE,
    ("-srv_ref", "ref", "-srv_secret", "pass:pw"),
    {"ref": "ref", "secret": "pass:pw"},
)
_SIGNATURES: Final = _Way(
    _RSA,
    ("-srv_cert", "ca.pem", "-srv_key", "ca.key", "-srv_trusted", "ca.pem"),
    {"cert": "device.pem", "key": "device.key"},
)


def _make_pki(folder: Path, ca_key: Sequence[str]) -> None:
    """A CA (ca.pem, ca.key), and the device that the server always certifies (device.*)."""
    usage = "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"
    commands = (
        ("req", "-x509", *ca_key, "-subj", "/CN=Peer CA", "-days", "30", "-keyout", "ca.key",
         "-out", "ca.pem", "-addext", usage),
        ("req", *_CURVE, "-subj", _SUBJECT, "-keyout", "device.key", "-out", "device.csr"),
        ("x509", "-req", "-in", "device.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "30",
         "-out", "device.pem"),
    )  # fmt: skip
    for command in commands:
        subprocess.run(("openssl", *command), cwd=folder, check=True, capture_output=True)


def _server_process() -> int:
    """The one that this process started."""
    (found,) = (one for one in psutil.Process().children() if one.name() == "openssl")
    return int(found.pid)


def _saturate(way: _Way, rows: int, hire: Hire = hire_process) -> Steady:
    with tempfile.TemporaryDirectory(prefix="bulkcmp-") as name:
        folder = Path(name)
        _make_pki(folder, way.ca_key)
        population = folder / "population.csv"
        lines = ("id,subject", *(f"dev{number},{_SUBJECT}" for number in range(rows)))
        population.write_text("\n".join(lines) + "\n")
        with mock_server(folder, *way.server, *_RESPONSE) as url, chdir(folder):
            options = Options(
                server=url, proxy="", trusted=("ca.pem",), newkey="device.key",
                implicit_confirm=True, retry_reused=True, pbm_iterations=500,
            )  # fmt: skip
            return enroll(
                replace(options, **way.client), population, rows, folder, _server_process(),
                concurrency=_IN_FLIGHT, hire=hire,
            )  # fmt: skip


def run(scale: Scale) -> Findings:
    """Measure how busy each server is, in turn."""
    rows, signed_rows = scale.count(_FULL, 3), scale.count(_SIGNED, 3)
    macs: list[Steady] = []
    signatures: list[Steady] = []
    for _ in range(scale.repetitions):
        macs.append(_saturate(_MACS, rows))
        signatures.append(_saturate(_SIGNATURES, signed_rows))
    figures = (
        Figure(
            "openssl-server", f"CPU of `openssl cmp -port` / the clock, {_IN_FLIGHT} in flight, one"
            " fixed certificate", _cpu(macs), _clock(macs), at_least(0.9),
        ),
        Figure(
            "openssl-server-ready", "the same, with its time in line for a core", _ready(macs),
            _clock(macs),
        ),
        Figure(
            "openssl-server-client", "CPU of the client / the server's", _client(macs), _cpu(macs)
        ),
        Figure(
            "openssl-signer", "CPU of `openssl cmp -port`, which signs by RSA-4096, / the clock",
            _cpu(signatures), _clock(signatures),
        ),
        Figure(
            "openssl-signer-ready", "the same, with its time in line for a core",
            _ready(signatures), _clock(signatures),
        ),
        Figure(
            "openssl-signer-client", "CPU of the client / that server's", _client(signatures),
            _cpu(signatures),
        ),
    )  # fmt: skip
    profile = profiled(
        "parent and worker, implicit confirmation",
        lambda _: _saturate(_MACS, rows, IN_PROCESS),
        rows,
    )
    return Findings(figures, profiles=(profile,))


def _cpu(runs: Sequence[Steady]) -> Series:
    return Series.of("CPU of the server", "s", [one.server for one in runs])


def _ready(runs: Sequence[Steady]) -> Series:
    return Series.of("server running or in line", "s", [one.ready for one in runs])


def _clock(runs: Sequence[Steady]) -> Series:
    return Series.of("clock", "s", [one.seconds for one in runs])


def _client(runs: Sequence[Steady]) -> Series:
    return Series.of("CPU of bulkcmp", "s", [one.client for one in runs])


BENCHMARK: Final = Benchmark(
    "saturation", "OpenSSL's own server under our load, by implicit confirmation", run, missing
)
