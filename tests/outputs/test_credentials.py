"""Credential files read back by cryptography, and by openssl where there is one."""

import dataclasses
import os
import pickle
import shutil
import signal
import string
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
    pkcs7,
    pkcs12,
)
from hypothesis import example, given
from hypothesis import strategies as st

from bulkcmp.errors import BulkcmpError, InputError
from bulkcmp.filename import MAX_STEM, file_stem
from bulkcmp.model import KeySpec, Secret
from bulkcmp.outputs.credentials import (
    Credential,
    CredentialFiles,
    OutChain,
    OutFormat,
    check_formats,
    check_password,
    credential_files,
    parse_formats,
    write_credentials,
)
from tests.outputs.javakeystore import read_java_keystore

pytestmark = pytest.mark.usefixtures("usual_umask")

PASSPHRASE = Secret("pässword".encode())
ALL_SPECS = ["rsa:2048", "ec:P-256", "ed25519", "ed448", "ml-dsa-65", "ml-kem-768"]
P12_SPECS = ALL_SPECS[:-2]
ANY_TEXT = st.text(st.characters(exclude_categories=()))
FORMATS = [one for one in OutFormat if one.holds_keys]
WAYS = [
    (one, plain)
    for one in FORMATS
    for plain in (False, True)
    if not (one is OutFormat.JKS and plain)
]
"""Formats, with keys encrypted or not."""


def write(
    folder: Path,
    out_format: OutFormat | tuple[OutFormat, ...],
    items: Sequence[Credential],
    passphrase: Secret | None,
    plain: bool,
    out_chain: OutChain = OutChain.FULL,
) -> list[str]:
    formats = (out_format,) if isinstance(out_format, OutFormat) else out_format
    return write_credentials(folder, formats, out_chain, items, passphrase, plain)


@pytest.fixture
def credential(issued: dict[str, Credential]) -> Credential:
    return dataclasses.replace(issued["ec:P-256"], id="dev-1")


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def is_key(loaded: object, credential: Credential) -> bool:
    """Whether a key that was read back is the credential's."""
    data: bytes = loaded.private_bytes(  # type: ignore[attr-defined]  # every private key has it
        Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
    )
    return data == credential.key_pkcs8


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


