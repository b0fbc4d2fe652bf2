import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.conftest import Cli, Tools


def test_demo_enrolls_a_thousand_devices(cli: "Cli", tmp_path: Path, tools: "Tools") -> None:
    ended = cli("demo", "--out", "out")
    assert "1,000 of 1,000 rows done" in ended.out
    assert "exit code     0: all rows are done" in ended.out
    out = tmp_path / "out"
    with (out / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["outcome"] for row in rows} == {"issued"}
    assert len({row["serial"] for row in rows}) == len(rows) == 1000
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["command"], summary["rows_done"], summary["exit_code"]) == ("demo", 1000, 0)
    certificates = sorted(path for path in out.glob("certs/*.pem") if ".key." not in path.name)
    assert len(certificates) == 1000
    tools.verify(out / "ca" / "ca.pem", certificates)

    # the passphrase that it prints opens the keys
    (line,) = [line for line in ended.err.splitlines() if line.startswith("passphrase")]
    passphrase = line.rpartition(": ")[2]
    key = certificates[0].with_suffix(".key.pem")
    assert key.stat().st_mode & 0o777 == 0o600
    tools.openssl("pkey", "-in", key, "-passin", f"pass:{passphrase}", "-noout", "-check")


def test_demo_refuses_the_folder_of_a_run(cli: "Cli", tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "journal.db").write_bytes(b"")
    ended = cli("demo", "--out", "out", code=2)
    assert ended.err.startswith("error: out: holds a run already")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["journal.db"]
