"""What a genp tells, checked (RFC 9810, 5.3.19; RFC 9483, 4.3).

The protection of the genp was found good before any of it is looked at. What it brings is checked
besides where it is to be trusted on its own: a new root by the old one, a CRL by its issuer.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bulkcmp.cmp import general
from bulkcmp.cmp.asn1 import (
    TLV,
    ObjectIdentifier,
    content,
    decode,
    decode_sequence_of,
    encode,
    tag,
)
from bulkcmp.cmp.checks import MOST_TRIED, CheckError, Reason, Verdicts, same_name
from bulkcmp.cmp.crl import Crl, checked_crl
from bulkcmp.cmp.evidence import Evidence, KnownCertificate
from bulkcmp.cmp.general import CertReqTemplateContent, RootCaKeyUpdate, name_of
from bulkcmp.cmp.messages import AttributeTypeAndValue, directory_name_of
from bulkcmp.cmp.template import time_of
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import Itav, Outcome, OutcomeClass

# --- answers --------------------------------------------------------------------------------------


def taken(
    questions: Sequence[Itav], told: Sequence[Itav], evidence: Evidence, verdicts: Verdicts
) -> tuple[tuple[Itav, ...], Outcome]:
    """What a genp comes to.

    Args:
        verdicts: are told of each check.

    Returns:
        The answers that are good, and the outcome; the first that is bad decides it.
    """
    good: list[Itav] = []
    found: list[str] = []
    bad: CheckError | None = None
    for asked in questions:
        try:
            answer = answer_to(asked, told)
            verdicts.passed(Reason.INFO_MISSING, name_of(answer.oid))
            found.append(check(asked, answer, evidence))
            verdicts.passed(Reason.INFO_MALFORMED, found[-1])
            good.append(answer)
        except CheckError as error:
            verdicts.failed(error)
            bad = bad or error
    if bad is None:
        return tuple(good), Outcome(OutcomeClass.ANSWERED, detail="; ".join(found))
    unsupported = bad.reason is Reason.INFO_UNSUPPORTED
    kind = OutcomeClass.REJECTED if unsupported else OutcomeClass.BAD_RESPONSE
    return tuple(good), Outcome(kind, bad.reason.value, bad.what)


def answer_to(asked: Itav, told: Sequence[Itav]) -> Itav:
    """What a genp says to one question.

    Raises:
        CheckError: nothing, or that the CA does not know such questions.
    """
    wanted = general.ANSWERS.get(asked.oid, asked.oid)
    found = next((one for one in told if one.oid == wanted), None)
    if found is not None:
        return found
    name = name_of(asked.oid)
    for one in told:
        if one.oid == general.UNSUPPORTED_OIDS and asked.oid in _oids(one):
            raise CheckError(Reason.INFO_UNSUPPORTED, f"{name} is among the unsupportedOIDs")
    has = ", ".join(name_of(one.oid) for one in told[:8]) or "nothing"
    raise CheckError(
        Reason.INFO_MISSING,
        f"{name} was asked for, the genp has {has} instead of {name_of(wanted)}",
    )


def _oids(info: Itav) -> list[str]:
    if info.value is None:
        return []
    return [decode(ObjectIdentifier, one).dotted_string for one in decode_sequence_of(info.value)]


def check(asked: Itav, told: Itav, evidence: Evidence) -> str:
    """Check the answer to one question.

    An answer without a value says that there is none.

    Returns:
        What it holds, in a few words.

    Raises:
        CheckError: with the reason.
    """
    name = name_of(told.oid)
    if told.value is None:
        return f"{name}: none"
    known = _CHECKS.get(told.oid)
    if known is None:
        return f"{name}: {len(told.value)} octets"
    try:
        return f"{name}: {known(asked, told.value, evidence)}"
    except CheckError:
        raise
    except RemoteCmpError as error:
        raise CheckError(Reason.INFO_MALFORMED, f"{name}: {error.what}") from error


def _algorithm(der: bytes | TLV) -> str:
    """The OID of an AlgorithmIdentifier."""
    elements = decode_sequence_of(der)
    if not 1 <= len(elements) <= 2:
        raise RemoteCmpError(f"an AlgorithmIdentifier of {len(elements)} elements")
    return decode(ObjectIdentifier, elements[0]).dotted_string


def _check_algorithms(_asked: Itav, value: bytes, _evidence: Evidence) -> str:
    return _counted(len([_algorithm(one) for one in _some(value)]), "algorithm")


def _check_algorithm(asked: Itav, value: bytes, _evidence: Evidence) -> str:
    algorithm = _algorithm(value)
    if asked.oid == general.KEY_PAIR_PARAM_REQ and asked.value != encode(
        ObjectIdentifier(algorithm)
    ):
        raise RemoteCmpError(f"parameters of algorithm {algorithm}, which was not asked for")
    return algorithm


def _check_languages(_asked: Itav, value: bytes, _evidence: Evidence) -> str:
    return ", ".join(decode(str, one) for one in _some(value))


def _some(value: bytes) -> list[TLV]:
    """The elements of a SEQUENCE SIZE (1..MAX)."""
    elements = decode_sequence_of(value)
    if not elements:
        raise RemoteCmpError("an empty SEQUENCE")
    return elements


# --- certificates ---------------------------------------------------------------------------------


# CaCertsValue ::= SEQUENCE SIZE (1..MAX) OF CMPCertificate
def _check_ca_certs(_asked: Itav, value: bytes, evidence: Evidence) -> str:
    certificates = [_ca_certificate(encode(one), evidence.at) for one in _some(value)]
    return _counted(len(certificates), "certificate")


def _check_enc_cert(_asked: Itav, value: bytes, evidence: Evidence) -> str:
    """Keys are encrypted for it: it must be of a CA that we trust."""
    certificate = KnownCertificate.read(value)
    try:
        evidence.trust.issuers.cached_chain(value, evidence.extra, evidence.at)
    except RemoteCmpError as error:
        raise CheckError(
            Reason.INFO_CERTIFICATE,
            f"the certificate of {certificate}: {error.what}",
            hint=error.hint,
        ) from error
    return str(certificate)


def _ca_certificate(der: bytes, at: dt.datetime) -> KnownCertificate:
    certificate = KnownCertificate.read(der)
    if not certificate.is_ca:
        raise CheckError(Reason.INFO_CERTIFICATE, f"the certificate of {certificate} is no CA's")
    if certificate.not_after < at:
        raise CheckError(Reason.INFO_CERTIFICATE, f"the certificate of {certificate} has expired")
    return certificate


def _check_root_update(asked: Itav, value: bytes, evidence: Evidence) -> str:
    return _check_update(RootCaKeyUpdate.decode(value), asked, evidence)


def _check_ca_key_update(asked: Itav, value: bytes, evidence: Evidence) -> str:
    return _check_update(general.ca_key_update(value), asked, evidence)


def _check_update(update: RootCaKeyUpdate, asked: Itav, evidence: Evidence) -> str:
    """Check that the old root stands behind the new one (RFC 9810, 4.4; RFC 9483, 4.3.2)."""
    new = _ca_certificate(update.new_with_new, evidence.at)
    if not same_name(new.issuer, new.subject) or not new.has_signed(new.der):
        raise CheckError(Reason.ROOT_UPDATE, f"newWithNew, {new}, is not signed by itself")
    if update.new_with_old is None:
        raise CheckError(Reason.ROOT_UPDATE, "newWithOld is missing: nothing proves the new root")
    link = KnownCertificate.read(update.new_with_old)
    if link.public_key != new.public_key or not same_name(link.subject, new.subject):
        raise CheckError(Reason.ROOT_UPDATE, "newWithOld is not of the new root's name and key")
    if link.not_after < evidence.at:
        raise CheckError(Reason.ROOT_UPDATE, "newWithOld has expired")
    old = _old_root(link, asked, evidence)
    if update.old_with_new is not None:
        back = KnownCertificate.read(update.old_with_new)
        if back.public_key != old.public_key or not same_name(back.subject, old.subject):
            raise CheckError(Reason.ROOT_UPDATE, "oldWithNew is not of the old root's name and key")
        if not same_name(back.issuer, new.subject) or not new.has_signed(back.der):
            raise CheckError(Reason.ROOT_UPDATE, "oldWithNew is not signed by the new root")
    return f"{new}, until {new.not_after:%Y-%m-%d}"


def _old_root(link: KnownCertificate, asked: Itav, evidence: Evidence) -> KnownCertificate:
    """The root that signed newWithOld: the one that was named, else any that is trusted."""
    named = asked.value if asked.oid == general.ROOT_CA_CERT else None
    for der in evidence.anchors if named is None else (named,):
        old = KnownCertificate.read(der)
        if same_name(link.issuer, old.subject) and old.has_signed(link.der):
            if old.not_after < evidence.at:
                raise CheckError(Reason.ROOT_UPDATE, f"the old root, {old}, has expired")
            return old
    by = "any trust anchor" if named is None else "the root that was asked for"
    raise CheckError(Reason.ROOT_UPDATE, f"newWithOld is not signed by {by}")


# --- CRLs -----------------------------------------------------------------------------------------


# CRLsValue ::= SEQUENCE SIZE (1..MAX) OF CertificateList
def _check_crls(asked: Itav, value: bytes, evidence: Evidence) -> str:
    wanted = list(_wanted(asked))
    told = _some(value)
    if len(told) > MOST_TRIED:
        raise RemoteCmpError(f"{len(told)} CRLs, accepted are {MOST_TRIED}")
    found = [checked_crl(encode(one), evidence) for one in told]
    for crl in found:
        if not any(one.suits(crl) for one in wanted):
            raise CheckError(Reason.CRL, f"a CRL of {crl}, which was not asked for")
        if all(one.has is not None and crl.this_update <= one.has for one in wanted):
            raise CheckError(Reason.CRL_OUT_OF_DATE, f"the CRL of {crl} is not newer than ours")
    return ", ".join(f"{crl.text}, {crl.this_update:%Y-%m-%d %H:%M}Z" for crl in found)


def _check_current_crl(_asked: Itav, value: bytes, evidence: Evidence) -> str:
    crl = checked_crl(value, evidence)
    return f"{crl.text}, {crl.this_update:%Y-%m-%d %H:%M}Z"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A CRLStatus of ours: issuers, empty where the source is a distribution point."""

    issuers: tuple[bytes, ...]
    has: dt.datetime | None

    def suits(self, crl: Crl) -> bool:
        return not self.issuers or any(same_name(one, crl.issuer) for one in self.issuers)


