"""What shells are offered, by the protocols that their completion scripts speak."""

import pytest
from typer.testing import CliRunner

from bulkcmp.cli.main import app
from bulkcmp.inputs.cell import read_reason
from bulkcmp.inputs.profile import shipped_profiles
from bulkcmp.inputs.scenario import shipped_scenarios


def offered(words: str) -> list[str]:
    """What bash is offered for the last word of a command line."""
    environ = {
        "_BULKCMP_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = CliRunner().invoke(app, prog_name="bulkcmp", env=environ)
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("bulkcmp scen", ["scenarios"]),
        ("bulkcmp enroll --config openssl", [n for n in shipped_profiles() if "openssl" in n]),
        ("bulkcmp enroll --config ", list(shipped_profiles())),
        ("bulkcmp enroll --config ./", []),
        ("bulkcmp renew --config ejbca-", [n for n in shipped_profiles() if "ejbca-" in n]),
        ("bulkcmp init made --config ", list(shipped_profiles())),
        ("bulkcmp migrate ", list(shipped_profiles())),
        ("bulkcmp migrate old.toml ", list(shipped_profiles())),
        ("bulkcmp profiles show ", list(shipped_profiles())),
        ("bulkcmp load ", list(shipped_scenarios())),
        ("bulkcmp load smo", ["smoke"]),
        ("bulkcmp scenarios show smo", ["smoke"]),
        ("bulkcmp enroll --cmd k", ["kur"]),
        ("bulkcmp enroll --revreason key", ["keyCompromise"]),
        ("bulkcmp enroll --mac hmac-sha38", ["hmac-sha384"]),
        ("bulkcmp enroll --out-format pem,p12", ["pem,p12", "pem,p12-legacy"]),
        ("bulkcmp enroll --out-format p12,p12", ["p12,p12-legacy"]),
        ("bulkcmp enroll --window-tz Europe/Stockh", ["Europe/Stockholm"]),
        ("bulkcmp probe --subject-check r", ["record"]),
        ("bulkcmp ca serve --like e", ["ejbca"]),
        ("bulkcmp ca serve --reject badP", ["badPOP"]),
        ("bulkcmp ca add-end-entity --alias client-c", ["client-cert"]),
    ],
)
def test_closed_sets_are_completed(words: str, names: list[str]) -> None:
    assert offered(words) == names


def test_shells_that_show_it_are_told_what_a_profile_is_for() -> None:
    environ = {
        "_BULKCMP_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": "bulkcmp enroll --config ejbca-ra-h",
    }
    done = CliRunner().invoke(app, prog_name="bulkcmp", env=environ)
    name, meaning = done.stdout.strip().split("\t")
    assert name == "ejbca-ra-hmac"
    assert "EJBCA" in meaning


def test_each_reason_that_is_offered_is_one() -> None:
    reasons = offered("bulkcmp revoke --reason ")
    assert len({read_reason(one) for one in reasons}) == len(reasons) == 10
