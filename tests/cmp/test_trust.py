"""Path validation."""

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bulkcmp.cmp import trust
from bulkcmp.cmp.trust import TrustStore, load_certificate
from bulkcmp.errors import InputError, RemoteCmpError

if TYPE_CHECKING:
    from tests.cmp.conftest import Party, Pki

KINDS = ["rsa", "ec", "ed25519", "ed448", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]


@pytest.mark.parametrize("kind", KINDS)
def test_chains_of_every_algorithm(pki: "Pki", kind: str) -> None:
    root = pki.certify("root", pki.keys[kind], ca=True)
    middle = pki.certify("sub CA", pki.keys["ec"], root, ca=True)
    leaf = pki.certify("device", pki.keys[kind], middle)
    store = TrustStore([root.certificate], [middle.certificate])
    path = (middle.certificate, root.certificate)
    assert store.chain(leaf.certificate, (), pki.at()) == path
    assert (
        TrustStore([root.certificate]).chain(
            leaf.certificate, (b"no certificate", middle.certificate), pki.at()
        )
        == path
    )
    with pytest.raises(RemoteCmpError, match=r"^no valid path to a trust anchor: "):
        TrustStore([root.certificate]).chain(leaf.certificate, (), pki.at())


def test_any_certificate_may_be_an_anchor(pki: "Pki") -> None:
    middle = pki.certify("sub CA", pki.keys["ec"], pki.root, ca=True)
    leaf = pki.certify("device", pki.keys["rsa"], middle).certificate
    assert TrustStore([middle.certificate]).chain(leaf, (), pki.at()) == (middle.certificate,)
    assert TrustStore([leaf]).chain(leaf, (), pki.at()) == ()


def test_an_issuer_that_is_no_ca_is_refused(pki: "Pki") -> None:
    leaf = pki.certify("device", pki.keys["ec"], pki.device).certificate
    store = TrustStore([pki.root.certificate], [pki.device.certificate])
    with pytest.raises(RemoteCmpError, match=r"^no valid path"):
        store.chain(leaf, (), pki.at())


NO_CERTIFICATES = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
HERE = x509.DNSName("here.example")
ELSEWHERE = x509.DNSName("elsewhere.example")
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\x05\x00")