# --- formats ---------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ALL_SPECS)
def test_pem_holds_certificate_chain_and_encrypted_key(
    tmp_path: Path, issued: dict[str, Credential], spec: str
) -> None:
    item = dataclasses.replace(issued[spec], id="d")
    folder = tmp_path / "certs"
    assert write(folder, OutFormat.PEM, [item], PASSPHRASE, False) == [
        "d.key.pem",
        "d.pem",
    ]
    certificates = x509.load_pem_x509_certificates((folder / "d.pem").read_bytes())
    assert [der(one) for one in certificates] == [item.certificate, *item.chain]
    key = (folder / "d.key.pem").read_bytes()
    assert key.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    assert is_key(load_pem_private_key(key, PASSPHRASE.reveal()), item)
    assert modes(folder) == {"d.pem": 0o644, "d.key.pem": 0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("spec", ALL_SPECS)
def test_der_holds_certificate_chain_and_encrypted_key(
    tmp_path: Path, issued: dict[str, Credential], spec: str
) -> None:
    item = dataclasses.replace(issued[spec], id="d")
    assert write(tmp_path, OutFormat.DER, [item], PASSPHRASE, False) == [
        "d.key.der",
        "d.p7c",
        "d.der",
    ]
    assert (tmp_path / "d.der").read_bytes() == item.certificate
    chain = pkcs7.load_der_pkcs7_certificates((tmp_path / "d.p7c").read_bytes())
    assert {der(one) for one in chain} == set(item.chain)
    key = (tmp_path / "d.key.der").read_bytes()
    assert is_key(load_der_private_key(key, PASSPHRASE.reveal()), item)
    assert modes(tmp_path) == {"d.der": 0o644, "d.p7c": 0o644, "d.key.der": 0o600}


@pytest.mark.parametrize("spec", P12_SPECS)
def test_p12_holds_all_under_the_id(
    tmp_path: Path, issued: dict[str, Credential], spec: str
) -> None:
    item = dataclasses.replace(issued[spec], id="Gerät 1")
    [name] = write(tmp_path, OutFormat.P12, [item], PASSPHRASE, False)
    store = pkcs12.load_pkcs12((tmp_path / name).read_bytes(), PASSPHRASE.reveal())
    assert store.cert is not None
    assert der(store.cert.certificate) == item.certificate
    assert store.cert.friendly_name == "Gerät 1".encode()
    assert [der(one.certificate) for one in store.additional_certs] == list(item.chain)
    assert is_key(store.key, item)
    assert modes(tmp_path) == {"Ger%C3%A4t%201.p12": 0o600}


@pytest.mark.parametrize("out_format", FORMATS)
def test_keys_are_unencrypted_only_when_told_so(
    tmp_path: Path, credential: Credential, out_format: OutFormat
) -> None:
    with pytest.raises(InputError, match="no passphrase") as caught:
        write(tmp_path / "certs", out_format, [credential], None, False)
    assert "--key-pass" in str(caught.value.hint)
    assert "--plain-keys" in str(caught.value.hint)
    assert not (tmp_path / "certs").exists()


def key_of(folder: Path, out_format: OutFormat, row_id: str, password: bytes | None) -> object:
    """The private key in the files of a row, as the format has it."""
    data = (folder / credential_files((out_format,), row_id, has_key=True).key).read_bytes()
    match out_format:
        case OutFormat.PEM:
            return load_pem_private_key(data, password)
        case OutFormat.DER:
            return load_der_private_key(data, password)
        case OutFormat.JKS:
            assert password is not None
            [(_, key, _)] = read_java_keystore(data, password.decode())
            return load_der_private_key(key, None)
        case _:
            return pkcs12.load_pkcs12(data, password).key


@pytest.mark.parametrize(("out_format", "plain"), WAYS)
def test_the_key_is_that_of_the_row(
    tmp_path: Path, credential: Credential, out_format: OutFormat, plain: bool
) -> None:
    write(tmp_path, out_format, [credential], None if plain else PASSPHRASE, plain)
    password = None if plain else PASSPHRASE.reveal()
    assert is_key(key_of(tmp_path, out_format, "dev-1", password), credential)
    files = credential_files((out_format,), "dev-1", has_key=True)
    assert (tmp_path / files.key).stat().st_mode & 0o777 == 0o600


def test_several_formats_at_once(tmp_path: Path, credential: Credential) -> None:
    formats = tuple(OutFormat)
    names = write(tmp_path, formats, [credential], PASSPHRASE, False)
    assert sorted(names) == sorted(modes(tmp_path)) == [
        "dev-1.der", "dev-1.jks", "dev-1.key.der", "dev-1.key.pem", "dev-1.p12", "dev-1.p7b",
        "dev-1.p7b.pem", "dev-1.p7c", "dev-1.pem", "dev-1.pfx",
    ]  # fmt: skip
    assert write(tmp_path, formats, [credential], PASSPHRASE, False) == []
    # what is worked with is the first that has the key
    assert credential_files(formats[5:] + formats[:1], "d", has_key=True) == CredentialFiles(
        "d.pem", "d.key.pem"
    )


def test_a_chain_in_one_message(tmp_path: Path, credential: Credential) -> None:
    write(tmp_path, (OutFormat.P7B, OutFormat.P7B_PEM), [credential], PASSPHRASE, False)
    whole = {credential.certificate, *credential.chain}
    in_der = pkcs7.load_der_pkcs7_certificates((tmp_path / "dev-1.p7b").read_bytes())
    in_pem = pkcs7.load_pem_pkcs7_certificates((tmp_path / "dev-1.p7b.pem").read_bytes())
    assert {der(one) for one in in_der} == {der(one) for one in in_pem} == whole
    assert credential_files((OutFormat.P7B,), "dev-1", has_key=True) == CredentialFiles("dev-1.p7b")


@pytest.mark.parametrize(
    ("out_chain", "count"), [(OutChain.FULL, 2), (OutChain.INTERMEDIATES, 1), (OutChain.NONE, 0)]
)
def test_the_chain_is_as_long_as_it_was_asked_for(
    tmp_path: Path, credential: Credential, out_chain: OutChain, count: int
) -> None:
    formats = tuple(OutFormat)
    write(tmp_path, formats, [credential], PASSPHRASE, False, out_chain)
    expected = [credential.certificate, *credential.chain[:count]]
    in_pem = x509.load_pem_x509_certificates((tmp_path / "dev-1.pem").read_bytes())
    assert [der(one) for one in in_pem] == expected
    for name in ("dev-1.p12", "dev-1.pfx"):
        store = pkcs12.load_pkcs12((tmp_path / name).read_bytes(), PASSPHRASE.reveal())
        assert [der(one.certificate) for one in store.additional_certs] == expected[1:]
    [(_, _, chain)] = read_java_keystore(
        (tmp_path / "dev-1.jks").read_bytes(), PASSPHRASE.reveal().decode()
    )
    assert chain == expected
    assert (
        len(pkcs7.load_der_pkcs7_certificates((tmp_path / "dev-1.p7b").read_bytes())) == 1 + count
    )
    assert (tmp_path / "dev-1.p7c").exists() == (count > 0)


def test_legacy_p12_files_have_what_old_devices_know(
    tmp_path: Path, credential: Credential
) -> None:
    write(tmp_path, (OutFormat.P12, OutFormat.P12_LEGACY), [credential], PASSPHRASE, False)
    # pbeWithSHAAnd3-KeyTripleDES-CBC (RFC 7292, C), and id-sha1 of the MAC
    old = (bytes.fromhex("060a2a864886f70d010c0103"), bytes.fromhex("06052b0e03021a"))
    pbes2 = bytes.fromhex("06092a864886f70d01050d")
    modern, legacy = ((tmp_path / f"dev-1.{name}").read_bytes() for name in ("p12", "pfx"))
    assert pbes2 in modern
    assert not any(oid in modern for oid in old)
    assert pbes2 not in legacy
    assert all(oid in legacy for oid in old)


@pytest.mark.parametrize(
    ("out_format", "names"),
    [
        (OutFormat.PEM, ["dev-1.pem"]),
        (OutFormat.DER, ["dev-1.p7c", "dev-1.der"]),
        (OutFormat.P7B, ["dev-1.p7b"]),
    ],
)
def test_without_a_key_there_are_only_certificates(
    tmp_path: Path, credential: Credential, out_format: OutFormat, names: list[str]
) -> None:
    keyless = dataclasses.replace(credential, key_pkcs8=None)
    assert write(tmp_path, out_format, [keyless], None, False) == names
    assert sorted(modes(tmp_path)) == sorted(names)
    assert credential_files((out_format,), "dev-1", has_key=False).key == ""


def test_without_a_chain_there_is_no_p7c(tmp_path: Path, credential: Credential) -> None:
    alone = dataclasses.replace(credential, chain=())
    assert write(tmp_path, OutFormat.DER, [alone], PASSPHRASE, False) == [
        "dev-1.key.der",
        "dev-1.der",
    ]


@pytest.mark.parametrize("out_format", FORMATS)
def test_the_names_for_the_results_are_those_written(
    tmp_path: Path, credential: Credential, out_format: OutFormat
) -> None:
    written = write(tmp_path, out_format, [credential], PASSPHRASE, False)
    files = credential_files((out_format,), "dev-1", has_key=True)
    assert {files.certificate, files.key} <= set(written)


@pytest.mark.parametrize(
    ("out_format", "spec"),
    [(OutFormat.PEM, one) for one in [*ALL_SPECS, None]]
    + [(OutFormat.DER, one) for one in [*ALL_SPECS, None]]
    + [(OutFormat.JKS, one) for one in ALL_SPECS]
    + [(one, spec) for one in (OutFormat.P12, OutFormat.P12_LEGACY) for spec in P12_SPECS],
)
def test_what_a_format_can_hold_passes(out_format: OutFormat, spec: str | None) -> None:
    check_formats((out_format,), None if spec is None else KeySpec.parse(spec))


@pytest.mark.parametrize("spec", ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87", "ml-kem-768", None])
def test_what_p12_can_not_hold_is_refused_with_a_way_out(spec: str | None) -> None:
    with pytest.raises(InputError, match=spec or "CSR") as caught:
        check_formats((OutFormat.P12,), None if spec is None else KeySpec.parse(spec))
    assert ("pem or der" if spec is None else "pem, der or jks") in str(caught.value.hint)
    assert caught.value.exit_code == 2


def test_a_jks_is_refused_where_there_is_no_key(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a CSR nor a token"):
        check_formats((OutFormat.PEM, OutFormat.JKS), None)
    check_formats((OutFormat.JKS,), None, central_keygen=True)


@pytest.mark.parametrize(
    ("formats", "password", "says"),
    [
        ("jks", None, "always a password"),
        ("pem,jks", b"12345", "6 characters"),
        ("p12", b"\xff", "UTF-8"),
    ],
)
def test_passwords_that_a_format_does_not_take(
    formats: str, password: bytes | None, says: str
) -> None:
    secret = None if password is None else Secret(password)
    with pytest.raises(InputError, match=says):
        check_password(parse_formats(formats), secret)
    check_password(parse_formats("pem, der"), secret)


def test_a_jks_without_a_key_of_its_own_is_empty(
    tmp_path: Path, issued: dict[str, Credential], credential: Credential
) -> None:
    for item in (
        dataclasses.replace(credential, key_pkcs8=None),
        dataclasses.replace(credential, certificate=issued["ed25519"].certificate),
    ):
        write(tmp_path, OutFormat.JKS, [item], PASSPHRASE, False)
        data = (tmp_path / "dev-1.jks").read_bytes()
        assert read_java_keystore(data, PASSPHRASE.reveal().decode()) == []
        assert write(tmp_path, OutFormat.JKS, [item], PASSPHRASE, False) == []


def test_a_p12_without_a_key_has_the_certificates(tmp_path: Path, credential: Credential) -> None:
    keyless = dataclasses.replace(credential, key_pkcs8=None)
    for expected in (["dev-1.p12"], []):
        assert write(tmp_path, OutFormat.P12, [keyless], PASSPHRASE, False) == expected
    store = pkcs12.load_pkcs12((tmp_path / "dev-1.p12").read_bytes(), PASSPHRASE.reveal())
    assert store.key is None
    held = [der(one.certificate) for one in store.additional_certs]
    assert held == [credential.certificate, *credential.chain]


@pytest.mark.parametrize("spec", ["ml-dsa-65", "ml-kem-768"])
def test_cryptography_still_can_not_put_some_keys_into_p12(
    tmp_path: Path, issued: dict[str, Credential], spec: str
) -> None:
    # when this fails, check_formats may let it pass
    with pytest.raises(BulkcmpError, match=f"row id '{spec}'"):
        write(tmp_path, OutFormat.P12, [issued[spec]], PASSPHRASE, False)


def test_a_p12_has_no_key_of_another_certificate(
    tmp_path: Path, issued: dict[str, Credential], credential: Credential
) -> None:
    other = dataclasses.replace(credential, certificate=issued["ed25519"].certificate)
    for expected in (["dev-1.p12"], []):
        assert write(tmp_path, OutFormat.P12, [other], PASSPHRASE, False) == expected
    store = pkcs12.load_pkcs12((tmp_path / "dev-1.p12").read_bytes(), PASSPHRASE.reveal())
    assert store.key is None
    held = [der(one.certificate) for one in store.additional_certs]
    assert held == [other.certificate, *other.chain]


def test_a_certificate_that_can_not_be_read_names_its_row(
    tmp_path: Path, credential: Credential
) -> None:
    broken = dataclasses.replace(credential, certificate=b"\x30\x01\x00", chain=(b"\x30\x00",))
    for out_format in (OutFormat.DER, OutFormat.P12):
        with pytest.raises(BulkcmpError, match="row id 'dev-1'"):
            write(tmp_path, out_format, [broken], PASSPHRASE, False)
    assert write(tmp_path, OutFormat.PEM, [broken], PASSPHRASE, False)


# --- writing again ---------------------------------------------------------------------------


@pytest.mark.parametrize(("out_format", "plain"), WAYS)
def test_what_is_there_is_not_written_again(
    tmp_path: Path, issued: dict[str, Credential], out_format: OutFormat, plain: bool
) -> None:
    items = [issued[spec] for spec in P12_SPECS]
    passphrase = None if plain else PASSPHRASE
    written = write(tmp_path, out_format, items[:2], passphrase, plain)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert set(before) == set(written)
    later = write(tmp_path, out_format, items, passphrase, plain)
    assert later
    assert not set(later) & set(written)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in before} == before


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "zeroed"])
@pytest.mark.parametrize(("out_format", "plain"), WAYS)
def test_what_a_power_failure_took_is_written_again(
    tmp_path: Path, credential: Credential, out_format: OutFormat, plain: bool, damage: str
) -> None:
    passphrase = None if plain else PASSPHRASE
    names = write(tmp_path, out_format, [credential], passphrase, plain)
    for name in names:
        path = tmp_path / name
        whole = path.read_bytes()
        match damage:
            case "gone":
                path.unlink()
            case "empty":
                path.write_bytes(b"")
            case "cut":
                path.write_bytes(whole[:-1])
            case "zeroed":
                path.write_bytes(bytes(len(whole)))
        again = write(tmp_path, out_format, [credential], passphrase, plain)
        assert name in again
        assert write(tmp_path, out_format, [credential], passphrase, plain) == []


