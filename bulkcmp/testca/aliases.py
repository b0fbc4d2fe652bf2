"""The aliases of the embedded CA, modelled on EJBCA's, and how each of them behaves."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from bulkcmp.cmp.messages import FAIL_INFO
from bulkcmp.errors import InputError


class Mode(StrEnum):
    """Who asks for certificates at an alias."""

    CLIENT = "client"
    """End entities that are registered, each for itself; they get the registered subject."""
    RA = "RA"
    """A registration authority, for end entities that it names; they get the subject it names."""


class Authentication(StrEnum):
    """How requesters prove at an alias who they are."""

    SECRET = "shared secret"  # noqa: S105 # not a secret but the name of a method
    CERTIFICATE = "certificate"
    REG_TOKEN = "regToken"  # noqa: S105 # as above
    """Nothing: requests are not protected, and a regToken in them is the end entity's secret."""
    EITHER = "shared secret or certificate"
    VENDOR = "vendor certificate"
    """What its vendor gave a device, at first; then its certificate of this CA (3GPP TS 33.310)."""


@dataclass(frozen=True, slots=True)
class Alias:
    """A place where requests are taken.

    Attributes:
        nested: only within a `nested` message of an RA (RFC 9810, 5.1.3.4); the other aliases take
            such messages too.
    """

    name: str
    mode: Mode
    authentication: Authentication
    nested: bool = False

    @property
    def needs_secret(self) -> bool:
        """Whether end entities share a secret with the CA."""
        return self.authentication not in (Authentication.CERTIFICATE, Authentication.VENDOR)


CLIENT_HMAC: Final = Alias("client-hmac", Mode.CLIENT, Authentication.SECRET)
CLIENT_CERT: Final = Alias("client-cert", Mode.CLIENT, Authentication.CERTIFICATE)
CLIENT_REG_TOKEN: Final = Alias("client-regtoken", Mode.CLIENT, Authentication.REG_TOKEN)
VENDOR: Final = Alias("3gpp", Mode.CLIENT, Authentication.VENDOR)
RA_HMAC: Final = Alias("ra-hmac", Mode.RA, Authentication.SECRET)
RA_CERT: Final = Alias("ra-cert", Mode.RA, Authentication.CERTIFICATE)
NESTED: Final = Alias("nested", Mode.CLIENT, Authentication.EITHER, nested=True)

ALIASES: Final = {
    a.name: a
    for a in (CLIENT_HMAC, CLIENT_CERT, CLIENT_REG_TOKEN, VENDOR, RA_HMAC, RA_CERT, NESTED)
}
DEFAULT_ALIAS: Final = RA_HMAC
"""The alias at `/.well-known/cmp`, where no profile is named."""


def named(name: str) -> Alias:
    """The alias of that name.

    Raises:
        InputError: there is none.
    """
    try:
        return ALIASES[name]
    except KeyError:
        known = ", ".join(ALIASES)
        raise InputError(f"there is no alias {name!r}", hint=f"known are {known}") from None


_EJBCA: Final = "/ejbca/publicweb/cmp/"
_WELL_KNOWN: Final = "/.well-known/cmp"

# RFC 9483, 6.1 and 6.2
_OPERATIONS: Final = frozenset(
    {
        "initialization",
        "certification",
        "keyupdate",
        "pkcs10",
        "revocation",
        "getcacerts",
        "getrootupdate",
        "getcertreqtemplate",
        "getcrls",
        "nested",
    }
)


def route(path: str) -> Alias | None:
    """The alias that a URL path names; None where there is none (RFC 9811, 3.4; EJBCA)."""
    path = path.rstrip("/")
    if path.startswith(_EJBCA):
        return ALIASES.get(path.removeprefix(_EJBCA))
    if path != _WELL_KNOWN and not path.startswith(_WELL_KNOWN + "/"):
        return None
    segments = path.removeprefix(_WELL_KNOWN).split("/")[1:]
    alias: Alias | None = DEFAULT_ALIAS
    if segments[:1] == ["p"]:
        alias = ALIASES.get(segments[1]) if len(segments) > 1 else None
        segments = segments[2:]
    return alias if not segments or (len(segments) == 1 and segments[0] in _OPERATIONS) else None


def alias_text(path: str) -> str:
    """What stands for an alias in a URL path of EJBCA's form, known or not; else empty."""
    return path.removeprefix(_EJBCA) if path.startswith(_EJBCA) else ""


