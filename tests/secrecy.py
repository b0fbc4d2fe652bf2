"""A search for the bytes of secrets and private keys, however they are written down."""

import base64
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def numbers_of(key: PrivateKeyTypes) -> dict[str, bytes]:
    """What nobody may see of a key: it stands in PKCS#8, SEC1 and all other forms of it."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        size = key.key_size // 16
        return {
            "prime p": numbers.p.to_bytes(size),
            "prime q": numbers.q.to_bytes(size),
            "exponent": numbers.d.to_bytes(2 * size).lstrip(b"\0"),
        }
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {"scalar": key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8)}
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    return {"seed": key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())}


def spellings(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """How octets may stand within a text or a file."""
    yield "raw", secret
    yield "little-endian", secret[::-1]
    yield "hex", secret.hex().encode()
    yield "HEX", secret.hex().upper().encode()
    yield "hex:colons", secret.hex(":").encode()
    yield "repr", repr(secret)[2:-1].encode()
    # a number in decimal, as a traceback or a debugger shows it
    yield "decimal", str(int.from_bytes(secret)).encode()
    for before in range(3):
        # what stands around it changes the first and the last characters
        text = base64.b64encode(bytes(before) + secret).rstrip(b"=")
        inner = text[-(-before * 4 // 3) : len(text) - 1]
        yield f"base64 at {before}", inner
        yield f"base64url at {before}", inner.translate(bytes.maketrans(b"+/", b"-_"))


def found(secrets: dict[str, bytes], places: Iterable[tuple[str, bytes]]) -> list[str]:
    """Where which secret stands; a line break within base64 or hex hides none."""
    needles = [
        (f"{name} ({form})", needle)
        for name, secret in secrets.items()
        for form, needle in dict(spellings(secret)).items()
    ]
    return [
        f"{what} in {place}"
        for place, content in places
        for text in (content, content.translate(None, b"\r\n\t "))
        for what, needle in needles
        if needle in text
    ]


def files(folder: Path, *but: Path) -> Iterator[tuple[str, bytes]]:
    """All files below a folder, but for some and what is below them."""
    for path in folder.rglob("*"):
        if path.is_file() and not any(path.is_relative_to(one) for one in but):
            yield str(path), path.read_bytes()


def processes(pids: Iterable[int]) -> Iterator[tuple[str, bytes]]:
    """The command lines and the environments of processes, as their user sees them."""
    for pid in pids:
        for name in ("cmdline", "environ"):
            with suppress(OSError):
                yield f"/proc/{pid}/{name}", Path(f"/proc/{pid}/{name}").read_bytes()