def test_a_kill_between_files_leaves_whole_ones_and_the_rest_is_written_then(
    tmp_path: Path, issued: dict[str, Credential]
) -> None:
    items = [dataclasses.replace(issued[spec], id=f"d{n}") for n, spec in enumerate(P12_SPECS)]
    formats = (OutFormat.PEM, OutFormat.P12)
    arguments = (tmp_path / "certs", formats, OutChain.FULL, items, PASSPHRASE, False)
    (tmp_path / "arguments").write_bytes(pickle.dumps(arguments))
    program = """
import os, pathlib, pickle, signal, sys
from bulkcmp.outputs.credentials import write_credentials
rename, renamed = pathlib.Path.replace, []
def replace(path, target):
    if len(renamed) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    renamed.append(target)
    return rename(path, target)
pathlib.Path.replace = replace
write_credentials(*pickle.load(open(sys.argv[1], "rb")))
"""
    killed = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "arguments"], check=False, timeout=120
    )
    assert killed.returncode == -signal.SIGKILL
    names = {path.name for path in (tmp_path / "certs").iterdir()}
    whole = {name for name in names if not name.startswith(".")}
    assert len(whole) == 4
    assert len(names) == 12
    before = {name: (tmp_path / "certs" / name).read_bytes() for name in whole}
    written = write(tmp_path / "certs", formats, items, PASSPHRASE, False)
    # the key whose certificate had not taken its place is written again, with it
    assert len(written) == 9
    assert len(list((tmp_path / "certs").iterdir())) == 12
    for name in whole - set(written):
        assert (tmp_path / "certs" / name).read_bytes() == before[name]
    for item in items:
        for one in formats:
            assert is_key(key_of(tmp_path / "certs", one, item.id, PASSPHRASE.reveal()), item)