def paths(alias: Alias) -> tuple[str, ...]:
    """The URL paths of an alias, its EJBCA form first."""
    every = (f"{_EJBCA}{alias.name}", f"{_WELL_KNOWN}/p/{alias.name}")
    return (*every, _WELL_KNOWN) if alias is DEFAULT_ALIAS else every


class PollingNonce(StrEnum):
    """Whose senderNonce the answer delivered after polling repeats as recipNonce."""

    POLL = "poll"
    """That of the last pollReq; OpenSSL accepts nothing else."""
    REQUEST = "request"
    """That of the original request."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How an alias answers; the defaults are those of an obliging CA.

    Attributes:
        delay: seconds to wait before each answer.
        poll_count: how many pollReqs it takes until a certificate is delivered; 0 for none.
        poll_every: of the requests in a message, let only each N-th wait.
        poll_whole: let the whole answer wait, whatever is asked for.
        check_after: seconds that a `waiting` asks the client to wait.
        polling_nonce: recipNonce of the answer delivered after polling.
        reject: name of the failInfo with which requests are rejected; None rejects none.
        reject_every: reject only each N-th request.
        implicit_confirm: grant implicit confirmation where it is asked for.
        unprotected_errors: send errors and rejections unprotected.
        sign_answers: sign answers to MAC-protected requests; None is the alias's own way: client
            mode signs, as EJBCA's always does, RA mode answers by MAC.
        p10cr_cert_req_id: certReqId that answers a p10cr: -1 (RFC 9483, 4.1.4) or 0.
        one_shot: an end entity enrolls once, as in EJBCA's client mode.
        unique_keys: certify no public key that another end entity has a certificate for.
        pwri_kek: wrap keys for a secret by PWRI-KEK (RFC 3211), all that OpenSSL and BouncyCastle
            read, and not by AES key wrap, as RFC 9481 has it.
        bare_keys: sign keys as PKCS#8 alone, all that OpenSSL reads, and not in an
            AsymmetricKeyPackage, as RFC 9483 has it.
        time_tolerance: seconds that a messageTime may be off; None accepts any.
        strict: refuse what RFC 9483 forbids and RFC 9810 allows: several requests in a message,
            other certReqIds than 0, nonces and transactionIDs of more than 16 octets, no
            messageTime, another recipient, no subject, a MAC by another senderKID than the
            sender's CN, a rr by MAC.

    Raises:
        InputError: a value that can't be.
    """

    delay: float = 0.0
    poll_count: int = 0
    poll_every: int = 1
    poll_whole: bool = False
    check_after: int = 1
    polling_nonce: PollingNonce = PollingNonce.POLL
    reject: str | None = None
    reject_every: int = 1
    implicit_confirm: bool = True
    unprotected_errors: bool = False
    sign_answers: bool | None = None
    p10cr_cert_req_id: int = -1
    one_shot: bool = False
    unique_keys: bool = False
    pwri_kek: bool = False
    bare_keys: bool = False
    time_tolerance: float | None = 300.0
    strict: bool = False

    def __post_init__(self) -> None:
        if self.reject is not None and self.reject not in FAIL_INFO:
            raise InputError(
                f"{self.reject!r} is no failInfo", hint=f"known are {', '.join(FAIL_INFO)}"
            )
        if self.p10cr_cert_req_id not in (-1, 0):
            raise InputError("the certReqId that answers a p10cr is -1 or 0")
        if min(self.delay, self.poll_count, self.check_after, self.time_tolerance or 0) < 0:
            raise InputError("delay, poll count, checkAfter and time tolerance are not negative")
        if min(self.reject_every, self.poll_every) < 1:
            raise InputError("requests are rejected or wait every N-th time, N is 1 or more")

    @property
    def defers(self) -> bool:
        """Whether an answer waits as a whole."""
        return self.poll_whole and self.poll_count > 0

    def signs_answers(self, alias: Alias) -> bool:
        """Whether answers to MAC-protected requests are signed at an alias."""
        return alias.mode is Mode.CLIENT if self.sign_answers is None else self.sign_answers

    def one_shot_at(self, names: Iterable[str]) -> dict[str, "Behaviour"]:
        """The same behaviour, but one-shot, for the aliases of these names.

        Raises:
            InputError: a name that is no alias.
        """
        return {named(name).name: replace(self, one_shot=True) for name in names}
