"""Records of load tests -> reports.

An input is an octet for whether the rest is still to be compressed, and the rest.
"""

import gzip
from collections.abc import Iterator
from contextlib import suppress

from bulkcmp.errors import InputError
from bulkcmp.outputs.records import RecordFile, RecordWriter, report_of
from bulkcmp.outputs.report import report_json, report_junit
from tests.fuzz.target import scratch, written
from tests.stats.records import RECORDED, RECORDED_RUN


def one(data: bytes) -> None:
    """Whatever a file of records holds, it is reported on, or an InputError says where it ends."""
    if not data:
        return
    packed = data[1:] if data[0] % 2 else gzip.compress(data[1:], 1, mtime=0)
    path = written("records.jsonl.gz", packed)
    for partial in (False, True):
        with suppress(InputError):
            report, _ = report_of([RecordFile(path, partial=partial)])
            report_json(report)
            report_junit(report)


def seeds() -> Iterator[bytes]:
    """The records of a run."""
    path = scratch() / "written.jsonl.gz"
    with RecordWriter(path, RECORDED_RUN) as writer:
        writer.write(RECORDED)
    yield b"\1" + path.read_bytes()
    yield b"\0" + gzip.decompress(path.read_bytes())
    path.unlink()