def test_a_row_has_its_own_name_and_password(tmp_path: Path, credential: Credential) -> None:
    own = dataclasses.replace(credential, name="de/x1", password=Secret(b"of its own"))
    folder = tmp_path / "certs"
    # that of the run opens the others; unencrypted is only what has none
    for passphrase, plain in ((PASSPHRASE, False), (None, True)):
        write(folder, OutFormat.P12, [own, credential], passphrase, plain)
        assert is_key(key_of(folder, OutFormat.P12, "de/x1", b"of its own"), credential)
        password = None if passphrase is None else passphrase.reveal()
        assert is_key(key_of(folder, OutFormat.P12, "dev-1", password), credential)
    assert (folder / "de").stat().st_mode & 0o777 == 0o700
    deep = dataclasses.replace(own, name="a/b/c/x1")
    assert write(folder, OutFormat.P12, [deep], None, False) == ["a/b/c/x1.p12"]
    assert {(folder / one).stat().st_mode & 0o777 for one in ("a", "a/b", "a/b/c")} == {0o700}
    assert write(folder, OutFormat.P12, [own], None, False) == []
    again = dataclasses.replace(own, password=Secret(b"another"))
    assert write(folder, OutFormat.P12, [again], None, False) == ["de/x1.p12"]


@pytest.mark.parametrize("out_format", [one for one, plain in WAYS if plain])
def test_keys_left_unencrypted_are_replaced_and_the_other_way_round(
    tmp_path: Path, credential: Credential, out_format: OutFormat
) -> None:
    for plain in (True, False, True):
        written = write(tmp_path, out_format, [credential], PASSPHRASE, plain)
        assert credential_files((out_format,), "dev-1", has_key=True).key in written


