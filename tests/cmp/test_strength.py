"""What is too weak, and what becomes of an answer that is."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

from bulkcmp.cmp import algorithms, checks, strength
from bulkcmp.cmp.checks import CheckError, Judgement, Reason, Verdict
from bulkcmp.cmp.dhmac import DhMacParameters
from bulkcmp.cmp.kemmac import KemMacParameters
from bulkcmp.cmp.protection import MacParameters
from bulkcmp.cmp.trust import Trust, TrustStore
from bulkcmp.model import OutcomeClass, PasswordMac, Profile, RsaPadding
from tests.cmp.conftest import BY_SHA1, BY_SHA256, by_sha1

if TYPE_CHECKING:
    from tests.cmp.conftest import MakeRun, Party, Pki

UNKNOWN = bytes.fromhex("2a864886f70d01017f")
RSA_KEY = bytes.fromhex("2a864886f70d010101")

WEAK = Profile(allow_weak=True)


def mac(**changes: object) -> MacParameters:
    return MacParameters.choose(b"salt", **{"iterations": 100, **changes})  # type: ignore[arg-type]  # any by its name


@pytest.fixture(scope="session")
def short() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)


@pytest.mark.parametrize(
    ("parameters", "weak"),
    [
        (mac(), ""),
        (mac(mac="hmac-sha1"), ""),
        (mac(owf="sha1"), "SHA-1 as the MAC's one-way function"),
        (mac(iterations=99), "a MAC of 99 iterations, fewer than 100"),
        (mac(kind=PasswordMac.PBMAC1, prf="hmac-sha1"), ""),
        (
            mac(kind=PasswordMac.PBMAC1, iterations=1),
            "a MAC of 1 iterations, fewer than 100",
        ),
        (KemMacParameters.choose(), ""),
        (DhMacParameters.choose(), ""),
        (DhMacParameters.choose("sha1"), "SHA-1 as the MAC's one-way function"),
    ],
)
def test_macs(parameters: MacParameters | KemMacParameters | DhMacParameters, weak: str) -> None:
    assert strength.of_mac(parameters) == weak


def keys() -> Iterator[tuple[object, str]]:
    yield rsa.generate_private_key(65537, 1024), "an RSA key of 1024 bits, fewer than 2048"
    yield rsa.generate_private_key(65537, 2048), ""
    yield dsa.generate_private_key(1024), "a DSA key of 1024 bits, fewer than 2048"
    yield (
        ec.generate_private_key(ec.SECP192R1()),
        ("a key on secp192r1, a curve of fewer than 224 bits"),
    )
    yield ec.generate_private_key(ec.SECP224R1()), ""
    yield ed25519.Ed25519PrivateKey.generate(), ""


def test_keys() -> None:
    for key, weak in keys():
        assert strength.of_key(key.public_key()) == weak  # type: ignore[attr-defined]  # a private key


@pytest.mark.parametrize("kind", ["rsa", "ec"])
@pytest.mark.parametrize("scheme", list(RsaPadding))
@pytest.mark.parametrize(
    ("digest", "weak"), [("sha1", "a signature with SHA-1"), ("sha256", ""), ("sha3-256", "")]
)
def test_signatures(pki: "Pki", kind: str, scheme: RsaPadding, digest: str, weak: str) -> None:
    identifier = algorithms.signature_identifier(pki.keys[kind], digest, scheme)
    assert strength.of_signature(identifier) == weak


@pytest.mark.parametrize("kind", ["ed25519", "ed448", "ml-dsa-65"])
def test_signatures_without_a_digest(pki: "Pki", kind: str) -> None:
    assert strength.of_signature(algorithms.signature_identifier(pki.keys[kind], "sha256")) == ""
    der = pki.certify("one", pki.keys[kind]).certificate
    assert checks.weak_path((der, der)) == ""


@pytest.mark.parametrize(
    ("old", "new", "weak", "of_anchor"),
    [
        (BY_SHA256, BY_SHA256, "", ""),
        (BY_SHA256, BY_SHA1, "a signature with SHA-1", ""),
        (BY_SHA256, UNKNOWN, "a signature that can't be judged (", ""),
        (RSA_KEY, UNKNOWN, "a key that can't be judged", "a key that can't be judged"),
    ],
)
def test_certificates(pki: "Pki", old: bytes, new: bytes, weak: str, of_anchor: str) -> None:
    der = pki.certify("one", pki.keys["rsa"]).certificate
    assert der.count(old)
    der = der.replace(old, new)
    whose = ", in the certificate of CN=one"
    for path, what in (((der, pki.root.certificate), weak), ((der,), of_anchor)):
        found = checks.weak_path(path)
        assert found.startswith(what)
        assert found.endswith(whose if what else "")
        assert bool(found) == bool(what)


def test_only_an_anchor_may_have_a_weak_signature(pki: "Pki") -> None:
    weak = by_sha1(pki.certify("weak", pki.keys["rsa"], ca=True), pki.keys["rsa"])
    good = pki.root.certificate
    assert checks.weak_path(()) == ""
    for path in ((weak,), (good, weak), (good, good, weak)):
        assert checks.weak_path(path) == ""
    for path in ((weak, good), (weak, weak), (good, weak, good), (good, weak, weak)):
        assert checks.weak_path(path) == "a signature with SHA-1, in the certificate of CN=weak"


def test_what_is_issued_is_an_anchor_where_it_has_no_issuer(pki: "Pki") -> None:
    key = pki.keys["rsa"]
    root = pki.certify("root", key, ca=True)
    self_signed, leaf = (
        by_sha1(pki.certify("device", key, issuer), key) for issuer in (None, root)
    )

    def issued(der: bytes, anchor: bytes) -> tuple[bytes, ...]:
        store = TrustStore([anchor])
        wanted = pki.wanted(public_key=None, subject=None, trust=Trust(store, store))
        chain, _ = checks.issued(der, **wanted)
        return chain

    assert issued(self_signed, self_signed) == ()
    with pytest.raises(CheckError, match=r"^a signature with SHA-1$") as caught:
        issued(leaf, root.certificate)
    assert caught.value.reason is Reason.CERTIFICATE_WEAK


def test_requests(pki: "Pki", short: rsa.RSAPrivateKey) -> None:
    builder = x509.CertificateSigningRequestBuilder().subject_name(pki.name("one"))
    assert strength.of_request(builder.sign(short, hashes.SHA256())).startswith("an RSA key of")
    assert strength.of_request(builder.sign(pki.keys["rsa"], hashes.SHA256())) == ""
    assert strength.of_request(builder.sign(pki.keys["ed25519"], None)) == ""


# --- answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters", [mac(owf="sha1"), mac(iterations=99)], ids=["owf", "iterations"]
)
def test_a_weak_mac_proves_nothing(make_run: "MakeRun", parameters: MacParameters) -> None:
    run = make_run()
    run.start()
    finish = run.end(run.granted().macced(parameters=parameters))
    assert finish.outcome.outcome is OutcomeClass.BAD_RESPONSE
    assert finish.outcome.reason == Reason.PROTECTION_WEAK.value
    assert strength.of_mac(parameters) in finish.outcome.detail

    verdicts: list[Verdict] = []
    run = make_run(profile=WEAK, verdicts=verdicts)
    run.start()
    run.receive(run.granted().macced(parameters=parameters))
    assert run.kept.certificate is not None
    (told,) = (one for one in verdicts if one.reason is Reason.PROTECTION_WEAK)
    assert told.judgement is Judgement.TOLERATED
    assert told.what == f"{strength.of_mac(parameters)} (--allow-weak)"


@pytest.mark.parametrize(
    "parameters",
    [
        mac(mac="hmac-sha1"),
        mac(kind=PasswordMac.PBMAC1, mac="hmac-sha1"),
        mac(kind=PasswordMac.PBMAC1, prf="hmac-sha1"),
    ],
    ids=["PBM", "PBMAC1", "PRF"],
)
def test_hmac_sha1_is_accepted_and_noted(make_run: "MakeRun", parameters: MacParameters) -> None:
    verdicts: list[Verdict] = []
    run = make_run(verdicts=verdicts)
    run.start()
    run.receive(run.granted().macced(parameters=parameters))
    (told,) = (one for one in verdicts if one.reason is Reason.PROTECTION_WEAK)
    assert told.judgement is Judgement.PASSED
    assert "HMAC-SHA1" in told.what


def _signed(run: "object", signer: "Party", digest: str = "sha256") -> bytes:
    return run.granted().signed(signer, digest=digest)  # type: ignore[attr-defined,no-any-return]  # a Run


@pytest.mark.parametrize("pinned", [False, True])
def test_a_signature_with_sha1_proves_nothing(
    make_run: "MakeRun", pki: "Pki", pinned: bool
) -> None:
    store = pki.trust().signers
    trust = Trust(store, store, pki.signer.certificate if pinned else None)
    run = make_run(credential="signature", trust=trust)
    run.start()
    finish = run.end(_signed(run, pki.signer, "sha1"))
    assert finish.outcome.reason == Reason.PROTECTION_WEAK.value
    assert finish.outcome.detail == "a signature with SHA-1"
    run = make_run(credential="signature", trust=trust, profile=WEAK)
    run.start()
    run.receive(_signed(run, pki.signer, "sha1"))
    assert run.kept.certificate is not None


def test_a_signer_behind_a_weak_ca_proves_nothing(
    make_run: "MakeRun", pki: "Pki", short: rsa.RSAPrivateKey
) -> None:
    weak = pki.certify("weak CA", short, ca=True)
    signer = pki.certify("signer", pki.keys["ec"], weak)
    trust = Trust(TrustStore([weak.certificate]), pki.trust().issuers)
    run = make_run(credential="signature", trust=trust)
    run.start()
    finish = run.end(_signed(run, signer))
    assert finish.outcome.reason == Reason.PROTECTION_WEAK.value
    assert finish.outcome.detail == (
        "an RSA key of 1024 bits, fewer than 2048, in the certificate of CN=weak CA"
    )
    run = make_run(credential="signature", trust=trust, profile=WEAK)
    run.start()
    run.receive(_signed(run, signer))
    assert run.kept.certificate is not None


def test_a_certificate_of_a_weak_ca_is_refused(
    make_run: "MakeRun", pki: "Pki", short: rsa.RSAPrivateKey
) -> None:
    weak = pki.certify("root", short, ca=True)
    issued = replace(pki, root=weak).issue()
    trust = Trust(pki.trust().signers, TrustStore([weak.certificate]))
    run = make_run(trust=trust)
    run.start()
    run.receive(run.granted(issued).macced())
    assert run.kept.granted is not None
    assert run.kept.granted.reason == Reason.CERTIFICATE_WEAK.value
    run = make_run(trust=trust, profile=WEAK)
    run.start()
    run.receive(run.granted(issued).macced())
    assert run.kept.granted is not None
    assert run.kept.granted.outcome is OutcomeClass.ISSUED
