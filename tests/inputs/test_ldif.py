"""LDIF as directories export it, and as it should not be; `ldif` of PyPI is the second opinion."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.errors import InputError
from bulkcmp.inputs import ldif as reader
from bulkcmp.inputs.ldif import LdifSource, looks_like_ldif, read_entries
from bulkcmp.inputs.material import inline
from bulkcmp.inputs.source import Record

if TYPE_CHECKING:
    from tests.inputs.conftest import Pki

Read = Callable[[str | bytes], list[Record]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def records(content: str | bytes) -> list[Record]:
        path = tmp_path / "users.ldif"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return list(LdifSource(path).records())

    return records


def problems(records: list[Record]) -> list[tuple[int | None, str]]:
    """Line and text of each problem of the only record."""
    (record,) = records
    return [(p.where.line if p.where else None, p.what) for p in record.problems]


# RFC 2849, example 2, with a comment
BABS = """\
version: 1
# an entry with a folded attribute value, and
 a folded comment
dn:cn=Barbara Jensen, ou=Product Development, dc=airius, dc=com
objectclass:top
objectclass:person
cn:Barbara Jensen
cn:Babs
 Jensen
description:Babs is a big sailing fan, and travels extensively in sea
 rch of perfect sailing conditions.
title:Product Manager, Rod and Reel Division
"""


def test_an_entry(read: Read) -> None:
    (record,) = read(BABS)
    assert record.problems == ()
    assert record.place.line == 4
    assert record.values == {
        "dn": ("cn=Barbara Jensen, ou=Product Development, dc=airius, dc=com",),
        "dn.cn": ("Barbara Jensen",),
        "dn.ou": ("Product Development",),
        "dn.dc": ("com", "airius"),
        "objectclass": ("top", "person"),
        "cn": ("Barbara Jensen", "BabsJensen"),
        "description": (
            "Babs is a big sailing fan, and travels extensively in search of perfect sailing "
            "conditions.",
        ),
        "title": ("Product Manager, Rod and Reel Division",),
    }


def test_an_attribute_may_be_called_as_an_option(read: Read) -> None:
    (record,) = read("dn: cn=a\nbinary: x\ncn;binary: y\n")
    assert record.values["binary"] == ("x",)
    assert record.values["cn"] == ("y",)


def test_values_in_base64_are_text_where_they_are_utf8(read: Read) -> None:
    """RFC 2849, example 4 and 5."""
    dn = base64.b64encode("uid=rogasawara,ou=営業部,o=Airius".encode()).decode()
    (record,) = read(f"dn:: {dn}\nsn;lang-ja:: 5bCP56yg5Y6f\njpegPhoto:: /9j/4AA=\nempty:\n")
    assert record.problems == ()
    assert record.values["dn.ou"] == ("営業部",)
    assert record.values["sn;lang-ja"] == ("小笠原",)
    assert record.values["jpegphoto"] == ("base64:/9j/4AA=",)
    assert "empty" not in record.values


def test_certificates(read: Read, pki: "Pki") -> None:
    values = [base64.b64encode(der).decode() for der in (pki.ca, pki.certificate)]
    folded = "\n ".join(values[0][i : i + 64] for i in range(0, len(values[0]), 64))
    (record,) = read(
        f"dn: uid=dev1\nuserCertificate;binary:: {folded}\nusercertificate:: {values[1]}\n"
    )
    assert record.problems == ()
    assert record.values["cert"] == (inline(pki.ca), inline(pki.certificate))
    assert record.values["usercertificate"] == record.values["cert"]
    assert record.values["cert.subject"] == ("CN=CA", "CN=dev1")
    assert record.values["cert.sans"] == ("dns:CA.example", "dns:dev1.example")
    assert record.values["cert.subject.cn"] == ("CA",)


def test_a_damaged_certificate_is_a_problem_of_its_entry(read: Read, pki: "Pki") -> None:
    bad, good = read(
        "dn: uid=a\nuserCertificate:: AAAA\n\ndn: uid=b\ncn: b\n"
        f"userCertificate;binary:: {base64.b64encode(pki.certificate).decode()}\n"
    )
    assert problems([bad]) == [(2, "userCertificate: neither PEM nor the DER of a certificate")]
    assert good.problems == ()
    assert good.place.number == 2
    bundle = base64.b64encode((pki.folder / "cert.pem").read_bytes()).decode()
    assert problems(read(f"dn: uid=a\nuserCertificate:: {bundle}\n")) == [
        (2, "userCertificate: 2 certificates in one value")
    ]


def test_an_entry_that_active_directory_wrote(read: Read) -> None:
    """`ldifde -f users.ldif`; with `-u` it is UTF-16."""
    content = (
        "dn: CN=Doe\\, Jön,OU=Users,DC=acme,DC=example\r\nchangetype: add\r\n"
        "objectGUID:: AP8=\r\nsAMAccountName: jdoe\r\n\r\n"
    )
    for octets in (content.encode(), content.encode("utf-16")):
        (record,) = read(octets)
        assert record.problems == ()
        assert record.values["dn.cn"] == ("Doe, Jön",)
        assert record.values["samaccountname"] == ("jdoe",)
        assert record.values["objectguid"] == ("base64:AP8=",)
        assert looks_like_ldif(octets)


def test_an_entry_of_ldapsearch(read: Read) -> None:
    content = """\