@pytest.mark.parametrize("out_format", FORMATS)
def test_a_new_certificate_brings_its_own_key(
    tmp_path: Path, issued: dict[str, Credential], out_format: OutFormat
) -> None:
    for spec in ("ec:P-256", "ed25519"):
        item = dataclasses.replace(issued[spec], id="d")
        written = write(tmp_path, out_format, [item], PASSPHRASE, False)
        files = credential_files((out_format,), "d", has_key=True)
        assert {files.certificate, files.key} <= set(written)
    assert is_key(key_of(tmp_path, out_format, "d", PASSPHRASE.reveal()), item)


def test_what_goes_to_a_worker_process_can_be_pickled_and_hides_the_key(
    credential: Credential,
) -> None:
    again = pickle.loads(pickle.dumps((credential, PASSPHRASE, OutFormat.P12)))
    assert again == (credential, PASSPHRASE, OutFormat.P12)
    assert credential.key_pkcs8 is not None
    assert repr(credential.key_pkcs8) not in repr(credential)
    assert "key_pkcs8" not in repr(credential)


# --- file names ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row_id", "stem"),
    [
        ("dev-0001", "dev-0001"),
        ("host.example.com", "host.example.com"),
        ("con", "%63on"),
        ("NUL.txt", "%4EUL.txt"),
        ("console", "console"),
        ("", "~"),
        (".", "%2E"),
        ("..", "%2E."),
        ("../x", "%2E.%2Fx"),
        ("a/b", "a%2Fb"),
        (".hidden", "%2Ehidden"),
        ("a b", "a%20b"),
        ("100%", "100%25"),
        ("~", "%7E"),
        ("ü", "%C3%BC"),
        ("a\x00b", "a%00b"),
        ("a.key", "a%2Ekey"),
        (".key", "%2Ekey"),
        ("a.KEY", "a%2EKEY"),
        ("x" * MAX_STEM, "x" * MAX_STEM),
        (
            "x" * (MAX_STEM + 1),
            "x" * 167 + "~" + "84a0678c90937f5dcf9994d5866668da",
        ),
    ],
)
def test_stems(row_id: str, stem: str) -> None:
    assert file_stem(row_id) == stem


