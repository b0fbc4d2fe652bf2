"""certs/: the certificate, its chain and its private key of each row, in the formats asked for.

The journal holds the durable copy of all of it. These files are a view that can be made again; each
appears whole and on the disk, and `write_credentials` finds what is missing or damaged, and writes
it again.
"""

import base64
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    pkcs7,
)

from bulkcmp.errors import BulkcmpError, InputError
from bulkcmp.filename import file_stem
from bulkcmp.model import KeyFamily, KeySpec, Secret
from bulkcmp.outputs.encryption import key_encryption
from bulkcmp.outputs.files import NewFile, make_private_folder, replace_all
from bulkcmp.outputs.jks import MIN_PASSWORD, is_java_keystore, java_keystore
from bulkcmp.outputs.keystore import Pkcs12, own_key


class OutFormat(StrEnum):
    """How credentials are written.

    PEM: `<stem>.pem` (certificate, then chain) and `<stem>.key.pem` (PKCS#8).
    DER: `<stem>.der`, `<stem>.p7c` (chain, a certs-only CMS message) and `<stem>.key.der`.
    P12: `<stem>.p12` (RFC 7292) with key, certificate and chain; its friendly name is the id.
    P12_LEGACY: `<stem>.pfx`, the same by 3DES and SHA-1.
    JKS: `<stem>.jks`, a Java keystore; its alias is the id.
    P7B: `<stem>.p7b` (certificate and chain, a certs-only CMS message in DER).
    P7B_PEM: `<stem>.p7b.pem`, the same in PEM, as `openssl pkcs7` reads it.
    """

    PEM = "pem"
    DER = "der"
    P12 = "p12"
    P12_LEGACY = "p12-legacy"
    JKS = "jks"
    P7B = "p7b"
    P7B_PEM = "p7b-pem"

    @property
    def holds_keys(self) -> bool:
        return self not in (OutFormat.P7B, OutFormat.P7B_PEM)


class OutChain(StrEnum):
    """Which certificates stand beside that of the row, nearest issuer first."""

    FULL = "full"
    """All, to the trust anchor."""
    INTERMEDIATES = "intermediates"
    """All but the trust anchor, which whoever checks the chain has."""
    NONE = "none"


_STORES: Final = frozenset({OutFormat.P12, OutFormat.P12_LEGACY, OutFormat.JKS})
"""Formats with a key and its certificate in one file."""

_UNHELD: Final = (KeyFamily.ML_DSA, KeyFamily.ML_KEM)
"""What PKCS#12 can't hold, as `cryptography` writes it."""

_SUFFIXES: Final = {
    OutFormat.PEM: ".pem",
    OutFormat.DER: ".der",
    OutFormat.P12: ".p12",
    OutFormat.P12_LEGACY: ".pfx",
    OutFormat.JKS: ".jks",
    OutFormat.P7B: ".p7b",
    OutFormat.P7B_PEM: ".p7b.pem",
}


@dataclass(frozen=True, slots=True)
class Credential:
    """What a row got; all DER.

    Attributes:
        id: the row's id; it names the files where `name` does not.
        key_pkcs8: the private key, not encrypted; None where the user keeps it (p10cr), or the CA
            sent none that is good.
        certificate: the issued certificate.
        chain: its issuers, nearest first, trust anchor last.
        name: path of the files within their folder, without suffix.
        password: of its own, which opens its key files; None where that of the run does.
    """

    id: str
    key_pkcs8: bytes | None = field(repr=False)
    certificate: bytes
    chain: tuple[bytes, ...] = ()
    name: str = ""
    password: Secret | None = None

    @property
    def stem(self) -> str:
        return self.name or file_stem(self.id)


@dataclass(frozen=True, slots=True)
class CredentialFiles:
    """Names of a credential's files within their folder; empty for what there is not."""

    certificate: str = ""
    key: str = ""


def parse_formats(text: str) -> tuple[OutFormat, ...]:
    """Formats from a list with commas, each once.

    Raises:
        InputError: one is not known.
    """
    formats: dict[OutFormat, None] = {}
    for name in text.split(","):
        try:
            formats[OutFormat(name.strip())] = None
        except ValueError:
            hint = f"one or several of {', '.join(OutFormat)}, with commas"
            raise InputError(f"{name.strip()!r} is not known", hint=hint) from None
    return tuple(formats)


def check_formats(
    formats: Sequence[OutFormat], key: KeySpec | None, *, central_keygen: bool = False
) -> None:
    """Make sure that files of these formats can hold the key of a row.

    Args:
        key: its type; None where the run does not have it (of a CSR, in a file, on a token).
        central_keygen: the CA makes the key, and chooses its type where `key` is None.

    Raises:
        InputError: they can't.
    """
    has_key = key is not None or central_keygen
    if has_key and not any(one.holds_keys for one in formats):
        raise InputError(
            f"{formats[0]} files hold no private keys",
            hint=f"add a format that does, as in --out-format {formats[0]},pem",
        )
    for one in formats:
        if one not in _STORES:
            continue
        if not has_key:
            raise InputError(
                f"{one} files can't be made without the private key, which neither a CSR nor a"
                " token brings, and a key file keeps",
                hint="use --out-format pem or der",
            )
        if one is OutFormat.JKS:
            continue
        if key is None:
            raise InputError(
                f"{one} files can't hold keys of every type that a CA may choose",
                hint="say with --newkey which type it shall be, or use --out-format pem or der",
            )
        if key.family in _UNHELD:
            raise InputError(
                f"{one} files can't hold {key} keys", hint="use --out-format pem, der or jks"
            )


