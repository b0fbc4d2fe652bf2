import datetime as dt
import json
import signal
import socket
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bulkcmp.engine import session as module
from bulkcmp.engine.options import Options
from bulkcmp.engine.session import session
from bulkcmp.engine.start import begin
from bulkcmp.errors import BulkcmpError
from bulkcmp.io.loop import run
from bulkcmp.outputs.summary import RunSummary
from bulkcmp.stats.progress import Snapshot
from bulkcmp.testca import state

ENVIRON = {"S": "a secret", "K": "a passphrase"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    state.create(tmp_path / "ca", state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
    (tmp_path / "a.csv").write_text("id,subject\na,/CN=a\nb,/CN=b\n")
    return tmp_path


def enroll(population: str = "a.csv", **changes: Any) -> tuple[RunSummary, list[Snapshot]]:
    """A session against a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    good = {"server": f"http://127.0.0.1:{port}/", "secret": "env:S", "trusted": ("ca/ca.pem",)}
    options = Options.merge(good, {"key_pass": "env:K"}, changes)
    plan, journal = begin(population, options, Path("run"), ENVIRON)
    snapshots: list[Snapshot] = []
    with journal:
        work = partial(
            session,
            "enroll",
            plan,
            journal,
            resumed=False,
            on_snapshot=snapshots.append,
            on_notice=lambda _: None,
        )
        return run(work), snapshots


def test_unreachable_server(folder: Path) -> None:
    summary, snapshots = enroll(unprotected_errors=True)
    assert summary.exit_code == 1
    assert not summary.interrupted
    assert [(one.outcome, one.count) for one in summary.counts if one.reason == ""] == [
        ("to do", 1)
    ]
    assert sum(one.count for one in summary.counts) == 2
    assert (summary.transactions, summary.population.rows) == (0, 2)
    assert summary.operations == ("ir",)
    assert summary.key_mode == "unique keys, made on the way"
    assert summary.notes[0].startswith("refusals that nobody signed are believed")
    assert summary.notes[1].startswith("cannot connect: connecting to 127.0.0.1:")
    assert summary.notes[1].endswith("nothing was sent: check --server, the network and the proxy")
    assert (summary.run_folder, summary.results_file) == ("run", "run/results.csv")
    assert summary.credentials_folder == ""
    assert json.loads((folder / "run" / "summary.json").read_text())["exit_code"] == 1
    assert (folder / "run" / "results.csv").exists()
    manifest = json.loads((folder / "run" / "manifest.json").read_text())
    assert (manifest["rows"], manifest["rows_done"], manifest["label"]) == (2, 0, None)
    assert [one["path"] for one in manifest["files"]] == ["results.csv", "summary.json"]
    assert snapshots[-1].finished


def test_rows_without_keys(folder: Path) -> None:
    (folder / "a.csv").write_text("id,cmd,oldcert\na,rr,ca/ca.pem\n")
    summary, _ = enroll()
    assert summary.key_mode == "no keys made"
    assert summary.operations == ("rr",)


def test_an_error_of_the_machine_is_raised_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise BulkcmpError("the disk is full")

    monkeypatch.setattr(module, "write_table", full)
    with pytest.raises(BulkcmpError, match="the disk is full"):
        enroll()
    # signals do what they did before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