SUFFIXES = (
    ".pem", ".key.pem", ".der", ".key.der", ".p7c", ".p12", ".pfx", ".jks", ".p7b", ".p7b.pem",
)  # fmt: skip
IDS = st.one_of(
    ANY_TEXT,
    st.text("ab./%~\\-K2Eey", max_size=8),
    st.text("aé", min_size=60, max_size=260),
    st.sampled_from(["a", "a.key", "a%2Ekey", ".key", "key", "", "~", "%", "%25", "a.p7b"]),
)


@given(IDS)
@example("\ud83d\ude00")
def test_a_stem_never_leaves_its_folder(row_id: str) -> None:
    stem = file_stem(row_id)
    assert stem
    assert len(stem) <= MAX_STEM
    assert set(stem) <= set(string.ascii_letters + string.digits + "._-%~")
    assert not stem.startswith(".")
    for suffix in SUFFIXES:
        assert Path("folder", stem + suffix).parent == Path("folder")
        # with the temporary file's `.` and `.tmp`
        assert len(stem + suffix) + 5 <= 255


@given(IDS)
def test_a_stem_that_is_not_cut_can_be_turned_back(row_id: str) -> None:
    stem = file_stem(row_id)
    if "~" not in stem:
        assert unquote(stem, errors="surrogatepass") == row_id


@given(st.sets(IDS, min_size=2, max_size=20))
def test_no_two_ids_share_a_file(ids: set[str]) -> None:
    names = {file_stem(row_id) + suffix for row_id in ids for suffix in SUFFIXES}
    assert len(names) == len(ids) * len(SUFFIXES)


def test_long_ids_that_differ_at_their_end_differ() -> None:
    one, other = file_stem("é" * 300 + "1"), file_stem("é" * 300 + "2")
    assert one != other
    assert len(one) == len(other) == MAX_STEM


def test_hostile_ids_stay_in_the_folder(tmp_path: Path, credential: Credential) -> None:
    ids = ["../x", "a/b", ".", "..", "", "con", "é" * 500, "\x00", "/etc/passwd", "a", "a.key"]
    items = [dataclasses.replace(credential, id=row_id) for row_id in ids]
    folder = tmp_path / "certs"
    names = write(folder, OutFormat.PEM, items, None, True)
    assert len(set(names)) == len(names) == 2 * len(ids)
    assert {path.name for path in folder.iterdir()} == set(names)
    assert list(tmp_path.iterdir()) == [folder]


