"""Templates of mapping rules: what a value says never alters what is around it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.errors import InputError
from bulkcmp.inputs.filling import CellFilling
from bulkcmp.inputs.name import format_name, parse_name
from bulkcmp.inputs.san import SanTemplate, parse_sans

VALUES = {
    "cn": ("Ann",),
    "ou": ("Sales", "R/D"),
    "host": ("a.example", "b.example"),
    "dn": ("CN=Ann,O=A\\,B",),
    "pin": (" 12 ",),
    "nick": ("50% #up/..",),
}


def cell(column: str, texts: str | list[str], **values: str) -> tuple[str, ...]:
    given = VALUES | {name: (text,) for name, text in values.items()}
    return CellFilling(column, texts).texts(given)


@pytest.mark.parametrize(
    ("column", "texts", "made"),
    [
        ("id", "{CN}-{{1}}", ("Ann-{1}",)),
        ("id", "{sn?}{cn}", ("Ann",)),
        ("id", "{sn?}", ()),
        ("subject", "/CN={cn}/O=Acme", ("/CN=Ann/O=Acme",)),
        ("subject", "CN={cn},O=Acme", ("CN=Ann,O=Acme",)),
        ("subject", ["CN={cn}", "OU={ou}", "L={l?}"], ("/CN=Ann/OU=Sales/OU=R\\/D",)),
        ("subject", ["L={l?}"], ()),
        ("subject", "{dn!s}", ("CN=Ann,O=A\\,B",)),
        ("sans", "dns:{host}", ("dns:a.example", "dns:b.example")),
        ("sans", ["dns:{host}", "email:{mail?}", "ip:10.0.0.1"],
         ("dns:a.example", "dns:b.example", "ip:10.0.0.1")),
        ("policy_oids", ["1.2.3", "1.2.4"], ("1.2.3", "1.2.4")),
        ("secret", "pass:{pin}", ("pass: 12 ",)),
        ("secret", "file:{cn}.txt", ("file:Ann.txt",)),
        ("secret", "list:pins.csv#{nick}", ("list:pins.csv#50%25 %23up/..",)),
        ("key", "pkcs11:object={ou?}{cn}", ("pkcs11:object=Ann",)),
        ("csr", "csrs/{cn}.csr", ("csrs/Ann.csr",)),
    ],
)  # fmt: skip
def test_cells(column: str, texts: str | list[str], made: tuple[str, ...]) -> None:
    values = VALUES if "{ou?}" not in texts else VALUES | {"ou": ()}
    assert CellFilling(column, texts).texts(values) == made


@pytest.mark.parametrize(
    ("column", "texts", "why"),
    [
        ("id", "{sn}", "there is no sn"),
        ("id", "{host}", "id would be one of 2 texts"),
        ("subject", "/CN={host}", "subject would be one of 2 texts"),
        ("sans", "dns:{host}.{ou}", "two attributes of one text have several values"),
        ("csr", "csrs/{up}.csr", r"'\.\./x' can't be part of a path"),
        ("secret", "file:{up}", "can't be part of a path"),
    ],
)
def test_values_that_cannot_be_filled_in(column: str, texts: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        cell(column, texts, up="../x")


def test_a_certificate_where_a_part_of_a_path_is_wanted() -> None:
    certificate = f"base64:{'MII/' * 300}"
    with pytest.raises(InputError, match="…' can't be part of a path") as caught:
        cell("oldcert", "{up}", up=certificate)
    assert caught.value.hint == "{ATTRIBUTE!s} puts a whole path, or base64:…, in as it stands"
    assert len(str(caught.value)) < 200
    assert cell("oldcert", "{up!s}", up=certificate) == (certificate,)


@pytest.mark.parametrize(
    ("column", "texts", "why"),
    [
        ("id", "{", "not a template"),
        ("id", "{}", "unknown placeholder"),
        ("id", "{cn:3}", "unknown placeholder"),
        ("id", "{cn!r}", "unknown placeholder"),
        ("id", ["{cn}"], "id is one text, and no list"),
        ("subject", "/XY={cn}", "unknown attribute type"),
        ("subject", ["CN={cn}", "{cn}"], "no '='"),
        ("sans", "email:", "nothing follows"),
        ("secret", "{pin}", "it says not where the secret is"),
        ("secret", "list:{pin}#{cn}", "one list has all passwords"),
        ("secret", "list:{pin}", "one list has all passwords"),
    ],
)
def test_templates_that_cannot_be_used(column: str, texts: str | list[str], why: str) -> None:
    with pytest.raises(InputError, match=why):
        CellFilling(column, texts)


def test_a_missing_value_is_told_its_nearest() -> None:
    with pytest.raises(InputError) as caught:
        cell("id", "{hots}")
    assert caught.value.hint == "did you mean 'host'?"


def test_a_value_that_is_missing_too_is_not_its_nearest() -> None:
    # what an attribute that is treated, and has no value, leaves behind
    with pytest.raises(InputError, match="there is no uid") as caught:
        CellFilling("id", "{uid}").texts({"uid": (), "uids": ()})
    assert caught.value.hint == "{uid?} may be missing, or have a default"


TEXTS = (
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
    .map(str.strip)
    .filter(bool)
)


@given(value=TEXTS, whole=st.sampled_from(["/O=Acme/CN={x}", "CN={x},O=Acme"]))
def test_no_value_alters_the_structure_of_a_name(value: str, whole: str) -> None:
    expected = parse_name("/O=Acme/CN=" + "".join(f"\\{one}" for one in value))
    (text,) = cell("subject", whole, x=value)
    assert parse_name(text) == expected
    (text,) = cell("subject", ["O=Acme", "CN={x}"], x=value)
    assert parse_name(text) == expected
    assert format_name(expected).count("O=Acme") >= 1


@given(value=TEXTS)
@pytest.mark.parametrize("template", ["upn:{x}", "dirName:/O=Acme/CN={x}", "uri:{x}", "{x}"])
def test_no_value_adds_a_san_or_makes_it_another(template: str, value: str) -> None:
    def read(text: str) -> object:
        try:
            return parse_sans(text)
        except InputError:
            return None

    def filled() -> object:
        try:
            return SanTemplate(template, ["x"]).render({"x": value})
        except InputError:
            return None

    (text,) = cell("sans", template, x=value)
    assert read(text) == filled()
