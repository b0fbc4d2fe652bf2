"""The old certificates of a user, as a record has them, and whether the old CA issued them."""

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from bulkcmp.cmp.trust import EXTENSION_ERRORS, load_certificate
from bulkcmp.engine.options import Options
from bulkcmp.errors import InputError, RemoteCmpError
from bulkcmp.inputs.cell import read_serial
from bulkcmp.inputs.credential import read_certificates
from bulkcmp.inputs.material import inline, parse_material
from bulkcmp.inputs.name import format_name, parse_name


@dataclass(frozen=True, slots=True)
class OldCertificate:
    """A certificate of the old CA, as far as the record tells.

    Attributes:
        issuer: RFC 4514 text of its issuer.
        cells: that name it in a row which revokes it.
        certificate: None where a serial number and its issuer are all that is known.
    """

    issuer: str
    serial: int
    cells: dict[str, str]
    certificate: x509.Certificate | None = None

    @classmethod
    def of(cls, der: bytes) -> Self:
        """
        Raises:
            InputError: it is damaged.
        """
        try:
            certificate = load_certificate(der)
            issuer = format_name(certificate.issuer.public_bytes())
        except (RemoteCmpError, ValueError) as error:
            raise InputError(f"the certificate is damaged: {error}") from None
        return cls(issuer, certificate.serial_number, {"oldcert": inline(der)}, certificate)

    @property
    def key(self) -> tuple[str, int]:
        """What no other certificate has."""
        return self.issuer, self.serial

    @property
    def subject(self) -> str | None:
        """RFC 4514 text."""
        if self.certificate is None:
            return None
        return format_name(self.certificate.subject.public_bytes())

    @property
    def begins(self) -> dt.datetime:
        """When its validity does, aware; before all others where that is not known."""
        if self.certificate is None:
            return dt.datetime.min.replace(tzinfo=dt.UTC)
        return self.certificate.not_valid_before_utc

    @property
    def is_ca(self) -> bool:
        """Whether it is a CA's, as far as it is known."""
        if self.certificate is None:
            return False
        try:
            extensions = self.certificate.extensions
            return extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except (*EXTENSION_ERRORS, x509.ExtensionNotFound):
            return False

    def has_expired(self, now: dt.datetime) -> bool:
        return self.certificate is not None and self.certificate.not_valid_after_utc < now


def read_old(
    folder: Path, oldcert: Iterable[str], serial: str, issuer: str
) -> list[OldCertificate]:
    """The old certificates that the cells of a row name, each once, those of CAs left out.

    Args:
        folder: that paths are relative to.
        oldcert: paths of files, or `base64:` and the certificate; a file may have several.
        serial, issuer: another one, or empty.

    Raises:
        InputError: one can't be read.
    """
    found: dict[tuple[str, int], OldCertificate] = {}
    for text in oldcert:
        held = map(OldCertificate.of, read_certificates(parse_material(folder, text)))
        own = [one for one in held if not one.is_ca]
        if not own:
            raise InputError("names certificates of CAs only, and none of a user")
        found |= {one.key: one for one in own}
    if serial:
        if not issuer:
            raise InputError("a serial number needs its issuer")
        name = format_name(parse_name(issuer))
        named = OldCertificate(name, read_serial(serial), {"serial": serial, "issuer": issuer})
        found.setdefault(named.key, named)
    return list(found.values())


class OldCa:
    """Whose certificates are migrated.

    Args:
        names: RFC 4514 texts of the names under which it issues.
        certificates: its own, as far as they are known.
    """

    def __init__(self, names: Iterable[str], certificates: Iterable[x509.Certificate]) -> None:
        self.names = frozenset(names)
        self._certificates = tuple(certificates)

    @classmethod
    def of(cls, options: Options) -> Self:
        """The CA that options say how to talk to: `issuer`, or else the CAs that it trusts.

        Raises:
            InputError: they do not say which it is, or a file can't be read.
        """
        certificates = [
            load_certificate(der)
            for path in (*options.trusted, *options.untrusted, *options.out_trusted)
            for der in read_certificates(Path(path))
        ]
        names = {format_name(one.subject.public_bytes()) for one in certificates}
        if options.issuer is not None:
            names = {format_name(parse_name(options.issuer))}
        if not names:
            raise InputError(
                "which certificates are those of the old CA?",
                hint='its settings say it: trusted = ["ca.pem"], or issuer = "CN=..."',
            )
        return cls(names, certificates)

    def issued(self, one: OldCertificate) -> bool:
        """Whether it issued a certificate, by the name, and by the signature where it is known."""
        if one.issuer not in self.names:
            return False
        issuers = list(self._of_name(one.issuer))
        certificate = one.certificate
        return not issuers or certificate is None or any(_signed(ca, certificate) for ca in issuers)

    def _of_name(self, name: str) -> Iterator[x509.Certificate]:
        return (ca for ca in self._certificates if format_name(ca.subject.public_bytes()) == name)


def _signed(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError):
        return False
    except (TypeError, UnsupportedAlgorithm):
        # of a kind that can't be checked here: its name decides
        return True
    return True
