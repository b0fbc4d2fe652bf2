"""What rows mean: read through a Population, as everything else reads them."""

import datetime as dt
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mlkem
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.cmp.general import CA_CERTS, CRL_STATUS_LIST, ROOT_CA_CERT, crl_status_list
from bulkcmp.errors import InputError
from bulkcmp.inputs.extension import parse_ext_key_usage, parse_key_usage, parse_policies
from bulkcmp.inputs.material import inline
from bulkcmp.inputs.name import format_name, parse_name
from bulkcmp.inputs.population import Population, single_row
from bulkcmp.inputs.recognition import open_source
from bulkcmp.inputs.row import COLUMNS, Defaults, RowReader
from bulkcmp.inputs.san import parse_sans
from bulkcmp.inputs.source import Place
from bulkcmp.model import (
    BadRow,
    EndEntity,
    Itav,
    KeySpec,
    Operation,
    Popo,
    RequestedExtension,
    RevocationReason,
    Secret,
)

if TYPE_CHECKING:
    from tests.inputs.conftest import Pki, WriteCsv

ENVIRON = {"PW": "s3cret", "KEYPW": "correct horse"}
PBM = Defaults(secret="env:PW", ref="ra1", newkey="ed25519", subject="/CN={id}")

Read = Callable[..., "list[EndEntity | BadRow]"]


@pytest.fixture
def read(write_csv: "WriteCsv", pki: "Pki", tmp_path: Path) -> Read:
    """Read the rows of a CSV that lies in one folder with the files of `pki`."""
    for file in pki.folder.iterdir():
        shutil.copy(file, tmp_path)

    def rows(content: str, defaults: Defaults = PBM) -> list[EndEntity | BadRow]:
        return list(Population(open_source(write_csv(content)), defaults, ENVIRON).rows())

    return rows


def good(rows: list[EndEntity | BadRow]) -> EndEntity:
    (row,) = rows
    assert isinstance(row, EndEntity), [str(p) for p in row.problems]
    return row


def problems(rows: list[EndEntity | BadRow]) -> list[tuple[str | None, str]]:
    """Column and text of each problem of the only row."""
    (row,) = rows
    assert isinstance(row, BadRow), row
    return [(p.where.column if p.where else None, p.what) for p in row.problems]


def test_a_row_of_cells(read: Read) -> None:
    row = good(
        read(
            "id,cmd,subject,sans,newkey,ref,secret,days,profile,priority\n"
            ' dev1 ,CR,"CN=dev1,C=SE",dev1.example,ec:P-256,u1,pass: a b ,365,p1,7\n',
            Defaults(),
        )
    )
    assert row == EndEntity(
        number=1,
        line=2,
        id="dev1",
        cmd=Operation.CR,
        subject=parse_name("/C=SE/CN=dev1"),
        extensions=(parse_sans("dev1.example"),),
        new_key_spec=KeySpec.parse("ec:P-256"),
        ref="u1",
        secret=Secret(b" a b "),
        days=365,
        profile="p1",
        priority=7,
    )
    assert "a b" not in repr(row)


def test_a_row_of_defaults(read: Read) -> None:
    row = good(
        read(
            "id\ndev1\n",
            Defaults(
                cmd="cr",
                subject="/CN={id}/O=Acme",
                sans="{id}.example",
                newkey="rsa:2048",
                ref="{id}-{number}",
                secret=Secret(b"x"),
                days="30",
                profile="p-{id}",
                priority="1",
            ),
        )
    )
    assert row == EndEntity(
        number=1,
        line=2,
        id="dev1",
        cmd=Operation.CR,
        subject=parse_name("/CN=dev1/O=Acme"),
        extensions=(parse_sans("dev1.example"),),
        new_key_spec=KeySpec.parse("rsa:2048"),
        ref="dev1-1",
        secret=Secret(b"x"),
        days=30,
        profile="p-dev1",
        priority=1,
    )


def test_an_empty_cell_takes_the_default(read: Read) -> None:
    first, second = read("id,ref,days\na, ,\nb,u2,9\n", replace(PBM, days="30"))
    assert isinstance(first, EndEntity)
    assert isinstance(second, EndEntity)
    assert (first.ref, first.days) == ("ra1", 30)
    assert (second.ref, second.days) == ("u2", 9)


def test_the_row_number_is_the_id_where_no_column_is(read: Read) -> None:
    rows = read("ref\nu1\n\nu2\n")
    assert [(row.id, row.number, row.line) for row in rows] == [("1", 1, 2), ("2", 2, 4)]


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        (" ", "the id is empty"),
        ("a\x07b", "the id has a control or another unprintable character"),
        ('"a\nb"', "the id has a control or another unprintable character"),
        ("a" * 201, "the id has 201 characters; 200 are allowed"),
    ],
)
def test_bad_ids(read: Read, cell: str, why: str) -> None:
    rows = read(f"id,subject\n{cell},/CN=x\n")
    assert problems(rows) == [("id", why)]
    assert rows[0].id.isprintable()
    assert len(rows[0].id) <= 200


def test_an_id_of_the_greatest_length_that_is_not_ascii(read: Read) -> None:
    assert good(read("id,subject\n" + "å" * 200 + ",/CN=x\n")).id == "å" * 200


def test_a_duplicate_id_names_the_line_of_the_first(read: Read) -> None:
    rows = read("id\nb\na\nc\na\na\n")
    assert [isinstance(row, BadRow) for row in rows] == [False, False, False, True, True]
    for row in rows[3:]:
        assert problems([row]) == [("id", "duplicate id 'a': line 3 has it")]
    (problem,) = rows[3].problems if isinstance(rows[3], BadRow) else ()
    assert str(problem.where).endswith("devices.csv:5 (row 4), column id")


