"""Tokens by python-pkcs11: sessions, and what is done with the keys behind them.

A module is initialised for one thread (C_Initialize without arguments), so that one thread at a
time is let in; an HSM is kept busy by several processes.
"""

import hashlib
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

import pkcs11
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pkcs11 import MGF, Attribute, KeyType, Mechanism, ObjectClass, PKCS11Error

from bulkcmp.cmp.algorithms import OpaqueKey, Pss, public_bytes
from bulkcmp.cmp.asn1 import TLV, content, decode, wrap
from bulkcmp.errors import RemoteCmpError, TokenError
from bulkcmp.model import TokenKey
from bulkcmp.token.uri import Pkcs11Uri

_ENTRANCE: Final = threading.RLock()

_BAD_PIN: Final = (
    pkcs11.PinIncorrect,
    pkcs11.PinInvalid,
    pkcs11.PinLenRange,
    pkcs11.PinLocked,
    pkcs11.PinExpired,
    pkcs11.UserPinNotInitialized,
)

T = TypeVar("T")


class Tokens:
    """The tokens that a process uses: one session each, opened when it is first needed.

    A PIN that a token refused is not tried again, nor any other: tokens lock themselves.
    """

    def __init__(self) -> None:
        self._sessions: dict[tuple[str, int], pkcs11.Session] = {}
        self._keys: dict[TokenKey, pkcs11.PrivateKey] = {}
        self._refused: dict[tuple[str, int], TokenError] = {}

    def signer(self, key: TokenKey, public_key: PublicKeyTypes) -> OpaqueKey:
        """A key as the core wants it; the token is not touched before it signs.

        Args:
            public_key: what its certificate says that it is.
        """
        return _Signer(self, key, public_key)

    def certificate(self, key: TokenKey) -> bytes:
        """The DER certificate beside a key: of the same id, else of the same label.

        Raises:
            TokenError: there is none, or more than one, or the token can't be used.
        """
        return self._attempt(key, lambda: self._certificate(key))

    def public_key(self, key: TokenKey) -> bytes:
        """DER SubjectPublicKeyInfo of a key, from the public key of the same id, else label.

        Raises:
            TokenError: there is none, or more than one, or the token can't be used.
        """
        return self._attempt(key, lambda: self._public_key(key))

    def sign(
        self,
        key: TokenKey,
        data: bytes,
        mechanism: Mechanism,
        parameters: tuple[object, ...] | None,
    ) -> bytes:
        """What C_Sign gives.

        Raises:
            TokenError: the token can't be used, or can't sign so.
        """

        def sign() -> bytes:
            signature: bytes = self._key(key).sign(
                data, mechanism=mechanism, mechanism_param=parameters
            )
            return signature

        return self._attempt(key, sign)

    def _attempt(self, key: TokenKey, use: Callable[[], T]) -> T:
        with _ENTRANCE:
            known = key in self._keys
            try:
                try:
                    return use()
                except PKCS11Error:
                    if not known:
                        raise
                    # the session may be lost, and the HSM there again
                    self._forget(key)
                    return use()
            except PKCS11Error as error:
                self._forget(key)
                raise TokenError(f"{key.uri}: {_words(error)}") from error

    def _forget(self, key: TokenKey) -> None:
        """Drop all sessions of the key's module, and what was found by them."""
        for place in [place for place in self._sessions if place[0] == key.module]:
            with suppress(PKCS11Error):
                self._sessions.pop(place).close()
        for known in [known for known in self._keys if known.module == key.module]:
            del self._keys[known]

    def _key(self, key: TokenKey) -> pkcs11.SignMixin:
        found = self._keys.get(key)
        if found is None:
            found = self._keys[key] = self._find_key(key)
        if not isinstance(found, pkcs11.SignMixin):
            raise TokenError(f"{key.uri}: the token has the key for other uses than signing")
        return found

    def _find_key(self, key: TokenKey) -> pkcs11.PrivateKey:
        wanted = _object_attributes(Pkcs11Uri.parse(key.uri))
        session = self._session(key)
        found = list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY, **wanted}))
        if not found:
            raise TokenError(
                f"{key.uri}: the token has no such private key",
                hint=None
                if key.pin is not None
                else "give the PIN with --keypass: without it a token hides its private keys",
            )
        if len(found) > 1:
            raise TokenError(
                f"{key.uri}: the token has {len(found)} such private keys",
                hint="name it by id=, or by both object= and id=",
            )
        private_key = found[0]
        assert isinstance(private_key, pkcs11.PrivateKey)
        return private_key

    def _certificate(self, key: TokenKey) -> bytes:
        found = self._beside(key, ObjectClass.CERTIFICATE)
        if len(found) > 1:
            raise TokenError(
                f"{key.uri}: the token has {len(found)} certificates for the key",
                hint="give the right one with --cert FILE",
            )
        if not found:
            raise TokenError(
                f"{key.uri}: the token has no certificate of the key's id or label",
                hint="give it with --cert FILE",
            )
        return bytes(found[0][Attribute.VALUE])

    def _public_key(self, key: TokenKey) -> bytes:
        found = self._beside(key, ObjectClass.PUBLIC_KEY)
        if len(found) != 1:
            count = len(found) or "no"
            raise TokenError(
                f"{key.uri}: the token has {count} public keys of the key's id or label",
                hint="it must have one, which is what is certified",
            )
        return _subject_public_key_info(found[0], key)

    def _beside(self, key: TokenKey, kind: ObjectClass) -> list[pkcs11.Object]:
        """What the token has of the same id as a key, else of the same label."""
        session = self._session(key)
        self._key(key)
        private_key = self._keys[key]
        for attribute in (Attribute.ID, Attribute.LABEL):
            value = private_key[attribute]
            found = list(session.get_objects({Attribute.CLASS: kind, attribute: value}))
            if value and found:
                return found
        return []

    def _session(self, key: TokenKey) -> pkcs11.Session:
        token = _find_token(key)
        place = (key.module, token.slot.slot_id)
        session = self._sessions.get(place)
        if session is not None:
            return session
        if place in self._refused:
            raise self._refused[place]
        try:
            pin = None if key.pin is None else key.pin.reveal().decode()
            session = token.open(user_pin=pin)
        except pkcs11.UserAlreadyLoggedIn:
            # others of this process have: it is logged in as a whole
            session = token.open()
        except UnicodeDecodeError:
            raise TokenError("the token's PIN is not UTF-8") from None
        except _BAD_PIN as error:
            refused = TokenError(
                f"{key.uri}: the token refuses the PIN: {_words(error)}",
                hint="no PIN is tried a second time: a token locks itself after some wrong ones",
            )
            self._refused[place] = refused
            raise refused from None
        self._sessions[place] = session
        return session


