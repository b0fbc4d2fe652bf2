"""Finished end entities are handed on, to a command or to a URL, and none is lost on the way."""

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, MakeServer, RunFolder, Tools, WritePopulation

RECEIVER = """
import json, os, sys
from pathlib import Path
row = json.load(sys.stdin)
folder = Path({folder!r})
told = {{k: v for k, v in os.environ.items() if k.startswith("BULKCMP_")}}
files = [Path(told["BULKCMP_CERTIFICATE"]).is_file(), Path(told["BULKCMP_KEY"]).is_file()]
line = json.dumps([row, told, files, sorted(os.environ)]) + "\\n"
# several may be told at once: in one write
descriptor = os.open(folder / "told", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(descriptor, line.encode())
if row["id"] in {refused!r} and not (folder / "open").exists():
    print("no room for", row["id"])
    sys.exit(3)
"""


class Receiver:
    """A command that is told of end entities, and refuses some until it is opened."""

    def __init__(self, folder: Path, *refused: str) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        program = folder / "receive.py"
        program.write_text(RECEIVER.format(folder=str(folder), refused=refused))
        self.command = f"{sys.executable} {program}"

    def open(self) -> None:
        (self._folder / "open").touch()

    @property
    def has_told(self) -> bool:
        """Whether one was told of to the end."""
        path = self._folder / "told"
        return path.exists() and path.read_bytes().endswith(b"\n")

    def told(self) -> list[Any]:
        lines = (self._folder / "told").read_text().splitlines()
        return [json.loads(line) for line in lines]


def test_a_command_is_told_of_each(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder", tmp_path: Path
) -> None:
    receiver = Receiver(tmp_path / "receiver")
    cli.environ["TO_LINE"] = "7"
    options = (*ca.options(), "--out", run.path, "--on-issued-env", "TO_LINE")
    population = write_population(5, stem="told")
    ended = cli("enroll", population, *options, "--on-issued", receiver.command)
    assert "5 of 5 certificates delivered" in ended.out
    rows = {row["id"]: row for row in run.results()}
    assert {row["delivery"] for row in rows.values()} == {"delivered"}
    told = receiver.told()
    assert len(told) == 5
    for document, variables, files, names in told:
        row = rows[document["id"]]
        assert files == [True, True]
        assert document["serial"] == variables["BULKCMP_SERIAL"] == row["serial"]
        assert (
            document["certificate_pem"]
            == (run.path / row["cert_file"]).read_text()[: len(document["certificate_pem"])]
        )
        assert variables["BULKCMP_KEY"] == str(run.path / row["key_file"])
        assert variables["BULKCMP_SUBJECT"] == row["subject"]
        assert variables["BULKCMP_TOKEN"].endswith(row["transaction_id"])
        # the passphrase and the secret are there for us alone
        assert not {"KEY_PASS", "RA_SECRET"} & set(names)
        assert {"PATH", "TO_LINE"} <= set(names)
    assert not (run.path / "deliveries").exists()
    assert run.summary()["delivery"]["delivered"] == 5


def test_what_is_refused_is_told_again_by_resume(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder", tmp_path: Path
) -> None:
    receiver = Receiver(tmp_path / "receiver", "shut000002", "shut000004")
    options = (*ca.options(), "--out", run.path, "--on-issued", receiver.command)
    population = write_population(5, stem="shut")
    once = ("--on-issued-attempts", "1")
    ended = cli("enroll", population, *options, *once, code=1)
    assert "3 of 5 certificates delivered, 2 failed" in ended.out
    assert "2  exit code 3" in ended.out
    assert run.outcomes() == {("issued", "")}
    states = Counter((row["delivery"], row["delivery_reason"]) for row in run.results())
    assert states == {("delivered", ""): 3, ("failed", "exit code 3"): 2}
    logs = sorted((run.path / "deliveries").iterdir())
    assert [log.read_text() for log in logs] == [
        "no room for shut000002\n", "no room for shut000004\n",
    ]  # fmt: skip
    assert {log.stat().st_mode & 0o777 for log in logs} == {0o600}
    issued = ca.count()

    receiver.open()
    ended = cli("resume", run.path)
    assert "5 of 5 certificates delivered" in ended.out
    assert ca.count() == issued
    tokens = Counter(variables["BULKCMP_TOKEN"] for _, variables, *_ in receiver.told())
    assert sorted(tokens.values()) == [1, 1, 1, 2, 2]
    attempts = Counter(variables["BULKCMP_ATTEMPT"] for _, variables, *_ in receiver.told())
    assert attempts == {"1": 5, "2": 2}
    assert not list((run.path / "deliveries").iterdir())


