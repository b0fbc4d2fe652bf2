"""Whether we saturate OpenSSL's own CMP server, `openssl cmp -port`: its CPU over the clock.

It has one thread and returns one fixed certificate, so that every row asks with one key and
subject; with implicit confirmation each ir is a transaction. Its answers are checked in full.
"""

import subprocess
import tempfile
from pathlib import Path
from typing import Final

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
_IN_FLIGHT: Final = 16
_SUBJECT: Final = "/CN=device/O=Acme/C=SE"
_CURVE: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
_SERVER: Final = (
    "-srv_ref", "ref", "-srv_secret", "pass:pw", "-srv_cert", "ca.pem", "-srv_key", "ca.key",
    "-rsp_cert", "device.pem", "-rsp_capubs", "ca.pem", "-grant_implicitconf",
)  # fmt: skip


def _make_pki(folder: Path) -> None:
    """A CA (ca.pem, ca.key), and the device that the server always certifies (device.*)."""
    usage = "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"
    commands = (
        ("req", "-x509", *_CURVE, "-subj", "/CN=Peer CA", "-days", "30", "-keyout", "ca.key",
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


def _saturate(rows: int, hire: Hire = hire_process) -> Steady:
    with tempfile.TemporaryDirectory(prefix="bulkcmp-") as name:
        folder = Path(name)
        _make_pki(folder)
        population = folder / "population.csv"
        lines = ("id,subject", *(f"dev{number},{_SUBJECT}" for number in range(rows)))
        population.write_text("\n".join(lines) + "\n")
        with mock_server(folder, *_SERVER) as url:
            options = Options(
                server=url, proxy="", trusted=(str(folder / "ca.pem"),), ref="ref",
                secret="pass:pw", newkey=str(folder / "device.key"), implicit_confirm=True,
                retry_reused=True, pbm_iterations=500,
            )  # fmt: skip
            return enroll(
                options, population, rows, folder, _server_process(),
                concurrency=_IN_FLIGHT, hire=hire,
            )  # fmt: skip


def run(scale: Scale) -> Findings:
    """Measure how busy the server is."""
    rows = scale.count(_FULL, 3)
    runs = [_saturate(rows) for _ in range(scale.repetitions)]
    figure = Figure(
        "openssl-server", f"CPU of `openssl cmp -port` / the clock, {_IN_FLIGHT} in flight, one"
        " fixed certificate",
        Series.of("CPU of the server", "s", [one.server for one in runs]),
        Series.of("clock", "s", [one.seconds for one in runs]), at_least(0.9),
    )  # fmt: skip
    rates = Figure(
        "openssl-server-client", "CPU of the client / the server's",
        Series.of("CPU of bulkcmp", "s", [one.client for one in runs]),
        Series.of("CPU of the server", "s", [one.server for one in runs]),
    )  # fmt: skip
    profile = profiled(
        "parent and worker, implicit confirmation", lambda _: _saturate(rows, IN_PROCESS), rows
    )
    return Findings((figure, rates), profiles=(profile,))


BENCHMARK: Final = Benchmark(
    "saturation", "OpenSSL's own server under our load, by implicit confirmation", run, missing
)
