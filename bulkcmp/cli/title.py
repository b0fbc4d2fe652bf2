"""The process title: the command line as `ps` shows it, without the secrets in it."""

import re
import sys
from collections.abc import Sequence
from typing import Final

from setproctitle import setproctitle

from bulkcmp.inputs.secret import describe_source, describe_url
from bulkcmp.token.uri import describe_uri

_SECRETS: Final = (
    "--secret", "--keypass", "--newkeypass", "--key-pass", "--keys-pass", "--tls-keypass",
    "--ra-secret", "--ra-keypass", "--regtoken", "--authenticator", "--on-issued-bearer",
)  # fmt: skip
_PASS: Final = re.compile(r"^(--[a-z-]+=)?pass:.*", re.S)


def masked(arguments: Sequence[str]) -> list[str]:
    """`arguments` with `***` in place of what is secret in them.

    Secret are `pass:TEXT`, wherever it stands; what follows --secret, --key-pass and their like
    and does not say where the secret is to be read; the password in a URL; the PIN in a PKCS#11
    URI.
    """
    shown: list[str] = []
    before = ""
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if before in _SECRETS:
            text = describe_source(argument)
        elif equals and option in _SECRETS:
            text = f"{option}={describe_source(value)}"
        else:
            text = describe_uri(describe_url(_PASS.sub(r"\1pass:***", argument)))
        shown.append(text)
        before = argument
    return shown


def hide_secrets() -> None:
    """Take the secrets out of what other users see of this process in `ps` and /proc."""
    shown = masked(sys.orig_argv)
    if shown != sys.orig_argv:
        setproctitle(" ".join(shown))
