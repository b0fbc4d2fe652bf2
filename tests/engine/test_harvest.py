import csv
import dataclasses
import datetime as dt
import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bulkcmp.cmp.asn1 import wrap
from bulkcmp.engine.harvest import write_files, write_manifest_files, write_table
from bulkcmp.engine.options import Options
from bulkcmp.engine.plan import Plan
from bulkcmp.io.keyworker import make_keys
from bulkcmp.journal.journal import Journal
from bulkcmp.model import Itav, KeySpec, Operation, Outcome, OutcomeClass, RowResult
from bulkcmp.testca import state

ENVIRON = {"S": "a secret", "K": "a passphrase"}


@dataclass
class Kept:
    """What a journal keeps of rows that were taken up."""

    folder: Path
    run_id: str = "run"
    results_by_row: dict[int, RowResult] = field(default_factory=dict)
    key: bytes = b""

    def results(self, *, with_keys: bool = False) -> Iterator[tuple[RowResult, bytes | None]]:
        for _, result in sorted(self.results_by_row.items()):
            yield result, self.key if with_keys and result.has_key else None

    def count(self) -> int:
        return len(self.results_by_row)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path, key=make_keys(KeySpec.parse("ec:P-256"), 1)[0])


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    state.create(tmp_path / "ca", state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
    (tmp_path / "a.csv").write_text("id,subject\na,/CN=a\nb,CN\nc,/CN=c\nd,/CN=d\n")
    options = Options(
        server="http://h/",
        secret="env:S",
        key_pass="env:K",
        trusted=(str(tmp_path / "ca" / "ca.pem"),),
        skip_bad_rows=True,
    )
    return options.plan(str(tmp_path / "a.csv"), ENVIRON)


def result(number: int, outcome: OutcomeClass, **fields: Any) -> RowResult:
    return RowResult(
        number, number + 1, "abcd"[number - 1], Operation.IR, Outcome(outcome), **fields
    )


def table(kept: Kept) -> list[tuple[str, str, str, str]]:
    with (kept.folder / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [(row["row"], row["id"], row["outcome"], row["cert_file"]) for row in rows]


def journal(kept: Kept) -> Journal:
    return cast(Journal, kept)


def test_rows_that_were_not_taken_up_have_their_place(plan: Plan, kept: Kept) -> None:
    kept.results_by_row = {
        2: result(2, OutcomeClass.BAD_ROW),
        3: result(3, OutcomeClass.ISSUED, certificate=b"der"),
    }
    tally = write_table(plan, journal(kept), {})
    assert table(kept) == [
        ("1", "a", "to do", ""),
        ("2", "b", "bad row", ""),
        ("3", "c", "issued", "certs/c.pem"),
        ("4", "d", "to do", ""),
    ]
    assert (tally.total, tally.failed) == (4, 3)


def test_nothing_is_read_again_where_all_rows_are_known(
    plan: Plan, kept: Kept, tmp_path: Path
) -> None:
    counted = Options(
        server="http://h/",
        secret="env:S",
        key_pass="env:K",
        trusted=(str(tmp_path / "ca" / "ca.pem"),),
    ).plan(str(tmp_path / "a.csv"), ENVIRON)
    (tmp_path / "a.csv").unlink()
    kept.results_by_row = {n: result(n, OutcomeClass.ISSUED) for n in range(1, 5)}
    assert write_table(counted, journal(kept), {}).failed == 0
    assert [row[0] for row in table(kept)] == ["1", "2", "3", "4"]


def test_a_flaw_makes_a_failure_of_what_was_done(plan: Plan, kept: Kept) -> None:
    kept.results_by_row = {
        1: result(1, OutcomeClass.ISSUED, certificate=b"der"),
        2: result(2, OutcomeClass.ISSUED_REFUSED, certificate=b"der"),
        3: result(3, OutcomeClass.ISSUED, certificate=b"der"),
    }
    tally = write_table(plan, journal(kept), {1: "pkix.a_rule", 2: "pkix.a_rule"})
    assert [row[2] for row in table(kept)] == [
        "issued, breaks a lint rule",
        "issued, refused",
        "issued",
        "to do",
    ]
    assert tally.failed == 3


def test_files_are_written_once(plan: Plan, kept: Kept) -> None:
    anchor = plan.setup.anchors[0]
    issued = OutcomeClass.ISSUED
    kept.results_by_row = {
        1: result(1, issued, certificate=anchor, chain=(anchor,), has_key=True),
        3: result(3, issued, certificate=anchor),
        4: result(4, OutcomeClass.REJECTED),
    }
    anyio.run(write_files, plan, journal(kept))
    files = {path.name: path for path in (kept.folder / "certs").iterdir()}
    assert files.keys() == {"a.pem", "a.key.pem", "c.pem"}
    assert stat.S_IMODE(files["a.key.pem"].stat().st_mode) == 0o600
    load_pem_private_key(files["a.key.pem"].read_bytes(), b"a passphrase")
    before = {name: path.stat().st_mtime_ns for name, path in files.items()}
    files["c.pem"].write_bytes(b"cut")
    anyio.run(write_files, plan, journal(kept))
    assert files["c.pem"].read_bytes() != b"cut"
    assert {n: p.stat().st_mtime_ns for n, p in files.items() if n != "c.pem"} == {
        name: at for name, at in before.items() if name != "c.pem"
    }


def test_what_was_told_to_a_genm(plan: Plan, kept: Kept) -> None:
    infos = (Itav("1.3.6.1.5.5.7.4.16", b"\x30\x04\x0c\x02en"), Itav("1.2.3"))
    deep = b"\x05\x00"
    for _ in range(500):
        deep = wrap(0x30, deep)
    kept.results_by_row = {
        1: result(1, OutcomeClass.ANSWERED, infos=infos),
        3: result(3, OutcomeClass.REJECTED, infos=(Itav("1.2.3", deep),)),
        4: result(4, OutcomeClass.ANSWERED),
    }
    write_table(plan, journal(kept), {})
    anyio.run(write_files, plan, journal(kept))
    with (kept.folder / "results.csv").open(newline="") as file:
        named = {row["id"]: row["info_files"] for row in csv.DictReader(file)}
    assert named == {
        "a": "info/a.suppLangTags.der|info/a.txt",
        "b": "",
        "c": "info/c.1.2.3.der|info/c.txt",
        "d": "",
    }
    text = (kept.folder / "info" / "a.txt").read_text()
    assert text == "genp: GenMsgContent, DER, 26 octets\n  - suppLangTags: en\n  - 1.2.3\n"
    assert (kept.folder / "info" / "c.txt").read_text().startswith("can't be shown: genp: ")
    assert not (kept.folder / "certs").exists()


def test_a_manifest_of_a_session_that_is_left_is_not_there(plan: Plan, kept: Kept) -> None:
    anchor = plan.setup.anchors[0]
    kept.results_by_row = {
        n: result(n, OutcomeClass.ISSUED, certificate=anchor, serial=n) for n in (1, 3)
    }
    anyio.run(write_files, plan, journal(kept))
    answers = iter([False, True])
    assert not write_manifest_files(plan, journal(kept), {}, lambda: next(answers))
    assert {path.name for path in kept.folder.iterdir()} == {"certs", "ca", "a.csv"}
    assert write_manifest_files(plan, journal(kept), {"rows": 4}, lambda: False)
    manifest = json.loads((kept.folder / "manifest.json").read_text())
    assert (manifest["run"], manifest["rows"]) == ("run", 4)
    assert [(one["path"], one.get("serial")) for one in manifest["files"]] == [
        ("certs/a.pem", "01"),
        ("certs/c.pem", "03"),
        ("a.csv", None),
    ]


def test_no_folder_where_there_is_nothing_to_write(plan: Plan, kept: Kept) -> None:
    kept.results_by_row = {1: result(1, OutcomeClass.REJECTED)}
    anyio.run(write_files, plan, journal(kept))
    assert not (kept.folder / "certs").exists()


def test_unencrypted_where_it_was_asked_for(plan: Plan, kept: Kept) -> None:
    plain = dataclasses.replace(plan, key_pass=None, plain_keys=True)
    anchor = plan.setup.anchors[0]
    kept.results_by_row = {1: result(1, OutcomeClass.ISSUED, certificate=anchor, has_key=True)}
    anyio.run(write_files, plain, journal(kept))
    load_pem_private_key((kept.folder / "certs" / "a.key.pem").read_bytes(), None)
