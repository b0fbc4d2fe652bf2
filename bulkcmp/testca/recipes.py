"""The recipes: command lines that enroll at each alias of the embedded CA.

By `openssl cmp`, or by `bulkcmp` where that can't.
"""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bulkcmp.errors import InputError
from bulkcmp.testca.aliases import (
    CLIENT_CERT,
    CLIENT_HMAC,
    CLIENT_REG_TOKEN,
    NESTED,
    RA_CERT,
    RA_HMAC,
    VENDOR,
    Alias,
    paths,
)
from bulkcmp.testca.state import Folder, load_identity
from bulkcmp.testca.store import Store

_USER: Final = "dev1"
_STATION: Final = "/CN=station1/O=Acme/C=SE"
_SUBJECT: Final = f"/CN={_USER}/O=Acme/C=SE"

_OLD_NAMES: Final = {
    "-ref": "-user",
    "-secret": "-pass",
    "-keyform": "-keyfmt",
    "-certform": "-certfmt",
}
"""Option names of today and of the first versions of the CMP client, before OpenSSL 3.0."""


def recipes(state: Path, store: Store, url: str) -> Iterator[str]:
    """Lines of a shell script, with a comment before each command.

    Args:
        url: where the CA serves, `http://127.0.0.1:8829`.

    Raises:
        InputError: `url` is no http or https URL with a host.
    """
    folder = Folder(state)
    server = _server(url)
    anchor = str(folder.ca_certificate)
    secret = store.alias_secret(RA_HMAC.name)
    assert secret is not None, "made with the state"
    yield "openssl ecparam -name prime256v1 -genkey -noout -out k1.pem"
    yield ""
    yield "# 1. pre-registered client, shared secret"
    register = ["bulkcmp", "ca", "add-end-entity", "--state", str(state)]
    register += ["--alias", CLIENT_HMAC.name, "--user", _USER, "--secret", "pass:pw1"]
    yield shlex.join([*register, "--subject", _SUBJECT])
    by_secret = ["-ref", _USER, "-secret", "pass:pw1"]
    new = ["-newkey", "k1.pem", "-subject", _SUBJECT]
    yield from _command("ir", server, CLIENT_HMAC, anchor, [*by_secret, *new], "c1.pem")
    yield "# 2. pre-registered client, certificate"
    own = ["-cert", "c1.pem", "-key", "k1.pem"]
    yield from _command("ir", server, CLIENT_CERT, anchor, [*own, "-newkey", "k1.pem"], "c2.pem")
    yield "# 3. RA, shared secret"
    by_ra = ["-ref", _USER, "-secret", f"pass:{secret.reveal().decode()}"]
    yield from _command("ir", server, RA_HMAC, anchor, [*by_ra, *new], "c3.pem")
    yield "# 4. RA, RA certificate"
    ra = ["-cert", str(folder.ra_certificate), "-key", str(folder.ra_key)]
    yield from _command("ir", server, RA_CERT, anchor, [*ra, *new], "c4.pem")
    yield "# 5. nested in messages of an RA; openssl cmp has no such messages"
    layer = ["--ra-cert", str(folder.ra_certificate), "--ra-key", str(folder.ra_key)]
    yield from _run(url, NESTED, anchor, "id,ref,secret", f"{_USER},{_USER},pass:pw1", layer)
    yield "# 6. renewal"
    yield "openssl ecparam -name prime256v1 -genkey -noout -out k2.pem"
    yield from _command("kur", server, CLIENT_CERT, anchor, [*own, "-newkey", "k2.pem"], "c6.pem")
    yield "# 7. 3GPP base station, vendor certificate"
    vendor = ["bulkcmp", "ca", "vendor-cert", "--state", str(state), "--subject", _STATION]
    yield shlex.join([*vendor, "--certout", "v.pem", "--keyout", "v.key"])
    by_vendor = ["-cert", "v.pem", "-key", "v.key"]
    # by default it asks for the issuer of its own certificate, which is the vendor
    station = ["-newkey", "k1.pem", "-subject", _STATION, "-issuer", _slashed(state)]
    yield from _command("ir", server, VENDOR, anchor, [*by_vendor, *station], "c7.pem")
    yield "# regToken in a request without protection; openssl cmp sends no such control"
    bare = ["--unprotected-requests"]
    yield from _run(url, CLIENT_REG_TOKEN, anchor, "id,regtoken", f"{_USER},pass:pw1", bare)
    yield "# revocation of what was renewed"
    renewed = ["-cert", "c6.pem", "-key", "k2.pem", "-oldcert", "c1.pem", "-revreason", "4"]
    yield from _command("rr", server, CLIENT_CERT, anchor, renewed, None)


def _run(
    url: str, alias: Alias, anchor: str, columns: str, row: str, options: list[str]
) -> Iterator[str]:
    """A run of one row, by our own client."""
    population = f"{alias.name}.csv"
    yield f"printf '%s\\n' {shlex.join([columns, row])} > {population}"
    server = ["--server", url.removesuffix("/") + paths(alias)[0], "--trusted", anchor]
    common = ["--subject", _SUBJECT, "--plain-keys", "--out", alias.name]
    yield shlex.join(["bulkcmp", "enroll", population, *server, *options, *common])
    yield ""


def _command(
    cmd: str, server: list[str], alias: Alias, anchor: str, options: list[str], out: str | None
) -> Iterator[str]:
    path = paths(alias)[0].removeprefix("/")
    words = ["openssl", "cmp", "-cmd", cmd, *server, "-path", path, "-srvcert", anchor, *options]
    if out is not None:
        words += ["-certout", out]
    old = [_OLD_NAMES.get(word, word) for word in words]
    if old != words:
        # its password had no source before it
        old = [w.removeprefix("pass:") for w in old]
        yield f"# before OpenSSL 3.0: {shlex.join(old)}"
    yield shlex.join(words)
    yield ""


def _slashed(state: Path) -> str:
    """The CA's name as options of OpenSSL have it."""
    name = load_identity(state).certificate.subject
    return "".join(f"/{one.rfc4514_attribute_name}={one.value!s}" for one in name)


def _server(url: str) -> list[str]:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise InputError(f"{url!r} is no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"{url!r} is no http or https URL", hint="as in http://127.0.0.1:8829")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    tls = ["-tls_used"] if parts.scheme == "https" else []
    return ["-server", f"{host}:{port}", *tls]