def _wanted(asked: Itav) -> Iterator[_Wanted]:
    assert asked.value is not None, "a crlStatusList names CRLs"
    for status in decode_sequence_of(asked.value):
        source, *has = decode_sequence_of(status)
        names = [] if tag(source) == general.CRL_SOURCE_DPN else decode_sequence_of(content(source))
        issuers = [directory_name_of(name) for name in names]
        yield _Wanted(
            tuple(one for one in issuers if one is not None),
            time_of(has[0]) if has else None,
        )


# --- certificate request template -----------------------------------------------------------------


def _check_template(_asked: Itav, value: bytes, _evidence: Evidence) -> str:
    template = decode(CertReqTemplateContent, value)
    if template.certTemplate.publicKey is not None:
        # RFC 9810, 5.3.19.16
        raise RemoteCmpError("a certTemplate with a publicKey, whose place keySpec has")
    kinds = [_key_kind(one) for one in template.keySpec or ()]
    return f"a template for {' or '.join(kinds) or 'any'} keys"


def _key_kind(control: AttributeTypeAndValue) -> str:
    if control.type == general.RSA_KEY_LEN:
        length = decode(int, control.value)
        # a modulus of more bits is none that anybody can make
        if not 0 < length < 1 << 16:
            raise RemoteCmpError("an rsaKeyLen that is no length of a key")
        return f"rsa:{length}"
    return (
        _algorithm(control.value) if control.type == general.ALG_ID else control.type.dotted_string
    )


def _counted(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"


_CHECKS: Final[dict[str, Callable[[Itav, bytes, Evidence], str]]] = {
    general.CA_PROT_ENC_CERT: _check_enc_cert,
    general.SIGN_KEY_PAIR_TYPES: _check_algorithms,
    general.ENC_KEY_PAIR_TYPES: _check_algorithms,
    general.PREFERRED_SYMM_ALG: _check_algorithm,
    general.CA_KEY_UPDATE_INFO: _check_ca_key_update,
    general.CURRENT_CRL: _check_current_crl,
    general.KEY_PAIR_PARAM_REP: _check_algorithm,
    general.SUPP_LANG_TAGS: _check_languages,
    general.CA_CERTS: _check_ca_certs,
    general.ROOT_CA_KEY_UPDATE: _check_root_update,
    general.CERT_REQ_TEMPLATE: _check_template,
    general.CRLS: _check_crls,
}
