"""Of what this bulkcmp is made: what a report of a bug should say."""

import json
import platform
from importlib.metadata import distribution, version
from importlib.util import find_spec

from cryptography.hazmat.backends.openssl.backend import backend

from bulkcmp.cmp import owf


def facts() -> dict[str, str | None]:
    """Versions, and what they run on.

    `commit` is that of the repository which pip installed from, None where it was something else;
    `macs` says what derives the keys of MACs.
    """
    return {
        "bulkcmp": version("bulkcmp"),
        "commit": _commit(),
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "openssl": backend.openssl_version_text(),
        "cryptography": version("cryptography"),
        "macs": "OpenSSL" if owf.is_native() else "Python",
        "httpx": version("httpx"),
        "uvloop": version("uvloop") if find_spec("uvloop") else None,
    }


def lines() -> list[str]:
    """The same for a reader."""
    made = facts()
    loop = f"uvloop {made['uvloop']}" if made["uvloop"] else "asyncio"
    derivation = "OpenSSL" if owf.is_native() else "a loop in Python, several times slower"
    return [
        f"bulkcmp {made['bulkcmp']}" + (f" (commit {made['commit']})" if made["commit"] else ""),
        f"Python {made['python']} ({made['implementation']}), {made['platform']}",
        f"{made['openssl']} (cryptography {made['cryptography']}); MACs by {derivation}",
        f"httpx {made['httpx']}, {loop}",
    ]


def _commit() -> str | None:
    origin = distribution("bulkcmp").read_text("direct_url.json")
    found = json.loads(origin or "{}").get("vcs_info", {}).get("commit_id")
    return str(found) if found else None
