"""A migration in its folder: how it begins, and what it refuses."""

import csv
import datetime as dt
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bulkcmp.cli.main import app
from bulkcmp.engine.migration.migration import (
    Migration,
    Session,
    Sides,
    begin_migration,
    runs_in,
)
from bulkcmp.engine.migration.oldcert import OldCa
from bulkcmp.engine.migration.report import report
from bulkcmp.engine.migration.rules import Rules
from bulkcmp.engine.options import Options
from bulkcmp.errors import InputError
from bulkcmp.journal.entry import Ended
from bulkcmp.journal.folder import HeldFolder
from bulkcmp.model import Operation, Outcome, OutcomeClass, RevocationReason, Timings
from bulkcmp.outputs.migration import Standing
from bulkcmp.testca import state

ENVIRON = {"S": "a secret", "K": "a passphrase"}
RUN = Path("run")
NOW = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
GOOD = Options(server="http://ca.test/", secret="env:S", trusted=("ca/ca.pem",))
NEW = replace(GOOD, key_pass="env:K")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory: a CA, and a population of two users with serial numbers."""
    monkeypatch.chdir(tmp_path)
    state.create(tmp_path / "ca", state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
    write("a,/CN=a,1,{ca}", "b,/CN=b,,")


def write(*lines: str) -> None:
    (name,) = OldCa.of(GOOD).names
    cells = "\n".join(lines).format(ca=f'"{name}"')
    Path("users.csv").write_text(f"id,subject,serial,issuer\n{cells}\n")


def begin(
    old: Options = GOOD, new: Options = NEW, *, skip: bool = False, rules: Rules | None = None
) -> Migration:
    rules = rules or Rules()
    sides = Sides.of(old, new, rules)
    return begin_migration("users.csv", sides, rules, RUN, ENVIRON, NOW, skip_bad_rows=skip)


def refused(old: Options = GOOD, new: Options = NEW) -> str:
    with pytest.raises(InputError) as raised:
        begin(old, new)
    return str(raised.value)


def test_what_it_is_stands_in_its_folder_before_anything_is_begun() -> None:
    made = begin(rules=Rules(reason=RevocationReason.CERTIFICATE_HOLD))
    again = Migration.open(RUN)
    assert again.facts == json.loads(json.dumps(made.facts))
    assert again.facts["cases"]["one old certificate"]["users"] == 1
    assert again.facts["old"]["revreason"] == "certificate_hold"
    assert again.revokes
    assert sorted(one.name for one in RUN.iterdir()) == ["input", "migration.json"]
    assert b"a secret" not in b"".join(p.read_bytes() for p in RUN.rglob("*") if p.is_file())
    summary = report(again, None, None)
    assert dict(summary.users) == {Standing.REJECTED: 0, Standing.NOT_ENROLLED: 2}
    assert summary.exit_code == 1
    lines = (RUN / "rejected.csv").read_text().splitlines()
    assert [line.split(",")[4] for line in lines[1:]] == ["not enrolled: to do"] * 2
    # each run begins when it is its turn, the second one behind the first
    plan, journal = again.enrollment({}, Session(ENVIRON))
    journal.close()
    assert plan.census is not None
    assert plan.census.rows == 2
    plan, journal = again.revocation({}, Session(ENVIRON))
    journal.close()
    assert list(plan.admitted) == []
    assert [row.id for row in plan.rows] == ["1.1:a"]
    plan, journal = again.enrollment({"rate": 3.0}, Session(ENVIRON, retry_failed=True))
    journal.close()
    assert (plan.setup.rate, plan.retry_failed, plan.retry_unknown) == (3.0, True, False)
    plan, journal = again.revocation({}, Session(ENVIRON))
    journal.close()
    assert (list(plan.admitted), plan.retry_unknown) == ([], True)


def test_its_runs_are_paused_together() -> None:
    migration = begin()
    assert runs_in(RUN) == (RUN / "enrollment",)
    assert runs_in(RUN / "enrollment") == (RUN / "enrollment",)
    for made in (migration.enrollment, migration.revocation):
        made({}, Session(ENVIRON))[1].close()
    assert runs_in(RUN) == (RUN / "enrollment", RUN / "revocation")
    done = CliRunner().invoke(app, ["pause", "run"])
    assert done.stdout == "run is paused; bulkcmp pause run --continue has it go on\n"
    assert [(one / "paused").exists() for one in runs_in(RUN)] == [True, True]
    assert CliRunner().invoke(app, ["pause", "run", "--continue"]).exit_code == 0
    assert [(one / "paused").exists() for one in runs_in(RUN)] == [False, False]


def test_delivery_that_nothing_waited_for() -> None:
    """It would come too late for those whose old certificates are revoked."""
    migration = begin()
    for given in ({"on_issued": "true"}, {"on_issued_url": "https://x/"}):
        with pytest.raises(InputError, match="began without delivery"):
            migration.enrollment(given, Session(ENVIRON))
    shutil.rmtree(RUN)
    plan, journal = begin(new=replace(NEW, on_issued="true")).enrollment(
        {"on_issued": "false"}, Session(ENVIRON)
    )
    journal.close()
    assert plan.delivery is not None


def test_nobody_is_left_out_without_a_word() -> None:
    write("a,/CN=a,1,{ca}", "b,CN,,")
    assert "1 of 2 users can't be migrated" in refused()
    assert not RUN.exists()
    migration = begin(skip=True)
    assert (migration.facts["users"], migration.facts["rejected"]) == (2, 1)
    assert "holds a migration already" in refused()
    shutil.rmtree(RUN)
    write("b,CN,,")
    with pytest.raises(InputError, match="1 of 1 users"):
        begin(skip=True)


def test_what_is_there_already_stays() -> None:
    RUN.mkdir()
    (RUN / "mine").touch()
    assert "server" in refused(new=replace(NEW, server=""))
    assert [one.name for one in RUN.iterdir()] == ["mine"]
    (RUN / "input").mkdir()
    (RUN / "input" / "users.ldif").touch()
    assert "how shall the private keys" in refused(new=replace(NEW, key_pass=None))
    assert [one.name for one in RUN.rglob("*.*")] == ["users.ldif"]
    (RUN / "enrollment").mkdir()
    (RUN / "enrollment" / "journal.db").touch()
    assert "holds a run already" in refused()


def test_two_at_a_time_leave_each_other_alone() -> None:
    RUN.mkdir()
    held = HeldFolder(RUN)
    (RUN / "input").mkdir()
    assert "another bulkcmp is at work on this run" in refused()
    assert (RUN / "input").exists()
    held.close()
    begin()


def test_what_is_told_of_old_certificates() -> None:
    """What was not asked for is valid; what may have been done is not known."""
    ends = {
        OutcomeClass.REVOKED: "revoked",
        OutcomeClass.REJECTED: "revoked before",
        OutcomeClass.CREDENTIALS_REFUSED: "valid",
        OutcomeClass.BAD_ROW: "valid",
        OutcomeClass.LOCAL_ERROR: "valid",
        OutcomeClass.NOT_SENT: "valid",
        OutcomeClass.TO_DO: "valid",
        OutcomeClass.UNKNOWN: "perhaps revoked",
        OutcomeClass.HTTP_ERROR: "perhaps revoked",
        OutcomeClass.STILL_WAITING: "perhaps revoked",
    }
    write(*(f"u{n},/CN=u{n},{n},{{ca}}" for n in range(1, len(ends) + 1)))
    migration = begin()
    for made in (migration.enrollment, migration.revocation):
        _, journal = made({}, Session(ENVIRON))
        with journal:
            journal.write(
                [
                    Ended(
                        n, n + 1, f"{n}.1:u{n}", Operation.RR, None,
                        Outcome(one, fail_info=("certRevoked",)), Timings(), 1, NOW,
                    )
                    for n, one in enumerate(ends, start=1)
                ]
            )  # fmt: skip
    report(migration, None, None)
    with (RUN / "rollback.csv").open(newline="") as file:
        assert [row["old_state"] for row in csv.DictReader(file)] == list(ends.values())


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (replace(GOOD, secret="pass:x"), NEW, "old CA: --secret is needed again"),
        (GOOD, replace(NEW, secret="pass:x"), "new CA: --secret is needed again"),
        (GOOD, replace(NEW, lint=True, lint_fail=True), "withholds certificates from delivery"),
        (replace(GOOD, trusted=()), NEW, "trust"),
        (GOOD, replace(NEW, key_pass=None), "how shall the private keys be stored"),
    ],
)
def test_settings_that_can_not_be_used(old: Options, new: Options, what: str) -> None:
    assert what in refused(old, new)
    assert not RUN.exists()


def test_a_folder_that_was_changed() -> None:
    migration = begin()
    with migration.input.enrollment.open("a") as file:
        file.write("c,/CN=c,\n")
    with pytest.raises(InputError, match="has changed since the migration began"):
        migration.enrollment({}, Session(ENVIRON))
    for text, what in (("{", "not JSON"), ("{}", "not a migration of this version")):
        (RUN / "migration.json").write_text(text)
        with pytest.raises(InputError, match=what):
            Migration.open(RUN)
    with migration.hold(), pytest.raises(InputError, match="another bulkcmp"), migration.hold():
        pass
