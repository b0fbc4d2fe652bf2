"""A power failure at any moment of a run: what was promised to the CA is on the disk by then."""

import hashlib
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from bulkcmp.cmp.messages import BodyType, decode_message
from bulkcmp.journal.folder import holds_run
from bulkcmp.journal.journal import Journal
from tests.crash.power import Call, Disk, calls, lay_out, traced

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, RunFolder, Tools, WritePopulation

ROWS: Final = 2


class Promises:
    """What was told to the CA, which a disk must know of."""

    def __init__(self, image: Path) -> None:
        self._image = image
        self._sent: dict[bytes, set[BodyType]] = {}
        self.checked = 0

    @property
    def sent(self) -> list[set[BodyType]]:
        """Messages of each transaction."""
        return list(self._sent.values())

    def add(self, call: Call) -> None:
        message = decode_message(call.texts[0].partition(b"\r\n\r\n")[2])
        assert message.header.transactionID is not None
        self._sent.setdefault(message.header.transactionID, set()).add(message.body_type)

    def check(self, files: Mapping[str, bytes]) -> None:
        """See that they are kept by what a power failure left."""
        self.checked += 1
        lay_out(files, self._image, "journal.")
        if not holds_run(self._image):
            assert not self._sent, "a request was sent before there was a journal"
            return
        with Journal.open(self._image) as journal:
            journal.unlock(None)
            rows = {
                bytes.fromhex(row.transaction_id): (row, key)
                for row, key in journal.results(with_keys=True)
            }
        for transaction_id, types in self._sent.items():
            row, key = rows[transaction_id]
            assert key is not None
            if BodyType.CERT_CONF in types:
                assert row.certificate is not None


def test_what_was_sent_is_on_the_disk(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
    tmp_path: Path,
) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("other machines rename and remove by other system calls")
    tools.program("strace")
    log = tmp_path / "trace"
    command = [sys.executable, "-m", "bulkcmp", "enroll", str(write_population(ROWS, stem="power"))]
    command += [
        *ca.options(has_pass=False),
        "--plain-keys",
        "--concurrency",
        "1",
        "--out",
        str(run.path),
    ]
    ended = subprocess.run(
        traced(log, command),
        cwd=cli.folder,
        env=cli.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode and "ptrace" in ended.stderr.lower():
        pytest.skip(f"nothing can be traced here: {ended.stderr.strip()}")
    assert ended.returncode == 0, ended.stderr

    disk, promises = Disk(), Promises(tmp_path / "image")
    for call in calls(log, run.path):
        if call.texts and call.texts[0].startswith(b"POST "):
            promises.add(call)
            promises.check(disk.survivors())
        elif call.name in ("fsync", "fdatasync"):
            # just before it, most of what was written may be lost, in many ways
            for files in disk.torn(call.path):
                promises.check(files)
        elif call.name == "rename":
            file = disk.files[call.path]
            assert not file.pending, f"{call.path} takes its place half written"
        disk.take(call)
    assert promises.sent == [{BodyType.IR, BodyType.CERT_CONF}] * ROWS
    assert promises.checked > 50
    promises.check(disk.survivors())

    # all that the run says it left outlives it
    kept = disk.survivors()
    for line in (run.path / "SHA256SUMS").read_text().splitlines():
        digest, _, name = line.partition("  ")
        assert hashlib.sha256(kept[str(run.path / name)]).hexdigest() == digest, name
    assert kept[str(run.path / "results.csv")] == (run.path / "results.csv").read_bytes()
