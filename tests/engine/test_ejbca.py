"""Our client against a CA that answers as EJBCA does: what becomes of the row."""

import dataclasses
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from bulkcmp.cmp import protection
from bulkcmp.cmp.explanation import explain
from bulkcmp.cmp.messages import BodyType, decode_message
from bulkcmp.cmp.protection import Derivation
from bulkcmp.inputs.name import parse_name
from bulkcmp.io.http import CmpHttpClient
from bulkcmp.io.keyworker import make_keys
from bulkcmp.model import (
    AcceptProtection,
    EndEntity,
    KeySpec,
    Operation,
    Outcome,
    OutcomeClass,
    PasswordMac,
    Popo,
    RequestedExtension,
    RowResult,
    Secret,
    SubjectCheck,
)
from bulkcmp.testca import state
from bulkcmp.testca.aliases import Behaviour
from bulkcmp.testca.app import CmpApp
from bulkcmp.testca.ejbca.authority import EjbcaAuthority
from bulkcmp.testca.identity import Identity, make_device
from bulkcmp.testca.personality import EJBCA_MANNERS
from bulkcmp.testca.store import CertificateStatus, Registration

if TYPE_CHECKING:
    from tests.engine.conftest import Scene

EPOCH = dt.datetime(2027, 3, 1, 12, tzinfo=dt.UTC).timestamp()
EC = KeySpec.parse("ec:P-256")
PASSWORD = Secret(b"pw1")
CA_SECRET = Secret(b"the CA's own")
PKCS8 = (
    serialization.Encoding.DER,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)
SUBJECT = parse_name("/CN=dev1/O=Acme/C=SE")


def key() -> bytes:
    return make_keys(EC, 1)[0]


@dataclass
class Ended:
    """How the rows of a run ended, and what was sent."""

    results: dict[int, RowResult]
    kinds: list[BodyType]

    @property
    def result(self) -> RowResult:
        (only,) = self.results.values()
        return only

    @property
    def outcome(self) -> Outcome:
        return self.result.outcome

    @property
    def what(self) -> OutcomeClass:
        return self.outcome.outcome

    @property
    def hint(self) -> str:
        """The most special one."""
        return next((known.hint for known in explain(self.outcome) if known.hint), "")


