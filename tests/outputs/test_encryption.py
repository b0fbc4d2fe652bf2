"""Encrypted private keys, read back by cryptography and by openssl where there is one."""

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from pyasn1.codec.der import decoder
from pyasn1_modules import rfc5208, rfc8018

from bulkcmp.model import Secret
from bulkcmp.outputs.credentials import Credential
from bulkcmp.outputs.encryption import KeyEncryption, key_encryption

PASSPHRASE = Secret("pässword".encode())
SPECS = ["rsa:2048", "ec:P-256", "ed25519", "ed448", "ml-dsa-65", "ml-kem-768"]


@pytest.fixture
def encryption() -> KeyEncryption:
    return KeyEncryption(PASSPHRASE)


def key_of(credential: Credential) -> bytes:
    assert credential.key_pkcs8 is not None
    return credential.key_pkcs8


def parameters(encrypted: bytes) -> tuple[rfc8018.PBKDF2_params, bytes]:
    """Of the derivation, and the IV."""
    info, rest = decoder.decode(encrypted, asn1Spec=rfc5208.EncryptedPrivateKeyInfo())
    assert not rest
    assert info["encryptionAlgorithm"]["algorithm"] == rfc8018.id_PBES2
    pbes2, _ = decoder.decode(
        info["encryptionAlgorithm"]["parameters"], asn1Spec=rfc8018.PBES2_params()
    )
    derivation, scheme = pbes2["keyDerivationFunc"], pbes2["encryptionScheme"]
    assert derivation["algorithm"] == rfc8018.id_PBKDF2
    assert str(scheme["algorithm"]) == "2.16.840.1.101.3.4.1.42"  # aes256-CBC
    pbkdf2, _ = decoder.decode(derivation["parameters"], asn1Spec=rfc8018.PBKDF2_params())
    iv, _ = decoder.decode(scheme["parameters"])
    return pbkdf2, bytes(iv)


@pytest.mark.parametrize("spec", SPECS)
def test_a_library_reads_what_was_encrypted(
    encryption: KeyEncryption, issued: dict[str, Credential], spec: str
) -> None:
    key = key_of(issued[spec])
    loaded = load_der_private_key(encryption.encrypt(key), PASSPHRASE.reveal())
    assert loaded.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()) == key


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17])
def test_padding_fills_up_to_whole_blocks(encryption: KeyEncryption, length: int) -> None:
    info, _ = decoder.decode(
        encryption.encrypt(bytes(length)), asn1Spec=rfc5208.EncryptedPrivateKeyInfo()
    )
    assert len(info["encryptedData"]) == (length // 16 + 1) * 16


def test_another_passphrase_opens_nothing(
    encryption: KeyEncryption, issued: dict[str, Credential]
) -> None:
    encrypted = encryption.encrypt(key_of(issued["ec:P-256"]))
    # the padding may look right by chance, and then what it holds is no key
    with pytest.raises(ValueError, match=r"."):
        load_der_private_key(encrypted, b"another")


def test_keys_share_a_derivation_and_no_iv(
    encryption: KeyEncryption, issued: dict[str, Credential]
) -> None:
    key = key_of(issued["ec:P-256"])
    (first, first_iv), (second, second_iv) = (parameters(encryption.encrypt(key)) for _ in "12")
    assert first == second
    assert first["iterationCount"] >= 2048
    assert len(bytes(first["salt"]["specified"])) == 16
    assert first_iv != second_iv
    assert len(first_iv) == 16


def test_another_run_has_another_salt(issued: dict[str, Credential]) -> None:
    key = key_of(issued["ec:P-256"])
    first, second = (parameters(KeyEncryption(PASSPHRASE).encrypt(key))[0] for _ in "12")
    assert first["salt"] != second["salt"]


def test_a_passphrase_is_derived_from_once() -> None:
    assert key_encryption(PASSPHRASE) is key_encryption(Secret(PASSPHRASE.reveal()))
    assert key_encryption(Secret(b"another")) is not key_encryption(PASSPHRASE)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_openssl_reads_what_was_encrypted(
    tmp_path: Path, encryption: KeyEncryption, issued: dict[str, Credential]
) -> None:
    key = key_of(issued["ec:P-256"])
    (tmp_path / "key").write_bytes(encryption.encrypt(key))
    (tmp_path / "passphrase").write_bytes(PASSPHRASE.reveal())
    subprocess.run(
        [
            "openssl", "pkcs8", "-inform", "DER", "-in", "key", "-outform", "DER", "-out", "plain",
            "-passin", "file:passphrase",
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )  # fmt: skip
    assert (tmp_path / "plain").stat().st_size > 0
