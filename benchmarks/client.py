"""The client as it is used, over HTTP and with its journal: its CPU over the crypto floor, and its
transactions/s over those of the straightforward client. And the CPU of the embedded CA meanwhile.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks import floor
from benchmarks.benchmark import Benchmark, Scale
from benchmarks.ca import ITERATIONS, REFERENCE, Ca, serving_ca
from benchmarks.enrollment import (
    P256,
    Steady,
    client_cpu,
    enroll_devices,
    profile_devices,
    rates,
)
from benchmarks.figure import Figure, Findings, Series, at_least, at_most
from benchmarks.straightforward import Order, Report
from bulkcmp.inputs.credential import read_certificates
from bulkcmp.io.keyworker import make_keys
from bulkcmp.testca.aliases import RA_CERT, RA_HMAC, Alias

_FULL: Final = 4000
_IN_FLIGHT: Final = 1000
_WORKERS: Final = 2


def run(scale: Scale) -> Findings:
    """Measure ours with MACs and with signatures, the floors, and the straightforward client."""
    count = scale.count(_FULL, 3)
    in_flight = scale.count(_IN_FLIGHT, 2)
    keys = make_keys(P256, count)
    macs: list[Steady] = []
    signatures: list[Steady] = []
    others: list[Report] = []
    mac_floor: list[float] = []
    signature_floor: list[float] = []
    ca_floor: list[float] = []
    with serving_ca() as ca:
        anchor = read_certificates(ca.folder.ca_certificate)[0]
        for turn in range(scale.repetitions):
            macs.append(_ours(ca, RA_HMAC, keys, in_flight, f"mac{turn}-"))
            others.append(_theirs(ca, keys[:in_flight], in_flight, f"other{turn}-"))
            mac_floor.append(floor.client_pbm(keys, anchor, anchor, ITERATIONS))
            ca_floor.append(floor.ca_pbm(keys, ITERATIONS))
            signatures.append(_ours(ca, RA_CERT, keys, in_flight, f"sig{turn}-"))
            signature_floor.append(floor.client_signature(keys, anchor, anchor))
        profile = profile_devices(ca, keys[:in_flight])

    def bare(label: str, seconds: Sequence[float]) -> Series:
        return Series.of(label, "us CPU", [1e6 * one / count for one in seconds])

    other_rates = [one.issued / one.seconds for one in others]
    other_cpu = [1e6 * one.cpu / one.issued for one in others]
    ours = client_cpu("bulkcmp, MACs", macs)
    figures = (
        Figure(
            "client-pbm", f"client CPU / crypto floor, PBM of {ITERATIONS} iterations, over HTTP"
            " with the journal", ours, bare("client's cryptography, MACs", mac_floor),
            at_most(2.0),
        ),
        Figure(
            "client-signature", "client CPU / crypto floor, signatures both ways, the same",
            client_cpu("bulkcmp, signatures", signatures),
            bare("client's cryptography, signatures", signature_floor), at_most(2.5),
        ),
        Figure(
            "straightforward", f"transactions/s / the straightforward client's, {in_flight} in"
            " flight", rates("bulkcmp", macs),
            Series.of("straightforward client", "transactions/s", other_rates), at_least(10),
        ),
        Figure(
            "straightforward-cpu", "client CPU of the straightforward client / ours",
            Series.of("straightforward client", "us CPU", other_cpu), ours,
        ),
        Figure(
            "served-ca", "embedded CA's process, HTTP and books included / its own crypto floor,"
            " PBM, fresh salts",
            Series.of("embedded CA over HTTP", "us CPU", [one.server_cpu for one in macs]),
            bare("CA's cryptography", ca_floor), at_most(2.5),
        ),
    )  # fmt: skip
    return Findings(figures, profiles=(profile,))


def _ours(ca: Ca, alias: Alias, keys: Sequence[bytes], in_flight: int, stem: str) -> Steady:
    with tempfile.TemporaryDirectory(prefix="bulkcmp-") as folder:
        return enroll_devices(
            ca, ca.options(alias), Path(folder), keys,
            concurrency=in_flight, workers=_WORKERS, stem=stem,
        )  # fmt: skip


def _theirs(ca: Ca, keys: Sequence[bytes], in_flight: int, stem: str) -> Report:
    order = Order(
        ca.url(), str(ca.folder.ca_certificate), REFERENCE, ca.secret, ITERATIONS, in_flight, stem,
        list(keys),
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.straightforward"],
        input=msgspec.json.encode(order),
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
        check=True,
    )
    report = msgspec.json.decode(done.stdout, type=Report)
    if report.issued != len(keys):
        raise RuntimeError(f"{report.issued} of {len(keys)} were issued")
    return report


BENCHMARK: Final = Benchmark(
    "client", "the client as it is used, over the crypto floor and a straightforward client", run
)