def test_a_url_is_told_of_each(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
    make_server: "MakeServer",
) -> None:
    posts: list[bytes] = []

    def take(number: int, body: bytes) -> bytes:
        posts.append(body)
        if number == 0:
            return tools.http_answer("503 Busy", "text/plain", b"later")
        return tools.http_answer("201 Created", "application/json", b"{}")

    server = make_server(take)
    cli.environ["INVENTORY"] = "a-token"
    options = (*ca.options(), "--out", run.path, "--on-issued-bearer", "env:INVENTORY")
    population = write_population(3, stem="post")
    ended = cli("enroll", population, *options, "--on-issued-url", server.url)
    assert "3 of 3 certificates delivered" in ended.out
    assert sorted(Counter(json.loads(one)["token"] for one in posts).values()) == [1, 1, 2]
    assert {json.loads(one)["id"] for one in posts} == {row["id"] for row in run.results()}
    assert run.summary()["delivery"]["to"] == server.url


def test_a_stop_leaves_the_rest_for_resume(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
    tmp_path: Path,
) -> None:
    receiver = Receiver(tmp_path / "receiver")
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    os.mkfifo(gate)
    # it stands until it can read a line
    slow = f"sh -c 'touch {begun}; read line < {gate}; exec {receiver.command}'"
    options = (*ca.options(), "--out", run.path, "--on-issued-concurrency", "1")
    population = write_population(6, stem="stop")
    process = cli.start("enroll", population, *options, "--on-issued", slow)
    before = ca.count()
    tools.wait_until(begun.exists)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "stopping: " not in process.stderr.readline():
        assert process.poll() is None
    # for reading too, which waits for nobody
    descriptor = os.open(gate, os.O_RDWR)
    os.write(descriptor, b"go on\n")
    ended = cli.finish(process, 130)
    os.close(descriptor)
    assert "1 of" in ended.out
    issued = [row for row in run.results() if row["outcome"] == "issued"]
    assert Counter(row["delivery"] for row in issued)["delivered"] == 1
    assert before <= ca.count()

    cli("resume", run.path, "--on-issued", receiver.command)
    assert {row["delivery"] for row in run.results()} == {"delivered"}
    told = Counter(variables["BULKCMP_TOKEN"] for _, variables, *_ in receiver.told())
    assert sorted(told.values()) == [1] * 6


def test_killed_while_a_command_is_told(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
    tmp_path: Path,
) -> None:
    """The command lives on and may do all it has to, but nobody hears of it: it is told again."""
    receiver = Receiver(tmp_path / "receiver")
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    os.mkfifo(gate)
    slow = f"sh -c 'touch {begun}; read line < {gate}; exec {receiver.command}'"
    options = (*ca.options(has_pass=False), "--plain-keys", "--out", run.path)
    options = (*options, "--on-issued-concurrency", "1")
    process = cli.start("enroll", write_population(3, stem="cut"), *options, "--on-issued", slow)
    tools.wait_until(begun.exists)
    process.kill()
    cli.finish(process, -signal.SIGKILL)
    descriptor = os.open(gate, os.O_RDWR)
    os.write(descriptor, b"go on\n")
    tools.wait_until(lambda: receiver.has_told)
    os.close(descriptor)

    # of rows that were asked for at that moment nobody knows
    ended = cli("resume", run.path, "--on-issued", receiver.command, "--retry-unknown")
    assert "3 of 3 certificates delivered" in ended.out
    assert {row["delivery"] for row in run.results()} == {"delivered"}
    tokens = [variables["BULKCMP_TOKEN"] for _, variables, *_ in receiver.told()]
    assert tokens.count(tokens[0]) == 2
    assert len(tokens) == len(set(tokens)) + 1 == 4
