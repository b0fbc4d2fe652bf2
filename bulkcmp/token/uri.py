"""PKCS#11 URIs (RFC 7512): which token, which object on it, by which module, and the PIN."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from bulkcmp.errors import InputError
from bulkcmp.model import Secret

SCHEME: Final = "pkcs11:"

_PATH: Final = frozenset(
    {
        "token", "manufacturer", "serial", "model", "library-manufacturer", "library-version",
        "library-description", "object", "type", "id", "slot-manufacturer", "slot-description",
        "slot-id",
    }
)  # fmt: skip
_QUERY: Final = frozenset({"pin-source", "pin-value", "module-name", "module-path"})
_PIN_VALUE: Final = re.compile(r"([?&]pin-value=)[^&]*")

_HINT: Final = "as in pkcs11:token=ra;object=signer, with ; between attributes (RFC 7512)"


@dataclass(frozen=True, slots=True)
class Pkcs11Uri:
    """A URI for a private key.

    Attributes:
        text: scheme and path, which hold nothing secret.
        attributes: of the path, by name: decoded octets.
        pin: that of `pin-value`.
        pin_source: where the PIN can be read, `file:PATH` for instance.
        module_name, module_path: of the PKCS#11 library.
    """

    text: str
    attributes: dict[str, bytes] = field(hash=False)
    pin: Secret | None = None
    pin_source: str | None = None
    module_name: str | None = None
    module_path: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Pkcs11Uri":
        """Read a URI.

        Raises:
            InputError: it is none, or names no private key.
        """
        if not is_uri(text):
            raise InputError(f"not a PKCS#11 URI: it begins with {SCHEME}", hint=_HINT)
        path, _, query = text[len(SCHEME) :].partition("?")
        attributes = dict(_attributes(path, ";", _PATH))
        said = dict(_attributes(query, "&", _QUERY))
        if attributes.get("type", b"private") != b"private":
            raise InputError("the PKCS#11 URI is not one of a private key", hint="type=private")
        if not attributes.keys() & {"object", "id"}:
            raise InputError("the PKCS#11 URI names no key: it has neither object nor id")
        pin = said.get("pin-value")
        return cls(
            SCHEME + path,
            attributes,
            None if pin is None else Secret(pin),
            _text(said.get("pin-source")),
            _text(said.get("module-name")),
            _text(said.get("module-path")),
        )


def is_uri(text: str) -> bool:
    """Whether a text that may be a path is a PKCS#11 URI."""
    return text[: len(SCHEME)].lower() == SCHEME


def describe_uri(text: str) -> str:
    """The text as others may see it: `***` in place of a PIN."""
    return _PIN_VALUE.sub(r"\1***", text)


def _attributes(text: str, delimiter: str, known: frozenset[str]) -> Iterator[tuple[str, bytes]]:
    names = set()
    for part in text.split(delimiter) if text else ():
        name, equals, value = part.partition("=")
        # a value is not shown: it may be a PIN
        if not equals:
            raise InputError("an attribute of the PKCS#11 URI has no value", hint=_HINT)
        if name in names:
            raise InputError(f"the PKCS#11 URI has {name} twice", hint=_HINT)
        names.add(name)
        if name in known:
            # what is no UTF-8 came as surrogates, of a path on the command line
            yield name, unquote_to_bytes(value.encode(errors="surrogateescape"))
        elif not name.startswith("x-"):
            raise InputError(f"the PKCS#11 URI has an unknown attribute {name!r}", hint=_HINT)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="surrogateescape")