# extended LDIF
#
# LDAPv3

# dev1, example
dn: uid=dev1,dc=example
uid: dev1

# search result
search: 2
result: {}

# numResponses: 2
"""
    (record,) = read(content.format("0 Success"))
    assert record.values["uid"] == ("dev1",)
    with pytest.raises(InputError, match="not complete: '4 Size limit exceeded'") as caught:
        read(content.format("4 Size limit exceeded"))
    assert caught.value.where is not None
    assert caught.value.where.line == 11


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("cn: x\n", [(1, "the entry does not begin with 'dn:'")]),
        ("dn: cn=x\ncn\n", [(2, "no ':' in 'cn'")]),
        ("dn: cn=x\n\tcn: x\n", [(2, "'\\tcn' is no name of an attribute")]),
        ("dn: cn=x\ncn:: a!b=\n", [(2, "cn: what follows '::' is not base64")]),
        ("dn: cn=x\ncn:: YWJ\n", [(2, "cn: what follows '::' is not base64")]),
        ("dn: cn=x\ndn: cn=y\n", [(2, "a second 'dn:' in one entry")]),
        ("dn:: /w==\n", [(1, "octets that are no text of UTF-8")]),
        (b"dn: cn=x\ncn: \xff\n", [(2, "cn: octets that are no text of UTF-8")]),
        (b"dn: cn=x\ncn: a\0b\n", [(2, "cn: octets that are no text of UTF-8")]),
        (
            "dn: cn=x\ncn:< file:///etc/passwd\n",
            [(2, "cn: a value by URL, and none is fetched: it could be any file of this machine")],
        ),
        (
            "dn: cn=x\nchangetype: modify\nreplace: cn\ncn: y\n-\n",
            [
                (
                    2,
                    "a change record ('modify'), no entry: it says what to alter in a directory, "
                    "not what is in it",
                )
            ],
        ),
        (
            "dn: cn=x\ncontrol: 1.2.840.113556.1.4.805 true\nchangetype: add\ncn: x\n",
            [(2, "a control: this is a request for a directory, no entry of one")],
        ),
        (
            "dn: cn=x\nbad\ncn:: !\n",
            [(2, "no ':' in 'bad'"), (3, "cn: what follows '::' is not base64")],
        ),
    ],
)
def test_bad_entries(read: Read, content: str | bytes, expected: list[tuple[int, str]]) -> None:
    assert problems(read(content)) == expected


def test_a_bad_entry_is_not_the_end_of_the_file(read: Read) -> None:
    records = read("dn: cn=a\nbad\n\n\ncn: b\n\ndn: cn=c\ncn: c\n")
    assert [(r.place.number, r.place.line, bool(r.problems)) for r in records] == [
        (1, 1, True), (2, 5, True), (3, 7, False),
    ]  # fmt: skip
    assert records[0].values["dn"] == ("cn=a",)


@pytest.mark.parametrize("content", ["version: 2\ndn: cn=x\n", "version: 1.0\n\ndn: cn=x\n"])
def test_other_versions(read: Read, content: str) -> None:
    with pytest.raises(InputError, match="not of version 1"):
        read(content)


def test_a_dn_of_a_directorys_own_types_is_kept_whole(read: Read) -> None:
    (record,) = read("dn: nsuniqueid=7,dc=example\ncn: x\n")
    assert record.values == {"dn": ("nsuniqueid=7,dc=example",), "cn": ("x",)}


def test_what_is_too_long_is_not_kept(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "ENTRY_LIMIT", 2000)
    too_long = "the entry is longer than 2000 octets"
    good = "\n\ndn: cn=y\ncn: y\n"
    line, folds, many = "x" * 9000, "x\n " * 3000, "\n".join(["cn: x"] * 3000)
    for content in (f"cn: {line}", f"cn: {folds}", many, f"cn: {line[:1996]}"):
        bad, after = read(f"dn: cn=x\n{content}{good}")
        assert too_long in [p.what for p in bad.problems]
        assert len(bad.problems) == 1
        assert after.problems == ()
        assert after.values["cn"] == ("y",)


def test_what_is_no_utf16(read: Read) -> None:
    with pytest.raises(InputError, match="not UTF-16, as its byte order mark says"):
        read(b"\xff\xfed\0n\0:\0 \0\0\xd8\n\0")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        list(LdifSource(tmp_path / "nope.ldif").records())


def test_attributes_are_all_that_entries_may_have(tmp_path: Path, pki: "Pki") -> None:
    path = tmp_path / "users.ldif"
    path.write_text("dn: uid=a\nUID: a\nbad\n\ndn: uid=b\nmail;lang-en: b@x\n")
    source = LdifSource(path)
    assert {"dn", "dn.uid", "uid", "mail;lang-en"} <= set(source.attributes)
    assert "cert.subject" not in source.attributes
    encoded = base64.b64encode(pki.certificate).decode()
    path.write_text(f"dn: uid=a\n2.5.4.36;binary:: {encoded}\n")
    source = LdifSource(path)
    (record,) = source.records()
    assert set(record.values) <= set(source.attributes)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"version: 1\ndn: cn=x\n", True),
        (b"\xef\xbb\xbf# x\n y\n\ndn:: eA==\n", True),
        (b"id,cmd\n", False),
        (b"-----BEGIN CERTIFICATE-----\n", False),
        (b"\x30\x82\x01", False),
        (b"", False),
    ],
)
def test_files_that_look_like_ldif(head: bytes, expected: bool) -> None:
    assert looks_like_ldif(head) is expected


@given(st.binary(max_size=200) | st.text("dn:c= #<\n-x1\r", max_size=80).map(str.encode))
def test_no_octets_make_anything_but_entries(content: bytes) -> None:
    """Whatever the file is, it is read to its end, and each flaw names a line of it."""
    try:
        entries = list(read_entries(io.BytesIO(content).readline))
    except InputError:
        return
    lines = content.count(b"\n") + 1
    assert all(1 <= flaw.line <= lines for entry in entries for flaw in entry.flaws)
    assert [e.line for e in entries] == sorted({e.line for e in entries})


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=90)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["cn", "mail", "description", "jpegPhoto"]),
            st.lists(_TEXTS | st.binary(min_size=1, max_size=60), min_size=1, max_size=3),
        ),
        max_size=4,
    ),
    st.integers(9, 80),
    st.sampled_from([b"\n", b"\r\n"]),
)
def test_a_second_opinion(
    people: list[dict[str, list[str | bytes]]], width: int, end: bytes
) -> None:
    """What `ldif` writes is read as `ldif` itself reads it."""
    other = pytest.importorskip("ldif")
    written = io.BytesIO()
    writer = other.LDIFWriter(written, cols=width, line_sep=end)
    for number, person in enumerate(people):
        writer.unparse(f"uid={number},dc=example", person)
    content = written.getvalue()
    theirs = list(other.LDIFParser(io.BytesIO(content), encoding=None).parse())
    ours = [(e.dn, e.flaws, _values(e)) for e in read_entries(io.BytesIO(content).readline)]
    assert ours == [(dn, [], dict(values)) for dn, values in theirs]


def _values(entry: reader.Entry) -> dict[str, list[bytes]]:
    values: dict[str, list[bytes]] = {}
    for attribute in entry.attributes:
        # `ldif` takes away white space that RFC 2849 has in values
        value = attribute.value if attribute.encoded else attribute.value.strip()
        values.setdefault(attribute.name, []).append(value)
    return values
