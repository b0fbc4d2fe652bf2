import datetime as dt
import io

from rich.console import Console

from bulkcmp.outputs.migration import MigrationSummary, OldState, Standing
from bulkcmp.outputs.summary import PopulationFacts
from bulkcmp.ui.migration import render_migration, render_plan

CASES = {
    "one old certificate": {"rule": "it is revoked", "users": 1200, "examples": ["a", "b"]},
    "row can't be used": {"rule": "rejected", "users": 7, "examples": ["c: \x1b[2J"]},
}


def console() -> Console:
    return Console(file=io.StringIO(), width=80, highlight=False)


def text_of(made: Console) -> str:
    file = made.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_a_plan_says_what_each_rule_does_with_counts_and_examples() -> None:
    made = console()
    render_plan(made, 1207, 7, 1200, CASES)
    assert text_of(made) == (
        "1,200 of 1,207 users would be enrolled at the new CA\n"
        "1,200 certificates would be revoked at the old one\n"
        "\n"
        "1,200  one old certificate: it is revoked\n"
        "       a\n"
        "       b\n"
        "    7  row can't be used: rejected\n"
        "       c: \\x1b[2J\n"
    )


def test_a_summary_says_how_far_the_users_have_come() -> None:
    now = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
    summary = MigrationSummary(
        tool_version="1",
        population=PopulationFacts("users.csv", "00", 1207),
        began=now,
        ended_at=now,
        users={Standing.MIGRATED: 1100, Standing.NOT_REVOKED: 100, Standing.REJECTED: 7},
        cases=CASES,
        old={OldState.REVOKED: 1100, OldState.VALID: 100},
        enrollment=0,
        revocation=1,
        interrupted=True,
        exit_code=130,
        folder="runs/users",
        notes=("something besides",),
    )
    made = console()
    render_migration(made, summary)
    lines = text_of(made).splitlines()
    assert lines[0] == "interrupted: 1,100 of 1,207 users migrated (users.csv)"
    assert lines[2:6] == [
        "1,100  migrated",
        "  100  enrolled, old certificate not revoked",
        "    7  rejected",
        "old certificates: 100 valid, 1,100 revoked",
    ]
    assert "note: something besides" in lines
    assert lines[-3:] == [
        "rollback      runs/users/rollback.csv",
        "not migrated  runs/users/rejected.csv",
        "exit code     130: interrupted",
    ]
