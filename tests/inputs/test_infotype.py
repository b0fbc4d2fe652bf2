"""infoTypes as users write them."""

import pytest

from bulkcmp.cmp.general import KEY_PAIR_PARAM_REQ, QUESTIONS, SUPP_LANG_TAGS
from bulkcmp.errors import InputError
from bulkcmp.inputs.infotype import parse_infotypes
from bulkcmp.model import Itav

NEEDS_VALUE = {"keyPairParamReq", "suppLangTags"}


@pytest.mark.parametrize("name", [one for one in QUESTIONS if one not in NEEDS_VALUE])
def test_names(name: str) -> None:
    asked = (Itav(QUESTIONS[name]),)
    assert parse_infotypes(name) == parse_infotypes(name.upper()) == asked
    assert parse_infotypes(QUESTIONS[name]) == asked


def test_values() -> None:
    assert parse_infotypes("keyPairParamReq=1.2.840.10045.2.1") == (
        Itav(KEY_PAIR_PARAM_REQ, bytes.fromhex("06072a8648ce3d0201")),
    )
    assert parse_infotypes("suppLangTags=de/en-GB") == (
        Itav(SUPP_LANG_TAGS, bytes.fromhex("300b") + b"\x0c\x02de\x0c\x05en-GB"),
    )
    assert parse_infotypes("1.2.3=DER:0500") == (Itav("1.2.3", b"\x05\x00"),)
    assert parse_infotypes(r"1.2.3=UTF8:a\,b") == (Itav("1.2.3", b"\x0c\x03a,b"),)
    assert parse_infotypes("2.999") == (Itav("2.999"),)


def test_several() -> None:
    asked = parse_infotypes("caCerts, crlStatusList 1.2.3")
    assert [one.oid for one in asked] == [QUESTIONS["caCerts"], QUESTIONS["crlStatusList"], "1.2.3"]


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("", "no infoType in it", "a name or an OID"),
        (",", "no infoType in it", "a name or an OID"),
        ("caCert", "'caCert' is no infoType", "caCerts"),
        ("1.2.", "'1.2.' is no infoType", "dotted OID"),
        ("caCerts,CACERTS", "infoType CACERTS stands twice", None),
        ("caCerts,1.3.6.1.5.5.7.4.17", "stands twice", None),
        ("caCerts=DER:0500", "infoType caCerts takes no value here", None),
        ("rootCaCert=DER:0500", "takes no value here", "oldwithold"),
        ("crlStatusList=DER:0500", "takes no value here", "crlcert or oldcrl"),
        ("keyPairParamReq", "infoType keyPairParamReq: '' is not an object identifier", "=OID"),
        ("suppLangTags", "infoType suppLangTags: '' are no language tags", "suppLangTags=de/en"),
        ("suppLangTags=d_e", "'d_e' are no language tags", "suppLangTags=de/en"),
        ("1.2.3=x", "infoType 1.2.3: not UTF8:text", "UTF8:text"),
        ("1.2.3=", "infoType 1.2.3: not UTF8:text", "UTF8:text"),
    ],
)
def test_what_asks_for_nothing(text: str, what: str, hint: str | None) -> None:
    with pytest.raises(InputError) as caught:
        parse_infotypes(text)
    assert what in caught.value.what
    assert (hint or "") in (caught.value.hint or "")