@dataclass
class Site:
    """An EJBCA, and runs of our client against it."""

    scene: "Scene"
    runs: int = 0
    authority: EjbcaAuthority = field(init=False)
    path: str = ""
    transport: type[httpx.ASGITransport] = httpx.ASGITransport

    def __post_init__(self) -> None:
        self.base = self.scene.folder
        self.behave()
        self.scene.tune(recipient=self.scene.peer.root.name)
        self.register("dev1")

    @property
    def books(self) -> Any:
        return self.scene.peer.books

    @property
    def root(self) -> Any:
        return self.scene.peer.root

    def behave(self, ca_secret: Secret | None = None, **knobs: Any) -> None:
        self.authority = EjbcaAuthority(
            self.books, self.root, Behaviour(**knobs), ca_secret=ca_secret
        )

    def register(self, user: str, subject: str = "") -> None:
        name = parse_name(subject or f"/CN={user}/O=Acme/C=SE")
        self.books.register([Registration(user, "client-hmac", name, PASSWORD)], replace=True)

    def client(self) -> CmpHttpClient:
        def now() -> dt.datetime:
            return dt.datetime.fromtimestamp(EPOCH + anyio.current_time(), dt.UTC)

        transport = self.transport(CmpApp(self.authority, now, EJBCA_MANNERS))
        return CmpHttpClient(f"http://ca.test/ejbca/publicweb/cmp/{self.path}", transport)

    def run(
        self, alias: str, rows: list[EndEntity], certs_per_message: int = 1, **profile: Any
    ) -> Ended:
        """A run of its own; `profile` has fields that are not as by default."""
        self.runs += 1
        self.scene.folder = self.base / f"run{self.runs}"
        self.path = alias
        sent: list[BodyType] = []

        async def note(request: httpx.Request) -> None:
            sent.append(decode_message(request.content).body_type)

        def client() -> CmpHttpClient:
            made = self.client()
            made._client.event_hooks = {"request": [note], "response": []}
            return made

        self.scene.peer.client = client  # type: ignore[method-assign]  # it notes what is sent
        before = self.scene.profile
        self.scene.tune(**profile)
        try:
            self.scene.play(rows, certs_per_message=certs_per_message)
        finally:
            self.scene.profile = before
        return Ended(self.scene.results(), sent)

    def row(self, number: int = 1, **fields: Any) -> EndEntity:
        """A row of an RA with the shared secret."""
        return self.scene.row(number, **fields)

    def client_row(self, number: int = 1, **fields: Any) -> EndEntity:
        """A row of an end entity that is registered with a password."""
        return self.row(number, **({"ref": f"dev{number}", "secret": PASSWORD} | fields))

    def ra_row(self, number: int = 1, **fields: Any) -> EndEntity:
        """A row that an RA signs."""
        folder = state.Folder(self.base.parent / "ca")
        certificate = x509.load_pem_x509_certificate(folder.ra_certificate.read_bytes())
        return self.row(
            number,
            **(
                {
                    "ref": None,
                    "secret": None,
                    "cert": (certificate.public_bytes(serialization.Encoding.DER),),
                    "key": _pkcs8(folder.ra_key),
                }
                | fields
            ),
        )

    def device(self, number: int = 1) -> dict[str, Any]:
        """Certificate and key of an end entity, as fields of a row that it signs."""
        own = key()
        result = self.run(
            "ra-hmac", [self.row(number, new_key_spec=None, new_key=own)], implicit_confirm=True
        ).result
        assert result.certificate is not None, result
        return {"cert": (result.certificate,), "key": own, "ref": None, "secret": None}

    def status(self, certificate: bytes | None) -> CertificateStatus:
        """That of an issued certificate in the CA's books."""
        assert certificate is not None
        serial = x509.load_der_x509_certificate(certificate).serial_number
        found = self.books.certificate(serial)
        assert found is not None
        status: CertificateStatus = found.status
        return status


def pkcs8_of(identity: Identity) -> bytes:
    return identity.key.private_bytes(*PKCS8)


def _pkcs8(path: Path) -> bytes:
    return serialization.load_pem_private_key(path.read_bytes(), None).private_bytes(*PKCS8)


