"""`openssl cmp`, the reference client, as shell scripts use it, and bulkcmp at the same server.

Whole commands are measured, their start and the files that they write included. Ours makes the
keys itself, encrypts and keeps them; the script makes a key by `openssl genpkey` for each device.
`-repeat` makes one process enroll one key and subject again and again: no campaign can do that, it
is what `openssl cmp` could reach.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from benchmarks.benchmark import Benchmark, Scale
from benchmarks.ca import ITERATIONS, REFERENCE, Ca, serving_ca
from benchmarks.enrollment import P256, profile_devices, write_population
from benchmarks.figure import Figure, Findings, Series, at_least
from bulkcmp.io.keyworker import make_keys
from tests.openssl import missing

_DEVICES: Final = 160
_REPEATS: Final = 160
_OURS: Final = 4000
_IN_FLIGHT: Final = 1000

_GENPKEY: Final = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out"


@dataclass(frozen=True, slots=True)
class _Command:
    """What a command did: seconds by the clock, and of CPU with all that it started."""

    certificates: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        return self.certificates / self.seconds

    @property
    def each(self) -> float:
        """Milliseconds of CPU."""
        return 1e3 * self.cpu / self.certificates


def _measured(
    arguments: Sequence[str], folder: Path, certificates: int, feed: str = ""
) -> _Command:
    """Run a command, which must succeed."""
    log = folder / "log"
    source = folder / "feed"
    source.write_text(feed)
    began = time.perf_counter()
    with log.open("w") as out, source.open() as given:
        process = subprocess.Popen(arguments, cwd=folder, stdin=given, stdout=out, stderr=out)
        # as wait(), and with the resources that it and its children used
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {log.read_text()[-2000:]}")
    return _Command(certificates, seconds, used.ru_utime + used.ru_stime)


def _cmp(ca: Ca, name: str) -> str:
    """The command line that enrolls a name, with its key in NAME.key."""
    return (
        f"openssl cmp -config '' -batch -verbosity 3 -keep_alive 0 -cmd ir"
        f" -server {urlsplit(ca.base).netloc} -path {urlsplit(ca.url()).path.lstrip('/')}"
        f" -ref {REFERENCE} -secret pass:{ca.secret} -trusted {ca.folder.ca_certificate}"
        f" -newkey {name}.key -subject /CN={name}/O=Acme/C=SE -certout {name}.pem"
    )


def _per_device(ca: Ca, devices: int, at_a_time: int, stem: str) -> _Command:
    """A process per device, so many at a time."""
    script = f"{_GENPKEY} $1.key && {_cmp(ca, '$1')}"
    names = "".join(f"{stem}{number}\n" for number in range(devices))
    with tempfile.TemporaryDirectory(prefix="bulkcmp-") as name:
        folder = Path(name)
        xargs = ("xargs", "-n", "1", "-P", str(at_a_time), "sh", "-c", script, "sh")
        found = _measured(xargs, folder, devices, names)
        written = len(list(folder.glob("*.pem")))
    if written != devices:
        raise RuntimeError(f"openssl cmp wrote {written} certificates for {devices} devices")
    return found


def _repeated(ca: Ca, times: int, name: str) -> _Command:
    """One process, one key, one subject."""
    with tempfile.TemporaryDirectory(prefix="bulkcmp-") as folder:
        script = f"{_GENPKEY} {name}.key && {_cmp(ca, name)} -repeat {times}"
        return _measured(("sh", "-c", script), Path(folder), times)


def _ours(ca: Ca, devices: int, in_flight: int, stem: str) -> _Command:
    """`bulkcmp enroll`, from the population to the certificates and keys as files."""
    with tempfile.TemporaryDirectory(prefix="bulkcmp-") as name:
        folder = Path(name)
        write_population(folder / "devices.csv", devices, stem)
        command = (
            sys.executable, "-m", "bulkcmp", "enroll", "devices.csv", "--server", ca.url(),
            "--ref", REFERENCE, "--secret", f"pass:{ca.secret}",
            "--trusted", str(ca.folder.ca_certificate), "--pbm-iterations", str(ITERATIONS),
            "--proxy", "", "--key-pass", "pass:a passphrase", "--out", "run", "--quiet",
            "--concurrency", str(in_flight),
        )  # fmt: skip
        # its exit code says whether each device has its certificate
        return _measured(command, folder, devices)


def run(scale: Scale) -> Findings:
    """Measure the three ways and ours, in turn."""
    devices = scale.count(_DEVICES, 2)
    repeats = scale.count(_REPEATS, 2)
    ours: list[_Command] = []
    small: list[_Command] = []
    single: list[_Command] = []
    two: list[_Command] = []
    four: list[_Command] = []
    repeated: list[_Command] = []
    with serving_ca() as ca:
        for turn in range(scale.repetitions):
            in_flight = scale.count(_IN_FLIGHT, 2)
            ours.append(_ours(ca, scale.count(_OURS, 3), in_flight, f"ours{turn}-"))
            small.append(_ours(ca, devices, in_flight, f"small{turn}-"))
            single.append(_ours(ca, 1, in_flight, f"single{turn}-"))
            two.append(_per_device(ca, devices, 2, f"two{turn}-"))
            four.append(_per_device(ca, devices, 4, f"four{turn}-"))
            repeated.append(_repeated(ca, repeats, f"repeated{turn}"))
        profile = profile_devices(ca, make_keys(P256, scale.count(_IN_FLIGHT, 2)))

    def rates(label: str, runs: Sequence[_Command]) -> Series:
        return Series.of(label, "certificates/s", [run.rate for run in runs])

    def cpu(label: str, runs: Sequence[_Command]) -> Series:
        return Series.of(label, "ms CPU", [run.each for run in runs])

    def whole(label: str, runs: Sequence[_Command]) -> Series:
        return Series.of(label, "s CPU", [run.cpu for run in runs])

    our_rates, our_cpu = rates("bulkcmp enroll", ours), cpu("bulkcmp enroll", ours)
    few = f"bulkcmp enroll, {devices} devices"
    figures = (
        Figure(
            "openssl-cpu", "client CPU per certificate, openssl per device / ours with keys made"
            " by us", cpu("openssl per device, four at a time", four), our_cpu, at_least(15),
        ),
        Figure(
            "openssl-rate", "certificates/s, ours / openssl per device, four at a time",
            our_rates, rates("openssl per device, four at a time", four), at_least(8),
        ),
        Figure(
            "openssl-rate-two", "certificates/s, ours / openssl per device, two at a time",
            our_rates, rates("openssl per device, two at a time", two), at_least(8),
        ),
        Figure(
            "openssl-cpu-small", f"client CPU per certificate, the same, {devices} devices on both"
            " sides", cpu("openssl per device, four at a time", four), cpu(few, small),
        ),
        Figure(
            "openssl-rate-small", "certificates/s, ours / openssl per device, four at a time,"
            f" {devices} devices on both sides", rates(few, small),
            rates("openssl per device, four at a time", four),
        ),
        Figure(
            "openssl-start", "client CPU of ours for one device / for all: the start and the end"
            " of a run", whole("bulkcmp enroll, one device", single), whole("all of them", ours),
        ),
        Figure(
            "openssl-repeat-rate", "certificates/s, ours / openssl -repeat (one key and subject)",
            our_rates, rates("openssl -repeat", repeated),
        ),
        Figure(
            "openssl-repeat-cpu", "client CPU per certificate, openssl -repeat / ours",
            cpu("openssl -repeat", repeated), our_cpu,
        ),
    )  # fmt: skip
    return Findings(figures, profiles=(profile,))


BENCHMARK: Final = Benchmark(
    "openssl",
    "openssl cmp as shell scripts use it, and bulkcmp, at one server",
    run,
    missing,
)
