"""Keys on tokens of SoftHSM."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from bulkcmp.cmp import algorithms
from bulkcmp.cmp.algorithms import Pss, SigningKey
from bulkcmp.errors import TokenError
from bulkcmp.model import RsaPadding, Secret, TokenKey
from bulkcmp.token.access import open_tokens

if TYPE_CHECKING:
    from bulkcmp.token.tokens import Tokens
    from tests.conftest import SoftHsm, SoftToken

pytestmark = pytest.mark.peer

DATA = b"what is signed"
KEYS: dict[str, Callable[[], SigningKey]] = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
}


def certify(key: SigningKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ra")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now)
    return builder.sign(key, hashes.SHA256())


@pytest.fixture(scope="session")
def keys() -> dict[str, SigningKey]:
    return {name: make() for name, make in KEYS.items()}


@pytest.fixture(scope="session")
def token(softhsm: "SoftHsm", keys: dict[str, SigningKey]) -> "SoftToken":
    token = softhsm.token("ra")
    for number, (name, key) in enumerate(keys.items()):
        token.put_key(name, key, f"a{number}")
        token.put_certificate(f"certificate of {name}", certify(key), f"a{number}")
    softhsm.token("another")
    return token


@pytest.fixture
def tokens(token: "SoftToken") -> "Tokens":
    token.hsm.begin_anew()
    return open_tokens()


def at(token: "SoftToken", key: str) -> TokenKey:
    return TokenKey(token.uri(key), token.hsm.module, Secret(token.hsm.PIN.encode()))


@pytest.mark.parametrize(
    ("name", "digest", "scheme"),
    [
        *(("rsa", digest, RsaPadding.PKCS1) for digest in ("sha1", "sha256", "sha384", "sha512")),
        *(("rsa", digest, RsaPadding.PSS) for digest in ("sha1", "sha256", "sha512")),
        ("rsa", "sha256", Pss("sha256", "sha256", 20)),
        *(("p256", digest, RsaPadding.PKCS1) for digest in ("sha1", "sha256", "sha512")),
        ("p521", "sha512", RsaPadding.PKCS1),
    ],
)
def test_what_a_token_signs_is_good(
    tokens: "Tokens",
    token: "SoftToken",
    keys: dict[str, SigningKey],
    name: str,
    digest: str,
    scheme: algorithms.RsaScheme,
) -> None:
    public_key = keys[name].public_key()
    signer = tokens.signer(at(token, name), public_key)
    identifier = algorithms.signature_identifier(signer, digest, scheme)
    for data in (DATA, b""):
        signature = algorithms.sign(signer, digest, data, scheme)
        algorithms.verify(public_key, identifier, signature, data)


def test_an_ed25519_key_signs(tokens: "Tokens", token: "SoftToken") -> None:
    public_key = token.make_ed25519("ed")
    signer = tokens.signer(at(token, "ed"), public_key)
    identifier = algorithms.signature_identifier(signer, "sha256")
    algorithms.verify(public_key, identifier, algorithms.sign(signer, "sha256", DATA), DATA)


def test_thousands_of_signatures_by_one_session(
    tokens: "Tokens", token: "SoftToken", keys: dict[str, SigningKey]
) -> None:
    signer = tokens.signer(at(token, "p256"), keys["p256"].public_key())
    identifier = algorithms.signature_identifier(signer, "sha256")
    for number in range(2000):
        data = b"%d" % number
        algorithms.verify(
            keys["p256"].public_key(), identifier, algorithms.sign(signer, "sha256", data), data
        )
    assert len(tokens._sessions) == 1


def test_the_certificate_beside_a_key(
    tokens: "Tokens", token: "SoftToken", keys: dict[str, SigningKey]
) -> None:
    for name, key in keys.items():
        certificate = x509.load_der_x509_certificate(tokens.certificate(at(token, name)))
        assert certificate.public_key() == key.public_key()


def test_a_key_without_a_certificate(
    tokens: "Tokens", token: "SoftToken", keys: dict[str, SigningKey]
) -> None:
    token.put_key("bare", keys["p256"], "b0")
    with pytest.raises(TokenError, match="no certificate") as raised:
        tokens.certificate(at(token, "bare"))
    assert raised.value.hint == "give it with --cert FILE"
    for _ in range(2):
        token.put_certificate("bare", certify(keys["p256"]), "b0")
    with pytest.raises(TokenError, match="2 certificates for the key"):
        tokens.certificate(at(token, "bare"))


@pytest.mark.parametrize(
    ("uri", "what"),
    [
        ("pkcs11:token=ra;object=none", "no such private key"),
        ("pkcs11:token=ra;id=%ee", "no such private key"),
        ("pkcs11:token=elsewhere;object=rsa", "no such token; .* has .*'ra'"),
        ("pkcs11:serial=1;token=ra;object=rsa", "no such token"),
        ("pkcs11:object=rsa", "fits [0-9]+ tokens"),
    ],
)
def test_what_is_not_there(tokens: "Tokens", token: "SoftToken", uri: str, what: str) -> None:
    with pytest.raises(TokenError, match=what):
        tokens.certificate(replace(at(token, "rsa"), uri=uri))


def test_an_object_of_two_keys(
    tokens: "Tokens", token: "SoftToken", keys: dict[str, SigningKey]
) -> None:
    token.put_key("twice", keys["p256"], "c0")
    token.put_key("twice", keys["rsa"], "c1")
    with pytest.raises(TokenError, match="2 such private keys") as raised:
        tokens.certificate(at(token, "twice"))
    assert raised.value.hint is not None
    key = replace(at(token, "twice"), uri="pkcs11:token=ra;id=%c1")
    signer = tokens.signer(key, keys["rsa"].public_key())
    assert len(algorithms.sign(signer, "sha256", DATA)) == 256


def test_without_a_pin_the_key_is_not_seen(tokens: "Tokens", token: "SoftToken") -> None:
    with pytest.raises(TokenError, match="no such private key") as raised:
        tokens.certificate(replace(at(token, "rsa"), pin=None))
    assert "--keypass" in (raised.value.hint or "")


def test_a_refused_pin_is_not_tried_again(tokens: "Tokens", token: "SoftToken") -> None:
    wrong = replace(at(token, "rsa"), pin=Secret(b"9999"))
    with pytest.raises(TokenError, match="refuses the PIN: pin incorrect") as raised:
        tokens.certificate(wrong)
    assert "9999" not in str(raised.value)
    # the right one neither
    with pytest.raises(TokenError, match="refuses the PIN"):
        tokens.certificate(at(token, "rsa"))
    # another process may
    open_tokens().certificate(at(token, "rsa"))


def test_a_lost_session_is_opened_again(
    tokens: "Tokens", token: "SoftToken", keys: dict[str, SigningKey]
) -> None:
    signer = tokens.signer(at(token, "rsa"), keys["rsa"].public_key())
    first = algorithms.sign(signer, "sha256", DATA)
    (session,) = tokens._sessions.values()
    session.close()
    assert algorithms.sign(signer, "sha256", DATA) == first
    # as if the HSM began anew
    token.hsm.begin_anew()
    assert algorithms.sign(signer, "sha256", DATA) == first


def test_a_token_that_is_gone(
    tokens: "Tokens", softhsm: "SoftHsm", keys: dict[str, SigningKey]
) -> None:
    token = softhsm.token("short-lived")
    token.put_key("k", keys["p256"], "d0")
    signer = tokens.signer(at(token, "k"), keys["p256"].public_key())
    algorithms.sign(signer, "sha256", DATA)
    token.destroy()
    with pytest.raises(TokenError, match="no such token"):
        algorithms.sign(signer, "sha256", DATA)


def test_a_module_that_is_none(tokens: "Tokens", token: "SoftToken") -> None:
    for module in ("/nowhere/module.so", "/etc/passwd"):
        with pytest.raises(TokenError, match="module can't be loaded") as raised:
            tokens.certificate(replace(at(token, "rsa"), module=module))
        assert "--pkcs11-module" in (raised.value.hint or "")


def test_what_tokens_do_not_sign(
    tokens: "Tokens", token: "SoftToken", keys: dict[str, SigningKey]
) -> None:
    signer = tokens.signer(at(token, "rsa"), keys["rsa"].public_key())
    with pytest.raises(TokenError, match="no RSASSA-PSS with sha3-256"):
        algorithms.sign(signer, "sha256", DATA, Pss("sha3-256", "sha256", 32))
    # an RSA key behind an EC certificate
    signer = tokens.signer(at(token, "rsa"), keys["p256"].public_key())
    with pytest.raises(TokenError, match="pkcs11:token=ra;object=rsa: "):
        algorithms.sign(signer, "sha256", DATA)


# --- public keys ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KEYS)
def test_the_public_key_beside_a_key(
    tokens: "Tokens", token: "SoftToken", keys: dict[str, SigningKey], name: str
) -> None:
    assert tokens.public_key(at(token, name)) == algorithms.public_key_info(keys[name])


def test_the_public_key_of_an_ed25519_key(tokens: "Tokens", token: "SoftToken") -> None:
    public_key = token.make_ed25519("edwards")
    assert tokens.public_key(at(token, "edwards")) == algorithms.public_bytes(public_key)


def test_a_key_without_its_public_key(tokens: "Tokens", token: "SoftToken") -> None:
    token.put_key("alone", KEYS["p256"](), "b7")
    token.remove_public_key("alone")
    with pytest.raises(TokenError, match="object=alone: the token has no public keys of the key's"):
        tokens.public_key(at(token, "alone"))


def test_a_public_key_that_is_no_point(
    tokens: "Tokens", token: "SoftToken", monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def __getitem__(self, attribute: object) -> object:
            from pkcs11 import Attribute, KeyType

            return KeyType.EC if attribute is Attribute.KEY_TYPE else b"\x04\x01"

    monkeypatch.setattr(tokens, "_beside", lambda *_: [Broken()])
    with pytest.raises(TokenError, match="the token's public key can't be read"):
        tokens.public_key(at(token, "p256"))
