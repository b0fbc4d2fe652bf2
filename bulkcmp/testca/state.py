"""The CA's state folder: keys, certificates and books, made at first start.

ca.pem   the root certificate, which clients take as trust anchor
ca.key   its key, not encrypted
ra.pem   the registration authority's certificate, for the alias ra-cert
ra.key   its key, not encrypted
vendor-root.pem  the root of a vendor of devices, which the alias 3gpp trusts
vendor.pem       the vendor's CA for devices, under that root
vendor.key       its key, not encrypted
mac-*.pem, mac-*.key      keys of the CA for MACs, by their type, once they were asked for
next-ca.pem, next-ca.key  the root that will follow, once it was announced
ca.db    the books; written last, so that a folder that has whole books has everything
"""

import datetime as dt
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from bulkcmp.cmp.algorithms import AgreementKey, KemKey, SigningKey
from bulkcmp.cmp.general import ROOT_CA_KEY_UPDATE
from bulkcmp.errors import InputError, Where
from bulkcmp.model import SIGNING_KEY_SPECS, KeyFamily, KeySpec, Popo, Secret
from bulkcmp.outputs.files import make_private_folder, replacing
from bulkcmp.testca.aliases import RA_CERT, RA_HMAC
from bulkcmp.testca.identity import (
    MAC_KEYS,
    Identity,
    MacIdentity,
    make_device,
    make_mac_identity,
    make_ra,
    make_root,
    make_successor,
    make_vendor,
)
from bulkcmp.testca.store import CertificateStatus, IssuedCertificate, Store

DEFAULT_CA_KEY: Final = KeySpec(KeyFamily.EC, "P-256")


@dataclass(frozen=True, slots=True)
class Folder:
    """Where everything lies."""

    path: Path

    @property
    def ca_certificate(self) -> Path:
        return self.path / "ca.pem"

    @property
    def ca_key(self) -> Path:
        return self.path / "ca.key"

    @property
    def next_certificate(self) -> Path:
        return self.path / "next-ca.pem"

    @property
    def next_key(self) -> Path:
        return self.path / "next-ca.key"

    @property
    def ra_certificate(self) -> Path:
        return self.path / "ra.pem"

    @property
    def ra_key(self) -> Path:
        return self.path / "ra.key"

    @property
    def vendor_root(self) -> Path:
        return self.path / "vendor-root.pem"

    @property
    def vendor_certificate(self) -> Path:
        return self.path / "vendor.pem"

    @property
    def vendor_key(self) -> Path:
        return self.path / "vendor.key"

    def mac_certificate(self, kind: str) -> Path:
        return self.path / f"mac-{kind.replace(':', '-')}.pem"

    def mac_key(self, kind: str) -> Path:
        return self.mac_certificate(kind).with_suffix(".key")

    @property
    def books(self) -> Path:
        return self.path / "ca.db"


def create(path: Path, spec: KeySpec, now: dt.datetime) -> bool:
    """Make a CA in a folder, unless there is one.

    Args:
        path: made if it is missing, for its owner alone.
        spec: the CA's key.
        now: the time, aware.

    Returns:
        Whether a CA was made.

    Raises:
        InputError: what lies there is no state of a CA, or the key can't sign.
        BulkcmpError: the folder can't be written.
    """
    _check_signs(spec)
    make_private_folder(path)
    folder = Folder(path)
    # of two starts at once only one makes the CA; in one transaction, so that it is whole or not
    with _alone_in(path), closing(Store(folder.books, create=True)) as store, store.writing():
        if store.is_complete:
            return False
        root = make_root(spec, now)
        authority = make_ra(root, now)
        _write(root, folder.ca_key, folder.ca_certificate)
        _write(authority, folder.ra_key, folder.ra_certificate)
        vendor_root, vendor = make_vendor(now)
        _write(vendor, folder.vendor_key, folder.vendor_certificate)
        _write_certificates(folder.vendor_root, vendor_root)
        store.complete({RA_HMAC.name: Secret(secrets.token_hex(16).encode())})
        store.add_certificate(
            IssuedCertificate(
                serial=authority.certificate.serial_number,
                der=authority.der,
                subject=authority.name,
                key_identifier=authority.key_identifier,
                alias=RA_CERT.name,
                user=None,
                is_ra=True,
                transaction_id=None,
                status=CertificateStatus.CONFIRMED,
                issued_at=now,
            )
        )
    return True


