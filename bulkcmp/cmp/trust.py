"""Who may sign for the CA, and whose certificates we take: path validation by OpenSSL.

`cryptography.x509.verification` wants a profile of its own and refuses EdDSA chains; pyOpenSSL
hands the certificates to OpenSSL's `X509_verify_cert` (RFC 5280, 6), which takes RSA, ECDSA,
EdDSA and ML-DSA alike. It looks certificates up in CRLs too (RFC 5280, 6.3): in complete ones, in
force, which their issuer signed itself.
"""

import datetime as dt
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from OpenSSL import crypto

from bulkcmp.cmp.algorithms import REMEMBERED
from bulkcmp.cmp.certificate import ReadCertificate
from bulkcmp.cmp.path import Siblings
from bulkcmp.errors import InputError, RemoteCmpError

EXTENSION_ERRORS: Final = (
    ValueError,
    TypeError,
    # a TLS feature that it does not know
    KeyError,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What `cryptography` raises on extensions that it can't parse: it makes objects of all of them,
whichever one is asked for."""

_CACHE_SIZE = 4096

MOST_HELPERS: Final = 64
"""Certificates of one message that a path is looked for among: to read thousands takes long."""

_END_OF_TIME: Final = dt.datetime.max.replace(tzinfo=dt.UTC)


def load_certificate(der: bytes) -> x509.Certificate:
    """A certificate from its DER.

    Raises:
        RemoteCmpError: not a certificate.
    """
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion) as error:
        raise RemoteCmpError(f"not a certificate: {error}") from error


@dataclass(frozen=True, slots=True)
class _Path:
    chain: tuple[bytes, ...]
    not_before: dt.datetime
    not_after: dt.datetime


@dataclass(frozen=True, slots=True)
class CrlCheck:
    """That certificates are looked up in CRLs.

    Attributes:
        crls: in DER, of whichever CAs.
        whole_path: CAs' certificates too (`--crl-check-all`), and not only those that protect
            messages (`--crl-check`).
    """

    crls: tuple[bytes, ...] = field(repr=False)
    whole_path: bool = False


@dataclass(frozen=True, slots=True)
class _Standing:
    """What CRLs say of a certificate: why it is refused, or nothing; from `since`, to before
    `until`."""

    since: dt.datetime
    until: dt.datetime
    flaw: str
    hint: str | None


_REVOKED: Final = 23
"""X509_V_ERR_CERT_REVOKED"""
_NO_CRL: Final = 3
"""X509_V_ERR_UNABLE_TO_GET_CRL"""
_CRL_EXPIRED: Final = 12
"""X509_V_ERR_CRL_HAS_EXPIRED"""

_HINTS: Final = {
    _REVOKED: "whoever has its key can stand in for the CA: ask who runs it",
    _NO_CRL: "give the CRL of its issuer with --crls",
    _CRL_EXPIRED: "give a newer CRL of its issuer with --crls",
}


class TrustStore:
    """Trust anchors, and certificates that help to build a path to them.

    Any certificate may be an anchor, also one that is not self-signed: trust is the user's word.
    """

    def __init__(
        self,
        anchors: Iterable[bytes],
        untrusted: Iterable[bytes] = (),
        crl_check: CrlCheck | None = None,
    ) -> None:
        """
        Args:
            anchors: DER certificates.
            untrusted: DER certificates of intermediate CAs.
            crl_check: how revocation is looked up; None for not at all.

        Raises:
            InputError: no anchor, or something that is not a certificate or CRL.
        """
        self.anchors = tuple(anchors)
        self.untrusted = tuple(untrusted)
        if not self.anchors:
            raise InputError("no trust anchor", hint="give the CA's certificate with --trusted")
        try:
            self._trusted = [_openssl(certificate) for certificate in self.anchors]
            self._helpers = [_openssl(certificate) for certificate in self.untrusted]
        except RemoteCmpError as error:
            raise InputError(f"a trusted or untrusted certificate is unusable: {error}") from error
        self._crl_check = crl_check
        self._crls = [_crl(der) for der in crl_check.crls] if crl_check is not None else []
        self._standings: dict[bytes, _Standing] = {}
        self._paths: dict[bytes, _Path] = {}
        self._siblings = Siblings()
        self._dated: tuple[dt.datetime, crypto.X509Store] | None = None

    def chain(
        self, certificate: bytes, extra: Sequence[bytes], at: dt.datetime
    ) -> tuple[bytes, ...]:
        """Validate a path from a certificate to an anchor.

        Args:
            certificate: DER.
            extra: DER certificates from the message, none of them trusted; what can't be read
                among them is left out, and so is what comes after the first MOST_HELPERS.
            at: the time of validation, aware.

        Returns:
            DER of the issuers, nearest first, the anchor last; empty for an anchor itself.

        Raises:
            RemoteCmpError: there is no valid path; the text is OpenSSL's.
        """
        leaf = _openssl(certificate)
        helpers = list(self._helpers)
        for der in extra[:MOST_HELPERS]:
            try:
                helpers.append(_issuer(der))
            except RemoteCmpError:
                continue
        context = crypto.X509StoreContext(self._store_at(at), leaf, helpers)
        try:
            verified = context.get_verified_chain()
        except crypto.X509StoreContextError as error:
            raise RemoteCmpError(
                f"no valid path to a trust anchor: {error.args[0]}",
            ) from error
        return tuple(
            crypto.dump_certificate(crypto.FILETYPE_ASN1, issuer) for issuer in verified[1:]
        )

    def issued_chain(
        self, certificate: ReadCertificate, extra: Sequence[bytes], at: dt.datetime
    ) -> tuple[bytes, ...]:
        """`chain`, for one of the many certificates that a CA issues; raises as `chain` does.

        The issuers' path is validated once for all that are alike (`bulkcmp.cmp.path`).
        """
        if certificate.der in self.anchors:
            return self.chain(certificate.der, extra, at)
        chain = self._siblings.chain(certificate, at)
        if chain is None:
            chain = self.chain(certificate.der, extra, at)
            self._siblings.remember(certificate, chain)
        return chain

    def _store_at(self, at: dt.datetime) -> crypto.X509Store:
        """A store of the anchors as of a second, to which OpenSSL counts."""
        second = at.replace(microsecond=0)
        dated = self._dated
        if dated is None or dated[0] != second:
            dated = self._dated = second, self._new_store(at)
        return dated[1]

    def _new_store(self, at: dt.datetime, flags: int = 0) -> crypto.X509Store:
        # a store keeps the first time that it is set to: X509_STORE_set1_param does not overwrite
        store = crypto.X509Store()
        store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN | flags)
        for anchor in self._trusted:
            store.add_cert(anchor)
        store.set_time(at.astimezone(dt.UTC))
        return store

    def cached_chain(
        self, certificate: bytes, extra: Sequence[bytes], at: dt.datetime
    ) -> tuple[bytes, ...]:
        """`chain`, remembered by the certificate's bytes as long as the whole path is valid; and,
        where that is wished, what CRLs say of it is heard.

        For the few certificates that sign many messages; raises as `chain` does.
        """
        chain = self._remembered_chain(certificate, extra, at)
        if self._crl_check is not None:
            path = (certificate, *chain)
            self._refuse_revoked(path, len(chain) if self._crl_check.whole_path else 1, at)
        return chain

    def check_issuers(self, chain: tuple[bytes, ...], at: dt.datetime) -> None:
        """Make sure that no CA of a path is revoked, where that is wished (`--crl-check-all`).

        Args:
            chain: as `chain` returns it.

        Raises:
            RemoteCmpError: one is, or no CRL in force tells.
        """
        if self._crl_check is not None and self._crl_check.whole_path:
            self._refuse_revoked(chain, len(chain) - 1, at)

    def _refuse_revoked(self, path: tuple[bytes, ...], count: int, at: dt.datetime) -> None:
        """Look the first certificates of a path up, but not its anchor: trust in that is the user's
        word."""
        for place in range(min(count, len(path) - 1)):
            standing = self._standings.get(path[place])
            if standing is None or not standing.since <= at < standing.until:
                standing = self._looked_up(path[place:], at)
                if len(self._standings) >= _CACHE_SIZE:
                    self._standings.clear()
                self._standings[path[place]] = standing
            if standing.flaw:
                of_issuer = " (of an issuer on its path)" if place else ""
                raise RemoteCmpError(f"{standing.flaw}{of_issuer}", hint=standing.hint)

    def _looked_up(self, path: tuple[bytes, ...], at: dt.datetime) -> _Standing:
        """What CRLs say of the first certificate of a path, and until when they say the same."""
        store = self._new_store(at, crypto.X509StoreFlags.CRL_CHECK)
        for crl in self._crls:
            store.add_crl(crl)
        leaf, *issuers = map(_openssl, path)
        second = at.replace(microsecond=0)
        turns = [
            turn
            for crl in self._crls
            for turn in (crl.last_update_utc, crl.next_update_utc)
            if turn is not None and turn >= second
        ]
        flaw, hint = "", None
        try:
            crypto.X509StoreContext(store, leaf, issuers).verify_certificate()
        except crypto.X509StoreContextError as error:
            flaw = f"the CRL check: {error.args[0]}"
            hint = _HINTS.get(error.errors[0])
        return _Standing(at, min(turns, default=_END_OF_TIME), flaw, hint)

    def _remembered_chain(
        self, certificate: bytes, extra: Sequence[bytes], at: dt.datetime
    ) -> tuple[bytes, ...]:
        path = self._paths.get(certificate)
        if path is not None and path.not_before <= at <= path.not_after:
            return path.chain
        chain = self.chain(certificate, extra, at)
        members = [load_certificate(der) for der in (certificate, *chain)]
        if len(self._paths) >= _CACHE_SIZE:
            self._paths.clear()
        self._paths[certificate] = _Path(
            chain,
            max(member.not_valid_before_utc for member in members),
            min(member.not_valid_after_utc for member in members),
        )
        return chain


def _crl(der: bytes) -> x509.CertificateRevocationList:
    try:
        return x509.load_der_x509_crl(der)
    except Exception as error:
        # what cryptography can't read raises whatever it likes
        raise InputError(f"not a usable CRL: {error}") from error


@functools.lru_cache(maxsize=REMEMBERED)
def _issuer(der: bytes) -> crypto.X509:
    """The same few certificates come along with every answer."""
    return _openssl(der)


def _openssl(der: bytes) -> crypto.X509:
    # which refuses what OpenSSL would let pass
    load_certificate(der)
    try:
        return crypto.load_certificate(crypto.FILETYPE_ASN1, der)
    except crypto.Error as error:
        raise RemoteCmpError("not a certificate that OpenSSL can read") from error


@dataclass(frozen=True)
class Trust:
    """What a transaction trusts.

    Attributes:
        signers: for the certificates that protect messages (`--trusted`, `--untrusted`).
        issuers: for the certificates that are issued to us (`--out-trusted`, else the same).
        srvcert: DER of the one certificate that may protect messages (`--srvcert`), if pinned.
    """

    signers: TrustStore
    issuers: TrustStore
    srvcert: bytes | None = None
