"""The options of the commands and those of the engine are the same, with the same defaults."""

import inspect
import re
from dataclasses import fields
from typing import Any, get_args

import pytest

from bulkcmp.cli.check import check
from bulkcmp.cli.enroll import enroll
from bulkcmp.cli.resume import resume
from bulkcmp.engine.options import Options

LOG = {"verbose", "log_file", "log_format", "log_size"}
KNOWN = {one.name for one in fields(Options)} - {"stated", "foremost", "updates_only"}


def helps(command: Any) -> dict[str, str]:
    """The help text of each option and argument of a command."""
    found = {}
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        (_, info) = get_args(parameter.annotation)
        found[name] = info.help
    return found


def test_enroll_has_every_option() -> None:
    cluster = {"cluster", "cluster_tls_ca", "cluster_tls_cert", "cluster_tls_key"}
    own = {"population", "range", "config", "quiet", "json", *cluster, *LOG}
    assert helps(enroll).keys() == KNOWN | own


def test_resume_and_check_have_no_other_options() -> None:
    own = {"run", "run_id", "population", "retry_unknown", "retry_failed", "quiet", "json", *LOG}
    assert helps(resume).keys() - KNOWN == own
    assert helps(check).keys() - KNOWN == {"file", "range", "config"}


def test_a_settings_file_has_every_option_but_those_of_one_run() -> None:
    assert set(Options.known()) == KNOWN - {"out", "save_messages", "skip_bad_rows"}


@pytest.mark.parametrize("command", [enroll, resume, check])
def test_help_is_plain_text(command: Any) -> None:
    for text in helps(command).values():
        # rich would take them for its markup
        assert not re.search(r"\[", text), text
        assert text.endswith(".")


def test_defaults_are_those_that_the_help_names() -> None:
    options = Options()
    default_in = re.compile(r"Default: (\d+(?:\.\d+)?|sha\S+|hmac\S+|pem|exact|signature)[.,]")
    named = {
        name: found[1] for name, text in helps(enroll).items() if (found := default_in.search(text))
    }
    assert len(named) >= 14
    for name, value in named.items():
        default = getattr(options, name)
        assert (f"{default:g}" if isinstance(default, float) else str(default)) == value, name
