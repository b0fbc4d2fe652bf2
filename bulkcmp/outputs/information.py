"""info/: what the CA told each genm.

The journal holds the durable copy; the files are a view that can be made again, as those of
`bulkcmp.outputs.credentials` are.
"""

from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bulkcmp.cmp import general
from bulkcmp.cmp.asn1 import decode_sequence_of, encode
from bulkcmp.cmp.general import RootCaKeyUpdate
from bulkcmp.filename import file_stem
from bulkcmp.model import Itav
from bulkcmp.outputs.credentials import pem_certificates
from bulkcmp.outputs.files import NewFile, make_private_folder, replace_all

NEW_WITH_NEW = "newWithNew.pem"
NEW_WITH_OLD = "newWithOld.pem"
OLD_WITH_NEW = "oldWithNew.pem"
CA_CERTS = "caCerts.pem"
CRLS = "crls.pem"
CURRENT_CRL = "currentCRL.pem"
CERT_TEMPLATE = "certTemplate.der"
KEY_SPEC = "keySpec.der"
_TEXT = "txt"


def contents(infos: Iterable[Itav]) -> dict[str, bytes]:
    """What is in the answers to a genm, by the last part of a file's name.

    Certificates and CRLs are PEM, all else is DER. An answer that says that there is none has no
    file.

    Args:
        infos: that passed their checks.
    """
    found: dict[str, bytes] = {}
    for info in infos:
        if info.value is not None:
            found |= _contents(info.oid, info.value)
    return found


def _contents(oid: str, value: bytes) -> dict[str, bytes]:
    match oid:
        case general.CA_CERTS:
            return {CA_CERTS: pem_certificates(*map(encode, decode_sequence_of(value)))}
        case general.CA_PROT_ENC_CERT:
            return {"caProtEncCert.pem": pem_certificates(value)}
        case general.ROOT_CA_KEY_UPDATE:
            return _update(RootCaKeyUpdate.decode(value))
        case general.CA_KEY_UPDATE_INFO:
            return _update(general.ca_key_update(value))
        case general.CRLS:
            return {CRLS: b"".join(_pem_crl(encode(one)) for one in decode_sequence_of(value))}
        case general.CURRENT_CRL:
            return {CURRENT_CRL: _pem_crl(value)}
        case general.CERT_REQ_TEMPLATE:
            names = (CERT_TEMPLATE, KEY_SPEC)
            return dict(zip(names, map(encode, decode_sequence_of(value)), strict=False))
    return {f"{general.name_of(oid)}.der": value}


def _update(update: RootCaKeyUpdate) -> dict[str, bytes]:
    parts = {
        NEW_WITH_NEW: update.new_with_new,
        NEW_WITH_OLD: update.new_with_old,
        OLD_WITH_NEW: update.old_with_new,
    }
    return {name: pem_certificates(der) for name, der in parts.items() if der is not None}


def _pem_crl(der: bytes) -> bytes:
    return x509.load_der_x509_crl(der).public_bytes(Encoding.PEM)


def information_files(row_id: str, infos: Iterable[Itav]) -> tuple[str, ...]:
    """The names of the files that `write_information` makes for a row."""
    stem = file_stem(row_id)
    return tuple(f"{stem}.{name}" for name in (*contents(infos), _TEXT))


def write_information(folder: Path, row_id: str, infos: Iterable[Itav], text: str) -> None:
    """Write the files of a row into `folder`, which is made (0700) where it is missing.

    Those that are there, the same to the byte, are left alone.

    Args:
        text: all of the answer, for a reader.

    Raises:
        BulkcmpError: the file system refused.
    """
    make_private_folder(folder)
    stem = file_stem(row_id)
    files = [
        NewFile(folder / f"{stem}.{part}", 0o644, content)
        for part, content in (contents(infos) | {_TEXT: text.encode()}).items()
    ]
    replace_all([file for file in files if not _is_there(file.path, file.content)])


def _is_there(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False
