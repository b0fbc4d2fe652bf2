"""Folders, archives and single files, of what `openssl`, `keytool` and `zip` make."""

import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.errors import InputError
from bulkcmp.inputs.content import looks_like_content, read_content
from bulkcmp.inputs.credential import read_certificates, read_csr
from bulkcmp.inputs.files import FilesSource, Passwords
from bulkcmp.inputs.material import inline
from bulkcmp.inputs.population import Population
from bulkcmp.inputs.recognition import Reading, open_source
from bulkcmp.inputs.row import Defaults
from bulkcmp.inputs.secret import read_passwords, read_secret
from bulkcmp.inputs.source import Record
from bulkcmp.model import BadRow, EndEntity, Operation, Secret

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl"),
]

RA = Defaults(secret="pass:x", ref="ra", newkey="ed25519")

Run = Callable[[str], None]


def _runner(folder: Path) -> Run:
    def run(command: str) -> None:
        for line in command.strip().splitlines():
            subprocess.run(line.split(), cwd=folder, check=True, capture_output=True, timeout=60)

    return run


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, and dev1 with its certificate, request and key in each form."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "leaf").write_text("basicConstraints=CA:FALSE\nsubjectAltName=DNS:dev1.example\n")
    _runner(folder)(
        """
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=CA
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout dev1.key -out dev1.csr -subj /CN=dev1
openssl req -in dev1.csr -outform DER -out csr.der
openssl x509 -req -in dev1.csr -CA ca.pem -CAkey ca.key -set_serial 7 -extfile leaf -out dev1.pem
openssl x509 -in dev1.pem -outform DER -out cert.der
openssl crl2pkcs7 -nocrl -certfile ca.pem -certfile dev1.pem -out chain.p7b
openssl crl2pkcs7 -nocrl -certfile ca.pem -certfile dev1.pem -outform DER -out chain.p7c
openssl pkcs12 -export -in dev1.pem -inkey dev1.key -certfile ca.pem -passout pass:pw1 -out dev1.p12
openssl pkcs8 -topk8 -nocrypt -in dev1.key -outform DER -out key.der
"""  # noqa: E501  # as they are typed
    )
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


def problems(records: list[Record]) -> list[tuple[str, str]]:
    return [(one.place.file.rpartition("/")[2], p.what) for one in records for p in one.problems]


@pytest.mark.parametrize(
    "name", ["dev1.pem", "cert.der", "chain.p7b", "chain.p7c", "chain.pem", "all.pem"]
)
def test_a_certificate_in_each_form(made: Path, folder: Path, name: str) -> None:
    """Of a chain it is the leaf, wherever it stands."""
    ca, leaf, key = (made / one for one in ("ca.pem", "dev1.pem", "dev1.key"))
    (made / "chain.pem").write_bytes(ca.read_bytes() + leaf.read_bytes())
    (made / "all.pem").write_bytes(key.read_bytes() + leaf.read_bytes() + ca.read_bytes())
    shutil.copy(made / name, folder)
    (record,) = FilesSource(folder / name).records()
    assert record.problems == ()
    assert record.values["cert"] == (inline(read_certificates(leaf)[0]),)
    assert record.values["cert.subject.cn"] == ("dev1",)
    assert record.values["cert.sans"] == ("dns:dev1.example",)
    assert record.values["stem"] == (Path(name).stem,)
    assert ("credential" in record.values) is (name == "all.pem")


@pytest.mark.parametrize("name", ["dev1.csr", "csr.der"])
def test_requests(made: Path, name: str) -> None:
    (record,) = FilesSource(made / name).records()
    assert record.values["csr"] == (inline(read_csr(made / "dev1.csr")),)
    assert record.values["csr.subject"] == ("CN=dev1",)
    (row,) = Population(open_source(made / name), RA, {}).rows()
    assert isinstance(row, EndEntity)
    assert (row.cmd, row.id) == (Operation.P10CR, Path(name).stem)


def test_keys_beside_certificates_stay_where_they_are(made: Path, folder: Path) -> None:
    for name in ("dev1.pem", "dev1.key"):
        shutil.copy(made / name, folder)
    (record,) = FilesSource(folder).records()
    assert record.values["credential"] == (str(folder / "dev1.pem"),)
    assert record.values["credential.key"] == (str(folder / "dev1.key"),)
    (row,) = Population(open_source(folder), Defaults(cmd="kur", newkey="ed25519"), {}).rows()
    assert isinstance(row, EndEntity), row.problems
    assert row.old_cert == read_certificates(made / "dev1.pem")[0]


