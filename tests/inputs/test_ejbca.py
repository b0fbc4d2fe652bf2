"""What EJBCA tells of its end entities, as its sources print it.

The lines are made by the rules of ListEndEntitiesCommand and FindEndEntityCommand (EJBCA CE,
modules/ejbca-ejb-cli), the tables are those of doc/sql-scripts.
"""

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bulkcmp.errors import InputError
from bulkcmp.inputs.attribute import certificate_values
from bulkcmp.inputs.ejbca import ListingSource, TableSource, looks_like_table, slash_name
from bulkcmp.inputs.name import format_slash_name, parse_name
from bulkcmp.inputs.recognition import Reading, open_source
from bulkcmp.inputs.san import parse_sans

if TYPE_CHECKING:
    from tests.inputs.conftest import Pki

LISTED = """\
SETTING: nothing of interest
End Entity: tomcat, "CN=localhost,O=EJBCA Sample,C=SE", "dNSName=localhost, iPAddress=127.0.0.1", \
null, 40, 1, 3, 0
2026-11-28 10:11:12,345 INFO  [org.ejbca.ui.cli.ra] (main) End Entity: bo, one, "CN=Bo\\, One", \
"null", bo@acme.example, 10, 1, 1
End Entity: gone, "CN=gone", "", null, 50, 1, 1, 0
"""

FOUND = """\
Found end entity:
Username: bo
Password: {password}
DN: "CN=Bo,O=Acme"
Alt Name: "upn=bo@acme.example"
Directory Attributes: ""
E-Mail: bo@acme.example
Status: 10
Type: 1
Token Type: 1
End Entity Profile ID: 7
Certificate Profile ID: 9
Created: Sat Nov 28 10:11:12 CET 2026
Modified: Sat Nov 28 10:11:12 CET 2026
"""


def write(folder: Path, text: str, name: str = "ejbca.txt") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_listing(tmp_path: Path) -> None:
    tomcat, bo, gone = ListingSource(write(tmp_path, LISTED)).records()
    assert tomcat.values == {
        "username": ("tomcat",),
        "subjectdn": ("CN=localhost,O=EJBCA Sample,C=SE",),
        "subjectaltname": ("dNSName=localhost, iPAddress=127.0.0.1",),
        "status": ("40",),
        "type": ("1",),
        "tokentype": ("3",),
        "subject": ("/CN=localhost/O=EJBCA Sample/C=SE",),
        "sans": ("dns:localhost,ip:127.0.0.1",),
        "state": ("generated",),
    }
    assert (bo.place.line, bo.place.number) == (3, 2)
    assert bo.values["username"] == ("bo, one",)
    assert bo.values["subject"] == ("/CN=Bo, One",)
    assert bo.values["subjectemail"] == ("bo@acme.example",)
    assert "sans" not in bo.values
    assert gone.values["state"] == ("revoked",)


def test_without_rules_those_who_may_have_a_certificate_are_rows(tmp_path: Path) -> None:
    rows = list(open_source(write(tmp_path, LISTED)).records())
    assert [row.values["id"] for row in rows] == [("tomcat",), ("bo, one",)]
    assert rows[0].values["subject"] == ("/CN=localhost/O=EJBCA Sample/C=SE",)


def test_a_line_that_lacks_something_is_a_bad_row(tmp_path: Path) -> None:
    path = write(tmp_path, LISTED + 'End Entity: bo, "CN=Bo"\n')
    *_, bad = open_source(path).records()
    assert [str(problem.where) for problem in bad.problems] == [f"{path}:5 (row 3)"]
    assert "not a line of" in bad.problems[0].what


