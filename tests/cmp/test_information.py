"""What a genp tells, and what is checked of it."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from bulkcmp.cmp import general
from bulkcmp.cmp.asn1 import ObjectIdentifier, encode, explicit, wrap
from bulkcmp.cmp.checks import MOST_TRIED, CheckError, Reason
from bulkcmp.cmp.evidence import Evidence
from bulkcmp.cmp.general import RootCaKeyUpdate, crl_status_list
from bulkcmp.cmp.information import answer_to, check
from bulkcmp.cmp.trust import Trust, TrustStore
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import Itav

if TYPE_CHECKING:
    from tests.cmp.conftest import Party, Pki

RSA = wrap(0x30, encode(ObjectIdentifier("1.2.840.113549.1.1.1")), b"\x05\x00")
EC = encode(ObjectIdentifier("1.2.840.10045.2.1"))
P256 = wrap(0x30, EC, encode(ObjectIdentifier("1.2.840.10045.3.1.7")))
NULL = b"\x05\x00"


@pytest.fixture
def evidence(pki: "Pki") -> Evidence:
    return Evidence(pki.trust(), (), pki.at())


def refused(asked: Itav, told: Itav, evidence: Evidence) -> tuple[Reason, str]:
    with pytest.raises(CheckError) as caught:
        check(asked, told, evidence)
    return caught.value.reason, caught.value.what


# --- which answer ---------------------------------------------------------------------------------


def test_the_answer_is_found_by_its_infotype() -> None:
    one, other = Itav(general.CA_CERTS, b"1"), Itav(general.ROOT_CA_KEY_UPDATE)
    assert answer_to(Itav(general.CA_CERTS), [other, one]) is one
    assert answer_to(Itav(general.ROOT_CA_CERT), [one, other]) is other
    for question, kind in (
        (general.CRL_STATUS_LIST, general.CRLS),
        (general.KEY_PAIR_PARAM_REQ, general.KEY_PAIR_PARAM_REP),
        (general.CERT_REQ_TEMPLATE, general.CERT_REQ_TEMPLATE),
        ("1.2.3", "1.2.3"),
    ):
        assert answer_to(Itav(question), [one, other, Itav(kind)]) == Itav(kind)


def test_another_answer_is_none() -> None:
    with pytest.raises(CheckError, match="the genp has rootCaCert instead of rootCaKey"):
        answer_to(Itav(general.ROOT_CA_CERT), [Itav(general.ROOT_CA_CERT)])
    with pytest.raises(CheckError, match="the genp has nothing instead of caCerts") as caught:
        answer_to(Itav(general.CA_CERTS), [])
    assert caught.value.reason is Reason.INFO_MISSING


def test_what_the_ca_does_not_support() -> None:
    oids = wrap(0x30, EC, encode(ObjectIdentifier(general.CA_CERTS)))
    told = [Itav(general.UNSUPPORTED_OIDS, oids)]
    with pytest.raises(CheckError, match="caCerts is among the unsupportedOIDs") as caught:
        answer_to(Itav(general.CA_CERTS), told)
    assert caught.value.reason is Reason.INFO_UNSUPPORTED
    for others in (told, [Itav(general.UNSUPPORTED_OIDS)]):
        with pytest.raises(CheckError) as caught:
            answer_to(Itav(general.CURRENT_CRL), others)
        assert caught.value.reason is Reason.INFO_MISSING
    for bad in (NULL, wrap(0x30, NULL)):
        with pytest.raises(RemoteCmpError):
            answer_to(Itav(general.CA_CERTS), [Itav(general.UNSUPPORTED_OIDS, bad)])


@pytest.mark.parametrize("oid", [*general.QUESTIONS.values(), general.CRLS, "1.2.3"])
def test_an_answer_may_say_that_there_is_none(oid: str, evidence: Evidence) -> None:
    assert check(Itav(oid), Itav(oid), evidence) == f"{general.name_of(oid)}: none"


def test_an_unknown_infotype_is_not_judged(evidence: Evidence) -> None:
    assert check(Itav("1.2.3"), Itav("1.2.3", b"\x04\x02ab"), evidence) == "1.2.3: 4 octets"


# --- algorithms and languages ---------------------------------------------------------------------


def test_algorithms(evidence: Evidence) -> None:
    for oid in (general.SIGN_KEY_PAIR_TYPES, general.ENC_KEY_PAIR_TYPES):
        told = Itav(oid, wrap(0x30, RSA, P256))
        assert check(Itav(oid), told, evidence).endswith(": 2 algorithms")
    told = Itav(general.SIGN_KEY_PAIR_TYPES, wrap(0x30, RSA))
    assert check(Itav(told.oid), told, evidence) == "signKeyPairTypes: 1 algorithm"
    told = Itav(general.PREFERRED_SYMM_ALG, RSA)
    assert check(Itav(told.oid), told, evidence) == "preferredSymmAlg: 1.2.840.113549.1.1.1"
    told = Itav(general.SUPP_LANG_TAGS, wrap(0x30, b"\x0c\x02de", b"\x0c\x02en"))
    assert check(Itav(told.oid), told, evidence) == "suppLangTags: de, en"


def test_parameters_of_a_key(evidence: Evidence) -> None:
    asked, told = Itav(general.KEY_PAIR_PARAM_REQ, EC), Itav(general.KEY_PAIR_PARAM_REP, P256)
    assert check(asked, told, evidence) == "keyPairParamRep: 1.2.840.10045.2.1"
    reason, what = refused(asked, replace(told, value=RSA), evidence)
    assert reason is Reason.INFO_MALFORMED
    assert "which was not asked for" in what


@pytest.mark.parametrize(
    ("oid", "value"),
    [
        (general.SIGN_KEY_PAIR_TYPES, NULL),
        (general.SIGN_KEY_PAIR_TYPES, wrap(0x30)),
        (general.ENC_KEY_PAIR_TYPES, wrap(0x30, NULL)),
        (general.ENC_KEY_PAIR_TYPES, wrap(0x30, wrap(0x30))),
        (general.PREFERRED_SYMM_ALG, wrap(0x30, EC, NULL, NULL)),
        (general.PREFERRED_SYMM_ALG, wrap(0x30, NULL)),
        (general.SUPP_LANG_TAGS, wrap(0x30)),
        (general.SUPP_LANG_TAGS, wrap(0x30, NULL)),
        (general.CA_CERTS, wrap(0x30)),
        (general.CA_CERTS, wrap(0x30, NULL)),
        (general.CA_PROT_ENC_CERT, NULL),
        (general.ROOT_CA_KEY_UPDATE, NULL),
        (general.ROOT_CA_KEY_UPDATE, wrap(0x30, NULL)),
        (general.CA_KEY_UPDATE_INFO, NULL),
        (general.CRLS, wrap(0x30)),
        (general.CRLS, wrap(0x30, NULL)),
        (general.CURRENT_CRL, NULL),
        (general.CERT_REQ_TEMPLATE, NULL),
        (general.CERT_REQ_TEMPLATE, wrap(0x30)),
        (general.CERT_REQ_TEMPLATE, wrap(0x30, NULL)),
    ],
)
def test_what_is_not_of_its_infotype(oid: str, value: bytes, evidence: Evidence) -> None:
    asked = Itav(oid)
    if oid == general.CRLS:
        asked = Itav(general.CRL_STATUS_LIST, wrap(0x30))
    reason, what = refused(asked, Itav(oid, value), evidence)
    assert reason is Reason.INFO_MALFORMED
    assert what.startswith(f"{general.name_of(oid)}: ")


# --- templates ------------------------------------------------------------------------------------


def control(oid: str, value: bytes) -> bytes:
    return wrap(0x30, encode(ObjectIdentifier(f"1.3.6.1.5.5.7.5.1.{oid}")), value)


@pytest.mark.parametrize(
    ("key_spec", "keys"),
    [
        (b"", "any"),
        (wrap(0x30, control("12", encode(2048))), "rsa:2048"),
        (
            wrap(0x30, control("11", P256), control("12", encode(3072))),
            "1.2.840.10045.2.1 or rsa:3072",
        ),
        (wrap(0x30, control("1", b"\x0c\x01x")), "1.3.6.1.5.5.7.5.1.1"),
    ],
)
def test_templates(key_spec: bytes, keys: str, evidence: Evidence, pki: "Pki") -> None:
    template = wrap(0x30, explicit(5, pki.root.subject))
    told = Itav(general.CERT_REQ_TEMPLATE, wrap(0x30, template, key_spec))
    text = f"certReqTemplate: a template for {keys} keys"
    assert check(Itav(told.oid), told, evidence) == text


@pytest.mark.parametrize(
    "content",
    [
        wrap(0x30, wrap(0xA6, P256, b"\x03\x01\x00")),
        wrap(0x30) + wrap(0x30, control("12", encode(0))),
        wrap(0x30) + wrap(0x30, control("12", encode(1 << 4000))),
        wrap(0x30) + wrap(0x30, control("12", NULL)),
        wrap(0x30) + wrap(0x30, control("11", NULL)),
    ],
)
def test_bad_templates(content: bytes, evidence: Evidence) -> None:
    told = Itav(general.CERT_REQ_TEMPLATE, wrap(0x30, content))
    assert refused(Itav(told.oid), told, evidence)[0] is Reason.INFO_MALFORMED


# --- certificates ---------------------------------------------------------------------------------


def test_ca_certificates(pki: "Pki", evidence: Evidence) -> None:
    other = pki.certify("other", pki.keys["ml-dsa-44"], ca=True)
    told = Itav(general.CA_CERTS, wrap(0x30, pki.root.certificate, other.certificate))
    assert check(Itav(told.oid), told, evidence) == "caCerts: 2 certificates"


def test_what_is_no_ca_certificate(pki: "Pki", evidence: Evidence) -> None:
    late = pki.certify("late", pki.keys["ec"], ca=True, days=1)
    for der, what in (
        (pki.device.certificate, "the certificate of CN=device is no CA's"),
        (late.certificate, "the certificate of CN=late has expired"),
    ):
        told = Itav(general.CA_CERTS, wrap(0x30, der))
        assert refused(Itav(told.oid), told, evidence) == (Reason.INFO_CERTIFICATE, what)


def test_a_certificate_that_can_not_be_read(pki: "Pki", evidence: Evidence) -> None:
    # of an algorithm that nobody knows
    strange = pki.root.certificate.replace(EC, EC[:-1] + b"\x7f")
    told = Itav(general.CA_CERTS, wrap(0x30, strange))
    reason, what = refused(Itav(told.oid), told, evidence)
    assert reason is Reason.INFO_MALFORMED
    assert what.startswith("caCerts: not a usable certificate: ")


def test_what_keys_are_encrypted_for_is_of_a_ca_that_we_trust(
    pki: "Pki", evidence: Evidence
) -> None:
    told = Itav(general.CA_PROT_ENC_CERT, pki.signer.certificate)
    assert check(Itav(told.oid), told, evidence) == "caProtEncCert: CN=signer"
    reason, what = refused(Itav(told.oid), replace(told, value=pki.stranger.certificate), evidence)
    assert reason is Reason.INFO_CERTIFICATE
    assert what.startswith("the certificate of CN=signer: no valid path")


# --- a new root -----------------------------------------------------------------------------------


@dataclass
class Roots:
    """An old root, a new one, and what links them."""

    old: "Party"
    new: "Party"
    link: "Party"
    back: "Party"

    @property
    def update(self) -> RootCaKeyUpdate:
        return RootCaKeyUpdate(self.new.certificate, self.link.certificate, self.back.certificate)


def roots(pki: "Pki", kind: str = "ec", name: str = "new root") -> Roots:
    key = ec.generate_private_key(ec.SECP384R1()) if kind == "ec" else pki.keys[kind]
    new = pki.certify(name, key, ca=True)
    link = pki.certify(name, key, pki.root, ca=True)
    back = pki.certify("root", pki.root.key, new, ca=True)
    return Roots(pki.root, new, link, back)


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519", "ed448", "ml-dsa-87"])
def test_a_new_root_of_any_key(pki: "Pki", evidence: Evidence, kind: str) -> None:
    update = roots(pki, kind).update
    told = Itav(general.ROOT_CA_KEY_UPDATE, update.encode())
    text = "rootCaKeyUpdate: CN=new root, until 2036-05-19"
    for named in (None, pki.root.certificate):
        asked = Itav(general.ROOT_CA_CERT, named)
        assert check(asked, told, evidence) == text
        short = replace(told, value=replace(update, old_with_new=None).encode())
        assert check(asked, short, evidence) == text
    older = wrap(0x30, update.old_with_new or b"", update.new_with_old or b"", update.new_with_new)
    asked = Itav(general.CA_KEY_UPDATE_INFO)
    assert check(asked, replace(asked, value=older), evidence).endswith("until 2036-05-19")


def test_a_new_root_of_the_same_name(pki: "Pki", evidence: Evidence) -> None:
    told = Itav(general.ROOT_CA_KEY_UPDATE, roots(pki, name="root").update.encode())
    assert check(Itav(general.ROOT_CA_CERT), told, evidence).endswith("CN=root, until 2036-05-19")


def no_link(roots: Roots, _pki: "Pki") -> RootCaKeyUpdate:
    return replace(roots.update, new_with_old=None)


def not_by_itself(roots: Roots, _pki: "Pki") -> RootCaKeyUpdate:
    return replace(roots.update, new_with_new=roots.link.certificate)


def by_another_of_the_name(roots: Roots, pki: "Pki") -> RootCaKeyUpdate:
    other = pki.certify("new root", pki.keys["rsa"], ca=True)
    forged = pki.certify("new root", roots.new.key, other, ca=True)
    return replace(roots.update, new_with_new=forged.certificate)


def link_of_another_key(roots: Roots, pki: "Pki") -> RootCaKeyUpdate:
    link = pki.certify("new root", pki.keys["rsa"], pki.root, ca=True)
    return replace(roots.update, new_with_old=link.certificate)


def link_of_another_name(roots: Roots, pki: "Pki") -> RootCaKeyUpdate:
    link = pki.certify("root 2", roots.new.key, pki.root, ca=True)
    return replace(roots.update, new_with_old=link.certificate)


def old_link(roots: Roots, pki: "Pki") -> RootCaKeyUpdate:
    link = pki.certify("new root", roots.new.key, pki.root, ca=True, days=1)
    return replace(roots.update, new_with_old=link.certificate)


def link_by_a_stranger(roots: Roots, pki: "Pki") -> RootCaKeyUpdate:
    foreign = pki.certify("root", pki.keys["ec"], ca=True)
    link = pki.certify("new root", roots.new.key, foreign, ca=True)
    return replace(roots.update, new_with_old=link.certificate)


def link_under_another_name(roots: Roots, pki: "Pki") -> RootCaKeyUpdate:
    foreign = replace(pki.certify("else", pki.root.key, ca=True))
    link = pki.certify("new root", roots.new.key, foreign, ca=True)
    return replace(roots.update, new_with_old=link.certificate)


def back_of_another_key(roots: Roots, pki: "Pki") -> RootCaKeyUpdate:
    back = pki.certify("root", pki.keys["rsa"], roots.new, ca=True)
    return replace(roots.update, old_with_new=back.certificate)


def back_of_another_name(roots: Roots, pki: "Pki") -> RootCaKeyUpdate:
    back = pki.certify("else", pki.root.key, roots.new, ca=True)
    return replace(roots.update, old_with_new=back.certificate)


def back_by_another(roots: Roots, pki: "Pki") -> RootCaKeyUpdate:
    other = pki.certify("new root", pki.keys["rsa"], ca=True)
    back = pki.certify("root", pki.root.key, other, ca=True)
    return replace(roots.update, old_with_new=back.certificate)


def back_by_itself(roots: Roots, pki: "Pki") -> RootCaKeyUpdate:
    return replace(roots.update, old_with_new=pki.root.certificate)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (no_link, "newWithOld is missing"),
        (not_by_itself, "is not signed by itself"),
        (by_another_of_the_name, "is not signed by itself"),
        (link_of_another_key, "newWithOld is not of the new root's name and key"),
        (link_of_another_name, "newWithOld is not of the new root's name and key"),
        (old_link, "newWithOld has expired"),
        (link_by_a_stranger, "newWithOld is not signed by"),
        (link_under_another_name, "newWithOld is not signed by"),
        (back_of_another_key, "oldWithNew is not of the old root's name and key"),
        (back_of_another_name, "oldWithNew is not of the old root's name and key"),
        (back_by_another, "oldWithNew is not signed by the new root"),
        (back_by_itself, "oldWithNew is not signed by the new root"),
    ],
)
def test_a_new_root_that_the_old_one_does_not_stand_behind(
    pki: "Pki",
    evidence: Evidence,
    spoil: Callable[[Roots, "Pki"], RootCaKeyUpdate],
    what: str,
) -> None:
    told = Itav(general.ROOT_CA_KEY_UPDATE, spoil(roots(pki), pki).encode())
    for named in (None, pki.root.certificate):
        reason, why = refused(Itav(general.ROOT_CA_CERT, named), told, evidence)
        assert reason is Reason.ROOT_UPDATE
        assert what in why


def test_the_root_that_was_named_counts_alone(pki: "Pki", evidence: Evidence) -> None:
    told = Itav(general.ROOT_CA_KEY_UPDATE, roots(pki).update.encode())
    other = pki.certify("other", pki.keys["ec"], ca=True)
    reason, what = refused(Itav(general.ROOT_CA_CERT, other.certificate), told, evidence)
    assert reason is Reason.ROOT_UPDATE
    assert what == "newWithOld is not signed by the root that was asked for"


def test_an_old_root_that_is_over_proves_nothing(pki: "Pki", evidence: Evidence) -> None:
    old = pki.certify("root", pki.root.key, ca=True, days=5)
    told = Itav(general.ROOT_CA_KEY_UPDATE, roots(pki).update.encode())
    reason, what = refused(Itav(general.ROOT_CA_CERT, old.certificate), told, evidence)
    assert (reason, what) == (Reason.ROOT_UPDATE, "the old root, CN=root, has expired")


# --- CRLs -----------------------------------------------------------------------------------------


def crl(issuer: "Party", evidence: Evidence, *, age: float = 1, days: float | None = 2) -> bytes:
    """A CRL that is `age` days old, and good for `days` from its making."""
    made = evidence.at - dt.timedelta(days=age)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(x509.Name.from_bytes(issuer.subject))
        .last_update(made)
        .next_update(made + dt.timedelta(days=days or 2))
    )
    hashed = isinstance(issuer.key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    algorithm = hashes.SHA256() if hashed else None
    return builder.sign(issuer.key, algorithm).public_bytes(Encoding.DER)


def ask_for_crls(held: bytes | None, certificate: bytes | None = None) -> Itav:
    return Itav(general.CRL_STATUS_LIST, crl_status_list(certificate, held))


def crls(*ders: bytes) -> Itav:
    return Itav(general.CRLS, wrap(0x30, *ders))


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519", "ml-dsa-65"])
def test_a_crl_of_an_issuer_that_we_trust(pki: "Pki", evidence: Evidence, kind: str) -> None:
    sub = pki.certify("sub CA", pki.keys[kind], pki.root, ca=True)
    root, own = crl(pki.root, evidence), crl(sub, evidence)
    text = "2026-05-31 12:00Z"
    assert check(ask_for_crls(None, pki.device.certificate), crls(root), evidence) == (
        f"crls: CN=root, {text}"
    )
    told = Itav(general.CURRENT_CRL, own)
    reason, what = refused(Itav(told.oid), told, evidence)
    assert (reason, what) == (
        Reason.CRL,
        "the CRL of CN=sub CA: its issuer's certificate is not known",
    )
    # which came along, among other things
    extra = replace(evidence, extra=(b"nothing", sub.certificate))
    assert check(Itav(told.oid), told, extra) == f"currentCRL: CN=sub CA, {text}"
    store = TrustStore([pki.root.certificate], [sub.certificate])
    known = replace(evidence, trust=Trust(store, store))
    assert check(Itav(told.oid), told, known) == f"currentCRL: CN=sub CA, {text}"


def test_a_crl_that_nobody_signed_whom_we_trust(pki: "Pki", evidence: Evidence) -> None:
    foreign = pki.certify("root", pki.keys["ec"], ca=True)
    told = Itav(general.CURRENT_CRL, crl(foreign, evidence))
    asked = Itav(told.oid)
    assert refused(asked, told, evidence) == (
        Reason.CRL,
        "the CRL of CN=root: its signature is wrong",
    )
    extra = replace(evidence, extra=(foreign.certificate,))
    reason, what = refused(asked, told, extra)
    assert reason is Reason.CRL
    assert what.startswith("the CRL of CN=root: its issuer: no valid path to a trust anchor")


def test_few_crls_and_issuers_are_tried(pki: "Pki", evidence: Evidence) -> None:
    sub = pki.certify("sub CA", pki.keys["ec"], pki.root, ca=True)
    der = crl(sub, evidence)
    asked = ask_for_crls(None, pki.device.certificate)
    others = [pki.certificate("other", pki.keys["ec"], pki.root) for _ in range(MOST_TRIED)]
    for before in (MOST_TRIED - 1, MOST_TRIED):
        extra = replace(evidence, extra=(*others[:before], sub.certificate))
        told = Itav(general.CURRENT_CRL, der)
        if before < MOST_TRIED:
            assert check(Itav(told.oid), told, extra)
        else:
            assert refused(Itav(told.oid), told, extra)[1].endswith("certificate is not known")
    many = crls(*[crl(pki.root, evidence)] * MOST_TRIED)
    assert check(asked, many, evidence)
    assert refused(asked, crls(*[der] * (MOST_TRIED + 1)), evidence) == (
        Reason.INFO_MALFORMED,
        f"crls: {MOST_TRIED + 1} CRLs, accepted are {MOST_TRIED}",
    )


def test_an_issuer_that_may_not_sign_crls(pki: "Pki", evidence: Evidence) -> None:
    told = Itav(general.CURRENT_CRL, crl(pki.signer, evidence))
    extra = replace(evidence, extra=(pki.signer.certificate,))
    assert refused(Itav(told.oid), told, extra) == (
        Reason.CRL,
        "the CRL of CN=signer: its issuer's keyUsage lacks cRLSign",
    )
    free = pki.certify("signer", pki.signer.key, pki.root, sign=None)
    extra = replace(evidence, extra=(free.certificate,))
    assert check(Itav(told.oid), told, extra).startswith("currentCRL: CN=signer")


def test_a_crl_that_is_too_old(pki: "Pki", evidence: Evidence) -> None:
    told = Itav(general.CURRENT_CRL, crl(pki.root, evidence, age=5))
    assert refused(Itav(told.oid), told, evidence) == (
        Reason.CRL_OUT_OF_DATE,
        "the CRL of CN=root was to be renewed at 2026-05-29 12:00Z",
    )


def test_a_crl_must_be_newer_than_ours(pki: "Pki", evidence: Evidence) -> None:
    held = crl(pki.root, evidence, age=1)
    newer = crl(pki.root, evidence, age=0.5)
    assert check(ask_for_crls(held), crls(newer), evidence) == "crls: CN=root, 2026-06-01 00:00Z"
    for same in (held, crl(pki.root, evidence, age=1.5)):
        assert refused(ask_for_crls(held), crls(same), evidence) == (
            Reason.CRL_OUT_OF_DATE,
            "the CRL of CN=root is not newer than ours",
        )


def test_a_crl_of_another_issuer(pki: "Pki", evidence: Evidence) -> None:
    sub = pki.certify("sub CA", pki.keys["ec"], pki.root, ca=True)
    extra = replace(evidence, extra=(sub.certificate,))
    asked = ask_for_crls(None, pki.device.certificate)
    assert refused(asked, crls(crl(sub, evidence)), extra) == (
        Reason.CRL,
        "a CRL of CN=sub CA, which was not asked for",
    )
    # a distribution point does not say whose the CRL is; a name that is none says nothing either
    for source in (
        explicit(0, explicit(0, wrap(0x86, b"http://ca.test/"))),
        explicit(1, wrap(0x30, wrap(0x86, b"http://ca.test/"))),
    ):
        by_point = Itav(general.CRL_STATUS_LIST, wrap(0x30, wrap(0x30, source)))
        assert check(by_point, crls(crl(sub, evidence)), extra).startswith("crls: CN=sub CA")
