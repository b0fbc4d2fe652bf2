"""Secrets are nowhere: not in `ps`, not in what a run leaves, not in what it says."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from bulkcmp.testca.aliases import Behaviour

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, MakeCa, RunFolder, Tools, WritePopulation


def test_ps_shows_no_secret(
    cli: "Cli",
    make_ca: "MakeCa",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
) -> None:
    ca = make_ca(Behaviour(delay=1.0))
    passes = (f"--secret=pass:{ca.secret}", "--key-pass", "pass:open sesame")
    options = (*ca.options(), *passes, "--out", run.path)
    process = cli.start("enroll", write_population(2), *options)
    tools.wait_until(lambda: ca.count() > 0)
    pids = [process.pid, *tools.descendants(process.pid)]
    assert len(pids) > 2
    titles = [Path(f"/proc/{pid}/cmdline").read_bytes().decode() for pid in pids]
    ended = cli.finish(process, 0)
    assert "--secret=pass:*** --key-pass pass:***" in titles[0]
    assert "bulkcmp enroll" in titles[0]
    for text in (*titles, ended.out, ended.err):
        assert ca.secret not in text
        assert "sesame" not in text


def test_what_a_run_leaves_has_no_secret(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    secret = f"pass:{ca.secret}"
    lines = ["id,subject,secret", f"a,/CN=a,{secret}", "b,/CN=b,pass:another wrong one"]
    options = (*ca.options(), "--key-pass", "pass:open sesame", "--out", run.path)
    ended = cli("enroll", write_population(lines=lines), *options, "--json", code=1)
    content = run.all_bytes() + (ended.out + ended.err).encode()
    for text in (ca.secret, "another wrong one", "open sesame"):
        assert text.encode() not in content
    with closing(sqlite3.connect(run.path / "journal.db")) as journal:
        (text,) = journal.execute("SELECT value FROM meta WHERE key = 'facts'").fetchone()
    facts = json.loads(text)["options"]
    assert (facts["secret"], facts["key_pass"]) == ("env:RA_SECRET", "pass:***")


def test_files_of_a_run_are_private(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    cli("enroll", write_population(1, stem="private"), *ca.options(), "--out", run.path)
    assert run.path.stat().st_mode & 0o777 == 0o700
    for path in run.path.rglob("*"):
        allowed = 0o700 if path.is_dir() else 0o600
        if path.name == "private000001.pem":
            allowed = 0o644
        assert path.stat().st_mode & 0o777 == allowed, path


def test_plain_keys_are_asked_for_by_name(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    options = [text for text in ca.options() if text not in ("--key-pass", "env:KEY_PASS")]
    plain = ("--plain-keys", "--out", run.path)
    ended = cli("enroll", write_population(1, stem="plain"), *options, *plain)
    assert "note: private keys are stored unencrypted (--plain-keys)" in ended.out
    (row,) = run.results()
    key = (run.path / row["key_file"]).read_text()
    assert key.startswith("-----BEGIN PRIVATE KEY-----")
    cli("resume", run.path)
