"""Paths that hold for siblings: as strict as OpenSSL, which is asked about the very same ones."""

import datetime as dt
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import crypto

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.asn1 import ObjectIdentifier, encode, explicit, wrap
from bulkcmp.cmp.certificate import ReadCertificate
from bulkcmp.cmp.template import time
from bulkcmp.cmp.trust import TrustStore, load_certificate
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import RsaPadding
from tests.cmp.leaf import BEGIN, END, EXTENSIONS, SECOND, Leaf, extension, text
from tests.fuzz.mutation import RECIPES, Recipe, mutated

if TYPE_CHECKING:
    from tests.cmp.conftest import Pki

# cryptography warns of a serial number or a NULL that RFC 5280 would not have
pytestmark = [
    pytest.mark.filterwarnings("ignore:The parsed certificate contained"),
    pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn.t positive"),
]

KINDS = ["rsa", "ec", "ed25519", "ed448", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]


class Asked:
    """How often OpenSSL was asked for a path."""

    times = 0


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    asked = Asked()

    class Context(crypto.X509StoreContext):
        def get_verified_chain(self) -> list[crypto.X509]:
            asked.times += 1
            return super().get_verified_chain()

    monkeypatch.setattr(crypto, "X509StoreContext", Context)
    return asked


def _at(pki: "Pki") -> dt.datetime:
    return dt.datetime.fromtimestamp(pki.now, dt.UTC)


def _issued(
    store: TrustStore, leaf: bytes, at: dt.datetime, extra: tuple[bytes, ...] = ()
) -> tuple[bytes, ...]:
    return store.issued_chain(ReadCertificate.read(leaf), extra, at)


def _as_openssl(store: TrustStore, leaf: bytes, at: dt.datetime) -> bool:
    """Make sure that a store says of a certificate what OpenSSL does; return whether it is good."""
    try:
        certificate = ReadCertificate.read(leaf)
    except RemoteCmpError:
        # nobody asks for its path
        return False
    fresh = TrustStore(store.anchors, store.untrusted)
    said: list[tuple[bytes, ...] | str] = []
    for judge in (partial(store.issued_chain, certificate), partial(fresh.chain, leaf)):
        try:
            said.append(judge((), at))
        except RemoteCmpError as error:
            said.append(error.what)
    assert said[0] == said[1]
    return not isinstance(said[1], str)


@pytest.mark.parametrize("kind", KINDS)
def test_openssl_is_asked_once_for_all_siblings(pki: "Pki", asked: Asked, kind: str) -> None:
    middle = pki.certify("sub CA", pki.keys[kind], pki.root, ca=True)
    store = TrustStore([pki.root.certificate])
    issuers = (middle.certificate, pki.root.certificate)
    for number, own in enumerate(("ec", "rsa", "ed25519")):
        leaf = pki.certificate(f"device {number}", pki.keys[own], middle, age=number)
        assert _issued(store, leaf, _at(pki), (middle.certificate,)) == issuers
    assert asked.times == 1
    # of another issuer
    other = pki.certificate("device", pki.keys["ec"], pki.root)
    assert _issued(store, other, _at(pki)) == issuers[1:]
    # who else trusts whom is another matter
    _issued(TrustStore([pki.root.certificate]), other, _at(pki))
    assert asked.times == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_that_is_not_the_issuers(pki: "Pki", kind: str) -> None:
    middle = pki.certify("sub CA", pki.keys[kind], pki.root, ca=True)
    stranger = pki.certify("sub CA", pki.stranger.key, pki.root, ca=True)
    store = TrustStore([pki.root.certificate], [middle.certificate])
    leaf = Leaf(middle)
    assert _as_openssl(store, leaf.signed(), _at(pki))
    changed = leaf.signed().replace(b"device", b"devils")
    last = leaf.signed()[:-1] + bytes((leaf.signed()[-1] ^ 1,))
    for wrong in (changed, last, replace(leaf, issuer=stranger).signed()):
        assert not _as_openssl(store, wrong, _at(pki))
    assert _as_openssl(store, leaf.signed(), _at(pki))


def test_a_signature_by_rsassa_pss(pki: "Pki", asked: Asked) -> None:
    root = pki.certify("root", pki.keys["rsa"], ca=True)
    store = TrustStore([root.certificate])
    leaf = Leaf(root, padding=RsaPadding.PSS)
    for serial in (b"\x02\x01\x01", b"\x02\x01\x02"):
        one = replace(leaf, serial=serial).signed()
        assert _issued(store, one, _at(pki)) == (root.certificate,)
    assert asked.times == 1


