import re
import tomllib

import pytest
from typer.testing import CliRunner

from bulkcmp.cli import profiles as module
from bulkcmp.errors import InputError
from bulkcmp.inputs.profile import shipped_profiles


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


def test_a_command_line_from_standard_input() -> None:
    assert ok("from-openssl", "-", stdin=COMMAND) == ok("from-openssl", COMMAND)


def test_no_value_gets_out_of_the_comments() -> None:
    said = ok("from-openssl", "cmp -cmd ir -server h -certout 'c\nlint_fail = true'")
    assert "lint_fail" not in tomllib.loads(said)


@pytest.mark.parametrize("command", ["list", "show", "from-openssl"])
def test_help(command: str) -> None:
    assert CliRunner().invoke(module.app, [command, "--help"]).exit_code == 0
