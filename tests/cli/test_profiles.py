import inspect
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bulkcmp.cli import profiles as module
from bulkcmp.cli.probe import probe
from bulkcmp.engine.options import Options
from bulkcmp.errors import InputError
from bulkcmp.inputs.openssl import known_options, translate
from bulkcmp.inputs.profile import shipped_profiles
from bulkcmp.inputs.settings import format_settings, read_settings
from bulkcmp.model import Operation


def ok(*arguments: str, stdin: str | None = None) -> str:
    done = CliRunner().invoke(module.app, arguments, input=stdin)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_each_profile_is_listed_and_shown() -> None:
    listed = ok("list").splitlines()
    assert [line.split()[0] for line in listed] == sorted(shipped_profiles())
    assert "XiPKI gateway" in listed[-1]
    for name, file in shipped_profiles().items():
        assert ok("show", name) == file.read_text()


def test_an_unknown_profile() -> None:
    done = CliRunner().invoke(module.app, ["show", "ejbca_ra_hmc"])
    assert isinstance(done.exception, InputError)
    assert "did you mean 'ejbca-ra-hmac'?" in str(done.exception.hint)


COMMAND = (
    "openssl cmp -cmd ir -server h -trusted t -ref 'a b' -secret pass:x -batch -geninfo 1:int:2"
)


def test_a_command_line_of_openssl_cmp() -> None:
    said = ok("from-openssl", COMMAND)
    assert tomllib.loads(said) == {
        "server": "http://h/", "cmd": "ir", "trusted": ["t"], "ref": "a b",
        "secret": "env:CMP_SECRET", "mac": "hmac-sha1",
    }  # fmt: skip
    assert (
        "#   bulkcmp probe --server http://h/ --cmd ir --trusted t --ref 'a b' --secret"
        " env:CMP_SECRET --mac hmac-sha1\n"
    ) in said
    titles = ["To do, or to know", "Not carried over", "Not needed"]
    assert re.findall("^#\n# (.+):$", said, re.MULTILINE) == titles
    assert "#   -geninfo: " in said
    assert "#   -batch: bulkcmp never asks\n" in said
    assert "pass:x" not in said


@pytest.mark.parametrize("cmd", Operation)
def test_what_is_translated_are_settings_and_outputs_of_a_probe(cmd: str, tmp_path: Path) -> None:
    """Each under the name that it has in openssl cmp, but for those whose meaning is another."""
    others = {"tolerate_pkiconf", "accept_protection", "trust_first_ca_cert", "extensions_from"}
    values = {"popo": "1", "days": "3", "msg_timeout": "3", "total_timeout": "3", "revreason": "1"}
    outputs = inspect.signature(probe).parameters.keys()
    names = known_options()
    for name, takes in names.items():
        if name in ("msgtimeout", "totaltimeout"):
            continue
        value = [values.get(name, "x")] if takes and name != "cmd" else [cmd] if takes else []
        made = translate(shlex.join(["-cmd", cmd, f"-{name}", *value]))
        file = tmp_path / "made.toml"
        file.write_text(format_settings(made.settings))
        assert read_settings(file, Options.known()).keys() == made.settings.keys()
        assert made.settings.keys() - others <= names.keys()
        assert made.outputs.keys() <= outputs & names.keys()


def test_a_command_line_from_standard_input() -> None:
    assert ok("from-openssl", "-", stdin=COMMAND) == ok("from-openssl", COMMAND)


def test_no_value_gets_out_of_the_comments() -> None:
    said = ok("from-openssl", "cmp -cmd ir -server h -certout 'c\nlint_fail = true'")
    assert "lint_fail" not in tomllib.loads(said)


@pytest.mark.parametrize("command", ["list", "show", "from-openssl"])
def test_help(command: str) -> None:
    assert CliRunner().invoke(module.app, [command, "--help"]).exit_code == 0