@given(identity=st.text(st.characters(codec="utf-8"), min_size=1, max_size=64))
def test_an_id_cannot_alter_the_structure_of_the_dn(identity: str) -> None:
    reader = RowReader(
        Path(),
        ("id",),
        Defaults(secret="pass:x", newkey="ed25519", subject="C=SE,O=Acme,CN={id}"),
        {},
    )
    row = reader.read(Place("x.csv", 2, 1), {"id": identity}, {})
    if isinstance(row, EndEntity):
        assert row.subject is not None
        assert format_name(row.subject).startswith("C=SE,O=Acme,CN=")
        escaped = identity.strip().replace("\\", "\\\\").replace("/", "\\/").replace("+", "\\+")
        assert row.subject == parse_name(f"/CN={escaped}/O=Acme/C=SE")


def test_an_id_that_looks_like_a_dn(read: Read) -> None:
    row = good(read("id\na/CN=evil\n"))
    assert row.subject is not None
    assert format_name(row.subject) == r"CN=a/CN\=evil"


def test_placeholders_are_the_columns_of_the_file(read: Read) -> None:
    row = good(read("id,profile\na,p\n", replace(PBM, subject="/CN={id}-{number}/OU={profile}")))
    assert row.subject == parse_name("/CN=a-1/OU=p")
    for unknown in ("ref", "nope", "secret", "keypass"):
        with pytest.raises(InputError, match=f"--subject: unknown placeholder {{{unknown}}}"):
            read("id,secret,keypass\na,pass:x,\n", Defaults(subject=f"/CN={{{unknown}}}"))


def test_an_empty_cell_for_a_placeholder(read: Read) -> None:
    rows = read("id,profile\na,\n", replace(PBM, subject="/CN={profile}"))
    assert problems(rows) == [
        (
            "subject",
            "--subject: the template '{profile}' needs column profile, which is empty here",
        )
    ]


def test_a_value_that_does_not_fit_names_the_option(read: Read) -> None:
    ((column, what),) = problems(read("id\n" + "a" * 65 + "\n"))
    assert column == "subject"
    assert what.startswith("--subject: RDN 'CN=aaa")


