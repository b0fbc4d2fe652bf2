"""Load tests as a user runs them. A busy machine may be a bottleneck, which is no failure here."""

import csv
import json
import os
import resource
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bulkcmp.testca.aliases import Behaviour

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, Ended, MakeCa, RunFolder, Tools

SCENARIO = """
name = "e2e"
seed = 7
{limits}

[population.columns]
id = "dev-{{number:06}}"
subject = "/CN={{id}}/O=Acme/C=NO"

[[lifecycles]]
name = "enroll"
steps = [{{ cmd = "ir" }}]

{shape}
"""
CLOSED = "[closed]\nclients = 5"


def write(cli: "Cli", limits: str, shape: str = CLOSED) -> Path:
    path = cli.folder / "scenario.toml"
    path.write_text(SCENARIO.format(limits=limits, shape=shape))
    return path


def options(ca: "Ca") -> tuple[str, ...]:
    return (
        "--server", ca.url(), "--ref", "ra1", "--secret", "env:RA_SECRET",
        "--trusted", str(ca.anchor),
    )  # fmt: skip


def load(cli: "Cli", *arguments: object, code: int = 0) -> "Ended":
    """Run it; where the code says nothing worse, the machine may have been too busy."""
    return cli.finish(cli.start("load", *arguments), code, *([4] if code in (0, 1, 3) else []))