class _Signer(OpaqueKey):
    def __init__(self, tokens: Tokens, key: TokenKey, public_key: PublicKeyTypes) -> None:
        self._tokens = tokens
        self._key = key
        self._public_key = public_key

    def public_key(self) -> PublicKeyTypes:
        return self._public_key

    def sign(self, data: bytes, digest: str, pss: Pss | None) -> bytes:
        match self._public_key:
            case ec.EllipticCurvePublicKey():
                hashed = hashlib.new(digest.replace("-", "_"), data).digest()
                return _ecdsa_der(self._tokens.sign(self._key, hashed, Mechanism.ECDSA, None))
            case rsa.RSAPublicKey():
                mechanism, parameters = _rsa_mechanism(digest, pss)
            case ed25519.Ed25519PublicKey():
                mechanism, parameters = Mechanism.EDDSA, None
            case ed448.Ed448PublicKey():
                # without parameters it would be Ed25519 (PKCS#11 3.0, 2.3.14)
                mechanism, parameters = Mechanism.EDDSA, (False, None)
            case _:
                raise TokenError(
                    f"a key on a token that is a {type(self._public_key).__name__} can't be used",
                    hint="usable are RSA, EC, Ed25519 and Ed448 keys",
                )
        return self._tokens.sign(self._key, data, mechanism, parameters)


_HASHES: Final = {
    "sha1": (Mechanism.SHA_1, MGF.SHA1),
    "sha224": (Mechanism.SHA224, MGF.SHA224),
    "sha256": (Mechanism.SHA256, MGF.SHA256),
    "sha384": (Mechanism.SHA384, MGF.SHA384),
    "sha512": (Mechanism.SHA512, MGF.SHA512),
}


def _rsa_mechanism(digest: str, pss: Pss | None) -> tuple[Mechanism, tuple[object, ...] | None]:
    if pss is None:
        return Mechanism[f"{digest.upper().replace('-', '_')}_RSA_PKCS"], None
    if not {pss.digest, pss.mask_digest} <= _HASHES.keys():
        raise TokenError(f"tokens have no RSASSA-PSS with {pss.digest} and {pss.mask_digest}")
    parameters = (_HASHES[pss.digest][0], _HASHES[pss.mask_digest][1], pss.salt_length)
    return Mechanism[f"{pss.digest.upper()}_RSA_PKCS_PSS"], parameters


