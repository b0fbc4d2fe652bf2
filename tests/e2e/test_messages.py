"""`enroll --save-messages` and `inspect`: what was said, as a user sees it afterwards."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, RunFolder, Tools, WritePopulation


def test_all_messages_of_a_run_can_be_inspected(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder", tmp_path: Path
) -> None:
    folder = tmp_path / "messages"
    options = (*ca.options(), "--workers", "2", "--save-messages", folder)
    cli("enroll", write_population(30), *options, "--out", run.path)
    assert run.outcomes() == {("issued", "")}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    shown = json.loads(cli("inspect", folder, "--json").out)
    assert {one["type"] for one in shown} == {"PKIMessage"}
    # by row and step
    names = [Path(one["file"]).name for one in shown]
    assert [name.rpartition("-")[2] for name in names] == [
        "ir.der", "ip.der", "certConf.der", "pkiconf.der",
    ] * 30  # fmt: skip
    ids = {row["transaction_id"]: f"{number:07}" for number, row in enumerate(run.results(), 1)}
    assert {name.split("-")[2]: name.split("-")[0] for name in names} == ids
    # a folder of messages is of one run
    again = cli("enroll", "devices.csv", *options, "--out", tmp_path / "other", code=2)
    assert "is not an empty folder" in again.err
    assert not (tmp_path / "other").exists()


def test_a_run_without_its_messages_says_so(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
    tmp_path: Path,
) -> None:
    folder = tmp_path / "messages"
    nowhere = ("--server", f"http://127.0.0.1:{tools.free_port()}/", "--save-messages", folder)
    cli("enroll", write_population(3), *ca.options(), *nowhere, "--out", run.path, code=1)
    assert run.outcomes() == {("to do", ""), ("to do", "cannot connect")}
    assert list(folder.iterdir()) == []
    folder.rmdir()
    folder.touch()
    ended = cli("resume", run.path, "--server", ca.url())
    assert run.outcomes() == {("issued", "")}
    assert "not all messages were saved (--save-messages)" in " ".join(ended.out.split())