SIBLINGS = {
    "serial number": {"serial": b"\x02\x14" + b"\x11" * 20},
    "validity": {"not_before": time(BEGIN - 9 * SECOND), "not_after": time(END + 9 * SECOND)},
    "validity in GeneralizedTime": {"not_after": wrap(0x18, b"20300101000000Z")},
    "subject": {"subject": text(0x13, b"another")},
    "no subject": {"subject": b"\x30\x00"},
    "subjectKeyIdentifier": {
        "extensions": EXTENSIONS
        | {
            "subjectKeyIdentifier": extension(
                x509.SubjectKeyIdentifier.oid, encode(b"of another key, also")
            )
        }
    },
    "subjectAltName": {
        "extensions": EXTENSIONS
        | {
            "subjectAltName": extension(
                x509.SubjectAlternativeName.oid,
                wrap(
                    0x30, wrap(0x87, b"\x7f\0\0\1"), wrap(0x81, b"a@b.example"), wrap(0x86, b"a:b")
                ),
            )
        }
    },
}


@pytest.mark.parametrize("what", SIBLINGS)
def test_what_siblings_may_differ_in(pki: "Pki", asked: Asked, what: str) -> None:
    store = TrustStore([pki.root.certificate])
    leaf = Leaf(pki.root)
    _issued(store, leaf.signed(), _at(pki))
    other = replace(leaf, **SIBLINGS[what])  # type: ignore[arg-type]  # by their names
    assert _issued(store, other.signed(), _at(pki)) == (pki.root.certificate,)
    assert asked.times == 1


def _with(name: str, extension: bytes) -> dict[str, dict[str, bytes]]:
    return {"extensions": EXTENSIONS | {name: extension}}


def _with_names(*names: bytes) -> dict[str, dict[str, bytes]]:
    names_oid = x509.SubjectAlternativeName.oid
    return _with("subjectAltName", extension(names_oid, wrap(0x30, *names)))


UNKNOWN = ObjectIdentifier("1.3.6.1.4.1.55555.1")
OTHERS = {
    "issuer's name in capitals": {"subject": text(0x0C, b"ROOT")},
    "issuer's name with white space": {"subject": text(0x0C, b" root ")},
    "issuer's name in another string type": {"subject": text(0x13, b"root")},
    "subject in a BMPString": {"subject": text(0x1E, "device".encode("utf-16-be"))},
    "subject in half a BMPString": {"subject": text(0x1E, b"odd")},
    "subject of a surrogate pair": {"subject": text(0x1E, "😀".encode("utf-16-be"))},
    "subject of an INTEGER": {"subject": text(0x02, b"\x05")},
    "subject that is no UTF-8": {"subject": text(0x0C, b"\xff")},
    "subject that is half UTF-8": {"subject": text(0x0C, b"\xc3")},
    "version 1": {"version": b""},
    "version 1 without extensions": {"version": b"", "extensions": {}},
    "no extensions": {"extensions": {}},
    "issuerUniqueID": {"identifiers": b"\x81\x02\0\1"},
    "subjectUniqueID": {"identifiers": b"\x82\x02\0\1"},
    "another algorithm inside": {"inner": algorithms.MAC_IDENTIFIERS["hmac-sha256"]},
    "unused bits in the signature": {"unused": b"\1"},
    "unknown critical extension": _with("more", extension(UNKNOWN, b"\5\0", critical=True)),
    "unknown extension": _with("more", extension(UNKNOWN, b"\5\0")),
    "an extension twice": _with("more", EXTENSIONS["basicConstraints"]),
    "CA": _with("basicConstraints", extension(x509.BasicConstraints.oid, b"\x30\x03\x01\x01\xff")),
    "malformed keyUsage": _with("keyUsage", extension(x509.KeyUsage.oid, b"\x03\x02\x09\x80")),
    "malformed subjectKeyIdentifier": _with(
        "subjectKeyIdentifier", extension(x509.SubjectKeyIdentifier.oid, b"\x04\x15" + b"x" * 20)
    ),
    "longer subjectKeyIdentifier": _with(
        "subjectKeyIdentifier", extension(x509.SubjectKeyIdentifier.oid, b"\x04\x14" + b"x" * 21)
    ),
    "malformed subjectAltName": _with_names(b"\x82\x7f"),
    "otherName": _with_names(explicit(0, wrap(0x30, encode(UNKNOWN), explicit(0, b"\5\0")))),
    "malformed otherName": _with_names(explicit(0, encode(UNKNOWN))),
    "directoryName": _with_names(explicit(4, text(0x0C, b"a"))),
    "malformed directoryName": _with_names(explicit(4, text(0x1E, b"odd"))),
    "malformed registeredID": _with_names(b"\x88\x01\x80"),
    "authorityKeyIdentifier of another": _with(
        "more", extension(x509.AuthorityKeyIdentifier.oid, wrap(0x30, wrap(0x80, b"another")))
    ),
    "not valid yet": {"not_before": time(END - SECOND)},
    "expired": {"not_after": time(BEGIN + SECOND)},
    "no date": {"not_after": wrap(0x17, b"2699010100000Z")},
    "negative serial number": {"serial": b"\x02\x01\xff"},
    "empty serial number": {"serial": b"\x02\x00"},
}