def certificates(run: "RunFolder") -> list[dict[str, str]]:
    with (run.path / "certificates.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_load_test_is_recorded_and_reported(cli: "Cli", ca: "Ca", run: "RunFolder") -> None:
    known = {one.serial for one in ca.issued()}
    log = ("--log-file", "log", "--log-format", "json")
    folder = ("--out", run.path, "--workers", "2")
    ended = load(cli, write(cli, "count = 40"), *options(ca), *folder, *log)
    assert "5 clients" in ended.out
    found = run.summary()
    total = found["transactions"]["all"]
    assert (total["ok"], total["failed"], total["certificates"]) == (40, 0, 40)
    assert found["exit_code"] in (0, 4)
    rows = certificates(run)
    issued = {one.serial for one in ca.issued()} - known
    assert {int(row["serial"], 16) for row in rows} == issued
    lines = [json.loads(line) for line in (cli.folder / "log").read_text().splitlines()]
    told = {line["transactionID"] for line in lines if line["event"] == "ended"}
    assert len(told) == 40
    assert told <= ca.transaction_ids()
    assert {row["outcome"] for row in rows} == {"issued"}
    assert sorted(int(row["arrival"]) for row in rows) == list(range(40))
    # what is made again from the records is the same
    again = cli("report", run.path, "--format", "json")
    assert json.loads(again.out) == found
    # the file names are not used twice
    ended = cli("load", write(cli, "count = 1"), *options(ca), "--out", run.path, code=2)
    assert "holds a load test already" in ended.err


@pytest.mark.parametrize("left", ["certificates.csv", "settings.json", "summary.json"])
def test_what_a_killed_test_left_is_not_overwritten(
    cli: "Cli", ca: "Ca", run: "RunFolder", left: str
) -> None:
    run.path.mkdir()
    (run.path / left).touch()
    ended = cli("load", write(cli, "count = 1"), *options(ca), "--out", run.path, code=2)
    assert "holds a load test already" in ended.err
    assert [path.name for path in run.path.iterdir()] == [left]


def test_a_scenario_has_its_outputs_written(cli: "Cli", ca: "Ca", run: "RunFolder") -> None:
    outputs = {"junit": "ci/junit.xml", "html": "report.html", "csv": "all.csv", "hgrm": "a.hgrm"}
    lines = "\n".join(f'{name} = "{file}"' for name, file in outputs.items())
    scenario = write(cli, "count = 5", f"{CLOSED}\n[outputs]\n{lines}")
    load(cli, scenario, *options(ca), "--out", run.path)
    for name, file in outputs.items():
        path = run.path / file
        assert path.read_text() == cli("report", run.path, "--format", name).out
        assert path.stat().st_mode & 0o777 == 0o600
    assert not list(run.path.glob("**/*.tmp"))


def test_no_file_is_overwritten_by_an_output(cli: "Cli", ca: "Ca", run: "RunFolder") -> None:
    run.path.mkdir()
    (run.path / "page.html").write_text("mine")
    scenario = write(cli, "count = 1", f'{CLOSED}\n[outputs]\nhtml = "page.html"')
    known = len(ca.issued())
    ended = cli("load", scenario, *options(ca), "--out", run.path, code=2)
    assert "page.html: is there already" in ended.err
    assert len(ca.issued()) == known
    assert (run.path / "page.html").read_text() == "mine"


def test_an_open_load_test_keeps_its_plan(cli: "Cli", ca: "Ca", run: "RunFolder") -> None:
    scenario = write(cli, "duration = 2\nwarm_up = 0.5", "[open]\nrate = 20")
    load(cli, scenario, *options(ca), "--out", run.path)
    again = cli("report", run.path, "--format", "jsonl")
    samples = [json.loads(line) for line in again.out.splitlines()]
    assert sorted(one["planned"] for one in samples) == pytest.approx(
        [number / 20 for number in range(40)]
    )
    assert all(one["started"] >= one["planned"] - 1e-6 for one in samples)
    assert Counter(one["warm_up"] for one in samples) == {True: 10, False: 30}


def test_a_scenario_is_tried_in_short(cli: "Cli", ca: "Ca", run: "RunFolder") -> None:
    changes = ("--set", "count=3", "--set", "closed={clients=2}")
    ended = load(cli, write(cli, "count = 40"), *options(ca), *changes, "--out", run.path)
    assert "2 clients" in ended.out
    assert run.summary()["transactions"]["all"]["ok"] == 3
    wrong = ("--set", "count=0", "--set", "closed.client=1")
    ended = cli("load", write(cli, "count = 40"), *options(ca), *wrong, code=2)
    assert "--set, key count: it must be 1 or more" in ended.err
    assert "--set, key closed.client: unknown key 'client'" in ended.err


def test_a_crossed_threshold_is_told_by_the_exit_code(
    cli: "Cli", ca: "Ca", run: "RunFolder"
) -> None:
    scenario = write(cli, 'count = 5\nthresholds = ["share(failed) < 1%"]')
    threshold = ("--threshold", "p50(response) < 1us")
    ended = load(cli, scenario, *options(ca), *threshold, "--out", run.path, code=3)
    assert "CROSSED" in ended.out
    verdicts = {one["threshold"]: one["held"] for one in run.summary()["thresholds"]}
    assert verdicts == {"share(failed) < 1%": True, "p50(response) < 1us": False}


def test_a_signal_drains(cli: "Cli", make_ca: "MakeCa", run: "RunFolder", tools: "Tools") -> None:
    ca = make_ca(Behaviour(delay=0.3))
    process = cli.start("load", write(cli, "duration = 600"), *options(ca), "--out", run.path)
    tools.wait_until(lambda: ca.count() >= 5)
    process.send_signal(signal.SIGINT)
    ended = cli.finish(process, 130, seconds=60)
    assert "stopping: ending what is under way (again: leave at once)" in ended.err
    found = run.summary()
    assert found["interrupted"] is True
    total = found["transactions"]["all"]
    assert total["failed"] == 0
    assert total["ok"] == ca.count() == len(certificates(run))


def test_a_signal_while_keys_are_made_leaves_a_run_of_nothing(
    cli: "Cli", ca: "Ca", run: "RunFolder", tools: "Tools"
) -> None:
    # so many keys of this size take a minute
    slow = f'{CLOSED}\n[keys]\nnewkey = "rsa:4096"\n[outputs]\nmd = "report.md"'
    known = ca.count()
    process = cli.start("load", write(cli, "count = 500", slow), *options(ca), "--out", run.path)
    tools.wait_until(lambda: (run.path / "certificates.csv").exists())
    process.send_signal(signal.SIGINT)
    cli.finish(process, 130, seconds=60)
    assert run.summary()["transactions"]["all"]["finished"] == 0
    assert ca.count() == known
    told = cli("report", run.path, "--format", "md").out
    assert "**no transaction was measured**" in told
    assert (run.path / "report.md").read_text() == told


def test_a_server_that_is_not_there(cli: "Cli", ca: "Ca", run: "RunFolder") -> None:
    gone = ("--server", "http://127.0.0.1:1/", *options(ca)[2:], "--out", run.path)
    ended = cli("load", write(cli, "duration = 600"), *gone, code=1)
    assert "cannot connect" in ended.err
    assert "nothing was sent" in ended.err
    # the same line with a better server goes on
    load(cli, write(cli, "count = 1"), *options(ca), "--out", run.path)
    assert run.summary()["transactions"]["all"]["ok"] == 1


def workers(tools: "Tools", pid: int) -> list[int]:
    """Those below a process."""
    found = []
    for child in tools.descendants(pid):
        with suppress(OSError):
            # of one that is dead nothing stands there
            if b"load.generator" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
    return found


@pytest.mark.parametrize("search", [(), ("--find-capacity",)], ids=["test", "search"])
def test_workers_that_are_killed_end_it_with_a_report(
    cli: "Cli", make_ca: "MakeCa", run: "RunFolder", tools: "Tools", search: tuple[str, ...]
) -> None:
    ca = make_ca(Behaviour())
    outputs = '[outputs]\njunit = "junit.xml"\nmd = "report.md"'
    limits = 'duration = 600\nthresholds = ["share(failed) < 50%"]'
    scenario = write(
        cli, limits, f"[open]\nrate = 20\n[capacity]\nfrom = 20\nsettle = 0\n{outputs}"
    )
    process = cli.start(
        "load", scenario, *search, *options(ca), "--workers", "1", "--out", run.path
    )
    table = run.path / "certificates.csv"
    tools.wait_until(lambda: table.exists() and bool(certificates(run)), 60)
    (first,) = workers(tools, process.pid)
    os.kill(first, signal.SIGKILL)
    # another takes its place, once
    tools.wait_until(lambda: workers(tools, process.pid) not in ([], [first]), 60)
    (second,) = workers(tools, process.pid)
    os.kill(second, signal.SIGKILL)
    ended = cli.finish(process, 1, seconds=90)
    told = "failed: a worker died, and what it had under way is not known"
    assert ended.out.splitlines()[0] == told
    assert "error: a worker died" in ended.err
    assert "hint: is there enough memory?" in ended.err
    found = run.summary()
    assert found["exit_code"] == 1
    assert found["failed"] == [told.removeprefix("failed: ")]
    assert found["transactions"]["all"]["ok"] > 0
    # what is made again from the records is the same
    assert json.loads(cli("report", run.path, "--format", "json").out) == found
    for format_, file in (("junit", "junit.xml"), ("md", "report.md")):
        text = (run.path / file).read_text()
        assert "a worker died" in text
        assert cli("report", run.path, "--format", format_).out == text


def test_a_disk_that_is_full_ends_it_with_a_report(
    cli: "Cli", make_ca: "MakeCa", run: "RunFolder", tools: "Tools"
) -> None:
    ca = make_ca(Behaviour())
    process = cli.start(
        "load", write(cli, "duration = 600", "[open]\nrate = 20"), *options(ca), "--out", run.path,
        "--revoke-after",
    )  # fmt: skip
    records = run.path / "records.jsonl.gz"
    tools.wait_until(lambda: ca.count() >= 10 and records.stat().st_size > 500, 60)
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    # no file has room for more
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (500, hard))
    ended = cli.finish(process, 1, seconds=90)
    assert f"failed: {records}: can't be written: File too large" in ended.out.replace("\n", "")
    assert "all response" in ended.out
    # what could not be kept is told, with the cause last
    assert "summary.json: can't be written" in ended.err
    assert f"error: {records}: can't be written" in ended.err
    assert f"nothing was cleaned up: bulkcmp revoke {run.path}" in ended.err.replace("\n", "")
    again = cli("report", run.path)
    assert again.out.startswith("the records stop before the run's end")
    assert len(certificates(run)) > 0