def test_end_entities_that_were_looked_up(tmp_path: Path) -> None:
    text = FOUND.format(password="<hidden>") + FOUND.format(password="foo123")
    hidden, shown = ListingSource(write(tmp_path, text)).records()
    assert "password" not in hidden.values
    assert shown.values["password"] == ("foo123",)
    assert (shown.place.line, shown.place.number) == (16, 2)
    assert shown.values["subject"] == ("/CN=Bo/O=Acme",)
    assert shown.values["sans"] == ("upn:bo@acme.example",)
    assert shown.values["certificateprofileid"] == ("9",)
    assert "password" not in next(open_source(write(tmp_path, text)).records()).values


def test_the_request_of_an_end_entity(tmp_path: Path, pki: "Pki") -> None:
    csr = (pki.folder / "csr.pem").read_text()
    path = write(tmp_path, f"{FOUND}CSR:\n{csr}\n{FOUND}")
    first, second = open_source(path).records()
    assert first.values["csr"][0].startswith("base64:")
    assert "csr" not in second.values


def test_a_request_that_is_cut_off_hides_no_end_entity(tmp_path: Path, pki: "Pki") -> None:
    cut = (pki.folder / "csr.pem").read_text()[:200]
    path = write(tmp_path, f"{FOUND}CSR:\n{cut}\n{FOUND}{LISTED}")
    first, *others = ListingSource(path).records()
    assert [problem.where and problem.where.column for problem in first.problems] == ["csr"]
    assert [record.values["username"] for record in others] == [
        ("bo",), ("tomcat",), ("bo, one",), ("gone",)
    ]  # fmt: skip


def test_a_line_that_was_made_to_take_long_is_read_at_once(tmp_path: Path) -> None:
    text = "End Entity: " + ', "a", "b", c' * 4000 + "\n"
    (record,) = ListingSource(write(tmp_path, text)).records()
    assert "not a line of" in record.problems[0].what


def test_a_table_of_users(tmp_path: Path) -> None:
    text = (
        "username;subjectDN;subjectAltName;status;type;clearPassword\n"
        "bo;CN=Bo,O=Acme;NULL;40;1;\n"
        "gone;CN=gone;;50;1;\n"
        "ca;CN=CA;;40;8;\n"
    )
    path = write(tmp_path, text, "users.csv")
    assert looks_like_table(path.read_bytes())
    (row,) = open_source(path).records()
    assert row.values == {"id": ("bo",), "subject": ("/CN=Bo/O=Acme",)}


def test_a_table_of_certificates(tmp_path: Path, pki: "Pki") -> None:
    text = (
        "fingerprint,issuerDN,serialNumber,subjectDN,username,status,type,base64Cert\n"
        f'ab,CN=CA,1,CN=Bo,bo,20,1,"{base64.encodebytes(pki.certificate).decode()}"\n'
        "ac,CN=CA,2,CN=Al,al,40,1,\n"
        "ad,CN=CA,3,CN=Ed,ed,20,1,AAAA\n"
    )
    path = write(tmp_path, text, "certificates.csv")
    bo, al, ed = TableSource(path).records()
    assert bo.values["state"] == ("active",)
    assert bo.values["cert"] == certificate_values([pki.certificate])["cert"]
    assert al.values["state"] == ("revoked",)
    assert [problem.where.column for problem in ed.problems if problem.where] == ["base64cert"]
    rows = list(open_source(path).records())
    assert [row.values.get("oldcert") for row in rows] == [bo.values["cert"], None]


def test_rules_of_the_user_see_the_fields_of_ejbca(tmp_path: Path) -> None:
    rules = write(
        tmp_path,
        'keep = [{ attribute = "state", equals = "new" }]\n'
        '[columns]\nid = "{subjectemail}"\nsecret = "pass:{password}"\n',
        "rules.toml",
    )
    path = write(tmp_path, FOUND.format(password="foo123"))
    (row,) = open_source(path, Reading(map=str(rules))).records()
    assert row.values == {"id": ("bo@acme.example",), "secret": ("pass:foo123",)}


