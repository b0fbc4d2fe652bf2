"""Disks that are full or read-only: a clear error, nothing lost, `resume` once there is room."""

import csv
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import MakeDisk
    from tests.e2e.conftest import Ca, Cli, MakeServer, RunFolder, Tools, WritePopulation


def check_nothing_is_half(folder: Path) -> None:
    """No file was left that is not whole."""
    assert not list(folder.rglob(".*.tmp"))
    for path in folder.rglob("*.pem"):
        assert path.read_text().endswith("-----\n"), path
    if (folder / "results.csv").exists():
        with (folder / "results.csv").open(newline="") as file:
            assert all(row["line"] for row in csv.DictReader(file, strict=True))


def test_the_journals_disk_is_full_in_mid_run(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
    make_server: "MakeServer",
    make_disk: "MakeDisk",
) -> None:
    is_full = threading.Event()

    def wait_from_some_on(number: int, body: bytes) -> bytes:
        if number >= 30:
            assert is_full.wait(60)
        return tools.forward(ca, body)

    # so much that all 60 rows fit, ballast apart, if each entry is a commit of its own
    disk = make_disk(run.path, 16384)
    server = make_server(wait_from_some_on)
    options = (*ca.options(), "--server", server.url, "--concurrency", "10", "--out", run.path)
    before = ca.transaction_ids()
    process = cli.start("enroll", write_population(60, stem="midrun"), *options)
    tools.wait_until(lambda: len(server.times) >= 31)
    disk.fill()
    is_full.set()
    ended = cli.finish(process, 1)
    assert "the disk is full" in ended.err
    assert "what was committed before is safe; make room or mend the disk, then" in ended.err
    mine = ca.transaction_ids() - before
    assert 0 < len(mine) < 60
    check_nothing_is_half(run.path)

    disk.make_room()
    # all that the CA did is known, if not what came of it
    assert mine <= {one.id.hex() for one in run.transactions()}
    cli("resume", run.path, "--retry-unknown", "--server", ca.url())
    assert {outcome for outcome, _ in run.outcomes()} == {"issued"}
    check_nothing_is_half(run.path)
    assert len(list((run.path / "certs").glob("*.key.pem"))) == 60


def test_a_delivery_fills_the_disk(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    make_disk: "MakeDisk",
    tmp_path: Path,
) -> None:
    disk = make_disk(run.path, 1024)
    fill = tmp_path / "fill.py"
    fill.write_text(
        "with open({!r}, 'ab', buffering=0) as file:\n"
        "    try:\n"
        "        while True:\n"
        "            file.write(bytes(1024))\n"
        "    except OSError:\n"
        "        pass\n".format(str(run.path / "ballast"))
    )
    command = ("--on-issued", f"{sys.executable} {fill}", "--on-issued-concurrency", "1")
    population = write_population(3, stem="filled")
    ended = cli("enroll", population, *ca.options(), "--out", run.path, *command, code=1)
    assert "the disk is full" in ended.err or "No space left on device" in ended.err
    assert "bulkcmp resume" in ended.err or "free space" in ended.err
    check_nothing_is_half(run.path)

    disk.make_room()
    ended = cli("resume", run.path, "--on-issued", "true", "--retry-unknown")
    assert "3 of 3 certificates delivered" in ended.out
    assert run.outcomes() == {("issued", "")}
    check_nothing_is_half(run.path)


@pytest.mark.parametrize("delivers", [False, True])
def test_no_room_for_certificates(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    make_disk: "MakeDisk",
    delivers: bool,
) -> None:
    # three rows and a half
    disk = make_disk(run.path / "certs", 28)
    before = ca.count()
    told = ("--on-issued", "true", "--on-issued-concurrency", "1") if delivers else ()
    population = write_population(6, stem=f"room{delivers:d}")
    ended = cli("enroll", population, *ca.options(), "--out", run.path, *told, code=1)
    assert "can't be written: No space left on device" in ended.err
    assert "check the folder's permissions and free space" in ended.err
    # it holds up nothing that the CA has to do
    assert ca.count() == before + 6
    check_nothing_is_half(run.path)

    disk.make_room(1024)
    cli("resume", run.path)
    assert ca.count() == before + 6
    assert run.outcomes() == {("issued", "")}
    assert {row["delivery"] for row in run.results()} == {"delivered" if delivers else ""}
    assert len(list(disk.path.glob("*.key.pem"))) == 6
    check_nothing_is_half(run.path)


def test_no_room_for_what_a_failed_delivery_said(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    make_disk: "MakeDisk",
) -> None:
    disk = make_disk(run.path / "deliveries", 4)
    say = "sh -c 'head -c 60000 /dev/zero; exit 3'"
    population = write_population(1, stem="words")
    told = ("--on-issued", say, "--on-issued-attempts", "1")
    ended = cli("enroll", population, *ca.options(), "--out", run.path, *told, code=1)
    assert "can't be written: No space left on device" in ended.err
    disk.make_room(1024)
    ended = cli("resume", run.path, code=1)
    assert "0 of 1 certificates delivered, 1 failed" in ended.out
    assert len((disk.path / "words000001.log").read_bytes()) == 60_000


def test_no_room_for_messages(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    make_disk: "MakeDisk",
    tmp_path: Path,
) -> None:
    disk = make_disk(tmp_path / "messages", 12)
    population = write_population(4, stem="messages")
    saved = ("--save-messages", disk.path)
    ended = cli("enroll", population, *ca.options(), "--out", run.path, *saved)
    # they are for people: no certificate waits for them
    assert run.outcomes() == {("issued", "")}
    text = " ".join(ended.out.split())
    assert "not all messages were saved (--save-messages)" in text
    assert "No space left on device" in text


def test_a_folder_that_is_read_only(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    make_disk: "MakeDisk",
    tmp_path: Path,
) -> None:
    disk = make_disk(tmp_path / "disk", 4096)
    out = disk.path / "run"
    population = write_population(2, stem="closed")
    before = ca.count()
    disk.set_read_only(True)
    ended = cli("enroll", population, *ca.options(), "--out", out, code=2)
    assert "Read-only file system" in ended.err
    assert ca.count() == before

    disk.set_read_only(False)
    cli("enroll", population, *ca.options(), "--out", out)
    disk.set_read_only(True)
    ended = cli("resume", out, code=2)
    assert "the journal can't be written" in ended.err
    assert "the run folder and what is in it must be writable" in ended.err
    assert ca.count() == before + 2


def test_files_that_may_grow_no_further(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder", tools: "Tools"
) -> None:
    """By a limit that each user has: an I/O error of the journal, whoever may mount what."""
    population = write_population(100, stem="grow")
    command = [sys.executable, "-m", "bulkcmp", "enroll", str(population)]
    command += [*ca.options(), "--out", str(run.path)]
    script = 'ulimit -f 200; exec "$@"'
    ended = subprocess.run(
        ["sh", "-c", script, "sh", *command],
        cwd=cli.folder,
        env=cli.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "the journal failed: disk I/O error" in ended.stderr
    known = {one.id.hex() for one in run.transactions()}
    mine = {row.transaction_id for row in ca.issued() if (row.user or "").startswith("grow")}
    assert {(one or b"").hex() for one in mine} <= known
    cli("resume", run.path, "--retry-unknown")
    assert run.outcomes() == {("issued", "")}