@pytest.mark.parametrize("what", OTHERS)
def test_all_else_is_judged_by_openssl(pki: "Pki", asked: Asked, what: str) -> None:
    store = TrustStore([pki.root.certificate])
    leaf = Leaf(pki.root)
    _issued(store, leaf.signed(), _at(pki))
    other = replace(leaf, **OTHERS[what])  # type: ignore[arg-type]  # by their names
    _as_openssl(store, other.signed(), _at(pki))


@pytest.mark.parametrize("whose", ["device", "sub CA"])
def test_the_validity_of_all_members_to_the_second(pki: "Pki", whose: str) -> None:
    middle = pki.certify("sub CA", pki.keys["ec"], pki.root, ca=True, age=2, days=4)
    store = TrustStore([pki.root.certificate], [middle.certificate])
    leaf = Leaf(middle)
    if whose == "device":
        leaf = replace(
            leaf,
            not_before=time(_at(pki) - SECOND),
            not_after=time(_at(pki) + SECOND),
        )
    assert _as_openssl(store, leaf.signed(), _at(pki))
    of = load_certificate(leaf.signed() if whose == "device" else middle.certificate)
    said = [
        _as_openssl(store, leaf.signed(), edge + dt.timedelta(seconds=offset))
        for edge in (of.not_valid_before_utc, of.not_valid_after_utc)
        for offset in (-1, -0.1, 0, 0.1, 1)
    ]
    assert said == [False, False, True, True, True, True, True, True, True, False]


def test_name_constraints_are_openssls(pki: "Pki", asked: Asked) -> None:
    constraints = x509.NameConstraints([x509.DNSName("here.example")], None)
    middle = pki.certify("sub CA", pki.keys["ec"], pki.root, ca=True, extensions=[constraints])
    store = TrustStore([pki.root.certificate], [middle.certificate])
    leaf = Leaf(middle)
    assert _as_openssl(store, leaf.signed(), _at(pki))
    names = _with_names(wrap(0x82, b"elsewhere.example"))
    elsewhere = replace(leaf, extensions=names["extensions"])
    assert not _as_openssl(store, elsewhere.signed(), _at(pki))
    assert asked.times == 4


def test_an_issuer_whose_name_is_no_plaintext(pki: "Pki", asked: Asked) -> None:
    name = x509.Name(
        [x509.NameAttribute(x509.NameOID.COMMON_NAME, "root", _type=_ASN1Type.BMPString)]
    )
    root = pki.certify(name, pki.keys["ec"], ca=True)
    store = TrustStore([root.certificate])
    for _ in range(2):
        assert _issued(store, Leaf(root).signed(), _at(pki)) == (root.certificate,)
    assert asked.times == 2


def test_a_sibling_that_is_an_anchor(pki: "Pki") -> None:
    leaf = Leaf(pki.root)
    anchor = replace(leaf, serial=b"\x02\x01\x06").signed()
    other = pki.certify("root", pki.keys["ec"], ca=True).certificate
    for anchors in ([pki.root.certificate, anchor], [pki.root.certificate, anchor, other]):
        store = TrustStore(anchors)
        assert _as_openssl(store, leaf.signed(), _at(pki))
        assert _as_openssl(store, anchor, _at(pki))
        assert not _as_openssl(store, anchor, END + SECOND)


def test_families_are_not_remembered_without_end(
    pki: "Pki", asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(algorithms, "REMEMBERED", 1)
    store = TrustStore([pki.root.certificate])
    first, other = Leaf(pki.root).signed(), Leaf(pki.root, extensions={}).signed()
    for leaf in (first, other, first):
        _issued(store, leaf, _at(pki))
    assert asked.times == 3
    _issued(store, first, _at(pki))
    assert asked.times == 3


@settings(max_examples=200, deadline=None)
@given(recipe=RECIPES, days=st.integers(-40, 40))
def test_whatever_a_ca_signs_openssl_agrees(pki: "Pki", recipe: Recipe, days: int) -> None:
    store = TrustStore([pki.root.certificate])
    leaf = Leaf(pki.root)
    _issued(store, leaf.signed(), _at(pki))
    odd = leaf.signed(mutated(leaf.tbs, recipe))
    _as_openssl(store, odd, _at(pki) + dt.timedelta(days=days))