def test_another_machine_is_not_put_under_load_by_mistake(cli: "Cli", ca: "Ca") -> None:
    far = ("--server", "http://ca.example.com/", *options(ca)[2:])
    ended = cli("load", write(cli, "count = 1"), *far, code=2)
    assert "ca.example.com is another machine" in ended.err
    assert "--yes-load ca.example.com" in ended.err
    assert not (cli.folder / "runs").exists()


SERVERS = """
name = "two servers"
count = 20
revoke_after = true
thresholds = ["share(ir@a.failed) <= 0%", "count(kur@b.ok) >= 1"]

[server]
ref = "ra1"

[servers.a]
server = "{a.base}/ejbca/publicweb/cmp/ra-hmac"
secret = "env:SECRET_A"
trusted = ["{a.anchor}"]

[servers.b]
server = "{b.base}/ejbca/publicweb/cmp/ra-hmac"
secret = "env:SECRET_B"
trusted = ["{b.anchor}"]

[population.columns]
id = "two-{{number:06}}"
subject = "/CN={{id}}/O=Acme/C=NO"

[[lifecycles]]
name = "a then b"
server = "a"
steps = [{{ cmd = "ir" }}, {{ cmd = "cr", server = "b" }}, {{ cmd = "kur", server = "b" }}]

[[lifecycles]]
name = "b alone"
server = "b"
steps = [{{ cmd = "ir" }}, {{ cmd = "rr" }}]

[closed]
clients = 4
"""