def check_password(formats: Sequence[OutFormat], password: Secret | None) -> None:
    """Make sure that files of these formats can be opened by a password.

    Args:
        password: None where keys are to be written unencrypted.

    Raises:
        InputError: they can't.
    """
    if password is None:
        if OutFormat.JKS in formats:
            raise InputError(
                "a jks has always a password, and there is none",
                hint="give --key-pass",
            )
        return
    if not _STORES.isdisjoint(formats):
        try:
            text = password.reveal().decode()
        except UnicodeDecodeError:
            raise InputError("the password of p12 and jks files must be UTF-8") from None
        if OutFormat.JKS in formats and len(text) < MIN_PASSWORD:
            raise InputError(f"the password of a jks has {MIN_PASSWORD} characters at least")


def credential_files(formats: Sequence[OutFormat], stem: str, *, has_key: bool) -> CredentialFiles:
    """Names of the files, of those that `write_credentials` makes for a row, to work with: of the
    first format that holds keys, or of the first one.

    Args:
        stem: their path within their folder, without suffix.
    """
    out_format = next((one for one in formats if one.holds_keys), formats[0])
    certificate = f"{stem}{_SUFFIXES[out_format]}"
    match out_format:
        case OutFormat.PEM | OutFormat.DER:
            return CredentialFiles(certificate, f"{stem}.key.{out_format}" if has_key else "")
        case OutFormat.P7B | OutFormat.P7B_PEM:
            return CredentialFiles(certificate)
        case _:
            return CredentialFiles(certificate, certificate if has_key else "")


def possible_files(formats: Sequence[OutFormat], stem: str) -> Iterator[str]:
    """Names of all files that `write_credentials` may make for a row; some have no key, no chain.

    Args:
        stem: their path within their folder, without suffix.
    """
    for one in formats:
        match one:
            case OutFormat.PEM:
                yield f"{stem}.key.pem"
            case OutFormat.DER:
                yield f"{stem}.key.der"
                yield f"{stem}.p7c"
            case _:
                pass
        yield f"{stem}{_SUFFIXES[one]}"


def write_credentials(
    folder: Path,
    formats: Sequence[OutFormat],
    out_chain: OutChain,
    items: Sequence[Credential],
    passphrase: Secret | None,
    plain: bool,
) -> list[str]:
    """Write the files of `items` into `folder` and return the names of those written.

    The folder, and those in it that names ask for, are made with mode 0700; keys and key stores
    have mode 0600 from their first byte, certificates 0644 (both less the umask). Private keys are
    encrypted with the row's password or with `passphrase` (PKCS#8 and PKCS#12: PBES2 with PBKDF2
    and AES-256-CBC); where there is no password, not at all if `plain`.

    A row's certificate takes its place last, and a format of a row is left alone if its
    certificate is already there, the same to the byte, and its other files are whole (`passphrase`
    must then be that of the earlier call). A key of another certificate never stays beside a new
    one.

    A p12 or jks holds no key that does not belong to its certificate (a CA that certified another
    key): the former then has the certificates only, the latter nothing, and the key stays in the
    journal. So it is without a key (a CA that was to make it, and sent none that is good).

    Raises:
        InputError: there are keys to write and neither `passphrase` nor `plain`.
        BulkcmpError: the file system refused, or a certificate or key can't be read (names the
            row).
    """
    if passphrase is None and not plain and any(_lacks_password(item) for item in items):
        raise InputError(
            "private keys are written encrypted, and there is no passphrase",
            hint="give --key-pass, or --plain-keys to write them unencrypted",
        )
    passphrase = None if plain else passphrase
    for place in dict.fromkeys((folder, *((folder / item.stem).parent for item in items))):
        make_private_folder(place)
    new = [
        NewFile(folder / part.name, part.mode, content)
        for item in items
        for part, content in _missing(folder, formats, _Subject.of(item, out_chain, passphrase))
    ]
    replace_all(new)
    return [file.path.relative_to(folder).as_posix() for file in new]


def _lacks_password(item: Credential) -> bool:
    return item.key_pkcs8 is not None and item.password is None


