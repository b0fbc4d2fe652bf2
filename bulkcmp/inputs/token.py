"""Private keys on PKCS#11 tokens: those of credentials, and those to certify."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from bulkcmp.cmp import algorithms, strength
from bulkcmp.cmp.algorithms import RsaScheme
from bulkcmp.cmp.trust import load_certificate
from bulkcmp.errors import InputError, LocalCmpError, RemoteCmpError, Where
from bulkcmp.inputs.credential import read_certificates, refuse_weak
from bulkcmp.inputs.material import Material
from bulkcmp.inputs.secret import read_secret
from bulkcmp.model import RsaPadding, Secret, TokenKey
from bulkcmp.token.access import open_tokens
from bulkcmp.token.module import module_of
from bulkcmp.token.uri import Pkcs11Uri, is_uri

if TYPE_CHECKING:
    from bulkcmp.token.tokens import Tokens

_PROBE = b"bulkcmp: is this the key?"


def read_key(folder: Path, text: str) -> Path | Pkcs11Uri:
    """Where a credential's key is: a file, relative to `folder`, or on a token.

    Raises:
        InputError: a PKCS#11 URI that can't be used.
    """
    return Pkcs11Uri.parse(text) if is_uri(text) else folder / text


class TokenCredential(NamedTuple):
    """Attributes:
    key: where it is.
    chain: DER of the key's certificate, then of the others that its file held, in their order.
    """

    key: TokenKey
    chain: tuple[bytes, ...]

    def certifiable(self) -> TokenKey:
        """The key, to be certified once more.

        Raises:
            InputError: its certificate's public key can't be read.
        """
        public_key, _ = _certified(self.chain[0])
        encoded = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return replace(self.key, public_key=encoded)


class TokenReader:
    """Finds keys on tokens, and tries whether they sign.

    Args:
        module: path of the PKCS#11 library; None where the URIs or the environment name it.
        environ: names a module, and has PINs.
        allow_weak: keys may be weaker than `bulkcmp.cmp.strength` has it.
    """

    def __init__(self, module: str | None, environ: Mapping[str, str], *, allow_weak: bool) -> None:
        self._module = module
        self._environ = environ
        self._allow_weak = allow_weak
        self._tokens: Tokens | None = None

    def credential(
        self, uri: Pkcs11Uri, certificate: Material | None, pin: Secret | None = None
    ) -> TokenCredential:
        """A key on a token, and its certificate with the chain.

        Args:
            certificate: PEM bundle or DER; by default the token has it, without a chain.
            pin: where the URI names none.

        Raises:
            InputError: the token, the key on it or the file can't be used, the key is too weak, or
                not that of the (first) certificate.
        """
        key = self._key(uri, pin)
        try:
            tokens = self._opened()
            if certificate is None:
                chain: tuple[bytes, ...] = (tokens.certificate(key),)
            else:
                chain = read_certificates(certificate)
            public_key, scheme = _certified(chain[0])
            self._judge(key, public_key)
            if not _signs(tokens, key, public_key, scheme):
                raise InputError(
                    "the private key is not that of the certificate", where=Where(key.uri)
                )
        except LocalCmpError as error:
            raise InputError(error.what, hint=error.hint) from error
        return TokenCredential(key, chain)

    def new_key(self, uri: Pkcs11Uri, pin: Secret | None = None) -> TokenKey:
        """A key on a token that is to be certified.

        Raises:
            InputError: the token or the key on it can't be used, or the key is too weak, or has no
                public key beside it.
        """
        key = self._key(uri, pin)
        try:
            tokens = self._opened()
            key = replace(key, public_key=tokens.public_key(key))
            public_key = load_der_public_key(key.public_key)
            self._judge(key, public_key)
            if not _signs(tokens, key, public_key, RsaPadding.PKCS1):
                raise InputError(
                    "the private key is not that of the public key beside it", where=Where(key.uri)
                )
        except LocalCmpError as error:
            raise InputError(error.what, hint=error.hint) from error
        return key

    def _judge(self, key: TokenKey, public_key: PublicKeyTypes) -> None:
        refuse_weak(strength.of_key(public_key), Where(key.uri), allow_weak=self._allow_weak)

    def refuse_other_module(self, uri: Pkcs11Uri) -> None:
        """Make sure that a URI out of a file loads no library but the one that is loaded anyway: a
        library is code, and a file is data.

        Raises:
            InputError: it names another.
        """
        named = module_of(uri, self._module, self._environ)
        usual = module_of(
            replace(uri, module_name=None, module_path=None), self._module, self._environ
        )
        if named != usual:
            raise InputError(
                f"the PKCS#11 URI of a row names a library of its own, {named!r}",
                hint="--pkcs11-module says which is loaded; leave module-path and module-name away",
            )

    def _key(self, uri: Pkcs11Uri, pin: Secret | None) -> TokenKey:
        module = module_of(uri, self._module, self._environ)
        return TokenKey(uri.text, module, self._pin(uri, pin))

    def _opened(self) -> "Tokens":
        if self._tokens is None:
            self._tokens = open_tokens()
        return self._tokens

    def _pin(self, uri: Pkcs11Uri, pin: Secret | None) -> Secret | None:
        source = uri.pin_source
        if uri.pin is not None or source is None:
            return uri.pin or pin
        if source.startswith("|"):
            raise InputError(
                "pin-source of the PKCS#11 URI is a command, and none is run",
                hint="write file:PATH or env:NAME",
            )
        if source.startswith("/"):
            source = f"file:{source}"
        try:
            return read_secret(source, self._environ, stdin=False)
        except InputError as error:
            raise InputError(f"pin-source: {error}", hint=error.hint) from None


def _certified(certificate: bytes) -> tuple[PublicKeyTypes, RsaScheme]:
    """The public key of a certificate, and how it signs."""
    try:
        loaded = load_certificate(certificate)
        return loaded.public_key(), algorithms.scheme_of(loaded) or RsaPadding.PKCS1
    except (RemoteCmpError, ValueError) as error:
        raise InputError(f"the certificate can't be used: {error}") from error


def _signs(tokens: "Tokens", key: TokenKey, public_key: PublicKeyTypes, scheme: RsaScheme) -> bool:
    """Let a key sign something; nothing else tells for all kinds of keys whose it is."""
    signer = tokens.signer(key, public_key)
    identifier = algorithms.signature_identifier(signer, "sha256", scheme)
    signature = algorithms.sign(signer, "sha256", _PROBE, scheme)
    try:
        algorithms.verify(public_key, identifier, signature, _PROBE)
    except RemoteCmpError:
        return False
    return True