@pytest.mark.parametrize("names", [["dev1"], ["dev1.p12"], ["sub/dev1.p12"]])
def test_keystores_with_a_list_of_passwords(made: Path, folder: Path, names: list[str]) -> None:
    (folder / "sub").mkdir()
    shutil.copy(made / "dev1.p12", folder / "sub")
    passwords = folder.parent / "passwords.csv"
    passwords.write_text("".join(f"{name},pw1\n" for name in names))
    source = open_source(folder, Reading(source_pass=f"list:{passwords}"))
    (row,) = Population(source, Defaults(cmd="kur", newkey="ed25519"), {}).rows()
    assert isinstance(row, EndEntity), row.problems
    assert row.cert == (read_certificates(made / "dev1.pem") + read_certificates(made / "ca.pem"))
    (record,) = source.records()
    assert record.values["keypass"] == (f"list:{passwords}#{names[0]}",)
    passwords.write_text("other,pw1\n")
    source = open_source(folder, Reading(source_pass=f"list:{passwords}"))
    assert problems(list(source.records())) == [
        ("dev1.p12", "the list of passwords has none for the PKCS#12")
    ]


def test_a_wrong_password_is_a_rejected_row(made: Path, folder: Path) -> None:
    shutil.copy(made / "dev1.p12", folder)
    for password, why in ((None, "no passphrase was given"), ("bad", "wrong passphrase")):
        given = None if password is None else Passwords("env:P", {"P": password})
        ((_, what),) = problems(list(FilesSource(folder, given).records()))
        assert why in what
    (record,) = FilesSource(folder, Passwords("env:P", {"P": "pw1"})).records()
    assert record.values["credential.pass"] == ("env:P",)
    (folder.parent / "pw").write_text("pw1\n")
    (record,) = FilesSource(folder, Passwords(f"file:{folder.parent}/pw", {})).records()
    assert record.problems == ()


def test_passwords_are_named_not_given(tmp_path: Path) -> None:
    for source in ("pass:s3cret", "s3cret", "stdin"):
        with pytest.raises(InputError, match="named by where it is") as caught:
            Passwords(source, {})
        assert "s3cret" not in f"{caught.value} {caught.value.hint}"
    with pytest.raises(InputError, match="no variable"):
        Passwords("env:P", {})
    with pytest.raises(InputError, match="no such file"):
        Passwords(f"list:{tmp_path}/nope", {})


def test_archives(made: Path, tmp_path: Path) -> None:
    names = ("dev1.pem", "dev1.csr", "dev1.p12")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as target:
        for name in names:
            target.write(made / name, f"sub/{name}")
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:
        for name in names:
            tar.add(made / name, f"sub/{name}")
    for path in (tmp_path / "x.zip", tmp_path / "x.tar.gz"):
        source = open_source(path, Reading(source_pass=None))
        cert, csr, keystore = source.records()
        assert "oldcert" in cert.values
        assert "csr" in csr.values
        assert "a PKCS#12 in an archive" in keystore.problems[0].what
        assert keystore.place.file == f"{path}/sub/dev1.p12"
        assert len(source.digest()) == 64


def test_several_of_one_file(made: Path, folder: Path) -> None:
    request = (made / "dev1.csr").read_bytes()
    (folder / "all.pem").write_bytes(request * 2)
    first, second = FilesSource(folder).records()
    assert (first.values["stem"], second.values["stem"]) == (("all-1",), ("all-2",))
    assert second.place.number == 2


def test_what_is_of_no_use(made: Path, folder: Path) -> None:
    for name in ("ca.pem", "dev1.key", "key.der"):
        shutil.copy(made / name, folder)
    (folder / "empty.pem").write_bytes(b"")
    (folder / "garbage.der").write_bytes(b"\x30\x82\x01\x00garbage")
    (folder / "store.jks").write_bytes(b"\xfe\xed\xfe\xed\0\0\0\2")
    (folder / "readme.txt").write_text("certificates of 2026")
    broken = bytearray((made / "csr.der").read_bytes())
    broken[-1] ^= 1
    (folder / "signed.der").write_bytes(broken)
    unknown = "neither a certificate nor a request, a PKCS#7 or a PKCS#12, in PEM or DER"
    assert problems(list(FilesSource(folder).records())) == [
        ("ca.pem", "the certificate is a CA's, and none of an end entity"),
        ("empty.pem", "the file is empty"),
        ("garbage.der", unknown),
        ("readme.txt", unknown),
        ("signed.der", "the request's self-signature is bad"),
        ("store.jks", "a Java keystore (JKS or JCEKS)"),
    ]
    (row, *_) = Population(open_source(folder), RA, {}).rows()
    assert isinstance(row, BadRow)