def _missing(
    folder: Path, formats: Sequence[OutFormat], subject: "_Subject"
) -> "list[tuple[_Part, bytes]]":
    """The files of a row, with their contents, in the formats of which one is not there, or not
    whole."""
    out_format = formats[0]
    found: list[tuple[_Part, bytes]] = []
    try:
        for out_format in formats:
            parts = _PARTS[out_format](subject)
            if not all(_is_there(folder / part.name, part) for part in parts):
                found += [(part, part.make()) for part in parts]
    except (ValueError, TypeError) as error:
        raise BulkcmpError(
            f"the {out_format} files of row id {subject.id!r} can't be made: {error}",
            hint="pem files can be made of any certificate",
        ) from error
    return found


@dataclass(frozen=True, slots=True)
class _Subject:
    """What the files of a row are made of: its credential, with the chain that was asked for."""

    id: str
    stem: str
    key: bytes | None = field(repr=False)
    certificate: bytes
    chain: tuple[bytes, ...]
    passphrase: Secret | None

    @classmethod
    def of(cls, item: Credential, out_chain: OutChain, passphrase: Secret | None) -> "_Subject":
        match out_chain:
            case OutChain.FULL:
                chain = item.chain
            case OutChain.INTERMEDIATES:
                chain = item.chain[:-1]
            case OutChain.NONE:
                chain = ()
        password = item.password or passphrase
        return cls(item.id, item.stem, item.key_pkcs8, item.certificate, chain, password)

    def loaded(self) -> list[x509.Certificate]:
        """The certificate and its chain."""
        return [x509.load_der_x509_certificate(der) for der in (self.certificate, *self.chain)]


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


def _pem_parts(subject: _Subject) -> list[_Part]:
    content = pem_certificates(subject.certificate, *subject.chain)
    parts = [_fixed(f"{subject.stem}.pem", content)]
    if (key := subject.key) is not None:
        label = _key_label(subject.passphrase)
        begin, end = f"-----BEGIN {label}-----\n".encode(), f"-----END {label}-----\n".encode()
        parts.insert(
            0,
            _Part(
                f"{subject.stem}.key.pem",
                0o600,
                lambda: pem_key(key, subject.passphrase),
                lambda content: content.startswith(begin) and content.endswith(end),
            ),
        )
    return parts


def _der_parts(subject: _Subject) -> list[_Part]:
    parts = [_fixed(f"{subject.stem}.der", subject.certificate)]
    if subject.chain:
        message = pkcs7.serialize_certificates(subject.loaded()[1:], Encoding.DER)
        parts.insert(0, _fixed(f"{subject.stem}.p7c", message))
    if (key := subject.key) is not None:
        encrypted = subject.passphrase is not None
        parts.insert(
            0,
            _Part(
                f"{subject.stem}.key.der",
                0o600,
                lambda: _pkcs8(key, subject.passphrase),
                lambda content: _is_pkcs8(content, encrypted=encrypted),
            ),
        )
    return parts


def _p12_parts(subject: _Subject) -> list[_Part]:
    return [_pkcs12_part(f"{subject.stem}.p12", subject, legacy=False)]


def _p12_legacy_parts(subject: _Subject) -> list[_Part]:
    return [_pkcs12_part(f"{subject.stem}.pfx", subject, legacy=True)]


def _pkcs12_part(name: str, subject: _Subject, *, legacy: bool) -> _Part:
    store = Pkcs12(
        subject.id,
        subject.key,
        subject.certificate,
        subject.chain,
        subject.passphrase,
        legacy=legacy,
    )
    return _Part(name, 0o600, store.make, store.is_whole)


def _jks_parts(subject: _Subject) -> list[_Part]:
    password = subject.passphrase
    assert password is not None, "check_password() was asked"
    certificates = (subject.certificate, *subject.chain)
    is_own = own_key(subject.key, subject.loaded()[0]) is not None
    key = subject.key if is_own else None
    return [
        _Part(
            f"{subject.stem}.jks",
            0o600,
            lambda: java_keystore(subject.id, key, certificates, password, time.time()),
            lambda content: is_java_keystore(content, certificates, password, has_key=is_own),
        )
    ]


def _p7b_parts(subject: _Subject) -> list[_Part]:
    message = pkcs7.serialize_certificates(subject.loaded(), Encoding.DER)
    return [_fixed(f"{subject.stem}.p7b", message)]


def _p7b_pem_parts(subject: _Subject) -> list[_Part]:
    message = pkcs7.serialize_certificates(subject.loaded(), Encoding.PEM)
    return [_fixed(f"{subject.stem}.p7b.pem", message)]


# the certificate comes last in each, so one that is there says that the rest is there too
_PARTS: Final[Mapping[OutFormat, Callable[[_Subject], list[_Part]]]] = {
    OutFormat.PEM: _pem_parts,
    OutFormat.DER: _der_parts,
    OutFormat.P12: _p12_parts,
    OutFormat.P12_LEGACY: _p12_legacy_parts,
    OutFormat.JKS: _jks_parts,
    OutFormat.P7B: _p7b_parts,
    OutFormat.P7B_PEM: _p7b_pem_parts,
}


def _pkcs8(key: bytes, passphrase: Secret | None) -> bytes:
    return key if passphrase is None else key_encryption(passphrase).encrypt(key)


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