class Lossy(httpx.ASGITransport):
    """Loses each answer."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await super().handle_async_request(request)
        raise httpx.ReadError("lost")


@pytest.fixture
def site(scene: "Scene") -> Site:
    return Site(scene)


# --- which protection comes back ------------------------------------------------------------------


def test_client_mode_signs_its_answers_to_macs(site: Site) -> None:
    ended = site.run("client-hmac", [site.client_row()])
    assert (ended.what, ended.kinds) == (OutcomeClass.ISSUED, [BodyType.IR, BodyType.CERT_CONF])
    site.register("dev1")
    ended = site.run("client-hmac", [site.client_row()], accept_protection=AcceptProtection.SAME)
    assert (ended.what, ended.outcome.reason) == (
        OutcomeClass.BAD_RESPONSE,
        "another kind of protection",
    )
    assert ended.result.certificate is None


@pytest.mark.parametrize("ref", ["ra1", "Gerät-☃", "tab\tin it", "long" * 40])
def test_ra_mode_answers_by_mac_whatever_the_reference(site: Site, ref: str) -> None:
    # EJBCA gives back a senderKID that is none of the request's where it is no plain text
    ended = site.run("ra-hmac", [site.row(ref=ref)], accept_protection=AcceptProtection.MAC)
    assert ended.what is OutcomeClass.ISSUED


@pytest.mark.parametrize("kind", PasswordMac)
@pytest.mark.parametrize("mac", ["hmac-sha1", "hmac-sha256", "hmac-sha512"])
def test_each_mac(site: Site, kind: PasswordMac, mac: str) -> None:
    if kind is PasswordMac.PBMAC1 and mac == "hmac-sha1":
        mac = "hmac-sha384"
    ended = site.run("ra-hmac", [site.row()], password_mac=kind, mac=mac)
    assert ended.what is OutcomeClass.ISSUED


def test_more_iterations_than_ejbca_takes(site: Site) -> None:
    ended = site.run("ra-hmac", [site.row()], pbm_iterations=10_001)
    assert (ended.what, ended.outcome.fail_info) == (OutcomeClass.REJECTED, ("badRequest",))
    assert ended.outcome.status_text == "Iteration count can not exceed 10000"
    assert site.run("ra-hmac", [site.row()], pbm_iterations=10_000).what is OutcomeClass.ISSUED


@pytest.mark.parametrize(
    ("tolerate", "outcome"),
    [(False, OutcomeClass.ISSUED_UNPROVEN), (True, OutcomeClass.ISSUED)],
)
@pytest.mark.parametrize("alias", ["ra-hmac", "client-hmac"])
def test_a_pkiconf_by_another_secret(
    site: Site, alias: str, tolerate: bool, outcome: OutcomeClass
) -> None:
    site.behave(CA_SECRET, sign_answers=False)
    row = site.row(secret=CA_SECRET) if alias == "ra-hmac" else site.client_row()
    ended = site.run(alias, [row], tolerate_pkiconf=tolerate)
    assert ended.what is outcome
    assert ended.result.certificate is not None
    if not tolerate:
        assert ended.outcome.reason == "wrong MAC"
        assert "secret" in ended.hint


def test_implicit_confirmation_needs_no_pkiconf(site: Site) -> None:
    site.behave(CA_SECRET, sign_answers=False)
    ended = site.run("client-hmac", [site.client_row()], implicit_confirm=True)
    assert (ended.what, ended.kinds) == (OutcomeClass.ISSUED, [BodyType.IR])


# --- refusals: error or ip, signed or not ---------------------------------------------------------


def test_a_wrong_secret(site: Site) -> None:
    ended = site.run("client-hmac", [site.client_row(secret=Secret(b"wrong"))])
    assert ended.what is OutcomeClass.CREDENTIALS_REFUSED
    assert ended.outcome.status_text == "Authentication failed for message. dev1."
    assert "password" in ended.hint


def test_an_unknown_user(site: Site) -> None:
    row = site.client_row(9, subject=parse_name("/CN=dev9"))
    ended = site.run("client-hmac", [row])
    assert ended.what is OutcomeClass.CREDENTIALS_REFUSED
    assert ended.outcome.status_text == "Wrong username or password"
    assert "register" in ended.hint


@pytest.mark.parametrize(
    ("named", "believed", "outcome"),
    [
        (True, False, OutcomeClass.REJECTED),
        (False, False, OutcomeClass.REJECTED_UNAUTHENTICATED),
        (False, True, OutcomeClass.REJECTED),
    ],
)
def test_errors_are_signed_for_whom_the_request_names(
    site: Site, named: bool, believed: bool, outcome: OutcomeClass
) -> None:
    assert site.run("client-hmac", [site.client_row()]).what is OutcomeClass.ISSUED
    recipient: dict[str, Any] = {} if named else {"recipient": None}
    ended = site.run("client-hmac", [site.client_row()], unprotected_errors=believed, **recipient)
    assert ended.what is outcome
    text = "Got request with status GENERATED (40). Status NEW, FAILED or INPROCESS required: dev1."
    mark = "(unauthenticated) " if outcome is OutcomeClass.REJECTED_UNAUTHENTICATED else ""
    assert ended.outcome.status_text == mark + text
    assert "status to NEW" in ended.hint
    # and never on account of it a second time
    assert ended.kinds == [BodyType.IR]


@pytest.mark.parametrize(
    ("believed", "outcome"),
    [(False, OutcomeClass.REJECTED_UNAUTHENTICATED), (True, OutcomeClass.REJECTED)],
)
def test_an_ra_s_profile_errors_are_unprotected(
    site: Site, believed: bool, outcome: OutcomeClass
) -> None:
    row = site.row(subject=parse_name("/O=Acme"))
    ended = site.run("ra-hmac", [row], unprotected_errors=believed)
    assert (ended.what, ended.outcome.fail_info) == (outcome, ("incorrectData",))
    assert "Subject DN field 'COMMONNAME' must exist." in ended.outcome.status_text
    assert "--subject" in ended.hint
    assert ended.kinds == [BodyType.IR]


# --- requests -------------------------------------------------------------------------------------


def test_one_certificate_of_a_message_with_several(site: Site) -> None:
    rows = [site.row(number) for number in (1, 2, 3)]
    ended = site.run("ra-hmac", rows, certs_per_message=3)
    assert [ended.results[n].outcome.outcome for n in (1, 2, 3)] == [
        OutcomeClass.ISSUED,
        OutcomeClass.BAD_RESPONSE,
        OutcomeClass.BAD_RESPONSE,
    ]
    dropped = ended.results[2].outcome
    assert dropped.reason == "no response to this request"
    assert "--certs-per-message" in next(k.hint for k in explain(dropped) if k.hint)


def test_p10cr_is_answered_with_certreqid_0(site: Site) -> None:
    own = serialization.load_der_private_key(key(), None)
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name.from_bytes(SUBJECT))
        .sign(own, hashes.SHA256())  # type: ignore[arg-type]  # a key that may sign certificates
        .public_bytes(serialization.Encoding.DER)
    )
    row = site.row(cmd=Operation.P10CR, csr=csr, subject=None, new_key_spec=None)
    ended = site.run("ra-hmac", [row])
    assert (ended.what, ended.kinds[-1]) == (OutcomeClass.ISSUED, BodyType.CERT_CONF)


def test_ra_verified_in_client_mode(site: Site) -> None:
    ended = site.run("client-hmac", [site.client_row(popo=Popo.RA_VERIFIED)])
    assert (ended.what, ended.outcome.fail_info) == (OutcomeClass.REJECTED, ("badPOP",))
    assert ended.outcome.status_text == "POPO verification failed."
    assert "--popo" in ended.hint


def test_the_registered_subject_is_issued_without_a_word(site: Site) -> None:
    site.register("dev1", "/CN=dev1/O=EJBCA Sample")
    ended = site.run("client-hmac", [site.client_row()])
    assert (ended.what, ended.outcome.reason) == (OutcomeClass.ISSUED_REFUSED, "another subject")
    assert ended.outcome.pki_status == 0
    assert "--subject-check record" in ended.hint
    # its rejection got a pkiconf, and had no effect
    assert ended.kinds[-1] is BodyType.CERT_CONF
    assert site.status(ended.result.certificate) is CertificateStatus.CONFIRMED
    site.register("dev1", "/CN=dev1/O=EJBCA Sample")
    ended = site.run("client-hmac", [site.client_row()], subject_check=SubjectCheck.RECORD)
    assert ended.what is OutcomeClass.ISSUED_SUBJECT_CHANGED
    assert ended.result.subject != ended.result.requested_subject


def test_a_key_is_one_user_s_alone(site: Site) -> None:
    shared = {"new_key_spec": None, "new_key": key()}
    first, second = (site.run("ra-hmac", [site.row(n, **shared)]) for n in (1, 2))
    assert first.what is OutcomeClass.ISSUED
    assert (second.what, second.outcome.fail_info) == (OutcomeClass.REJECTED, ("badRequest",))
    assert second.outcome.status_text == (
        "User 'dev2' is not allowed to use same key as another user is using."
    )
    assert "Enforce unique public keys" in second.hint


def test_what_ejbca_fails_at_is_one_row_s_matter(site: Site) -> None:
    site.register("dev2")
    rows = [site.client_row(1, reg_info="version?1%"), site.client_row(2)]
    ended = site.run("client-hmac", rows)
    failed, good = (ended.results[number].outcome for number in (1, 2))
    assert (failed.outcome, failed.reason) == (OutcomeClass.HTTP_ERROR, "HTTP 500")
    assert "controls without regToken" in next(k.hint for k in explain(failed) if k.hint)
    assert good.outcome is OutcomeClass.ISSUED
    # neither for the server's overload, nor for lost
    assert ended.kinds.count(BodyType.IR) == 2


@pytest.mark.parametrize(
    ("token", "outcome", "text"),
    [
        (b"pw1", OutcomeClass.ISSUED, ""),
        (
            b"wrong",
            OutcomeClass.CREDENTIALS_REFUSED,
            "Got request for user with invalid password",
        ),
    ],
)
def test_reg_token_in_an_unprotected_request(
    site: Site, token: bytes, outcome: OutcomeClass, text: str
) -> None:
    row = site.client_row(ref=None, secret=None, reg_token=Secret(token))
    ended = site.run("client-hmac", [row], unprotected_requests=True)
    assert (ended.what, ended.outcome.status_text) == (outcome, text)


def test_an_unprotected_request(site: Site) -> None:
    row = site.client_row(ref=None, secret=None)
    ended = site.run("client-hmac", [row], unprotected_requests=True)
    assert (ended.what, ended.outcome.status_text) == (
        OutcomeClass.REJECTED,
        "No HMAC protection was found.",
    )


def test_the_last_end_entity_of_extra_certs_is_taken_for_the_signer(site: Site) -> None:
    own, other = site.device(1), site.device(2)
    site.register("dev1")
    row = site.client_row(**own)
    ended = site.run("client-cert", [row], extra_certs=(site.root.der,))
    assert ended.what is OutcomeClass.ISSUED
    site.register("dev1")
    ended = site.run("client-cert", [row], extra_certs=other["cert"])
    assert ended.what is OutcomeClass.REJECTED
    assert "Failed to verify the signature" in ended.outcome.status_text


def test_a_certificate_of_another_user(site: Site) -> None:
    own = site.device(1)
    site.register("dev2")
    ended = site.run("client-cert", [site.row(2, **own)])
    assert ended.what is OutcomeClass.REJECTED
    assert "does not belong to user 'dev2'" in ended.outcome.status_text


def test_a_user_that_has_no_password(site: Site) -> None:
    assert site.run("ra-hmac", [site.row(3)]).what is OutcomeClass.ISSUED
    ended = site.run("client-hmac", [site.client_row(3)])
    assert ended.what is OutcomeClass.CREDENTIALS_REFUSED
    assert ended.outcome.status_text == "Wrong username or password"


def test_an_answer_that_is_lost_is_not_asked_for_again(site: Site) -> None:
    site.transport = Lossy
    ended = site.run("client-hmac", [site.client_row()])
    assert (ended.what, ended.kinds) == (OutcomeClass.UNKNOWN, [BodyType.IR])
    site.transport = httpx.ASGITransport
    site.scene.play([site.client_row()], resumed=True, retry_unknown=True)
    outcome = site.scene.results()[1].outcome
    assert outcome.outcome is OutcomeClass.REJECTED
    assert "Status NEW, FAILED or INPROCESS required" in outcome.status_text
    hint = next(k.hint for k in explain(outcome) if k.hint)
    assert "after a lost answer look whether a certificate was issued" in hint


# --- kur ------------------------------------------------------------------------------------------


def test_key_update_in_client_mode_whatever_the_alias_takes(site: Site) -> None:
    own = site.device()
    for alias in ("client-cert", "client-hmac"):
        ended = site.run(alias, [site.row(cmd=Operation.KUR, **own)])
        assert (ended.what, ended.kinds[0]) == (OutcomeClass.ISSUED, BodyType.KUR)
    ended = site.run(
        "client-cert",
        [site.row(cmd=Operation.KUR, new_key_spec=None, new_key=own["key"], **own)],
    )
    assert (ended.what, ended.outcome.fail_info) == (
        OutcomeClass.CREDENTIALS_REFUSED,
        ("badMessageCheck",),
    )
    assert "the same as the public key" in ended.outcome.status_text
    assert "same key" in ended.hint


def test_key_update_with_a_revoked_certificate(site: Site) -> None:
    own = site.device()
    assert site.run("ra-hmac", [_rr(site, own)]).what is OutcomeClass.REVOKED
    ended = site.run("client-cert", [site.row(cmd=Operation.KUR, **own)])
    assert (ended.what, ended.outcome.fail_info) == (OutcomeClass.REJECTED, ("badRequest",))
    assert "is not active" in ended.outcome.status_text


def test_key_update_in_ra_mode(site: Site) -> None:
    own = site.device()
    mac = site.run("ra-hmac", [site.row(cmd=Operation.KUR, old_cert=own["cert"][0])])
    assert (mac.what, mac.outcome.fail_info) == (OutcomeClass.REJECTED, ("badRequest",))
    assert "EndEntityCertificate authentication module" in mac.outcome.status_text
    device = site.run("ra-cert", [site.row(cmd=Operation.KUR, **own)])
    assert device.what is OutcomeClass.REJECTED
    assert "is not an authorized administrator" in device.outcome.status_text
    row = site.ra_row(cmd=Operation.KUR, old_cert=own["cert"][0], subject=None)
    administrator = site.run("ra-cert", [row])
    # the subject of the certificate to update stands in the template, unasked
    assert administrator.what is OutcomeClass.ISSUED


# --- rr -------------------------------------------------------------------------------------------


def _rr(site: Site, own: dict[str, Any], **fields: Any) -> EndEntity:
    values = {"cmd": Operation.RR, "old_cert": own["cert"][0], "new_key_spec": None}
    return site.row(**(values | fields))


def test_revocation_by_a_client_s_secret(site: Site) -> None:
    # EJBCA needs the subject for it, or fails
    row = _rr(site, site.device(), ref="dev1", secret=PASSWORD)
    ended = site.run("client-hmac", [row])
    assert (ended.what, ended.kinds) == (OutcomeClass.REVOKED, [BodyType.RR])


@pytest.mark.parametrize("kind", PasswordMac)
def test_rp_is_protected_by_counts_of_its_own(
    site: Site, kind: PasswordMac, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere: list[Derivation] = []

    in_thread = anyio.to_thread.run_sync

    async def here(function: Callable[..., Any], *arguments: Any, **how: Any) -> Any:
        if function is not protection.derive:
            return await in_thread(function, *arguments, **how)
        await anyio.lowlevel.checkpoint()
        elsewhere.extend(arguments)
        return function(*arguments)

    # virtual time runs on while a thread works
    monkeypatch.setattr(anyio.to_thread, "run_sync", here)
    own = site.device()
    ended = site.run("ra-hmac", [_rr(site, own)], password_mac=kind)
    assert ended.what is OutcomeClass.REVOKED
    assert site.status(own["cert"][0]) is CertificateStatus.REVOKED
    # the dear one was derived off the event loop
    found = [(one.iterations, one.key_length) for one in elsewhere]
    assert found == ([(10_000, 4096)] if kind is PasswordMac.PBMAC1 else [])


def test_rp_that_costs_more_than_we_accept(site: Site) -> None:
    ended = site.run("ra-hmac", [_rr(site, site.device())], max_pbm_iterations=1000)
    assert (ended.what, ended.outcome.reason) == (
        OutcomeClass.BAD_RESPONSE,
        "protection algorithm refused",
    )
    assert "--max-pbm-iterations" in ended.hint


def test_what_is_revoked_already(site: Site) -> None:
    own = site.device()
    assert site.run("ra-hmac", [_rr(site, own)]).what is OutcomeClass.REVOKED
    ended = site.run("ra-hmac", [_rr(site, own)])
    assert (ended.what, ended.outcome.fail_info) == (OutcomeClass.REJECTED, ("certRevoked",))
    assert ended.outcome.status_text == "Already revoked."


def test_a_certificate_that_ejbca_does_not_know(site: Site) -> None:
    vendor = state.load_vendor(site.base.parent / "ca")
    foreign = make_device(vendor, SUBJECT, dt.datetime.fromtimestamp(EPOCH, dt.UTC))
    ended = site.run("ra-hmac", [_rr(site, {"cert": (foreign.der,)})])
    assert (ended.what, ended.outcome.fail_info) == (OutcomeClass.REJECTED, ("badCertId",))
    assert "issuer and serial" in ended.hint
    # nor as a signer's
    signing: dict[str, Any] = {
        "cert": (foreign.der,),
        "key": pkcs8_of(foreign),
        "ref": None,
        "secret": None,
    }
    ended = site.run("client-cert", [site.row(**signing)])
    assert ended.what is OutcomeClass.REJECTED
    assert "not in the database" in ended.outcome.status_text


@pytest.mark.parametrize("lost", [True, False])
def test_a_revocation_whose_answer_we_do_not_have(site: Site, lost: bool) -> None:
    own = site.device()
    if lost:
        site.transport = Lossy
        first = site.run("ra-hmac", [_rr(site, own)])
        assert first.what is OutcomeClass.UNKNOWN
        site.transport = httpx.ASGITransport
    else:
        first = site.run("ra-hmac", [_rr(site, own)], max_pbm_iterations=1000)
        assert first.what is OutcomeClass.BAD_RESPONSE
    row = _rr(site, own)
    site.scene.play([row], resumed=True, retry_unknown=lost, retry_failed=not lost)
    outcome = site.scene.results()[1].outcome
    # what we asked for is so
    assert (outcome.outcome, outcome.fail_info) == (OutcomeClass.REVOKED, ("certRevoked",))
    assert outcome.status_text == "Already revoked."
    assert "earlier request" in outcome.detail


@pytest.mark.parametrize(
    ("believed", "outcome"),
    [(False, OutcomeClass.REJECTED_UNAUTHENTICATED), (True, OutcomeClass.REJECTED)],
)
def test_revocation_at_a_ca_that_ejbca_does_not_know(
    site: Site, believed: bool, outcome: OutcomeClass
) -> None:
    own = site.device()
    foreign = parse_name("/CN=foo")
    ended = site.run("ra-hmac", [_rr(site, own)], recipient=foreign, unprotected_errors=believed)
    assert (ended.what, ended.outcome.fail_info) == (outcome, ("badRequest",))
    assert "CA with DN" in ended.outcome.status_text
    assert "--recipient" in ended.hint
    assert site.run("ra-hmac", [_rr(site, own)], recipient=None).what is OutcomeClass.REVOKED


def test_one_revocation_of_a_message_with_several(site: Site) -> None:
    devices = [site.device(number) for number in (1, 2)]
    rows = [
        dataclasses.replace(_rr(site, own), number=number, line=number + 1, id=f"dev{number}")
        for number, own in enumerate(devices, 1)
    ]
    ended = site.run("ra-hmac", rows, certs_per_message=2)
    assert [ended.results[n].outcome.outcome for n in (1, 2)] == [
        OutcomeClass.REVOKED,
        OutcomeClass.BAD_RESPONSE,
    ]
    assert [site.status(own["cert"][0]) for own in devices] == [
        CertificateStatus.REVOKED,
        CertificateStatus.CONFIRMED,
    ]


# --- HTTP -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alias", "reason"), [("unknown", "HTTP 404"), ("x" * 33, "HTTP 400"), ("x" * 32, "HTTP 404")]
)
def test_an_alias_that_is_not_there(site: Site, alias: str, reason: str) -> None:
    ended = site.run(alias, [site.row()])
    assert (ended.what, ended.outcome.reason) == (OutcomeClass.HTTP_ERROR, reason)
    assert ended.kinds == [BodyType.IR]
    assert "404: no such alias" in ended.hint


def test_a_request_that_is_too_large(site: Site) -> None:
    big = RequestedExtension("1.2.3.4", False, b"\x04\x83\x01\x86\xa0" + bytes(100_000))
    ended = site.run("ra-hmac", [site.row(extensions=(big,))])
    assert (ended.what, ended.outcome.reason) == (OutcomeClass.HTTP_ERROR, "HTTP 400")
