import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from bulkcmp.engine.load.cleanup import (
    Cleanup,
    Kept,
    cleanup,
    cleanups,
    keep_settings,
    kept_settings,
    remnants,
)
from bulkcmp.engine.options import Options
from bulkcmp.errors import InputError, InputErrors
from bulkcmp.model import RevocationReason, Secret
from bulkcmp.testca import state

ENVIRON = {"S": "a secret that nothing shows"}


@pytest.fixture(scope="module")
def anchor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ca")
    state.create(folder, state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
    return folder / "ca.pem"


def how(anchor: Path, **changes: Any) -> Cleanup:
    said = {"server": "127.0.0.1", "trusted": [anchor], "ref": "ra1", "secret": "env:S", **changes}
    return cleanup(Options.merge(said), ENVIRON)


def test_it_is_done_with_the_credential_that_the_options_name(anchor: Path) -> None:
    found = how(anchor, subject="/CN={id}", days=5, retries=0)
    assert (found.revoker.ref, found.revoker.secret) == ("ra1", Secret(ENVIRON["S"].encode()))
    assert found.revoker.revocation_reason is None
    assert how(anchor, revreason="superseded").revoker.revocation_reason is (
        RevocationReason.SUPERSEDED
    )


def test_it_is_slow_unless_the_user_says_otherwise_and_tries_again(anchor: Path) -> None:
    assert how(anchor, retries=0).setup.profile.retries > 0
    assert how(anchor).setup.rate == 50.0
    assert how(anchor, rate=500.0).setup.rate == 500.0
    assert how(anchor, certs_per_message=9).setup.certs_per_message == 1


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"secret": None, "ref": None}, "no credential to revoke with"),
        ({"secret": "env:NOPE"}, "--secret: the environment has no variable 'NOPE'"),
        ({"revreason": "boredom"}, "boredom"),
        ({"server": ""}, "which server"),
        ({"rate": -1.0}, "--rate is -1"),
        ({"keypass": "stdin", "secret": "stdin"}, "can't both read stdin"),
    ],
)
def test_what_can_not_be_used_is_found_before_anything_is_sent(
    anchor: Path, changes: dict[str, Any], what: str
) -> None:
    with pytest.raises(InputError) as caught:
        how(anchor, **changes)
    assert what in str(caught.value)


def test_settings_are_kept_without_secrets(anchor: Path, tmp_path: Path) -> None:
    options = Options(server="http://u:pw@h/", trusted=(str(anchor),), secret="pass:hunter2")
    keep_settings(tmp_path, Kept({"": options.facts()}, ""))
    file = tmp_path / "settings.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert not {"pw", "hunter2"} & set(file.read_text().replace(":", '"').split('"'))
    facts = kept_settings(tmp_path).servers[""]
    with pytest.raises(InputError, match="--secret is needed again"):
        Options.resumed(facts, {"server": "http://h/"})
    again = Options.resumed(facts, {"server": "http://h/", "secret": "env:S"})
    assert again == Options(server="http://h/", trusted=(str(anchor),), secret="env:S")


def test_what_opens_keys_to_be_certified_is_not_asked_for_again(
    anchor: Path, tmp_path: Path
) -> None:
    given = {"trusted": [anchor], "secret": "env:S", "keys": "k.db", "newkey": "ec:P-256"}
    of_keys = dict.fromkeys(("keys_pass", "newkeypass", "regtoken", "authenticator"), "pass:x")
    keep_settings(tmp_path, Kept({"": Options.merge({**given, **of_keys}).facts()}, ""))
    again = Options.resumed(kept_settings(tmp_path).servers[""], {})
    assert again == Options(trusted=(str(anchor),), secret="env:S")


def revoking(
    anchor: Path, issuing: list[str], revoke_at: str = "", **changes: dict[str, Any]
) -> dict[str, tuple[str, str]]:
    """Who revokes what each server issued, and where."""
    common = {"trusted": [anchor], "secret": "env:S"}
    servers = {name: {**common, **said} for name, said in changes.items()}
    found = cleanups(
        servers, issuing, revoke_at, lambda said: cleanup(Options.merge(said), ENVIRON)
    )
    return {name: (one.server, one.setup.url) for name, one in found.items()}


RA, CLIENT = {"server": "http://ca.test/ra"}, {"server": "http://ca.test/client"}


def test_each_server_revokes_what_it_issued(anchor: Path) -> None:
    assert revoking(anchor, ["ra", "client"], ra=RA, client=CLIENT) == {
        "ra": ("ra", "http://ca.test/ra"),
        "client": ("client", "http://ca.test/client"),
    }


def test_one_server_may_revoke_what_others_issued(anchor: Path) -> None:
    # what is said of the other is not even looked at: its secret may be lost
    other = {**CLIENT, "secret": "env:NOPE"}
    assert revoking(anchor, ["ra", "client"], "ra", ra=RA, client=other) == {
        "ra": ("ra", "http://ca.test/ra"),
        "client": ("ra", "http://ca.test/ra"),
    }


def test_all_that_is_wrong_with_servers_that_revoke_is_told(anchor: Path) -> None:
    with pytest.raises(InputErrors) as caught:
        revoking(
            anchor, ["ra", "client"], ra={**RA, "secret": "env:NOPE"}, client={"secret": "env:S"}
        )
    assert [str(one) for one in caught.value.problems] == [
        "servers.ra: --secret: the environment has no variable 'NOPE'",
        "servers.client: which server?",
    ]
    with pytest.raises(InputError, match="nothing is known of a server 'gone'"):
        revoking(anchor, ["ra", "gone"], ra=RA)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "No such file"),
        ("{", "not JSON"),
        ("[]", "not the settings"),
        ('{"a": 1}', "not the settings"),
        ('{"servers": {"": {"a": 1}}, "revoke_at": ""}', "not the settings"),
        ('{"servers": {"": []}, "revoke_at": ""}', "not the settings"),
        ('{"servers": {"": {}}, "revoke_at": 1}', "not the settings"),
        ("\xff", "not JSON"),
    ],
)
def test_what_is_no_run_folder(tmp_path: Path, content: str | None, what: str) -> None:
    if content is not None:
        (tmp_path / "settings.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=what):
        kept_settings(tmp_path)
    with pytest.raises(InputError, match="No such file"):
        remnants(tmp_path)
