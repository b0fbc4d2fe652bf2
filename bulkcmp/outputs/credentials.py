"""certs/: the certificate, its chain and its private key of each row, in the format asked for.

The journal holds the durable copy of all of it. These files are a view that can be made again,
so each appears whole, by a rename, but is not fsynced; `write_credentials` finds what a power
failure took and writes it again.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, assert_never, cast

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PublicFormat,
    load_der_private_key,
    pkcs7,
    pkcs12,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12PrivateKeyTypes

from bulkcmp.errors import BulkcmpError, InputError
from bulkcmp.model import KeyFamily, KeySpec, Secret
from bulkcmp.outputs.encryption import key_encryption
from bulkcmp.outputs.files import make_private_folder, replacing

MAX_STEM: Final = 200
"""Longest file stem, bytes: with suffixes it stays below the 255 of common file systems."""

_LITERAL: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_DIGEST_DIGITS: Final = 32


class OutFormat(StrEnum):
    """How credentials are written.

    PEM: `<stem>.pem` (certificate, then chain) and `<stem>.key.pem` (PKCS#8).
    DER: `<stem>.der`, `<stem>.p7c` (chain, a certs-only CMS message) and `<stem>.key.der`.
    P12: `<stem>.p12` (RFC 7292) with key, certificate and chain; its friendly name is the id.
    """

    PEM = "pem"
    DER = "der"
    P12 = "p12"


@dataclass(frozen=True, slots=True)
class Credential:
    """What a row got; all DER.

    Attributes:
        id: the row's id; it names the files.
        key_pkcs8: the private key, not encrypted; None where the user keeps it (p10cr), or the CA
            sent none that is good.
        certificate: the issued certificate.
        chain: its issuers, nearest first.
    """

    id: str
    key_pkcs8: bytes | None = field(repr=False)
    certificate: bytes
    chain: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class CredentialFiles:
    """Names of a credential's files within their folder; empty for what there is not."""

    certificate: str = ""
    key: str = ""


def check_format(
    out_format: OutFormat, spec: KeySpec | None, *, central_keygen: bool = False
) -> None:
    """Make sure that `out_format` can hold the keys of a run; None is a run without keys (p10cr).

    Args:
        central_keygen: the CA makes the key, and chooses its type where `spec` is None.

    Raises:
        InputError: it can't.
    """
    if out_format is not OutFormat.P12:
        return
    if spec is None and central_keygen:
        raise InputError(
            "p12 files can't hold keys of every type that a CA may choose",
            hint="say with --newkey which type it shall be, or use --out-format pem or der",
        )
    if spec is None:
        raise InputError(
            "p12 files can't be made without the private key, which a CSR does not bring",
            hint="use --out-format pem or der",
        )
    if spec.family in (KeyFamily.ML_DSA, KeyFamily.ML_KEM):
        raise InputError(f"p12 files can't hold {spec} keys", hint="use --out-format pem or der")


def file_stem(row_id: str) -> str:
    """The name, without suffix, of the files of the row `row_id`: one for each id, never a path.

    ASCII letters, digits, `.`, `_` and `-` stand for themselves, all other bytes of the id's UTF-8
    as `%XX`. A leading dot is encoded, and the dot of a last `.key`, so that the certificate of
    `a.key` is not taken for the key of `a`. An empty id is `~`. What is longer than `MAX_STEM` is
    cut and gets `~` and 128 bits of the id's SHA-256; no other stem contains a `~`.
    """
    if not row_id:
        return "~"
    # a lone surrogate has no UTF-8, but an id is an id
    raw = row_id.encode("utf-8", "surrogatepass")
    stem = "".join(chr(byte) if byte in _LITERAL else f"%{byte:02X}" for byte in raw)
    if stem.startswith("."):
        stem = "%2E" + stem[1:]
    if stem.lower().endswith(".key"):
        stem = f"{stem[:-4]}%2E{stem[-3:]}"
    if len(stem) > MAX_STEM:
        digest = hashlib.sha256(raw).hexdigest()[:_DIGEST_DIGITS]
        stem = f"{stem[: MAX_STEM - 1 - _DIGEST_DIGITS]}~{digest}"
    return stem


def credential_files(out_format: OutFormat, row_id: str, *, has_key: bool) -> CredentialFiles:
    """Names of the files that `write_credentials` makes for a row."""
    stem = file_stem(row_id)
    match out_format:
        case OutFormat.PEM:
            return CredentialFiles(f"{stem}.pem", f"{stem}.key.pem" if has_key else "")
        case OutFormat.DER:
            return CredentialFiles(f"{stem}.der", f"{stem}.key.der" if has_key else "")
        case OutFormat.P12:
            return CredentialFiles(f"{stem}.p12", f"{stem}.p12" if has_key else "")
        case _:
            assert_never(out_format)


def write_credentials(
    folder: Path,
    out_format: OutFormat,
    items: Sequence[Credential],
    passphrase: Secret | None,
    plain: bool,
) -> list[str]:
    """Write the files of `items` into `folder` and return the names of those written.

    The folder is made with mode 0700; keys and p12 files have mode 0600 from their first byte,
    certificates 0644 (both less the umask). Private keys are encrypted with `passphrase` (PKCS#8
    and PKCS#12: PBES2 with PBKDF2 and AES-256-CBC), or not at all if `plain`.

    A row's certificate is written last, and a row is left alone if its certificate is already
    there, the same to the byte, and its other files are whole (`passphrase` must then be that of
    the earlier call). A key of another certificate never stays beside a new one.

    A p12 file holds no key that does not belong to its certificate (a CA that certified another
    key): it then has the certificates only, and the key stays in the journal. So it is without a
    key (a CA that was to make it, and sent none that is good).

    Raises:
        InputError: there are keys to write and neither `passphrase` nor `plain`.
        BulkcmpError: the file system refused, or a certificate or key can't be read (names the
            row).
    """
    if passphrase is None and not plain and any(item.key_pkcs8 is not None for item in items):
        raise InputError(
            "private keys are written encrypted, and there is no passphrase",
            hint="give --key-pass, or --plain-keys to write them unencrypted",
        )
    passphrase = None if plain else passphrase
    make_private_folder(folder)
    written: list[str] = []
    for item in items:
        try:
            parts = _PARTS[out_format](item, passphrase)
            if all(_is_there(folder / part.name, part) for part in parts):
                continue
            for part in parts:
                content = part.make()
                with replacing(folder / part.name, part.mode, durable=False) as file:
                    file.write(content)
                written.append(part.name)
        except (ValueError, TypeError) as error:
            raise BulkcmpError(
                f"the {out_format} files of row id {item.id!r} can't be made: {error}",
                hint="pem files can be made of any certificate",
            ) from error
    return written


@dataclass(frozen=True, slots=True)
class _Part:
    """One file of a credential: what makes it, and what tells that it is there and whole."""

    name: str
    mode: int
    make: Callable[[], bytes]
    is_whole: Callable[[bytes], bool]


def _fixed(name: str, content: bytes) -> _Part:
    return _Part(name, 0o644, lambda: content, content.__eq__)


def _is_there(path: Path, part: _Part) -> bool:
    try:
        return part.is_whole(path.read_bytes())
    except OSError:
        return False


def _pem_parts(item: Credential, passphrase: Secret | None) -> list[_Part]:
    names = credential_files(OutFormat.PEM, item.id, has_key=item.key_pkcs8 is not None)
    parts = [_fixed(names.certificate, pem_certificates(item.certificate, *item.chain))]
    if (key := item.key_pkcs8) is not None:
        label = _key_label(passphrase)
        begin, end = f"-----BEGIN {label}-----\n".encode(), f"-----END {label}-----\n".encode()
        parts.insert(
            0,
            _Part(
                names.key,
                0o600,
                lambda: pem_key(key, passphrase),
                lambda content: content.startswith(begin) and content.endswith(end),
            ),
        )
    return parts


def _der_parts(item: Credential, passphrase: Secret | None) -> list[_Part]:
    names = credential_files(OutFormat.DER, item.id, has_key=item.key_pkcs8 is not None)
    parts = [_fixed(names.certificate, item.certificate)]
    if item.chain:
        chain = [x509.load_der_x509_certificate(der) for der in item.chain]
        message = pkcs7.serialize_certificates(chain, Encoding.DER)
        parts.insert(0, _fixed(f"{file_stem(item.id)}.p7c", message))
    if (key := item.key_pkcs8) is not None:
        encrypted = passphrase is not None
        parts.insert(
            0,
            _Part(
                names.key,
                0o600,
                lambda: _pkcs8(key, passphrase),
                lambda content: _is_pkcs8(content, encrypted=encrypted),
            ),
        )
    return parts


def _p12_parts(item: Credential, passphrase: Secret | None) -> list[_Part]:
    name = credential_files(OutFormat.P12, item.id, has_key=True).certificate
    certificate = x509.load_der_x509_certificate(item.certificate)
    chain = [x509.load_der_x509_certificate(der) for der in item.chain]
    octets = None if passphrase is None else passphrase.reveal()
    key = None
    if item.key_pkcs8 is not None:
        own = _p12_key(item.key_pkcs8)
        is_match = _public(own.public_key()) == _public(certificate.public_key())
        key = own if is_match else None

    def make() -> bytes:
        return pkcs12.serialize_key_and_certificates(
            item.id.encode("utf-8", "replace"),
            key,
            certificate,
            chain,
            NoEncryption() if octets is None else BestAvailableEncryption(octets),
        )

    def is_whole(content: bytes) -> bool:
        try:
            store = pkcs12.load_pkcs12(content, octets)
        except ValueError:
            return False
        held = [store.cert, *store.additional_certs]
        certificates = [one.certificate for one in held if one is not None]
        return certificates == [certificate, *chain] and (store.key is None) == (key is None)

    return [_Part(name, 0o600, make, is_whole)]


# the certificate comes last in each, so one that is there says that the rest is there too
_PARTS: Final[Mapping[OutFormat, Callable[[Credential, Secret | None], list[_Part]]]] = {
    OutFormat.PEM: _pem_parts,
    OutFormat.DER: _der_parts,
    OutFormat.P12: _p12_parts,
}


def _pkcs8(key: bytes, passphrase: Secret | None) -> bytes:
    return key if passphrase is None else key_encryption(passphrase).encrypt(key)


def _p12_key(key: bytes) -> PKCS12PrivateKeyTypes:
    # serialize_key_and_certificates itself refuses what PKCS#12 can't hold, with a TypeError; RSA
    # keys were checked when they were made or read, and checking again costs 10 ms and more
    return cast(
        PKCS12PrivateKeyTypes,
        load_der_private_key(key, None, unsafe_skip_rsa_key_validation=True),
    )


def _public(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _is_pkcs8(content: bytes, *, encrypted: bool) -> bool:
    """Whether `content` is one whole SEQUENCE that begins as the wanted kind of PKCS#8 does."""
    if len(content) < 2 or content[0] != 0x30:
        return False
    header = 2 + max(content[1] - 0x80, 0)
    length = content[1] if header == 2 else int.from_bytes(content[2:header])
    # EncryptedPrivateKeyInfo begins with a SEQUENCE, PrivateKeyInfo with its version (RFC 5958)
    first = b"\x30" if encrypted else b"\x02"
    return len(content) == header + length and content[header : header + 1] == first


def pem_certificates(*certificates: bytes) -> bytes:
    """PEM of DER certificates, one behind the other."""
    return b"".join(_pem("CERTIFICATE", der) for der in certificates)


def pem_key(key: bytes, passphrase: Secret | None) -> bytes:
    """PEM of a private key (PKCS#8 DER), encrypted where there is a passphrase."""
    return _pem(_key_label(passphrase), _pkcs8(key, passphrase))


def _key_label(passphrase: Secret | None) -> str:
    return "PRIVATE KEY" if passphrase is None else "ENCRYPTED PRIVATE KEY"


def _pem(label: str, der: bytes) -> bytes:
    text = base64.b64encode(der).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()