def test_a_load_test_of_two_cas(cli: "Cli", ca: "Ca", make_ca: "MakeCa", run: "RunFolder") -> None:
    other = make_ca(Behaviour())
    cli.environ |= {"SECRET_A": ca.secret, "SECRET_B": other.secret}
    scenario = cli.folder / "two.toml"
    scenario.write_text(SERVERS.format(a=ca, b=other))
    assert "100 rows, 0 bad" in cli("check", scenario).err
    known = {f"{one.serial:X}" for one in ca.issued()}
    before = revoked(ca)
    options = ("--workers", "2", "--set", "seed=7")
    load(cli, scenario, *options, "--out", run.path)

    found = run.summary()
    lives = found["lifecycles"]["by_name"]
    counts = {name: one["ok"] for name, one in found["transactions"].items()}
    assert counts == {
        "all": 3 * lives["a then b"] + 2 * lives["b alone"],
        "ir@a": lives["a then b"],
        "cr@b": lives["a then b"],
        "kur@b": lives["a then b"],
        "ir@b": lives["b alone"],
        "rr@b": lives["b alone"],
    }
    assert lives["a then b"] + lives["b alone"] == 20
    assert {"ir/ip@a", "ir/ip@b", "kur/kup@b"} <= {one["name"] for one in found["exchanges"]}
    # what is made again from the records is the same
    assert json.loads(cli("report", run.path, "--format", "json").out) == found
    # each revoked what it had issued
    issued = {row["serial"]: row["server"] for row in certificates(run) if row["cmd"] != "rr"}
    of_a = {serial for serial, server in issued.items() if server == "a"}
    assert of_a == {f"{one.serial:X}" for one in ca.issued()} - known
    assert revoked(ca) - before == of_a
    assert revoked(other) == issued.keys() - of_a
    assert "nothing is left to revoke" in cli("revoke", run.path).err


def test_options_are_of_all_servers_or_refused(
    cli: "Cli", ca: "Ca", make_ca: "MakeCa", run: "RunFolder"
) -> None:
    other = make_ca(Behaviour())
    cli.environ |= {"SECRET_A": ca.secret, "SECRET_B": other.secret}
    scenario = cli.folder / "two.toml"
    scenario.write_text(SERVERS.format(a=ca, b=other))
    ended = cli("load", scenario, "--secret", "env:RA_SECRET", "--out", run.path, code=2)
    assert "--secret: each of the servers has its own secret" in ended.err
    hosts = ("--set", 'servers.a.server="http://ca.invalid/a"')
    ended = cli("load", scenario, *hosts, "--out", run.path, code=2)
    assert "ca.invalid is another machine" in ended.err.replace("\n", " ")
    wrong = ("--set", 'servers.a.mac="crc32"', "--set", 'servers.b.trusted=["none.pem"]')
    ended = cli("load", scenario, *wrong, "--out", run.path, code=2)
    told = " ".join(ended.err.split())
    assert "servers.a: --mac: 'crc32' is not known" in told
    assert "servers.b: --trusted:" in told
    assert not run.path.exists()


def test_one_server_revokes_what_another_issued(cli: "Cli", ca: "Ca", run: "RunFolder") -> None:
    scenario = write(cli, 'count = 6\nrevoke_at = "ra"', SAME_CA).read_text()
    path = cli.folder / "scenario.toml"
    path.write_text(scenario.replace('name = "enroll"', 'name = "enroll"\nserver = "other"'))
    before = revoked(ca)
    load(cli, path, *options(ca), "--out", run.path)
    # the certificates' own server does not take this credential any more
    settings = run.path / "settings.json"
    kept = json.loads(settings.read_text())
    assert kept["revoke_at"] == "ra"
    kept["servers"]["other"]["secret"] = "env:NOT_THERE"
    settings.write_text(json.dumps(kept))
    cli("revoke", run.path)
    rows = certificates(run)
    assert Counter((row["cmd"], row["server"]) for row in rows) == {
        ("ir", "other"): 6,
        ("rr", "ra"): 6,
    }
    assert revoked(ca) - before == {row["serial"] for row in rows}


