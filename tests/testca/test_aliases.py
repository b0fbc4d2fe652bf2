from typing import Any

import pytest

from bulkcmp.errors import InputError
from bulkcmp.testca.aliases import (
    ALIASES,
    CLIENT_HMAC,
    NESTED,
    RA_CERT,
    RA_HMAC,
    Alias,
    Behaviour,
    named,
    paths,
    route,
)


@pytest.mark.parametrize(
    ("path", "alias"),
    [
        ("/ejbca/publicweb/cmp/client-hmac", CLIENT_HMAC),
        ("/ejbca/publicweb/cmp/ra-cert/", RA_CERT),
        ("/ejbca/publicweb/cmp/", None),
        ("/ejbca/publicweb/cmp", None),
        ("/ejbca/publicweb/cmp/unknown", None),
        ("/ejbca/publicweb/cmp/ra-cert/initialization", None),
        ("/.well-known/cmp", RA_HMAC),
        ("/.well-known/cmp/", RA_HMAC),
        # as OpenSSL's own tests have it
        ("/.well-known/cmp////", RA_HMAC),
        ("//.well-known/cmp", None),
        ("/.well-known/cmp/initialization", RA_HMAC),
        ("/.well-known/cmp/nested", RA_HMAC),
        ("/.well-known/cmp/p/nested", NESTED),
        ("/.well-known/cmp/p/nested/nested", NESTED),
        ("/ejbca/publicweb/cmp/nested", NESTED),
        ("/.well-known/cmp/unknown", None),
        ("/.well-known/cmp/p/client-hmac", CLIENT_HMAC),
        ("/.well-known/cmp/p/client-hmac/keyupdate", CLIENT_HMAC),
        ("/.well-known/cmp/p/client-hmac/unknown", None),
        ("/.well-known/cmp/p/client-hmac/keyupdate/more", None),
        ("/.well-known/cmp/p/unknown/keyupdate", None),
        ("/.well-known/cmp/p", None),
        ("/.well-known/cmpx", None),
        ("/", None),
        ("", None),
    ],
)
def test_routes(path: str, alias: Alias | None) -> None:
    assert route(path) is alias


def test_every_path_of_an_alias_leads_to_it() -> None:
    for alias in ALIASES.values():
        assert [route(path) for path in paths(alias)] == [alias] * len(paths(alias))
    assert "/.well-known/cmp" in paths(RA_HMAC)


@pytest.mark.parametrize(
    ("knobs", "text"),
    [
        ({"reject": "badMood"}, "'badMood' is no failInfo"),
        ({"p10cr_cert_req_id": 1}, "-1 or 0"),
        ({"delay": -1}, "not negative"),
        ({"poll_count": -1}, "not negative"),
        ({"check_after": -1}, "not negative"),
        ({"time_tolerance": -1.0}, "not negative"),
        ({"reject_every": 0}, "N is 1 or more"),
    ],
)
def test_knobs_that_can_not_be(knobs: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        Behaviour(**knobs)


def test_one_shot_for_some_aliases() -> None:
    behaviour = Behaviour(poll_count=2)
    exceptions = behaviour.one_shot_at(["client-hmac"])
    assert exceptions == {"client-hmac": Behaviour(poll_count=2, one_shot=True)}
    with pytest.raises(InputError, match="no alias 'client'"):
        behaviour.one_shot_at(["client"])


def test_names() -> None:
    assert named("ra-hmac") is RA_HMAC
    with pytest.raises(InputError) as caught:
        named("cmp")
    assert caught.value.hint is not None
    assert "client-cert" in caught.value.hint