@pytest.mark.parametrize(
    ("header", "cells", "expected"),
    [
        ("days", "0", [("days", "'0' is not a whole number from 1 to 36500")]),
        ("priority", "10000", [("priority", "'10000' is not a whole number from 0 to 9999")]),
        ("cmd", "xx", [("cmd", "'xx' is not a CMP operation")]),
        ("subject", "/CN", [("subject", "RDN 'CN': no '=' in 'CN'")]),
        ("sans", "a..b", [("sans", "'a..b': not a DNS name: labels of letters, digits, '-' and "
          "'_', 1 to 63 characters each, joined by dots, 253 characters in all")]),
        ("newkey", "rsa:1024", [("newkey", "'rsa:1024' is neither a key spec nor a file")]),
        ("revreason", "1", [("revreason", "revreason is for rr, and this row is ir")]),
        ("csr,cmd", "csr.pem,ir", [("csr", "csr is for p10cr, and this row is ir")]),
        ("key", "key.pem", [("key", "key is the credential's, and there is no cert")]),
        ("keypass", "pass:x", [("keypass", "keypass is the credential's, and there is no cert")]),
        ("cmd", "kur", [("oldcert", "kur needs oldcert or cert: the certificate to update")]),
        ("cmd", "rr",
          [("oldcert", "rr needs oldcert or cert, or serial and issuer: what to revoke")]),
        ("cmd,serial", "rr,7", [("issuer", "a serial number needs its issuer")]),
        ("cmd,serial,issuer", "rr,12AB,CN=ca", [("serial", "'12AB' is not a serial number")]),
        ("cmd,serial,oldcert", "rr,7,cert.pem",
          [("serial", "oldcert names the certificate already")]),
        ("cmd", "p10cr", [("csr", "p10cr needs csr")]),
        ("cmd,oldcert,revreason", "rr,cert.pem,x",
          [("revreason", "'x' is not a revocation reason")]),
        ("csr,newkey", "csr.pem,ed25519",
          [("newkey", "p10cr has no newkey: the key is the CSR's")]),
        ("csr,subject", "csr.pem,/CN=x",
          [("subject", "not the subject of the CSR, which is CN=dev1")]),
        ("cmd,days", "xx,0", [("cmd", "'xx' is not a CMP operation"),
          ("days", "'0' is not a whole number from 1 to 36500")]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_row(
    read: Read, header: str, cells: str, expected: list[tuple[str, str]]
) -> None:
    assert problems(read(f"id,{header}\na,{cells}\n")) == expected


@pytest.mark.parametrize("column", ["secret", "keypass"])
def test_a_bare_secret_is_not_shown(read: Read, column: str) -> None:
    (row,) = read(f"id,cert,key,{column}\na,cert.pem,key.pem,hunter2\n", PBM)
    assert isinstance(row, BadRow)
    (problem,) = row.problems
    assert problem.where is not None
    assert problem.where.column == column
    assert "hunter2" not in f"{problem}{problem.hint}{row!r}{problem.__dict__}"


def test_every_problem_of_a_row_is_listed(read: Read) -> None:
    rows = read(
        "id,subject,sans,newkey,secret,days,priority,revreason\na,/C=SWE,a..b,x,y,0,-1,z\n",
        Defaults(),
    )
    assert sorted(str(column) for column, _ in problems(rows)) == [
        "days", "newkey", "priority", "revreason", "sans", "secret", "subject",
    ]  # fmt: skip


def test_a_row_without_a_key(read: Read) -> None:
    keyless = replace(PBM, newkey=None)
    assert problems(read("id\na\n", keyless)) == [("newkey", "no key: needs newkey")]
    row = good(read("id\na\n", replace(keyless, keys_supplied=True)))
    assert (row.new_key_spec, row.new_key) == (None, None)


def test_a_row_without_names(read: Read) -> None:
    defaults = Defaults(secret="env:PW", newkey="ed25519")
    expected = [("subject", "ir needs a subject or sans")]
    assert problems(read("id\na\n", defaults)) == expected
    assert problems(read("id,subject\na,/\n", defaults)) == expected
    row = good(read("id,subject,sans\na,/,a.example\n", defaults))
    assert (row.subject, row.extensions) == (b"\x30\x00", (parse_sans("a.example"),))
    assert good(read("id,sans\na,a.example\n", defaults)).subject is None


def test_a_row_without_credential(read: Read) -> None:
    rows = read("id,ref\na,u1\n", Defaults(subject="/CN=x", newkey="ed25519"))
    assert problems(rows) == [("secret", "no credential: needs secret or cert")]


def test_the_key_of_the_certificate_is_certified_anew(read: Read, pki: "Pki") -> None:
    own = Defaults(newkey="same")
    for cmd in ("ir", "cr", "kur"):
        row = good(read(f"id,cmd,cert,key\na,{cmd},cert.pem,key.pem\n", own))
        assert (row.new_key, row.new_key_spec, row.key) == (pki.key, None, pki.key)
    cells = "id,cmd,newkey,cert,keypass\na,kur,same,dev1.p12,pass:correct horse\n"
    assert good(read(cells, Defaults(newkey="rsa:2048"))).new_key == pki.key


@pytest.mark.parametrize(
    ("cells", "what"),
    [
        ("id,subject\na,/CN=a\n", "newkey is same: the key of cert, and there is no cert"),
        (
            "id,cmd,cert,key,popo\na,kur,cert.pem,key.pem,keyEncipherment\n",
            "the private key is of a type that can't prove possession by keyEncipherment",
        ),
        (
            "id,cmd,cert,key,centralkeygen\na,kur,cert.pem,key.pem,yes\n",
            "the CA makes the key (centralkeygen): newkey says its type only",
        ),
    ],
)
def test_a_key_that_can_not_be_certified_anew(read: Read, cells: str, what: str) -> None:
    assert problems(read(cells, replace(PBM, newkey="same"))) == [("newkey", what)]


def test_a_key_file_as_new_key(read: Read, pki: "Pki") -> None:
    assert good(read("id,newkey\na,key.pem\n")).new_key == pki.key
    ((column, what),) = problems(read("id,newkey\na,nope.pem\n"))
    assert column == "newkey"
    assert what.endswith("nope.pem: no such file")
    ((_, what),) = problems(read("id,newkey\na,sealed.pem\n"))
    assert what.endswith("sealed.pem: the private key is encrypted, and no passphrase was given")
    sealed = replace(PBM, newkeypass="env:KEYPW")
    assert good(read("id,newkey\na,sealed.pem\n", sealed)).new_key == pki.key


def test_keys_that_can_not_sign_need_another_proof_of_possession(
    read: Read, tmp_path: Path
) -> None:
    file = tmp_path / "kem.pem"
    made = mlkem.MLKEM768PrivateKey.generate()
    file.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    both = "id,newkey,popo\na,ml-kem-768,raVerified\nb,kem.pem,none\nc,ed25519,\n"
    specified, filed, signing = read(both)
    assert isinstance(specified, EndEntity)
    assert (str(specified.new_key_spec), specified.popo) == ("ml-kem-768", Popo.RA_VERIFIED)
    assert isinstance(filed, EndEntity)
    der = made.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert filed.new_key == der
    assert isinstance(signing, EndEntity)
    assert signing.popo is Popo.SIGNATURE

    (row,) = read("id,newkey\na,ml-kem-1024\n")
    assert isinstance(row, BadRow)
    (problem,) = row.problems
    assert problem.what == "ml-kem-1024 keys can't prove possession by signature"
    assert "--popo" in str(problem.hint)
    ((column, what),) = problems(read("id,newkey\na,kem.pem\n"))
    assert (column, "can't sign requests" in what) == ("newkey", True)
    ((column, what),) = problems(read("id,popo\na,magic\n"))
    assert (column, what) == ("popo", "'magic' is no proof of possession")

    # what the command line says of all rows is refused before they are read
    with pytest.raises(InputError, match="--newkey: ml-kem-768 keys can't prove"):
        read("id\na\n", replace(PBM, newkey="ml-kem-768"))
    assert good(read("id\na\n", replace(PBM, newkey="ml-kem-768", popo="none"))).popo is Popo.NONE
    # one that the CA makes has nothing to prove
    central = replace(PBM, newkey="ml-kem-768", centralkeygen="true")
    assert good(read("id\na\n", central)).new_key_spec == KeySpec.parse("ml-kem-768")
    mixed = replace(PBM, newkey="ml-kem-768")
    assert good(read("id,popo\na,none\n", mixed)).new_key_spec == KeySpec.parse("ml-kem-768")


def test_a_credential_of_cells(read: Read, pki: "Pki") -> None:
    rows = read(
        "id,subject,cert,key,keypass\na,/CN=a,cert.pem,sealed.pem,env:KEYPW\n",
        Defaults(newkey="ed25519"),
    )
    row = good(rows)
    assert row.cert == (pki.certificate, pki.ca)
    assert row.key == pki.key
    assert row.secret is None
    assert "key=" not in repr(row)


def test_a_wrong_credential(read: Read) -> None:
    rows = read(
        "id,cert,key\na,cert.pem,other-key.pem\n", Defaults(subject="/CN=a", newkey="ed25519")
    )
    ((column, what),) = problems(rows)
    assert column == "key"
    assert problems(
        read("id,cert,key\na,cert.pem,other-key.pem\n", Defaults(newkey="ed25519"))
    ) == [(column, what)]
    assert "the private key is not that of the certificate in" in what


@pytest.mark.parametrize(("cert", "key", "blamed"), [
    ("cert.pem", "gone.pem", "key"), ("cert.pem", "cert.pem", "key"),
    ("gone.pem", "other-key.pem", "cert"),
])  # fmt: skip
def test_the_file_of_a_credential_that_is_at_fault_is_blamed(
    read: Read, tmp_path: Path, cert: str, key: str, blamed: str
) -> None:
    text = f"id,cert,key\na,{cert},{key}\n"
    ((column, _),) = problems(read(text, Defaults(subject="/CN=a", newkey="ed25519")))
    assert column == blamed
    defaults = Defaults(subject="/CN=a", newkey="ed25519", cert=str(tmp_path / cert),
                        key=str(tmp_path / key))  # fmt: skip
    with pytest.raises(InputError, match=f"^--{blamed}: "):
        read("id\na\n", defaults)


def test_paths_of_cells_and_of_defaults(
    read: Read, pki: "Pki", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere" / "certs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name in ("cert.pem", "key.pem"):
        shutil.move(tmp_path / name, Path("certs") / f"dev1-{name}")
    kur = Defaults(
        cmd="kur", newkey="ed25519", cert="certs/{id}-cert.pem", key="certs/{id}-key.pem"
    )
    row = good(read("id\ndev1\n", kur))
    assert row.cert == (pki.certificate, pki.ca)
    assert row.old_cert == pki.certificate
    ((_, what),) = problems(read("id,cert\ndev1,certs/dev1-cert.pem\n", kur))
    assert what.startswith(f"{tmp_path}/certs/dev1-cert.pem: no such file")


@pytest.mark.parametrize("identity", ["../dev1", "..", ".", "a\\b"])
def test_a_value_cannot_lead_a_path_elsewhere(read: Read, identity: str) -> None:
    rows = read(f"id\n{identity}\n", replace(PBM, csr="csrs/{id}/x.pem"))
    assert problems(rows) == [("csr", f"--csr: id is {identity!r}, which can't be part of a path")]


def test_kur_takes_what_is_not_said_from_the_certificate(read: Read, pki: "Pki") -> None:
    defaults = Defaults(secret="env:PW", newkey="ed25519")
    row = good(read("id,cmd,oldcert\na,kur,cert.pem\n", defaults))
    assert row.old_cert == pki.certificate
    assert row.subject == parse_name("/CN=dev1")
    assert row.extensions == (parse_sans("dev1.example"),)
    row = good(read("id,cmd,oldcert,subject,sans\na,kur,cert.pem,/CN=b,b.example\n", defaults))
    assert (row.subject, row.extensions) == (parse_name("/CN=b"), (parse_sans("b.example"),))


def test_ir_takes_its_names_from_its_own_certificate_only(read: Read) -> None:
    # recipe 2: ir with the certificate that the end entity already has
    row = good(read("id,cert,key\na,cert.pem,key.pem\n", Defaults(newkey="ed25519")))
    assert (row.subject, row.extensions) == (parse_name("/CN=dev1"), (parse_sans("dev1.example"),))
    assert row.old_cert is None


def test_ir_does_not_take_its_names_from_an_ras_certificate(read: Read, tmp_path: Path) -> None:
    # one certificate for all rows: its name must not be given to every device
    defaults = Defaults(newkey="ed25519", cert=f"{tmp_path}/cert.pem", key=f"{tmp_path}/key.pem")
    assert problems(read("id\na\n", defaults)) == [("subject", "ir needs a subject or sans")]
    assert good(read("id,sans\na,a.example\n", defaults)).subject is None
    # but what makes one row alone is that row's own
    single = single_row("a", defaults, ENVIRON)
    assert isinstance(single, EndEntity)
    assert (single.subject, single.old_cert) == (parse_name("/CN=dev1"), None)
    assert single.extensions == (parse_sans("dev1.example"),)


def test_rr(read: Read, pki: "Pki") -> None:
    # the population of the enrolment serves for the revocation: names and key specs do not count
    row = good(
        read(
            "id,subject,newkey,cmd,cert,key,revreason\n"
            "a,/CN=a,ed25519,rr,cert.pem,key.pem,superseded\n"
        )
    )
    assert row.old_cert == pki.certificate
    assert row.revocation_reason is RevocationReason.SUPERSEDED
    assert (row.subject, row.extensions, row.new_key_spec) == (None, (), None)
    row = good(read("id,cmd,oldcert\na,rr,cert.der\n"))
    assert (row.old_cert, row.revocation_reason) == (pki.certificate, None)
    ((column, what),) = problems(read("id,cmd,oldcert\na,rr,key.pem\n"))
    assert column == "oldcert"
    assert what.endswith("no certificate in it, but: private key")


def test_rr_by_serial_number(read: Read, pki: "Pki") -> None:
    row = good(read("id,cmd,serial,issuer,subject\na,rr,0x12aB,CN=ca,CN=dev\n"))
    assert (row.serial, row.issuer, row.old_cert) == (0x12AB, parse_name("/CN=ca"), None)
    assert row.subject == parse_name("/CN=dev")
    defaults = replace(PBM, serial="17", issuer="CN=ca")
    assert good(read("id,cmd\na,rr\n", defaults)).serial == 17
    # a row that names a certificate means that one
    row = good(read("id,cmd,oldcert\na,rr,cert.pem\n", defaults))
    assert (row.serial, row.old_cert) == (None, pki.certificate)


def test_certificates_and_requests_may_stand_in_cells(read: Read, pki: "Pki") -> None:
    row = good(read(f"id,csr\na,{inline(pki.csr)}\n"))
    assert (row.cmd, row.csr, row.subject) == (Operation.P10CR, pki.csr, parse_name("/CN=dev1"))
    oldcert = inline(pki.certificate)
    assert good(read(f"id,cmd,oldcert\na,rr,{oldcert}\n")).old_cert == pki.certificate
    row = good(read(f"id,cmd,cert,key\na,kur,{oldcert},key.pem\n", Defaults(newkey="ed25519")))
    assert (row.cert, row.key) == ((pki.certificate,), pki.key)
    assert row.old_cert == pki.certificate
    row = good(read(f"id,extensions_from\na,{oldcert}\n"))
    assert [one.oid for one in row.extensions] == ["2.5.29.17"]


@pytest.mark.parametrize(
    ("column", "cell", "why"),
    [
        ("csr", "base64:MII", "what follows 'base64:' is not base64"),
        ("oldcert", "base64:", "nothing follows 'base64:'"),
        ("oldcert", "base64:AAAA", "neither PEM nor the DER of a certificate"),
        ("cert", "base64:AAAA", "neither PEM nor the DER of a certificate"),
    ],
)
def test_what_is_wrong_in_a_cell(read: Read, column: str, cell: str, why: str) -> None:
    ((at, what),) = problems(read(f"id,cmd,{column}\na,{_CMD_OF[column]},{cell}\n"))
    assert (at, what) == (column, why)


_CMD_OF = {"csr": "p10cr", "oldcert": "rr", "cert": "ir"}


def test_a_csr_makes_a_p10cr(read: Read, pki: "Pki") -> None:
    row = good(read("id,csr\na,csr.pem\n"))
    assert row.cmd is Operation.P10CR
    assert row.csr == pki.csr
    assert row.subject == parse_name("/CN=dev1")
    assert (row.new_key_spec, row.new_key) == (None, None)
    assert good(read("id,csr,subject,cmd\na,csr.pem,CN=dev1,p10cr\n")).csr == pki.csr
    ((column, what),) = problems(read("id,csr\na,cert.pem\n"))
    assert column == "csr"
    assert "no certificate request in it" in what
    first, second = read("id,csr\na,csr.pem\nb,\n")
    assert isinstance(first, EndEntity)
    assert isinstance(second, EndEntity)
    assert (first.cmd, second.cmd) == (Operation.P10CR, Operation.IR)


def test_a_default_that_another_operation_needs_is_left_aside(read: Read, pki: "Pki") -> None:
    here = replace(PBM, csr=f"{pki.folder}/csr.pem")
    assert good(read("id,cmd\na,ir\n", here)).csr is None
    assert good(read("id\na\n", here)).csr == pki.csr
    both = replace(PBM, revreason="1")
    assert good(read("id,cmd\na,ir\n", both)).revocation_reason is None


@pytest.mark.parametrize(
    ("defaults", "why"),
    [
        ({"cmd": "xx"}, "--cmd: 'xx' is not a CMP operation"),
        ({"subject": "/CN"}, "--subject: RDN 'CN'"),
        ({"subject": "/CN={x}"}, "--subject: unknown placeholder"),
        ({"sans": "a..b"}, "--sans: 'a..b'"),
        ({"newkey": "rsa:1"}, "--newkey: 'rsa:1' is neither"),
        ({"newkey": "nope.pem"}, "--newkey: nope.pem: no such file"),
        ({"secret": "hunter2"}, "--secret: not a source"),
        ({"keypass": "env:NO", "cert": "x"}, "--keypass: the environment has no variable 'NO'"),
        ({"newkeypass": "env:NO"}, "--newkeypass: the environment has no variable"),
        ({"days": "0"}, "--days: '0' is not"),
        ({"priority": "x"}, "--priority: 'x' is not"),
        ({"revreason": "7"}, "--revreason: '7' is not"),
        ({"csr": "nope.pem"}, "--csr: nope.pem: no such file"),
        ({"oldcert": "nope.pem"}, "--oldcert: nope.pem: no such file"),
        ({"cert": "nope.pem"}, "--cert: nope.pem: no such file"),
        ({"key": "k.pem"}, "--key needs --cert"),
        ({"keypass": "pass:x"}, "--keypass needs --cert"),
        ({"oldcert": "cert.pem", "serial": "1"}, "--oldcert and --serial exclude each other"),
        ({"policy_oids": "x"}, "--policy-oids: 'x' is no policy"),
        ({"extensions": "1.2.3=UTF8:{x}"}, "--extensions: unknown placeholder"),
        ({"extensions_from": "nope.pem"}, "--extensions-from: nope.pem: no such file"),
        ({"not_before": "x"}, "--not-before: 'x' is not a time"),
        ({"reginfo": "x"}, "--reginfo: 'x' is no pair"),
        ({"regtoken": "hunter2"}, "--regtoken: not a source"),
        ({"days": "1", "not_after": "2027-01-01"}, "--days and --not-after exclude each other"),
    ],
)
def test_a_wrong_default_is_an_error_before_any_row(
    read: Read, defaults: dict[str, Any], why: str
) -> None:
    with pytest.raises(InputError) as caught:
        read("id\na\n", replace(PBM, **defaults))
    assert caught.value.what.startswith(why)
    assert "hunter2" not in f"{caught.value.__dict__}"


def test_defaults_do_not_show_secrets() -> None:
    secret = "pass:hunter2"
    shown = repr(
        Defaults(
            secret=secret,
            keypass=secret,
            newkeypass=secret,
            regtoken=secret,
            authenticator=secret,
        )
    )
    assert "hunter2" not in shown


def test_files_are_read_again_in_the_next_pass(
    write_csv: "WriteCsv", pki: "Pki", tmp_path: Path
) -> None:
    shutil.copy(pki.folder / "key.pem", tmp_path / "k.pem")
    population = Population(open_source(write_csv("id,newkey\na,k.pem\nb,k.pem\n")), PBM, ENVIRON)
    assert all(isinstance(row, EndEntity) for row in population.rows())
    (tmp_path / "k.pem").unlink()
    assert all(isinstance(row, BadRow) for row in population.rows())


def test_no_two_rows_have_files_of_one_name(tmp_path: Path) -> None:
    text = "id,subject,ref\na1,/CN=x,u\na2,/CN=x,v\nb1,/CN=x,U\nc1,/CN=x,\n"
    path = tmp_path / "a.csv"
    path.write_text(text)
    defaults = Defaults(newkey="ec:P-256", secret=Secret(b"x"), out_name="{ref}/{id[1:]}")
    population = Population(open_source(path), defaults, {})
    for _ in range(2):  # it can be streamed again
        first, second, twice, nameless = population.rows()
        assert isinstance(first, EndEntity)
        assert isinstance(second, EndEntity)
        assert (first.out_name, second.out_name) == ("u/1", "v/2")
        # one name on file systems that do without case
        assert isinstance(twice, BadRow)
        assert "--out-name: its files would be 'U/1', as those of line 2" in str(twice.problems[0])
        assert isinstance(nameless, BadRow)
        assert "needs column ref, which is empty here" in str(nameless.problems[0])


def test_passwords_of_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "id,cmd,subject,out_pass,oldcert\na,ir,/CN=a,,\nb,ir,/CN=b,env:P,\nc,ir,/CN=c,make,\n"
        "d,ir,/CN=d,plain,\ne,genm,,make,\n"
    )
    defaults = Defaults(
        newkey="ec:P-256", secret=Secret(b"x"), infotype=None, out_pass="make", out_pass_length=9
    )
    a, b, c, bad, other = Population(open_source(path), defaults, {"P": "mine"}).rows()
    assert isinstance(a, EndEntity)
    assert isinstance(b, EndEntity)
    assert isinstance(c, EndEntity)
    assert a.out_pass is not None
    assert c.out_pass is not None
    assert len(a.out_pass.reveal()) == len(c.out_pass.reveal()) == 9
    assert a.out_pass != c.out_pass
    assert b.out_pass == Secret(b"mine")
    assert isinstance(bad, BadRow)
    assert "plain" not in str(bad.problems[0])
    assert isinstance(other, BadRow)
    assert "out_pass is for ir, cr and kur" in " ".join(map(str, other.problems))


def test_columns_are_those_of_the_issues() -> None:
    assert ", ".join(COLUMNS) == (
        "id, cmd, subject, issuer, sans, keyusage, extkeyusage, policy_oids, extensions, "
        "extensions_from, days, not_before, not_after, profile, newkey, centralkeygen, popo, ref, "
        "secret, csr, cert, key, keypass, oldcert, serial, revreason, infotype, oldwithold, "
        "crlcert, oldcrl, regtoken, authenticator, reginfo, priority, out_pass"
    )


# --- keys that the CA makes -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "central"),
    [("yes", True), ("TRUE", True), ("1", True), ("no", False), ("false", False), ("0", False)],
)
def test_the_ca_makes_the_key(read: Read, text: str, central: bool) -> None:
    row = good(read(f"id,centralkeygen\na,{text}\n"))
    assert row.central_keygen is central
    assert row.new_key_spec == KeySpec.parse("ed25519")


def test_neither_yes_nor_no(read: Read) -> None:
    found = problems(read("id,centralkeygen\na,maybe\n"))
    assert found == [("centralkeygen", "'maybe' is neither yes nor no")]


def test_the_ca_chooses_the_type_where_nobody_said_one(read: Read) -> None:
    assumed = replace(PBM, newkey_assumed=True, centralkeygen="yes")
    assert good(read("id\na\n", assumed)).new_key_spec is None
    row = good(read("id,newkey\na,rsa:2048\n", assumed))
    assert row.new_key_spec == KeySpec.parse("rsa:2048")
    row = good(read("id,centralkeygen\na,no\n", assumed))
    assert (row.central_keygen, row.new_key_spec) == (False, KeySpec.parse("ed25519"))


def test_a_key_of_our_own_is_not_the_cas_to_make(read: Read) -> None:
    found = problems(read("id,newkey,centralkeygen\na,key.pem,yes\n"))
    said = "the CA makes the key (centralkeygen): newkey says its type only"
    assert found == [("newkey", said)]


@pytest.mark.parametrize("cmd", ["p10cr", "rr"])
def test_other_operations_have_no_key_to_make(read: Read, cmd: str) -> None:
    found = problems(
        read(
            f"id,cmd,csr,oldcert,centralkeygen\na,{cmd},{'csr.pem' if cmd == 'p10cr' else ''},"
            f"{'' if cmd == 'p10cr' else 'cert.pem'},yes\n"
        )
    )
    said = f"centralkeygen is for ir, cr and kur, and this row is {cmd}"
    assert found == [("centralkeygen", said)]


def test_the_ca_encrypts_for_who_asks(read: Read) -> None:
    row = good(read("id,cert,key,centralkeygen\na,cert.pem,key.pem,yes\n", Defaults()))
    assert row.central_keygen
    unprotected = Defaults(unprotected=True)
    said = "the CA can't encrypt for this credential the private key that it makes"
    for defaults, cells in (
        (unprotected, "cert.pem,key.pem"),
        (unprotected, ","),
        (Defaults(), "ed-cert.pem,ed-key.pem"),
    ):
        found = problems(
            read(f"id,subject,cert,key,centralkeygen\na,/CN=a,{cells},yes\n", defaults)
        )
        assert found == [("centralkeygen", said)]
    secret = replace(unprotected, secret="env:PW")
    assert good(read("id,subject,centralkeygen\na,/CN=a,yes\n", secret)).central_keygen


# --- what a genm asks for ------------------------------------------------------------------------


def test_a_genm(read: Read) -> None:
    row = good(read('id,cmd,infotype,profile\na,genm,"caCerts,1.2.3",p\n'))
    assert row == EndEntity(
        number=1,
        line=2,
        id="a",
        cmd=Operation.GENM,
        ref="ra1",
        secret=Secret(b"s3cret"),
        profile="p",
        infos=(Itav(CA_CERTS), Itav("1.2.3")),
    )
    defaults = replace(PBM, cmd="genm", infotype="caCerts")
    assert good(read("id\na\n", defaults)).infos == (Itav(CA_CERTS),)
    named = replace(PBM, cmd="genm", infotype="{id}")
    assert good(read("id\n1.2.4\n", named)).infos == (Itav("1.2.4"),)


def test_the_root_and_the_crl_that_are_asked_about(read: Read, pki: "Pki", crl_file: bytes) -> None:
    row = good(read("id,cmd,infotype\na,genm,rootCaCert\n"))
    assert row.infos == (Itav(ROOT_CA_CERT),)
    row = good(read("id,cmd,infotype,oldwithold\na,genm,rootCaCert,cert.pem\n"))
    assert row.infos == (Itav(ROOT_CA_CERT, pki.certificate),)
    row = good(read("id,cmd,infotype,crlcert\na,genm,crlStatusList,cert.pem\n"))
    assert row.infos == (Itav(CRL_STATUS_LIST, crl_status_list(pki.certificate, None)),)
    for name in ("old.crl.pem", "old.crl"):
        defaults = replace(PBM, cmd="genm", infotype="crlStatusList")
        assert good(read(f"id,oldcrl\na,{name}\n", defaults)).infos == (
            Itav(CRL_STATUS_LIST, crl_status_list(None, crl_file)),
        )


@pytest.fixture
def crl_file(tmp_path: Path) -> bytes:
    """A CRL beside the population, old.crl in DER and old.crl.pem."""
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    crl = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(x509.Name.from_bytes(parse_name("/CN=ca")))
        .last_update(now)
        .next_update(now)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    (tmp_path / "old.crl").write_bytes(crl.public_bytes(Encoding.DER))
    (tmp_path / "old.crl.pem").write_bytes(crl.public_bytes(Encoding.PEM))
    return crl.public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("columns", "cells", "column", "what"),
    [
        ("cmd", "genm", "infotype", "genm needs infotype: what to ask for"),
        ("cmd,infotype", "genm,casCert", "infotype", "'casCert' is no infoType"),
        ("infotype", "caCerts", "infotype", "infotype is for genm, and this row is ir"),
        ("cmd,infotype,oldwithold", "genm,caCerts,cert.pem",
          "oldwithold", "oldwithold is for infotype rootCaCert"),
        ("cmd,infotype,oldcrl", "genm,caCerts,x",
          "oldcrl", "oldcrl is for infotype crlStatusList"),
        ("cmd,infotype", "genm,crlStatusList",
          "crlcert", "crlStatusList needs crlcert or oldcrl: which CRL is asked for"),
        ("cmd,infotype,crlcert", "genm,crlStatusList,none.pem", "crlcert", "none.pem"),
        ("cmd,infotype,oldcrl", "genm,crlStatusList,cert.pem", "oldcrl", "CRL"),
        ("cmd,infotype,keyusage", "genm,caCerts,digitalSignature",
          "keyusage", "keyusage is for ir, cr and kur, and this row is genm"),
    ],
)  # fmt: skip
def test_a_genm_that_can_not_be_asked(
    read: Read, columns: str, cells: str, column: str, what: str
) -> None:
    (found,) = problems(read(f"id,{columns}\na,{cells}\n"))
    assert found[0] == column
    assert what in found[1]


def test_files_of_another_question(read: Read) -> None:
    defaults = replace(PBM, cmd="genm", infotype="caCerts", oldwithold="cert.pem")
    with pytest.raises(InputError, match="--oldwithold"):
        read("id\na\n", defaults)


# --- what the certificate template may have besides ----------------------------------------------


def test_a_row_of_all_template_fields(read: Read) -> None:
    row = good(
        read(
            "id,issuer,sans,keyusage,extkeyusage,policy_oids,extensions,not_before,not_after,"
            "regtoken,authenticator,reginfo\n"
            'a,/CN=CA,"critical,a.example",digitalSignature,clientAuth,1.2.3.4,1.2.3=DER:0500,'
            "2027-01-31,2027-02-28T12:00:00+01:00,pass:t0ken,env:PW,version?1\n"
        )
    )
    assert row.issuer == parse_name("/CN=CA")
    assert row.extensions == (
        parse_sans("critical,a.example"),
        parse_key_usage("digitalSignature"),
        parse_ext_key_usage("clientAuth"),
        parse_policies("1.2.3.4"),
        RequestedExtension("1.2.3", False, b"\x05\x00"),
    )
    assert row.not_before == dt.datetime(2027, 1, 31, tzinfo=dt.UTC)
    assert row.not_after == dt.datetime(2027, 2, 28, 11, tzinfo=dt.UTC)
    assert row.reg_token == Secret(b"t0ken")
    assert row.authenticator == Secret(b"s3cret")
    assert row.reg_info == "version?1%"
    assert "t0ken" not in repr(row)


def test_template_fields_of_defaults(read: Read) -> None:
    defaults = replace(
        PBM,
        issuer="/CN=CA {priority}",
        keyusage="critical,digitalSignature",
        extkeyusage="serverAuth",
        policy_oids="anyPolicy",
        extensions="1.2.3=UTF8:{id}",
        not_before="2027-01-31",
        days="10",
        regtoken="env:PW",
        authenticator=Secret(b"y"),
        reginfo="company?{id}",
    )
    first, second = read(
        "id,priority,keyusage,regtoken,not_after\na b,1,,,\nb?c%,2,cRLSign,pass:t,2028-01-01\n",
        defaults,
    )
    assert isinstance(first, EndEntity)
    assert isinstance(second, EndEntity)
    assert first.issuer == parse_name("/CN=CA 1")
    assert first.extensions == (
        parse_key_usage("critical,digitalSignature"),
        parse_ext_key_usage("serverAuth"),
        parse_policies("anyPolicy"),
        RequestedExtension("1.2.3", False, b"\x0c\x03a b"),
    )
    assert (first.days, first.not_after) == (10, None)
    assert (first.reg_token, first.authenticator) == (Secret(b"s3cret"), Secret(b"y"))
    assert first.reg_info == "company?a b%"
    assert second.extensions[0] == parse_key_usage("cRLSign"), "the row's own is before the default"
    assert (second.days, second.not_after) == (None, dt.datetime(2028, 1, 1, tzinfo=dt.UTC))
    assert second.reg_token == Secret(b"t")
    assert second.reg_info == "company?b%3fc%25%"


def test_a_cell_of_days_wins_over_an_option_not_after(read: Read) -> None:
    row = good(read("id,days\na,3\n", replace(PBM, not_after="2027-01-31")))
    assert (row.days, row.not_after) == (3, None)


def test_extensions_from_a_file_fill_in_what_is_not_said(read: Read) -> None:
    row = good(read("id,extensions_from,keyusage\na,cert.pem,digitalSignature\n"))
    assert row.extensions == (parse_sans("dev1.example"), parse_key_usage("digitalSignature"))
    row = good(read("id,extensions_from,sans\na,cert.pem,a.example\n"))
    assert row.extensions == (parse_sans("a.example"),)
    # a file's subjectAltName names the end entity as one of a cell does
    nameless = replace(PBM, subject=None)
    assert good(read("id,extensions_from\na,cert.pem\n", nameless)).subject is None


def test_san_nodefault_takes_none_from_the_certificate(read: Read) -> None:
    defaults = Defaults(secret="env:PW", newkey="ed25519", san_nodefault=True)
    row = good(read("id,cmd,oldcert\na,kur,cert.pem\n", defaults))
    assert (row.subject, row.extensions) == (parse_name("/CN=dev1"), ())


def test_an_unprotected_row_needs_no_credential(read: Read) -> None:
    defaults = Defaults(newkey="ed25519", subject="/CN={id}", unprotected=True)
    row = good(read("id,regtoken\na,pass:t\n", defaults))
    assert (row.secret, row.key, row.reg_token) == (None, None, Secret(b"t"))


@pytest.mark.parametrize(
    ("column", "cell", "why"),
    [
        ("issuer", "/CN", "RDN 'CN'"),
        ("keyusage", "x", "'x' is no keyUsage"),
        ("extkeyusage", "x", "'x' is no extended key usage"),
        ("policy_oids", "x", "'x' is no policy"),
        ("extensions", "x", "'x': no extension"),
        ("extensions_from", "nope", "/nope: no such file"),
        ("not_before", "31.1.2027", "'31.1.2027' is not a time"),
        ("not_after", "2027-13-01", "'2027-13-01' is not a time"),
        ("regtoken", "t0ken", "not a source of a secret"),
        ("regtoken", "env:BAD", "regtoken is not valid UTF-8 text"),
        ("authenticator", "env:BAD", "authenticator is not valid UTF-8 text"),
        ("reginfo", "x", "'x' is no pair"),
    ],
)
def test_a_wrong_template_field(
    read: Read, monkeypatch: pytest.MonkeyPatch, column: str, cell: str, why: str
) -> None:
    monkeypatch.setitem(ENVIRON, "BAD", "\udcff")
    ((blamed, what),) = problems(read(f"id,{column}\na,{cell}\n"))
    assert blamed == column
    assert why in what
    assert "t0ken" not in what


def test_what_contradicts_itself(read: Read) -> None:
    assert problems(read("id,keyusage,extensions\na,cRLSign,2.5.29.15=DER:03020106\n")) == [
        ("extensions", "extension 2.5.29.15 is asked for in another column too")
    ]
    assert problems(read("id,days,not_after\na,3,2027-01-31\n")) == [
        ("not_after", "days and not_after exclude each other: both say when it ends")
    ]
    assert problems(read("id,not_before,not_after\na,2027-01-31,2027-01-31\n")) == [
        ("not_after", "the validity ends before it begins")
    ]


@pytest.mark.parametrize(("cmd", "needed"), [("p10cr", "csr"), ("rr", "oldcert")])
def test_a_template_field_is_only_for_what_has_a_template(
    read: Read, cmd: str, needed: str
) -> None:
    file = {"csr": "csr.pem", "oldcert": "cert.pem"}[needed]
    assert problems(read(f"id,cmd,{needed},keyusage\na,{cmd},{file},cRLSign\n")) == [
        ("keyusage", f"keyusage is for ir, cr and kur, and this row is {cmd}")
    ]
    # a default is for those rows that have a use for it
    assert good(read(f"id,cmd,{needed}\na,{cmd},{file}\n", replace(PBM, regtoken="pass:x")))