SAME_CA = """
[servers.ra]
path = "ejbca/publicweb/cmp/ra-hmac"
[servers.other]
path = ".well-known/cmp/p/ra-hmac"
[closed]
clients = 2
"""


def revoked(ca: "Ca") -> set[str]:
    return {f"{one.serial:X}" for one in ca.issued() if one.status == "revoked"}


def test_what_a_test_issued_is_revoked_after_it(cli: "Cli", ca: "Ca", run: "RunFolder") -> None:
    scenario = write(cli, "count = 12\nrevoke_after = true")
    scenario.write_text(
        scenario.read_text() + '[[lifecycles]]\nname = "all"\n'
        'steps = [{ cmd = "ir" }, { cmd = "kur" }, { cmd = "rr" }]\n'
    )
    before = revoked(ca)
    ended = load(cli, scenario, *options(ca), "--out", run.path)
    rows = certificates(run)
    issued = {row["serial"] for row in rows if row["cmd"] != "rr"}
    assert revoked(ca) - before == issued
    # each of them once, by the test or after it
    asked = [row["serial"] for row in rows if row["cmd"] == "rr"]
    assert sorted(asked) == sorted(issued)
    # the figures of the test are its own
    found = run.summary()["transactions"]
    enrolled, updated, by_step = (found[name]["ok"] for name in ("ir", "kur", "rr"))
    assert enrolled == 12
    assert 0 < updated == by_step < 12
    left = enrolled + updated - by_step
    assert f"{left} of {left} certificates were revoked" in ended.err
    assert "nothing is left to revoke" in cli("revoke", run.path).err


def test_a_clean_up_that_an_error_came_before_is_told_of(
    cli: "Cli", ca: "Ca", run: "RunFolder"
) -> None:
    scenario = write(cli, "count = 2", f'{CLOSED}\n[outputs]\nmd = "ci/report.md"')
    run.path.mkdir()
    # where the report's folder would be
    (run.path / "ci").touch()
    ended = load(cli, scenario, *options(ca), "--out", run.path, "--revoke-after", code=1)
    assert "can't be written" in ended.err
    assert f"nothing was cleaned up: bulkcmp revoke {run.path}" in ended.err.replace("\n", "")
    cli("revoke", run.path)


def test_a_clean_up_that_failed_is_tried_again(cli: "Cli", ca: "Ca", run: "RunFolder") -> None:
    load(cli, write(cli, "count = 12"), *options(ca), "--out", run.path)
    before = revoked(ca)
    ended = cli("revoke", run.path, "--secret", "pass:wrong", code=1)
    rows = certificates(run)
    assert {row["outcome"] for row in rows if row["cmd"] == "rr"} != {"revoked"}
    assert ended.err.count("not revoked: ") == 10
    assert "and 2 more, see " in ended.err
    assert f"12 are not: bulkcmp revoke {run.path} tries again" in ended.err
    assert revoked(ca) == before
    # a kill leaves a line unfinished
    with (run.path / "certificates.csv").open("a") as file:
        file.write("3,de")
    ended = cli("revoke", run.path)
    assert "12 of 12 certificates were revoked" in ended.err
    assert revoked(ca) - before == {row["serial"] for row in rows}
    assert len(certificates(run)) == 3 * 12


def test_a_signal_ends_a_clean_up_which_then_goes_on(
    cli: "Cli", ca: "Ca", run: "RunFolder", tools: "Tools"
) -> None:
    load(cli, write(cli, "count = 30"), *options(ca), "--out", run.path)
    before = len(revoked(ca))
    process = cli.start("revoke", run.path, "--rate", "2")
    tools.wait_until(lambda: len(revoked(ca)) >= before + 2)
    process.send_signal(signal.SIGINT)
    ended = cli.finish(process, 130, seconds=60)
    done = len(revoked(ca)) - before
    assert 2 <= done < 30
    assert f"{done} of 30 certificates were revoked" in ended.err
    ended = cli("revoke", run.path, "--quiet")
    assert ended.err == ""
    assert len(revoked(ca)) - before == 30


