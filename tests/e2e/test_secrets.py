"""Secrets are nowhere: not in `ps`, not in what a run leaves, not in what it says."""

import csv
import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bulkcmp.testca.aliases import Behaviour
from tests import secrecy

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


def test_a_full_run_shows_no_secret_and_no_key(
    cli: "Cli", ca: "Ca", run: "RunFolder", tools: "Tools", tmp_path: Path
) -> None:
    """In no file, text, argument or environment, but for the files that were asked to have them."""
    given = tmp_path / "given"
    given.mkdir()
    mine = {"secret": ca.secret.encode(), "passphrase": b"Quux-Passphrase-31415"}
    for name, secret in mine.items():
        (given / name).write_bytes(secret + b"\n")
    for name in ("KEY_PASS", "RA_SECRET"):
        cli.environ.pop(name, None)
    cli.environ |= {"BULKCMP_DEBUG": "1", "APP_TOKEN": "Xyzzy-Token-161803"}
    population = given / "devices.csv"
    population.write_text(
        "id,subject,newkey,secret\n"
        "s1,/CN=s1,ec:P-256,\ns2,/CN=s2,rsa:2048,\ns3,/CN=s3,ed25519,\n"
        "s4,/CN=s4,ec:P-256,pass:Wrong-Secret-577215\n"
    )
    gate = tmp_path / "gate"
    told = tmp_path / "told"
    hand_over = tmp_path / "hand-over"
    # its environment, its arguments and its input are kept; it stands until it may go on
    hand_over.write_text(
        f"cat /proc/self/environ /proc/self/cmdline - >> {told}; echo refused; test -e {gate}"
    )
    options = (
        "--server", ca.url(), "--ref", "ra1", "--secret", f"file:{given / 'secret'}",
        "--trusted", ca.anchor, "--key-pass", f"file:{given / 'passphrase'}", "--workers", "1",
        "--out", run.path, "--save-messages", run.path / "messages", "--out-format",
        "pem,p12,p12-legacy,jks",
        "--on-issued", f"sh {hand_over}", "--on-issued-attempts", "1",
        "-vv", "--log-file", tmp_path / "log",
    )  # fmt: skip
    process = cli.start("enroll", population, *options)
    seen: list[tuple[str, bytes]] = []
    while process.poll() is None:
        seen += secrecy.processes([process.pid, *tools.descendants(process.pid)])
        time.sleep(0.05)
    first = cli.finish(process, 1)
    gate.touch()
    second = cli("resume", run.path, code=1)
    assert "3 of 3 certificates delivered" in second.out
    renewed = type(run)(tmp_path / "renewed")
    third = cli(
        "renew", run.path, "--expiring-within", "40000d", "--server", ca.url("client-cert"),
        "--trusted", ca.anchor, "--key-pass", f"file:{given / 'passphrase'}", "--workers", "1",
        "--out", renewed.path, "--out-pass", "make", "-vv", "--log-file", tmp_path / "log",
        "--log-format", "json",
    )  # fmt: skip
    log = (tmp_path / "log").read_text()
    # a step of the first run, and one of the last
    assert "answered sent=ir" in log
    assert '"event": "answered", "sent": "kur"' in log

    with (renewed.path / "passwords.csv").open(newline="") as file:
        made = {row["id"]: row["password"].encode() for row in csv.DictReader(file)}
    assert set(made) == {"s1", "s2", "s3"}
    secrets = mine | {"wrong secret": b"Wrong-Secret-577215"}
    for name, password in made.items():
        secrets[f"password of {name}"] = password
        for folder, passphrase in ((run, mine["passphrase"]), (renewed, password)):
            pem = (folder.path / "certs" / f"{name}.key.pem").read_bytes()
            numbers = secrecy.numbers_of(load_pem_private_key(pem, passphrase))
            secrets |= {f"{what} of {folder.path / name}": it for what, it in numbers.items()}
    # of each run: two primes and an exponent, a scalar, a seed
    assert len(secrets) == 3 + 3 + 2 * 5

    texts = [("out", ended.out.encode()) for ended in (first, second, third)]
    texts += [("err", ended.err.encode()) for ended in (first, second, third)]
    left_out = (given, ca.folder, renewed.path / "passwords.csv")
    assert secrecy.found(secrets, [*texts, *seen, *secrecy.files(tmp_path, *left_out)]) == []
    # what is the user's own is not handed on
    commands = told.read_bytes()
    assert b"BULKCMP_ID=s1" in commands
    assert b"Xyzzy-Token" not in commands
    places = {place.rpartition("/")[2] for place, content in seen if content}
    assert places == {"cmdline", "environ"}
    # and the search would have found it
    assert secrecy.found({"t": b"Xyzzy-Token-161803"}, seen)


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
    options = ca.options(has_pass=False)
    plain = ("--plain-keys", "--out", run.path)
    ended = cli("enroll", write_population(1, stem="plain"), *options, *plain)
    assert "note: private keys are stored unencrypted (--plain-keys)" in ended.out
    (row,) = run.results()
    key = (run.path / row["key_file"]).read_text()
    assert key.startswith("-----BEGIN PRIVATE KEY-----")
    cli("resume", run.path)


CRASH = """
import sys
from bulkcmp.cli import show

async def session(command, plan, journal, **more):
    secret, key_pass = plan.rows.population, plan.key_pass
    row = next(iter(plan.rows))
    raise RuntimeError(f"of {row!r} and {plan!r}")

show.session = session
from bulkcmp.cli.main import main
sys.argv = ["bulkcmp", *sys.argv[1:]]
main()
"""


def test_a_crash_shows_no_secret(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    """Not even with the whole traceback, and with all that bulkcmp knows in its message."""
    population = write_population(lines=["id,subject,secret", "a,/CN=a,pass:Wrong-Secret-577215"])
    arguments = ("enroll", population, *ca.options(), "--out", run.path)
    ended = subprocess.run(
        [sys.executable, "-c", CRASH, *map(str, arguments)],
        env=cli.environ | {"BULKCMP_DEBUG": "1"},
        cwd=cli.folder,
        capture_output=True,
        check=False,
    )
    assert b"RuntimeError: of EndEntity(" in ended.stderr
    names = ("RA_SECRET", "KEY_PASS")
    secrets = {name: cli.environ[name].encode() for name in names}
    secrets["wrong secret"] = b"Wrong-Secret-577215"
    assert secrecy.found(secrets, [("err", ended.stderr), *secrecy.files(run.path)]) == []