@pytest.mark.parametrize(
    ("dn", "slash"),
    [
        ("CN=Bo,O=Acme,C=SE", "/CN=Bo/O=Acme/C=SE"),
        ("SN=123,DN=q,T=Dr,CN=x", "/serialNumber=123/dnQualifier=q/title=Dr/CN=x"),
        ("CN=Bo \\+ Co\\, Ltd/AB", "/CN=Bo \\+ Co, Ltd\\/AB"),
        ("E=bo@acme.example,CN=Bo", "/E=bo@acme.example/CN=Bo"),
        ("CN=Bo+SN=1,O=A\\\\,C=SE", "/CN=Bo+serialNumber=1/O=A\\\\/C=SE"),
        ("JurisdictionCountry=SE,CN=Bo", "/jurisdictionC=SE/CN=Bo"),
        ("CN=T=SN,SURNAME=Lee", "/CN=T=SN/SURNAME=Lee"),
    ],
)
def test_names_keep_their_order(dn: str, slash: str) -> None:
    assert slash_name(dn) == slash
    assert parse_name(slash_name(dn))


def test_a_name_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="RDN 'Acme': no '='"):
        slash_name("CN=Bo, Acme")


def test_alternative_names(tmp_path: Path) -> None:
    names = (
        "rfc822name=bo@acme.example, uniformResourceId=https://acme.example/a b,"
        " registeredID=1.2.3, directoryName=CN=x\\,O=y z, IPADDRESS=10.0.0.1"
    )
    text = f'End Entity: bo, "CN=Bo", "{names}", null, 10, 1, 1\n'
    (record,) = ListingSource(write(tmp_path, text)).records()
    (sans,) = record.values["sans"]
    assert sans == (
        "email:bo@acme.example,uri:https://acme.example/a\\ b,rid:1.2.3,"
        "dirName:/CN=x/O=y\\ z,ip:10.0.0.1"
    )
    assert format_slash_name(parse_name("/CN=x/O=y\\ z")) == "/CN=x/O=y\\ z"


def test_a_name_of_an_unknown_kind_is_not_lost_silently(tmp_path: Path) -> None:
    text = 'End Entity: bo, "CN=Bo", "guid=0a0b, dNSName=a.example", null, 10, 1, 1\n'
    (record,) = ListingSource(write(tmp_path, text)).records()
    with pytest.raises(InputError, match="guid=0a0b"):
        parse_sans(record.values["sans"][0])


@pytest.mark.parametrize("octets", ["Bj\xf6rn".encode("latin-1"), b"B\0o"])
def test_octets_that_are_no_text_come_into_no_request(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "ejbca.txt"
    path.write_bytes(b'End Entity: bo, "CN=' + octets + b'", "null", null, 10, 1, 1\n')
    (record,) = open_source(path).records()
    assert [str(problem) for problem in record.problems] == [
        f"{path}:1 (row 1), column subjectdn: octets that are no text of UTF-8"
    ]


def test_a_quote_in_a_name_is_no_end_of_it(tmp_path: Path) -> None:
    text = (
        'End Entity: bo, "CN=a\\", \\"b", "uri=urn:x\\", \\"y", null, 10, 1, 1\n'
        'End Entity: al, "CN=Al", "uri=urn:x", "dNSName=y", null, 10, 1, 1\n'
    )
    bo, al = ListingSource(write(tmp_path, text)).records()
    assert bo.values["subjectdn"] == ('CN=a\\", \\"b',)
    assert al.values["subjectdn"] == ("CN=Al",)
    assert bo.values["subjectaltname"] == ('uri=urn:x\\", \\"y',)


def test_who_waits_for_approval_is_no_row(tmp_path: Path) -> None:
    text = 'End Entity: bo, "CN=Bo", "null", null, 80, 1, 1\n'
    assert list(open_source(write(tmp_path, text)).records()) == []


def test_a_table_in_utf_16(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_text('username,subjectDN\nbo,"CN=Björn,O=Acme"\n', encoding="utf-16")
    (row,) = open_source(path).records()
    assert row.values["subject"] == ("/CN=Björn/O=Acme",)
