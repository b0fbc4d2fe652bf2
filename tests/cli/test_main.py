import json
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from rich.text import Text
from typer.core import TyperGroup

from bulkcmp.cli import build
from bulkcmp.cli import main as module
from bulkcmp.cmp import owf
from bulkcmp.errors import BulkcmpError, InputError, InputErrors, Where

Fail = Callable[..., tuple[int | str | None, str]]


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fail:
    """Runs a command that raises; gives the exit code and what is on standard error."""

    def run(error: BaseException) -> tuple[int | str | None, str]:
        app = typer.Typer(cls=module._Commands, pretty_exceptions_enable=False)

        @app.command()
        def doomed() -> None:
            raise error

        app.command("other")(lambda: None)
        monkeypatch.setattr(module, "app", app)
        monkeypatch.setattr(sys, "argv", ["bulkcmp", "doomed"])
        with pytest.raises(SystemExit) as ended:
            module.main()
        out, err = capsys.readouterr()
        assert out == ""
        return ended.value.code, err

    return run


def test_load_offers_no_option_that_does_nothing_there() -> None:
    command = typer.main.get_command(module.app)
    assert isinstance(command, TyperGroup)
    offered = {one.name for one in command.commands["load"].params}
    assert offered.isdisjoint({"on_issued", "on_issued_url"})
    assert offered.isdisjoint({"save_messages", "retry_fail_info", "trust_first_ca_cert", "rate"})
    assert {"ref", "secret", "trusted", "threshold"} <= offered


def test_a_command_loads_its_own_module_only() -> None:
    code = "import sys; from bulkcmp.cli import main; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "bulkcmp.cli.main" in loaded
    assert [name for name in loaded if name.startswith(("bulkcmp.engine", "bulkcmp.testca"))] == []


def test_help_shows_what_stands_in_brackets() -> None:
    commands = [typer.main.get_command(module.app)]
    # those of groups are found while they are looked through
    for command in commands:
        commands += getattr(command, "commands", {}).values()
    options = [one for command in commands for one in command.params]
    texts = [text for one in options if (text := getattr(one, "help", None))]
    assert any("[capacity]" in text for text in texts)
    for text in texts:
        # Rich takes brackets for its own unless they are escaped
        assert Text.from_markup(text).plain == text.replace("\\[", "[")


def test_options_are_grouped_where_there_are_many() -> None:
    ungrouped = {
        name: [one.name for one in options if one.rich_help_panel is None]
        for name, command in _leaves(typer.main.get_command(module.app), "bulkcmp")
        if len(options := [one for one in command.params if one.param_type_name == "option"]) > 10
    }
    assert {"bulkcmp enroll", "bulkcmp ca serve", "bulkcmp revoke"} <= ungrouped.keys()
    assert [names for names in ungrouped.values() if names] == []


def test_what_where_and_what_to_do(fail: Fail) -> None:
    where = Where("a.csv", 3, "subject", 2)
    error = InputError("it is wrong", where=where, hint="mend\x1b[31m it")
    assert fail(error) == (
        2,
        "error: a.csv:3 (row 2), column subject: it is wrong\nhint: mend\\x1b[31m it\n",
    )
    assert fail(BulkcmpError("[red]disk[/red]")) == (1, "error: [red]disk[/red]\n")


def test_several_problems(fail: Fail) -> None:
    problems = (InputError("one", where=Where("f", 1), hint="do"), InputError("two"))
    error = InputErrors("f: 2 of 3", problems)
    error.hint = "look"
    code, err = fail(error)
    assert code == 2
    assert err == "error: f: 2 of 3\n  f:1: one\n    hint: do\n  two\nhint: look\n"


def test_ctrl_c_is_said_and_told_by_the_exit_code(fail: Fail) -> None:
    assert fail(KeyboardInterrupt()) == (130, "interrupted\n")


def test_errors_of_the_machine(fail: Fail) -> None:
    assert fail(OSError(28, "No space left on device", "x/y")) == (
        1,
        "error: x/y: No space left on device\n",
    )
    assert fail(OSError(28, "No space left on device")) == (1, "error: No space left on device\n")


def test_a_bug_shows_its_place_but_no_text(fail: Fail) -> None:
    code, err = fail(ValueError("the secret is swordfish"))
    assert code == 1
    assert re.match(r"error: .*test_main\.py:\d+: a bug in bulkcmp: ValueError\nhint: ", err)
    assert "swordfish" not in err
    assert "Traceback" not in err


def test_a_bug_is_shown_in_full_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken() -> None:
        raise ValueError("all of it")

    monkeypatch.setattr(module, "app", broken)
    monkeypatch.setenv("BULKCMP_DEBUG", "1")
    with pytest.raises(ValueError, match="all of it"):
        module.main()


Say = Callable[..., str]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs the program, which must end well; what it prints."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["bulkcmp", *arguments])
        with pytest.raises(SystemExit) as ended:
            module.main()
        assert ended.value.code == 0
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    ("native", "said"), [(True, "OpenSSL"), (False, "a loop in Python, several times slower")]
)
def test_the_version_says_too_by_what_macs_are_made(
    monkeypatch: pytest.MonkeyPatch, say: Say, native: bool, said: str
) -> None:
    monkeypatch.setattr(owf, "is_native", lambda: native)
    assert re.fullmatch(
        r"bulkcmp \d+\.\d+\.\d+(?: \(commit [0-9a-f]+\))?\n"
        r"Python \d+\.\d+\.\d+ \(CPython\), \S.*\n"
        rf"OpenSSL \d.* \(cryptography \d+\..*\); MACs by {said}\n"
        r"httpx \d+\..*, (?:uvloop \d.*|asyncio)\n",
        say("--version"),
    )


def test_the_version_names_the_commit_where_pip_knows_it(
    monkeypatch: pytest.MonkeyPatch, say: Say
) -> None:
    origin = '{"url": "https://acme.example/x", "vcs_info": {"vcs": "git", "commit_id": "ab12"}}'
    known = SimpleNamespace(read_text=lambda _: origin)
    monkeypatch.setattr(build, "distribution", lambda _: known)
    assert say("--version").splitlines()[0].endswith(" (commit ab12)")
    assert json.loads(say("--version", "--json"))["commit"] == "ab12"


def test_the_version_as_json_is_for_programs(say: Say) -> None:
    found = json.loads(say("--json", "--version"))
    assert found["bulkcmp"] == version("bulkcmp")
    assert found["python"] == platform.python_version()
    assert found["macs"] in ("OpenSSL", "Python")
    assert {"commit", "platform", "openssl", "cryptography", "httpx", "uvloop"} < found.keys()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--json"], "error: --json before a command goes with --version"),
        (["--json", "profiles"], "error: --json before a command goes with --version"),
        (["--"], "Missing command."),
        (["--no-such"], "No such option: --no-such"),
    ],
)
def test_options_of_the_program_that_do_nothing_are_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["bulkcmp", *arguments])
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def _leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
        return
    for one in below:
        yield from _leaves(below[one], f"{name} {one}")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        pytest.param(*one, id=one[0])
        for one in _leaves(typer.main.get_command(module.app), "bulkcmp")
    ],
)
def test_the_help_of_each_command_has_an_example_that_parses(name: str, command: Any) -> None:
    (example,) = re.findall(r"Example: (.*?)(?:\n\n|$)", command.help, re.DOTALL)
    words = shlex.split(re.split("[;>]", example)[0])
    assert " ".join(words).startswith(name)
    command.make_context(name, words[len(name.split()) :])