_EC_PUBLIC_KEY: Final = bytes.fromhex("06072a8648ce3d0201")
_ED25519_OCTETS: Final = 32
_ED448_OCTETS: Final = 57


def _subject_public_key_info(key: pkcs11.Object, of: TokenKey) -> bytes:
    """DER SubjectPublicKeyInfo of a public key on a token.

    Raises:
        TokenError: it is of a type that is of no use here, or malformed.
    """
    try:
        public_key: PublicKeyTypes
        match key[Attribute.KEY_TYPE]:
            case KeyType.RSA:
                modulus = int.from_bytes(key[Attribute.MODULUS])
                exponent = int.from_bytes(key[Attribute.PUBLIC_EXPONENT])
                public_key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
            case KeyType.EC:
                algorithm = wrap(0x30, _EC_PUBLIC_KEY, key[Attribute.EC_PARAMS])
                point = content(decode(TLV, key[Attribute.EC_POINT]))
                public_key = load_der_public_key(wrap(0x30, algorithm, wrap(0x03, b"\0", point)))
            case KeyType.EC_EDWARDS:
                point = key[Attribute.EC_POINT]
                # tokens disagree whether it is the point, or an OCTET STRING with it
                raw = point if len(point) in (_ED25519_OCTETS, _ED448_OCTETS) else point[2:]
                if len(raw) == _ED448_OCTETS:
                    public_key = ed448.Ed448PublicKey.from_public_bytes(raw)
                else:
                    public_key = ed25519.Ed25519PublicKey.from_public_bytes(raw)
            case kind:
                raise TokenError(f"{of.uri}: {kind} keys can't be certified")
    except (ValueError, UnsupportedAlgorithm, RemoteCmpError) as error:
        raise TokenError(f"{of.uri}: the token's public key can't be read: {error}") from error
    return public_bytes(public_key)


def _ecdsa_der(signature: bytes) -> bytes:
    """DER Ecdsa-Sig-Value of r and s side by side, each as long as the curve's order."""
    half = len(signature) // 2
    return encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))


def _find_token(key: TokenKey) -> pkcs11.Token:
    try:
        library = pkcs11.lib(key.module)
    except PKCS11Error as error:
        raise TokenError(
            f"the PKCS#11 module can't be loaded: {_words(error)}",
            hint="name it with --pkcs11-module FILE, or with module-path= in the URI",
        ) from error
    wanted = Pkcs11Uri.parse(key.uri).attributes
    fitting: list[pkcs11.Token] = []
    others: list[pkcs11.Token] = []
    for slot in library.get_slots(token_present=True):
        token = slot.get_token()
        if not token.flags & pkcs11.TokenFlag.TOKEN_INITIALIZED:
            continue
        has = _token_attributes(library, slot, token)
        fits = all(has[name] == value for name, value in wanted.items() if name in has)
        (fitting if fits else others).append(token)
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise TokenError(
            f"{key.uri} fits {len(fitting)} tokens", hint="name one by token= or by serial="
        )
    labels = ", ".join(repr(token.label) for token in others) or "no token at all"
    raise TokenError(f"{key.uri}: there is no such token; {key.module} has {labels}")


def _token_attributes(
    library: "pkcs11._pkcs11.lib", slot: pkcs11.Slot, token: pkcs11.Token
) -> dict[str, bytes]:
    return {
        "token": token.label.encode(),
        "manufacturer": token.manufacturer_id.encode(),
        "serial": token.serial,
        "model": token.model.encode(),
        "slot-id": str(slot.slot_id).encode(),
        "slot-manufacturer": slot.manufacturer_id.encode(),
        "slot-description": slot.slot_description.encode(),
        "library-manufacturer": library.manufacturer_id.encode(),
        "library-description": library.library_description.encode(),
        "library-version": ".".join(map(str, library.library_version)).encode(),
    }


def _object_attributes(uri: Pkcs11Uri) -> dict[Attribute, object]:
    wanted: dict[Attribute, object] = {}
    if "object" in uri.attributes:
        wanted[Attribute.LABEL] = uri.attributes["object"].decode(errors="replace")
    if "id" in uri.attributes:
        wanted[Attribute.ID] = uri.attributes["id"]
    return wanted


def _words(error: PKCS11Error) -> str:
    """What went wrong: python-pkcs11 says it by the exception's name, which is that of the CKR."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
    return f"{name}: {error}" if str(error) else name