def test_an_empty_folder(folder: Path) -> None:
    with pytest.raises(InputError, match="no files in it"):
        list(FilesSource(folder).records())


def test_the_digest_is_that_of_names_and_content(made: Path, folder: Path) -> None:
    shutil.copy(made / "dev1.pem", folder)
    digests = {FilesSource(folder).digest()}
    (folder / "dev1.pem").rename(folder / "dev2.pem")
    digests.add(FilesSource(folder).digest())
    shutil.copy(made / "ca.pem", folder / "dev2.pem")
    digests.add(FilesSource(folder).digest())
    assert len(digests) == 3


@pytest.mark.skipif(shutil.which("keytool") is None, reason="no keytool")
def test_a_keystore_of_java(folder: Path) -> None:
    _runner(folder)(
        "keytool -genkeypair -alias d -keyalg EC -dname CN=dev9 -storetype PKCS12"
        " -storepass changeit -keystore dev9.p12"
    )
    (record,) = FilesSource(folder, Passwords("env:P", {"P": "changeit"})).records()
    assert record.problems == ()
    assert record.values["cert.subject"] == ("CN=dev9",)


@pytest.mark.skipif(shutil.which("keytool") is None, reason="no keytool")
def test_a_keystore_of_several_end_entities(folder: Path) -> None:
    for alias in ("d", "e"):
        _runner(folder)(
            f"keytool -genkeypair -alias {alias} -keyalg EC -dname CN={alias} -storetype PKCS12"
            " -storepass changeit -keystore both.p12"
        )
    found = list(FilesSource(folder, Passwords("env:P", {"P": "changeit"})).records())
    ((_, what),) = problems(found)
    assert "certificates of several end entities" in what


@pytest.mark.parametrize("key_file", ["certs/u/ann%40acme.p12", "certs/u/ann%40acme.key.pem"])
def test_keystores_of_a_run_with_its_passwords(made: Path, folder: Path, key_file: str) -> None:
    passwords = folder.parent / "passwords.csv"
    passwords.write_text(
        f"id,row,key_file,password\nann@acme,1,{key_file},pw1\nbo,2,certs/bo.p12,pw2\n"
    )
    for where in ("certs/u", "u"):
        (folder / where).mkdir(parents=True)
        shutil.copy(made / "dev1.p12", folder / where / "ann%40acme.p12")
    found = list(FilesSource(folder, Passwords(f"list:{passwords}", {})).records())
    assert problems(found) == []
    assert len(found) == 2
    assert read_secret(f"list:{passwords}#ann@acme", {}).reveal() == b"pw1"


def test_names_of_a_list_of_passwords_may_have_any_characters(made: Path, folder: Path) -> None:
    name = "a#b %41.p12"
    shutil.copy(made / "dev1.p12", folder / name)
    passwords = folder.parent / "passwords.csv"
    passwords.write_text(f"{name},pw1\n")
    (record,) = FilesSource(folder, Passwords(f"list:{passwords}", {})).records()
    assert record.problems == ()
    (cell,) = record.values["credential.pass"]
    assert cell == f"list:{passwords}#a%23b %2541.p12"
    assert read_secret(cell, {}).reveal() == b"pw1"


@given(
    st.binary(max_size=300) | st.binary(max_size=60).map(b"-----BEGIN CERTIFICATE-----\n".__add__)
)
def test_no_octets_make_anything_but_content(data: bytes) -> None:
    with suppress(InputError):
        read_content(data)


def test_what_looks_like_content(made: Path) -> None:
    for name in ("dev1.pem", "cert.der", "csr.der", "dev1.p12", "chain.p7c", "key.der"):
        assert looks_like_content((made / name).read_bytes()[:4096])
    for head in (b"id,cmd\n", b"0,1\n", b"dn: cn=x\n", b""):
        assert not looks_like_content(head)


def test_the_list_of_passwords_of_a_run(tmp_path: Path) -> None:
    path = tmp_path / "passwords.csv"
    path.write_text('id,row,key_file,password\ndev1,1,certs/dev1.p12,"a,b"\n')
    assert read_passwords(path) == dict.fromkeys(("dev1", "certs/dev1"), Secret(b"a,b"))
    assert read_secret("list:passwords.csv#dev1", {}, tmp_path) == Secret(b"a,b")
    with pytest.raises(InputError, match="has no password for 'x'"):
        read_secret("list:passwords.csv#x", {}, tmp_path)
    for content, why in (("a\n", "no password"), ("a,x\na,y\n", "has a password already")):
        path.write_text(content)
        with pytest.raises(InputError, match=why):
            read_passwords(path)
