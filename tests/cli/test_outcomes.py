import json
import re

import typer
from typer.testing import CliRunner

from bulkcmp.cli import outcomes as module
from bulkcmp.cmp.explanation import entries
from bulkcmp.errors import InputError

app = typer.Typer()
app.command()(module.outcomes)


def ok(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_one_is_found_by_its_word() -> None:
    assert ok("unsupportedVersion") == (
        "unsupportedVersion (failInfo)\n"
        "  outcome: rejected; rejected, unauthenticated\n"
        "  the CA does not speak our version of CMP\n"
    )
    assert "  hint: --ignore-keyusage accepts it\n" in ok("digitalSignature")


def test_all_are_shown_without_a_text() -> None:
    shown = re.findall(r"^(\S.*) \([A-Za-z ]+\)$", ok(), re.MULTILINE)
    assert shown == [entry.word for entry in entries()]


def test_json() -> None:
    (found,) = json.loads(ok("connection lost", "--json"))
    assert found["kind"] == "transport"
    assert found["outcomes"] == ["unknown outcome", "unanswered", "issued, confirmation unknown"]


def test_what_no_outcome_has() -> None:
    done = CliRunner().invoke(app, ["no such thing"])
    assert isinstance(done.exception, InputError)
    assert "'no such thing'" in done.exception.what