def test_a_test_without_a_credential_for_all_rows_is_not_cleaned_up(
    cli: "Cli", ca: "Ca", run: "RunFolder"
) -> None:
    (cli.folder / "rows.csv").write_text("id,subject,ref,secret\na,/CN=a,ra1,env:RA_SECRET\n")
    scenario = cli.folder / "scenario.toml"
    scenario.write_text(
        '[population]\nfile = "rows.csv"\n[closed]\nclients = 1\n'
        '[[lifecycles]]\nname = "a"\nsteps = [{ cmd = "ir" }]\n'
    )
    where = ("--server", ca.url(), "--trusted", ca.anchor, "--out", run.path)
    ended = cli("load", scenario, *where, "--revoke-after", code=2)
    assert "no credential to revoke with" in ended.err
    load(cli, scenario, *where)
    cli("revoke", run.path, code=2)
    cli("revoke", run.path, "--ref", "ra1", "--secret", "env:RA_SECRET")


SEARCH = ("--find-capacity", "--set", "drain=60", "--set")


def test_a_search_tries_one_rate_after_the_other(cli: "Cli", ca: "Ca", run: "RunFolder") -> None:
    scenario = write(cli, 'thresholds = ["share(failed) < 50%"]', "[open]\nrate = 1\n")
    known = {one.serial for one in ca.issued()}
    how = "capacity={from=5, step=5, up_to=10, window=1.5, settle=0.5}"
    # no end is needed: the windows are one
    arguments = (scenario, *SEARCH, how, "--set", "count=1", *options(ca), "--out", run.path)
    # on a busy machine the CA may fall behind
    ended = cli.finish(cli.start("load", *arguments), 0, 3, 4)
    found = run.summary()
    capacity = found["capacity"]
    assert [one["rate"] for one in capacity["windows"]][:2] == [5, 10][: len(capacity["windows"])]
    if found["exit_code"] == 0:
        assert capacity["conclusion"] == "all rates held"
        assert capacity["highest_that_held"] == 10
        assert ended.out.startswith("capacity: 10.0/s held, and no higher rate was to be tried")
    # each enrolled once, and in its turn
    rows = certificates(run)
    assert sorted(int(row["arrival"]) for row in rows) == list(range(len(rows)))
    assert len({row["id"] for row in rows}) == len(rows)
    assert {int(row["serial"], 16) for row in rows} == {one.serial for one in ca.issued()} - known
    # what is made again from the records is the same
    assert json.loads(cli("report", run.path, "--format", "json").out) == found
    first = json.loads(cli("report", run.path, "--format", "json", "--window", "1").out)
    assert first["transactions"]["all"]["ok"] == 7
    assert first["warm_up"]["ok"] == 3


def test_a_search_without_thresholds_says_what_to_do(cli: "Cli", ca: "Ca") -> None:
    ended = cli("load", write(cli, "count = 5", "[open]\nrate = 1"), "--find-capacity",
                *options(ca), code=2)  # fmt: skip
    assert "the highest rate at which the thresholds hold, and there are none" in ended.err
    assert "--threshold" in ended.err
    assert not (cli.folder / "runs").exists()


def test_a_search_that_finds_no_rate_says_so(cli: "Cli", ca: "Ca", run: "RunFolder") -> None:
    scenario = write(cli, 'count = 1\nthresholds = ["p50(response) < 1us"]', "[open]\nrate = 1")
    how = "capacity={from=10, window=1, settle=0.2}"
    load(cli, scenario, *SEARCH, how, *options(ca), "--out", run.path, code=3)
    capacity = run.summary()["capacity"]
    assert len(capacity["windows"]) == 1
    assert capacity["highest_that_held"] is None
    assert capacity["knee"] in (10, None)


def test_a_signal_ends_a_search_with_what_is_known(
    cli: "Cli", ca: "Ca", run: "RunFolder", tools: "Tools"
) -> None:
    scenario = write(cli, 'count = 1\nthresholds = ["share(failed) < 50%"]', "[open]\nrate = 1")
    how = "capacity={from=20, window=600, settle=0.2}"
    before = ca.count()
    process = cli.start("load", scenario, *SEARCH, how, *options(ca), "--out", run.path)
    tools.wait_until(lambda: ca.count() >= before + 5)
    process.send_signal(signal.SIGINT)
    ended = cli.finish(process, 130, seconds=60)
    assert ended.out.splitlines()[0] == "interrupted by a signal"
    assert run.summary()["capacity"]["conclusion"] == "interrupted"
    assert run.summary()["capacity"]["windows"][0]["verdict"] == "not finished"
    assert run.summary()["transactions"]["all"]["ok"] > 0