@contextmanager
def _alone_in(path: Path) -> Iterator[None]:
    """Keep other makers of a CA out of a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def open_books(path: Path) -> Store:
    """The books of the CA in a folder.

    Raises:
        InputError: there is no CA.
    """
    folder = Folder(path)
    store = Store(folder.books)
    if not store.is_complete:
        store.close()
        raise InputError(
            "the CA in this folder was never finished",
            where=Where(str(path)),
            hint="`bulkcmp ca init` finishes it",
        )
    return store


def load_identity(path: Path) -> Identity:
    """The CA's key and certificate.

    Raises:
        InputError: they can't be read.
    """
    folder = Folder(path)
    return _load(folder.ca_key, folder.ca_certificate)


def _check_signs(spec: KeySpec) -> None:
    if not spec.family.proves_by(Popo.SIGNATURE):
        raise InputError(f"a CA signs, and {spec} keys can't", hint=f"choose {SIGNING_KEY_SPECS}")


def announce_root(path: Path, spec: KeySpec, now: dt.datetime) -> None:
    """Make the root that will follow, and tell it to who asks for an update of the present one.

    The CA goes on with the present one.

    Args:
        spec: the new root's key.
        now: the time, aware.

    Raises:
        InputError: there is no CA, or the key can't sign.
        BulkcmpError: the folder can't be written.
    """
    _check_signs(spec)
    folder = Folder(path)
    new, update = make_successor(load_identity(path), spec, now)
    with closing(open_books(path)) as store, store.writing():
        _write(new, folder.next_key, folder.next_certificate)
        store.set_information(ROOT_CA_KEY_UPDATE, update.encode())


def make_mac_key(path: Path, kind: str, now: dt.datetime) -> None:
    """Make a key of the CA for MACs and its certificate, unless there are.

    Args:
        kind: one of `MAC_KEYS`.
        now: the time, aware.

    Raises:
        InputError: there is no CA, or no such kind.
        BulkcmpError: the folder can't be written.
    """
    if kind not in MAC_KEYS:
        raise InputError(
            f"{kind!r} is no key for MACs", hint=f"choose one of {', '.join(MAC_KEYS)}"
        )
    folder = Folder(path)
    with _alone_in(path):
        if not folder.mac_certificate(kind).exists():
            made = make_mac_identity(load_identity(path), kind, now)
            _write(made, folder.mac_key(kind), folder.mac_certificate(kind))


def load_mac_identities(path: Path) -> tuple[MacIdentity, ...]:
    """The CA's keys for MACs, with their certificates.

    Raises:
        InputError: one can't be read.
    """
    folder = Folder(path)
    return tuple(
        _load_mac_identity(folder.mac_key(kind), folder.mac_certificate(kind))
        for kind in MAC_KEYS
        if folder.mac_certificate(kind).exists()
    )


def load_vendor_root(path: Path) -> bytes:
    """DER of the vendor's root certificate.

    Raises:
        InputError: it can't be read.
    """
    root = Folder(path).vendor_root
    try:
        certificate = x509.load_pem_x509_certificate(root.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"can't be read: {error}", where=Where(str(root))) from error
    return certificate.public_bytes(Encoding.DER)


def load_vendor(path: Path) -> Identity:
    """Key and certificate of the vendor's CA for devices.

    Raises:
        InputError: they can't be read.
    """
    folder = Folder(path)
    return _load(folder.vendor_key, folder.vendor_certificate)


def write_device(
    path: Path, subject: bytes, certificate_path: Path, key_path: Path, now: dt.datetime
) -> None:
    """Make a device's key and vendor certificate; the vendor's CA follows in the same file.

    Args:
        path: of the CA's state.
        subject: DER Name.
        now: the time, aware.

    Raises:
        InputError: there is no vendor.
        BulkcmpError: a file can't be written.
    """
    vendor = load_vendor(path)
    device = make_device(vendor, subject, now)
    _write(device, key_path, certificate_path, vendor.certificate)


_LOST_CA: Final = "a CA without its key is lost: remove the folder and make a new one"
_LOST_MAC_KEY: Final = "remove both files; `bulkcmp ca serve --mac-key` makes new ones"


def _load(key_path: Path, certificate_path: Path) -> Identity:
    key, certificate = _read(key_path, certificate_path, _LOST_CA)
    if not isinstance(key, SigningKey):
        raise _unreadable(key_path, certificate_path, _LOST_CA)
    return Identity(key, certificate)


def _load_mac_identity(key_path: Path, certificate_path: Path) -> MacIdentity:
    key, certificate = _read(key_path, certificate_path, _LOST_MAC_KEY)
    if not isinstance(key, AgreementKey | KemKey):
        raise _unreadable(key_path, certificate_path, _LOST_MAC_KEY)
    return MacIdentity(key, certificate)


def _read(
    key_path: Path, certificate_path: Path, hint: str
) -> tuple[PrivateKeyTypes, x509.Certificate]:
    try:
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        return load_pem_private_key(key_path.read_bytes(), None), certificate
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        # the loader's own text may quote key bytes
        raise _unreadable(key_path, certificate_path, hint) from None


def _unreadable(key_path: Path, certificate_path: Path, hint: str) -> InputError:
    return InputError(
        f"{certificate_path.name} or {key_path.name} can't be read",
        where=Where(str(key_path.parent)),
        hint=hint,
    )


def _write(
    identity: Identity | MacIdentity,
    key_path: Path,
    certificate_path: Path,
    *chain: x509.Certificate,
) -> None:
    key = identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with replacing(key_path, 0o600, durable=True) as file:
        file.write(key)
    _write_certificates(certificate_path, identity.certificate, *chain)


def _write_certificates(path: Path, *certificates: x509.Certificate) -> None:
    with replacing(path, 0o644, durable=True) as file:
        for certificate in certificates:
            file.write(certificate.public_bytes(Encoding.PEM))
