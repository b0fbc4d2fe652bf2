"""The small grammars of options and cells: names, subjectAltNames, durations, templates and more.

An input is an octet for the grammar, and the text.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from bulkcmp.errors import InputError
from bulkcmp.inputs.cell import read_new_key, read_serial, read_time
from bulkcmp.inputs.duration import parse_duration
from bulkcmp.inputs.extension import (
    ExtensionsTemplate,
    parse_ext_key_usage,
    parse_extensions,
    parse_key_usage,
    parse_policies,
)
from bulkcmp.inputs.filename import FileNameTemplate
from bulkcmp.inputs.filling import CellFilling
from bulkcmp.inputs.infotype import parse_infotypes
from bulkcmp.inputs.name import (
    NameTemplate,
    format_name,
    format_slash_name,
    name_values,
    parse_name,
)
from bulkcmp.inputs.openssl import translate
from bulkcmp.inputs.range import RangeSource
from bulkcmp.inputs.reginfo import RegInfoTemplate, parse_reg_info
from bulkcmp.inputs.san import SanTemplate, format_sans, parse_sans, san_values
from bulkcmp.inputs.secret import describe_source, describe_url
from bulkcmp.model import KeySpec
from bulkcmp.outputs.credentials import parse_formats
from bulkcmp.stats.comparison import Gate
from bulkcmp.stats.threshold import Threshold
from bulkcmp.token.uri import Pkcs11Uri
from bulkcmp.waves.canary import Amount
from bulkcmp.waves.window import Window

_VALUES: Final = {"id": "dev-1", "number": "7", "ou": "a,b+c=\"d\\#;<>\x00'ö"}


def _name(text: str) -> None:
    der = parse_name(text)
    assert parse_name(format_name(der)) == der
    name_values(der)
    # not all of them can be written so
    with suppress(ValueError):
        format_slash_name(der)


def _sans(text: str) -> None:
    extension = parse_sans(text)
    assert parse_sans(format_sans(extension)) == extension
    san_values(extension)


class _Grammar(NamedTuple):
    """Attributes:
    read: reads a text.
    example: one that is right.
    """

    read: Callable[[str], object]
    example: str


_GRAMMARS: Final = (
    _Grammar(_name, "/CN=dev 1/O=Acme\\, Inc.+OU=x/C=NO"),
    _Grammar(_name, 'CN=dev\\2C 1,O="Acme, Inc",1.2.3=#0c0161'),
    _Grammar(lambda text: NameTemplate(text, _VALUES).render(_VALUES), "/CN={id}/OU={ou}"),
    _Grammar(_sans, "critical,dns:a.test;ip:10.0.0.1,email:a@b.test"),
    _Grammar(_sans, "uri:https://a.test/,dirname:/CN=x,rid:1.2.3,othername:1.2.3;utf8:x"),
    _Grammar(lambda text: SanTemplate(text, _VALUES).render(_VALUES), "dns:{id}.test"),
    _Grammar(lambda text: FileNameTemplate(text, _VALUES).render(_VALUES), "{id[0:2]}/{id}"),
    _Grammar(
        lambda text: CellFilling("subject", text).texts({"ou": ("a", "b")}), "CN={id?}|{ou!s}"
    ),
    _Grammar(lambda text: CellFilling("sans", [text]).texts({"ou": ("a,b",)}), "dns:{ou}"),
    _Grammar(
        lambda text: ExtensionsTemplate(text, _VALUES).render(_VALUES), "1.2.3:critical=DER:0500"
    ),
    _Grammar(parse_extensions, "1.2.3=UTF8:x,1.2.4=DER:0500"),
    _Grammar(parse_key_usage, "critical,digitalSignature,keyEncipherment"),
    _Grammar(parse_ext_key_usage, "serverAuth,1.3.6.1.5.5.7.3.2"),
    _Grammar(parse_policies, "critical,1.2.3,2.5.29.32.0"),
    _Grammar(parse_infotypes, "caCerts,1.2.3=DER:0500"),
    _Grammar(parse_reg_info, "name?value%other?a%3fb%"),
    _Grammar(lambda text: RegInfoTemplate(text, _VALUES).render(_VALUES), "name?{id}%"),
    _Grammar(parse_duration, "1h30m"),
    _Grammar(lambda text: list(islice(RangeSource(text).records(), 100)), "dev-{0001..0009}"),
    _Grammar(lambda text: read_new_key(Path(), text), "rsa:2048"),
    _Grammar(KeySpec.parse, "ec:P-256"),
    _Grammar(read_serial, "0x1f"),
    _Grammar(read_time, "2027-01-31T12:30:00Z"),
    _Grammar(translate, "openssl cmp -cmd ir -server a:80 -ref x -secret pass:y -subject /CN=x"),
    _Grammar(describe_source, "pass:x"),
    _Grammar(describe_url, "postgresql://a:b@c/d"),
    _Grammar(parse_formats, "pem,p12"),
    _Grammar(Threshold.parse, "p99(ir) < 500ms"),
    _Grammar(Gate.parse, "p99 +10%"),
    _Grammar(Pkcs11Uri.parse, "pkcs11:token=a;object=b?pin-source=file:x"),
    _Grammar(Window.parse, "Mon-Fri 22:00-05:00"),
    _Grammar(Amount.parse, "10"),
)


def one(data: bytes) -> None:
    """Whatever a text is, it is read, or an InputError says what is wrong with it.

    A name or a subjectAltName that was read is the same once it was written and read again.
    """
    if data:
        text = data[1:].decode("utf-8", "surrogateescape")
        with suppress(InputError):
            _GRAMMARS[data[0] % len(_GRAMMARS)].read(text)


def seeds() -> Iterator[bytes]:
    """A right text of each grammar."""
    for number, grammar in enumerate(_GRAMMARS):
        yield bytes((number,)) + grammar.example.encode()
