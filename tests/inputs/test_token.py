"""Credentials on tokens of SoftHSM, alone and in the rows of a population."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bulkcmp.cmp.algorithms import public_bytes
from bulkcmp.errors import InputError
from bulkcmp.inputs.population import Population
from bulkcmp.inputs.recognition import open_source
from bulkcmp.inputs.row import Defaults
from bulkcmp.inputs.token import TokenReader, read_key
from bulkcmp.model import BadRow, EndEntity, Secret, TokenKey
from bulkcmp.token.uri import Pkcs11Uri

if TYPE_CHECKING:
    from tests.conftest import SoftHsm, SoftToken

PIN = Secret(b"1234")


def certify(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ra")])
    now = dt.datetime.now(dt.UTC)
    return x509.CertificateBuilder(name, name, key.public_key(), 1, now, now).sign(
        key, hashes.SHA256()
    )


@pytest.fixture(scope="session")
def certificates() -> dict[str, x509.Certificate]:
    return {}


@pytest.fixture(scope="session")
def token(softhsm: "SoftHsm", certificates: dict[str, x509.Certificate]) -> "SoftToken":
    token = softhsm.token("inputs")
    for number, name in enumerate(("dev1", "dev2")):
        key = ec.generate_private_key(ec.SECP256R1())
        certificates[name] = certify(key)
        token.put_key(name, key, f"0{number}")
        token.put_certificate(name, certificates[name], f"0{number}")
    return token


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def test_a_key_is_a_file_or_on_a_token(tmp_path: Path) -> None:
    assert read_key(tmp_path, "ra.key") == tmp_path / "ra.key"
    assert isinstance(read_key(tmp_path, "pkcs11:object=ra"), Pkcs11Uri)
    with pytest.raises(InputError, match="names no key"):
        read_key(tmp_path, "pkcs11:token=ra")


@pytest.mark.peer
@pytest.mark.parametrize("source", ["file:{}", "{}", "env:PIN", None])
def test_where_the_pin_is(
    token: "SoftToken", certificates: dict[str, x509.Certificate], tmp_path: Path, source: str
) -> None:
    pin_file = tmp_path / "pin"
    pin_file.write_text("1234\n")
    uri = token.uri("dev1")
    if source is not None:
        uri += f"?pin-source={source.format(pin_file)}"
    reader = TokenReader(token.hsm.module, {"PIN": "1234"}, allow_weak=False)
    # that of the URI is preferred
    other = PIN if source is None else Secret(b"9999")
    credential = reader.credential(Pkcs11Uri.parse(uri), None, other)
    assert credential.key == TokenKey(token.uri("dev1"), token.hsm.module, PIN)
    assert credential.chain == (der(certificates["dev1"]),)


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("pin-source=%7Ccommand", "is a command, and none is run"),
        ("pin-source=file:/nowhere", "pin-source: /nowhere"),
        ("pin-source=env:NOT_THERE", "pin-source: the environment has no variable"),
        ("pin-source=1234", "pin-source: not a source of a secret"),
    ],
)
def test_a_pin_that_can_not_be_read(query: str, what: str) -> None:
    reader = TokenReader(None, {}, allow_weak=False)
    with pytest.raises(InputError, match=what) as raised:
        reader.credential(Pkcs11Uri.parse(f"pkcs11:object=a?{query}"), None)
    assert "1234" not in str(raised.value)


@pytest.mark.peer
def test_the_key_of_another_certificate(
    token: "SoftToken", certificates: dict[str, x509.Certificate], tmp_path: Path
) -> None:
    path = tmp_path / "cert.pem"
    path.write_bytes(certificates["dev2"].public_bytes(Encoding.PEM))
    reader = TokenReader(token.hsm.module, {}, allow_weak=False)
    with pytest.raises(InputError, match="not that of the certificate"):
        reader.credential(Pkcs11Uri.parse(token.uri("dev1")), path, PIN)
    assert reader.credential(Pkcs11Uri.parse(token.uri("dev2")), path, PIN).chain == (
        der(certificates["dev2"]),
    )


@pytest.mark.peer
def test_a_token_that_is_not_there_is_bad_input(token: "SoftToken") -> None:
    reader = TokenReader(token.hsm.module, {}, allow_weak=False)
    with pytest.raises(InputError, match="no such token"):
        reader.credential(Pkcs11Uri.parse("pkcs11:token=nope;object=x"), None, PIN)


@pytest.mark.peer
def test_a_weak_key_must_be_allowed(softhsm: "SoftHsm") -> None:
    token = softhsm.token("weak")
    key = rsa.generate_private_key(65537, 1024)
    token.put_key("short", key, "01")
    token.put_certificate("short", certify(key), "01")
    uri = Pkcs11Uri.parse(token.uri("short"))
    strict, lenient = (
        TokenReader(token.hsm.module, {}, allow_weak=allow_weak) for allow_weak in (False, True)
    )
    judges: tuple[Callable[[TokenReader], object], ...] = (
        lambda reader: reader.credential(uri, None, PIN),
        lambda reader: reader.new_key(uri, PIN),
    )
    for judged in judges:
        with pytest.raises(InputError, match="too weak: an RSA key of 1024 bits") as raised:
            judged(strict)
        assert raised.value.hint == "--allow-weak takes it"
        assert str(raised.value).startswith(token.uri("short"))
        assert judged(lenient)
    assert lenient.new_key(uri, PIN).public_key == public_bytes(key.public_key())


# --- rows ---------------------------------------------------------------------------------------


def rows(
    tmp_path: Path, text: str, environ: dict[str, str] | None = None, **defaults: Any
) -> list[EndEntity | BadRow]:
    path = tmp_path / "population.csv"
    path.write_text(text)
    made = Defaults(newkey="ec:P-256", **defaults)
    return list(Population(open_source(path), made, environ or {}).rows())


@pytest.mark.peer
def test_a_column_of_keys_on_tokens(
    token: "SoftToken", certificates: dict[str, x509.Certificate], tmp_path: Path
) -> None:
    text = "id,subject,key,keypass\n" + "".join(
        f"{name},/CN={name},{token.uri(name)}?module-path={token.hsm.module},pass:1234\n"
        for name in ("dev1", "dev2")
    )
    found = rows(tmp_path, text, pkcs11_module=token.hsm.module)
    for name, row in zip(("dev1", "dev2"), found, strict=True):
        assert isinstance(row, EndEntity), row
        assert row.key == TokenKey(token.uri(name), token.hsm.module, PIN)
        assert row.cert == (der(certificates[name]),)
        assert "1234" not in repr(row)


@pytest.mark.parametrize("column", ["key", "newkey"])
@pytest.mark.parametrize("named", ["module-path=/tmp/evil.so", "module-name=evil"])
def test_a_row_loads_no_library_of_its_own(tmp_path: Path, column: str, named: str) -> None:
    text = f"id,subject,secret,{column}\na,/CN=a,pass:s,pkcs11:object=a?{named}\n"
    (row,) = rows(tmp_path, text, pkcs11_module="/usr/lib/good.so")
    assert isinstance(row, BadRow)
    (problem,) = row.problems
    assert "names a library of its own" in problem.what
    assert "evil" in problem.what
    assert problem.where is not None
    assert problem.where.column == column
    assert "--pkcs11-module" in str(problem.hint)


@pytest.mark.peer
def test_a_template_of_keys_on_tokens(token: "SoftToken", tmp_path: Path) -> None:
    text = 'id,subject\ndev1,/CN=a\ndev2,/CN=b\n"a;object=dev1",/CN=c\n'
    first, second, third = rows(
        tmp_path,
        text,
        key="pkcs11:token=inputs;object={id}",
        keypass="pass:1234",
        pkcs11_module=token.hsm.module,
    )
    assert isinstance(first, EndEntity)
    assert isinstance(second, EndEntity)
    assert isinstance(second.key, TokenKey)
    assert second.key.uri == token.uri("dev2")
    # what is filled in is one value
    assert isinstance(third, BadRow)
    assert "object=a%3Bobject%3Ddev1: the token has no such private key" in str(third.problems[0])


@pytest.mark.peer
def test_one_key_for_all_rows_is_tried_before_them(token: "SoftToken", tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="--key: pkcs11:token=inputs;object=none: the token has no such"
    ):
        rows(
            tmp_path,
            "id,subject\na,/CN=a\n",
            key="pkcs11:token=inputs;object=none",
            keypass="pass:1234",
            pkcs11_module=token.hsm.module,
        )


def test_a_bad_uri_in_a_row(tmp_path: Path) -> None:
    (row,) = rows(tmp_path, "id,subject,key\na,/CN=a,pkcs11:token=x\n")
    assert isinstance(row, BadRow)
    assert [problem.what for problem in row.problems] == [
        "the PKCS#11 URI names no key: it has neither object nor id"
    ]


# --- keys to certify ----------------------------------------------------------------------------


@pytest.mark.peer
def test_a_template_of_keys_to_certify(
    token: "SoftToken", certificates: dict[str, x509.Certificate], tmp_path: Path
) -> None:
    (tmp_path / "population.csv").write_text("id,subject\ndev1,/CN=a\ndev2,/CN=b\nnope,/CN=c\n")
    made = Defaults(
        newkey="pkcs11:token=inputs;object={id}",
        newkeypass="pass:1234",  # of a test
        pkcs11_module=token.hsm.module,
        secret=Secret(b"s"),
    )
    first, second, third = Population(open_source(tmp_path / "population.csv"), made, {}).rows()
    for name, row in (("dev1", first), ("dev2", second)):
        assert isinstance(row, EndEntity), row
        assert row.new_key == TokenKey(token.uri(name), token.hsm.module, PIN)
        assert isinstance(row.new_key, TokenKey)
        assert row.new_key.public_key == public_bytes(certificates[name].public_key())
        assert row.new_key_spec is None
        assert "1234" not in repr(row)
    assert isinstance(third, BadRow)
    assert "object=nope: the token has no such private key" in str(third.problems[0])


@pytest.mark.peer
def test_a_column_of_keys_to_certify(token: "SoftToken", tmp_path: Path) -> None:
    uri = f"{token.uri('dev1')}?module-path={token.hsm.module}&pin-value=1234"
    text = "".join(f"{popo or 'a'},/CN=a,pass:x,{uri},{popo}\n" for popo in ("", "keyAgreement"))
    good, bad = rows(
        tmp_path, f"id,subject,secret,newkey,popo\n{text}", pkcs11_module=token.hsm.module
    )
    assert isinstance(good, EndEntity)
    assert isinstance(good.new_key, TokenKey)
    assert isinstance(bad, BadRow)
    assert "keys on tokens can't prove possession by keyAgreement" in str(bad.problems[0])


@pytest.mark.peer
def test_the_key_of_a_credential_is_certified_anew(
    token: "SoftToken", certificates: dict[str, x509.Certificate], tmp_path: Path
) -> None:
    uri = f"{token.uri('dev1')}?module-path={token.hsm.module}&pin-value=1234"
    text = "".join(f"{popo or 'a'},kur,/CN=a,{uri},same,{popo}\n" for popo in ("", "keyAgreement"))
    good, bad = rows(
        tmp_path, f"id,cmd,subject,key,newkey,popo\n{text}", pkcs11_module=token.hsm.module
    )
    assert isinstance(good, EndEntity)
    assert isinstance(good.new_key, TokenKey)
    assert good.new_key.public_key == public_bytes(certificates["dev1"].public_key())
    assert isinstance(bad, BadRow)
    assert "keys on tokens can't prove possession by keyAgreement" in str(bad.problems[0])


@pytest.mark.peer
def test_a_key_to_certify_that_is_not_that_of_its_public_key(
    token: "SoftToken", monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = TokenReader(token.hsm.module, {}, allow_weak=False)
    other = reader.new_key(Pkcs11Uri.parse(token.uri("dev2")), PIN).public_key
    monkeypatch.setattr(reader._opened(), "public_key", lambda _: other)
    with pytest.raises(InputError, match="is not that of the public key beside it"):
        reader.new_key(Pkcs11Uri.parse(token.uri("dev1")), PIN)