def _sub_ca(
    pki: "Pki",
    *critical: x509.ExtensionType,
    constraints: x509.BasicConstraints | None = None,
    usage: x509.KeyUsage = CERTIFICATES,
) -> "Party":
    """A CA under the root, by the builder itself: `pki.certify` makes sound ones only."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(pki.name("sub CA"))
        .issuer_name(pki.name("root"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(pki.at(-10))
        .not_valid_after(pki.at(10))
        .add_extension(constraints or x509.BasicConstraints(True, None), critical=True)
        .add_extension(usage, critical=True)
    )
    for extension in critical:
        builder = builder.add_extension(extension, critical=True)
    root = pki.root.key
    assert isinstance(root, ec.EllipticCurvePrivateKey)
    made = builder.sign(root, hashes.SHA256())
    return replace(pki.root, key=key, certificate=made.public_bytes(serialization.Encoding.DER))


def _validate(pki: "Pki", *path: "Party") -> None:
    """From the first, by the others, to the root."""
    issuers = tuple(one.certificate for one in path[1:])
    chain = TrustStore([pki.root.certificate]).chain(path[0].certificate, issuers, pki.at())
    assert chain == (*issuers, pki.root.certificate)


def _named(pki: "Pki", issuer: "Party", name: x509.GeneralName) -> "Party":
    return pki.certify(
        "device", pki.keys["ec"], issuer, extensions=[x509.SubjectAlternativeName([name])]
    )


@pytest.mark.parametrize(
    ("constraints", "said"),
    [
        (x509.NameConstraints([HERE], None), "permitted subtree violation"),
        (x509.NameConstraints(None, [ELSEWHERE]), "excluded subtree violation"),
    ],
    ids=["permitted", "excluded"],
)
def test_name_constraints(pki: "Pki", constraints: x509.NameConstraints, said: str) -> None:
    middle = _sub_ca(pki, constraints)
    _validate(pki, _named(pki, middle, x509.DNSName("a.here.example")), middle)
    with pytest.raises(RemoteCmpError, match=said):
        _validate(pki, _named(pki, middle, x509.DNSName("a.elsewhere.example")), middle)


def test_a_path_that_is_longer_than_its_ca_allows(pki: "Pki") -> None:
    last = _sub_ca(pki, constraints=x509.BasicConstraints(True, 0))
    _validate(pki, pki.certify("device", pki.keys["ec"], last), last)
    another = pki.certify("another CA", pki.keys["ec"], last, ca=True)
    with pytest.raises(RemoteCmpError, match="path length constraint exceeded"):
        _validate(pki, pki.certify("device", pki.keys["rsa"], another), another, last)


@pytest.mark.parametrize(
    "flawed",
    [
        pytest.param({"usage": NO_CERTIFICATES}, id="keyUsage"),
        pytest.param({"constraints": x509.BasicConstraints(False, None)}, id="basicConstraints"),
    ],
)
def test_an_issuer_that_may_not_certify(pki: "Pki", flawed: dict[str, Any]) -> None:
    middle = _sub_ca(pki, **flawed)
    # a well-made one has a path all the same
    sound = _sub_ca(pki)
    _validate(pki, pki.certify("device", pki.keys["ec"], sound), sound)
    with pytest.raises(RemoteCmpError, match=r"^no valid path to a trust anchor: "):
        _validate(pki, pki.certify("device", pki.keys["ec"], middle), middle)


def test_a_critical_extension_that_nobody_knows(pki: "Pki") -> None:
    middle = _sub_ca(pki, UNKNOWN)
    with pytest.raises(RemoteCmpError, match="unhandled critical extension"):
        _validate(pki, pki.certify("device", pki.keys["ec"], middle), middle)
    # one that is not critical does no harm
    _validate(pki, pki.certify("device", pki.keys["ec"], pki.root, extensions=[UNKNOWN]))


@pytest.mark.parametrize(("age", "said"), [(-1, "not yet valid"), (30, "expired")])
def test_an_issuer_out_of_its_validity(pki: "Pki", age: float, said: str) -> None:
    middle = pki.certify("sub CA", pki.keys["ec"], pki.root, ca=True, age=age, days=20)
    with pytest.raises(RemoteCmpError, match=said):
        _validate(pki, pki.certify("device", pki.keys["rsa"], middle), middle)


@pytest.mark.parametrize("whose", ["device", "sub CA"])
def test_a_broken_signature(pki: "Pki", whose: str) -> None:
    middle = pki.certify("sub CA", pki.keys["ec"], pki.root, ca=True)
    path = {"device": pki.certify("device", pki.keys["rsa"], middle), "sub CA": middle}
    _validate(pki, *path.values())
    whole = path[whose].certificate
    # the last octet of the BIT STRING is the last of ECDSA's s
    broken = whole[:-1] + bytes((whole[-1] ^ 1,))
    path[whose] = replace(path[whose], certificate=broken)
    with pytest.raises(RemoteCmpError, match="signature failure"):
        _validate(pki, *path.values())


def test_the_time_of_each_validation_counts(pki: "Pki") -> None:
    store = TrustStore([pki.root.certificate])
    for days, problem in ((-11, "not yet valid"), (0, ""), (4000, "expired"), (1, "")):
        if not problem:
            store.chain(pki.device.certificate, (), pki.at(days))
            continue
        with pytest.raises(RemoteCmpError, match=problem):
            store.chain(pki.device.certificate, (), pki.at(days))


def test_a_certificate_is_good_to_its_very_last_second(pki: "Pki") -> None:
    store = TrustStore([pki.root.certificate])
    certificate = pki.device.certificate
    end = load_certificate(certificate).not_valid_after_utc
    for late in (0.0, 0.9, 0.0):
        store.chain(certificate, (), end + dt.timedelta(seconds=late))
    with pytest.raises(RemoteCmpError, match="expired"):
        store.chain(certificate, (), end + dt.timedelta(seconds=1))
    store.chain(certificate, (), end)


def test_a_cached_path_is_forgotten_when_a_member_expires(pki: "Pki") -> None:
    brief = pki.certify("sub CA", pki.keys["ec"], pki.root, ca=True, days=20)
    leaf = pki.certify("device", pki.keys["rsa"], brief).certificate
    store = TrustStore([pki.root.certificate])
    path = (brief.certificate, pki.root.certificate)
    assert store.cached_chain(leaf, (brief.certificate,), pki.at()) == path
    assert store.cached_chain(leaf, (), pki.at(9)) == path, "no helper is needed any more"
    for days in (11, -20):
        with pytest.raises(RemoteCmpError):
            store.cached_chain(leaf, (brief.certificate,), pki.at(days))
    assert store.cached_chain(leaf, (), pki.at()) == path


def test_the_cache_does_not_grow_without_end(pki: "Pki", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "_CACHE_SIZE", 1)
    middle = pki.certify("sub CA", pki.keys["ec"], pki.root, ca=True)
    leaf = pki.certify("device", pki.keys["rsa"], middle).certificate
    store = TrustStore([pki.root.certificate])
    store.cached_chain(leaf, (middle.certificate,), pki.at())
    store.cached_chain(pki.device.certificate, (), pki.at())
    with pytest.raises(RemoteCmpError):
        store.cached_chain(leaf, (), pki.at())


def test_a_store_without_a_usable_anchor(pki: "Pki") -> None:
    with pytest.raises(InputError, match=r"^no trust anchor$") as caught:
        TrustStore([])
    assert caught.value.hint is not None
    for anchors, untrusted in (([b"x"], []), ([pki.root.certificate], [b"x"])):
        with pytest.raises(InputError, match=r"^a trusted or untrusted certificate is unusable: "):
            TrustStore(anchors, untrusted)


VERSION_3 = b"\xa0\x03\x02\x01\x02"


@pytest.mark.parametrize("version", [1, 3])
def test_a_certificate_of_an_unknown_version_is_none(pki: "Pki", version: int) -> None:
    odd = pki.root.certificate.replace(VERSION_3, VERSION_3[:-1] + bytes((version,)), 1)
    with pytest.raises(RemoteCmpError, match=r"^not a certificate: "):
        load_certificate(odd)


def test_a_certificate_that_openssl_can_not_read_has_no_path(pki: "Pki") -> None:
    # the CN an INTEGER, which cryptography does not look at before it is asked for the name
    odd = pki.device.certificate.replace(b"\x0c\x06device", b"\x02\x06device")
    assert load_certificate(odd)
    store = TrustStore([pki.root.certificate])
    with pytest.raises(RemoteCmpError, match=r"^not a certificate that OpenSSL can read$"):
        store.chain(odd, (), pki.at())
    assert store.chain(pki.device.certificate, (odd,), pki.at()) == (pki.root.certificate,)