# --- peers -----------------------------------------------------------------------------------


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl in PATH")
@pytest.mark.parametrize("out_format", [one for one in FORMATS if one is not OutFormat.JKS])
@pytest.mark.parametrize("spec", P12_SPECS)
def test_openssl_reads_what_was_written(
    tmp_path: Path, issued: dict[str, Credential], out_format: OutFormat, spec: str
) -> None:
    item = dataclasses.replace(issued[spec], id="d")
    passphrase = Secret(b"a passphrase")
    write(tmp_path, out_format, [item], passphrase, False)

    def openssl(*arguments: str) -> str:
        return subprocess.run(
            ["openssl", *arguments],
            cwd=tmp_path,
            env={"PASS": "a passphrase"},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    match out_format:
        case OutFormat.PEM:
            public = openssl("pkey", "-in", "d.key.pem", "-passin", "env:PASS", "-pubout")
            certified = openssl("x509", "-in", "d.pem", "-noout", "-pubkey")
        case OutFormat.DER:
            public = openssl(
                *("pkey", "-inform", "DER", "-in", "d.key.der", "-passin", "env:PASS", "-pubout")
            )
            certified = openssl("x509", "-inform", "DER", "-in", "d.der", "-noout", "-pubkey")
            listed = openssl(*("pkcs7", "-inform", "DER", "-in", "d.p7c", "-print_certs"))
            assert listed.count("BEGIN CERTIFICATE") == 2
        case OutFormat.P12 | OutFormat.P12_LEGACY:
            name = "d.p12" if out_format is OutFormat.P12 else "d.pfx"
            opened = ("pkcs12", "-in", name, "-passin", "env:PASS")
            (tmp_path / "key").write_text(openssl(*opened, "-nocerts", "-nodes"))
            (tmp_path / "cert").write_text(openssl(*opened, "-nokeys", "-clcerts"))
            public = openssl("pkey", "-in", "key", "-pubout")
            certified = openssl("x509", "-in", "cert", "-noout", "-pubkey")
            assert openssl(*opened, "-nokeys", "-cacerts").count("BEGIN CERTIFICATE") == 2
    assert public == certified


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl in PATH")
def test_openssl_reads_a_chain_in_one_message(tmp_path: Path, credential: Credential) -> None:
    write(tmp_path, (OutFormat.P7B, OutFormat.P7B_PEM), [credential], PASSPHRASE, False)
    for form, name in (("DER", "dev-1.p7b"), ("PEM", "dev-1.p7b.pem")):
        listed = subprocess.run(
            ["openssl", "pkcs7", "-inform", form, "-in", tmp_path / name, "-print_certs"],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        assert listed.count("BEGIN CERTIFICATE") == 3


KEYTOOL_SPECS = ["rsa:2048", "ed25519", "ml-dsa-65"]


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("keytool") is None, reason="no keytool in PATH")
@pytest.mark.parametrize(
    ("out_format", "spec"),
    [(OutFormat.JKS, spec) for spec in KEYTOOL_SPECS]
    + [(OutFormat.P12, "ec:P-256"), (OutFormat.P12_LEGACY, "ec:P-256")],
)
def test_keytool_opens_what_was_written(
    tmp_path: Path, issued: dict[str, Credential], out_format: OutFormat, spec: str
) -> None:
    item = dataclasses.replace(issued[spec], id="Dev-1")
    passphrase = Secret(b"a passphrase")
    write(tmp_path, out_format, [item], passphrase, False)
    name = credential_files((out_format,), "Dev-1", has_key=True).key
    kind = "JKS" if out_format is OutFormat.JKS else "PKCS12"
    target = "JKS" if out_format is not OutFormat.JKS else "PKCS12"
    # the key is decrypted and stored again, under the alias that is asked for
    subprocess.run(
        [
            "keytool", "-importkeystore", "-noprompt", "-srcalias", "Dev-1", "-destalias", "again",
            "-srckeystore", tmp_path / name, "-srcstoretype", kind, "-srcstorepass:env", "PASS",
            "-destkeystore", tmp_path / "again", "-deststoretype", target,
            "-deststorepass:env", "PASS",
        ],
        env={"PASS": "a passphrase", "PATH": os.environ["PATH"]},
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    data = (tmp_path / "again").read_bytes()
    if target == "JKS":
        [(alias, key, chain)] = read_java_keystore(data, "a passphrase")
        assert alias == "again"
        assert key == item.key_pkcs8
        assert chain == [item.certificate, *item.chain]
    elif spec in P12_SPECS:
        store = pkcs12.load_pkcs12(data, passphrase.reveal())
        assert is_key(store.key, item)
        assert store.cert is not None
        assert der(store.cert.certificate) == item.certificate
        assert [der(one.certificate) for one in store.additional_certs] == list(item.chain)
