import datetime as dt
import io
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from bulkcmp.errors import InputError
from bulkcmp.inputs.name import parse_name
from bulkcmp.model import Secret
from bulkcmp.testca import state
from bulkcmp.testca.aliases import CLIENT_CERT, CLIENT_HMAC
from bulkcmp.testca.registration import (
    Candidate,
    client_alias,
    ejbca_commands,
    read_candidates,
    register_one,
    registrations,
    require_secrets,
    with_secrets,
    write_csv,
)

Write = Callable[[str], Path]
NAME = parse_name("/CN=dev1/O=Acme/C=SE")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "devices.csv"
        path.write_text(text)
        return path

    return write


def test_candidates_of_a_population(write: Write) -> None:
    path = write(
        "id,ref,secret,subject\n"
        "1,dev1,pass:pw1,/CN=dev1/O=Acme/C=SE\n"
        '2,,env:PW2,"CN=dev2,O=Acme"\n'
        "3,,,/CN=dev3\n"
    )
    assert list(read_candidates(path, {"PW2": "two"})) == [
        Candidate("1", 2, "dev1", NAME, Secret(b"pw1")),
        Candidate("2", 3, "dev2", parse_name("CN=dev2,O=Acme"), Secret(b"two")),
        Candidate("3", 4, "dev3", parse_name("/CN=dev3"), None),
    ]


def test_templates_and_a_shared_secret_complete_the_rows(write: Write) -> None:
    path = write("id\ndev1\ndev2\n")
    found = read_candidates(
        path, {}, subject="/CN={id}/O=Acme/C=SE", ref="{id}", secret=Secret(b"all")
    )
    assert [(one.user, one.secret) for one in found] == [
        ("dev1", Secret(b"all")),
        ("dev2", Secret(b"all")),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,subject\n1,/O=Acme\n", "devices.csv:2 (row 1), column subject: no CN"),
        ("id,sans\n1,DNS:x\n", "devices.csv:2 (row 1), column subject: no CN"),
        ("id,ref,subject\n1,dev2,/CN=dev1\n", "the subject's CN is 'dev1', but the reference is"),
        ("id,subject\n1,/CN=a\n2,/CN=b\n3,/CN=a\n", "devices.csv:4 (row 3): end entity 'a' stands"),
        ("id,subject\n1,nonsense\n", "devices.csv:2 (row 1), column subject"),
        ("id,nonsense\n1,2\n", "unknown column 'nonsense'"),
    ],
)
def test_populations_that_can_not_be_registered(write: Write, text: str, message: str) -> None:
    path = write(text)
    with pytest.raises(InputError) as caught:
        list(read_candidates(path, {}))
    assert message in str(caught.value)


def test_rows_that_revoke_register_nobody(write: Write, ra_pem: Path) -> None:
    path = write(f"id,cmd,oldcert,subject\n1,rr,{ra_pem},\n2,ir,,/CN=dev2\n")
    assert [one.user for one in read_candidates(path, {})] == ["dev2"]


@pytest.fixture
def ra_pem(tmp_path: Path) -> Path:
    state.create(tmp_path / "ca", state.DEFAULT_CA_KEY, dt.datetime(2027, 1, 1, tzinfo=dt.UTC))
    return state.Folder(tmp_path / "ca").ra_certificate


def test_registering_one() -> None:
    entry = register_one("dev1", NAME, Secret(b"pw"), CLIENT_HMAC)
    assert (entry.user, entry.alias, entry.subject, entry.secret) == (
        "dev1",
        "client-hmac",
        NAME,
        Secret(b"pw"),
    )
    assert register_one("dev1", NAME, None, CLIENT_CERT).secret is None
    with pytest.raises(InputError, match="wants a secret"):
        register_one("dev1", NAME, None, CLIENT_HMAC)
    with pytest.raises(InputError, match="has not the user name 'dev2' as its CN"):
        register_one("dev2", NAME, Secret(b"pw"), CLIENT_HMAC)


def test_registrations_need_a_secret_where_the_alias_does(tmp_path: Path) -> None:
    one = Candidate("1", 2, "dev1", NAME, None)
    assert [r.user for r in registrations([one], CLIENT_CERT, tmp_path)] == ["dev1"]
    with pytest.raises(InputError, match="'dev1' has no secret"):
        list(registrations([one], CLIENT_HMAC, tmp_path))
    with pytest.raises(InputError, match="'dev1' has no secret, and one made for it"):
        require_secrets([one], tmp_path)


def test_aliases_at_which_nobody_is_registered() -> None:
    assert client_alias("client-cert") is CLIENT_CERT
    with pytest.raises(InputError, match="the RA registers end entities itself"):
        client_alias("ra-hmac")
    with pytest.raises(InputError, match="no alias 'x'"):
        client_alias("x")


def test_secrets_are_made_where_there_is_none() -> None:
    rows = [Candidate("1", 2, "a", NAME, None), Candidate("2", 3, "b", NAME, None)]
    (_, one), (_, other) = with_secrets(rows)
    assert len(bytes.fromhex(one)) == 16
    assert one != other
    with pytest.raises(InputError, match="no UTF-8 text"):
        list(with_secrets([Candidate("1", 2, "a", NAME, Secret(b"\xff"))]))


def test_ejbca_commands_are_safe_to_run() -> None:
    subject = parse_name('/CN=it\'s $(reboot); "x"/O=Acme, Inc.')
    one = Candidate("1", 2, "it's $(reboot)", subject, None)
    (line,) = ejbca_commands([(one, "p'w `x`")], "My CA", "EE", "CP")
    add, clear = line.split(" && ")
    assert shlex.split(add) == [
        "ejbca.sh", "ra", "addendentity",
        "--username", "it's $(reboot)",
        "--dn", 'O=Acme\\, Inc.,CN=it\'s $(reboot)\\; \\"x\\"',
        "--caname", "My CA",
        "--type", "1",
        "--token", "USERGENERATED",
        "--password", "p'w `x`",
        "--eeprofile", "EE",
        "--certprofile", "CP",
    ]  # fmt: skip
    assert shlex.split(clear) == [
        "ejbca.sh", "ra", "setclearpwd", "--username", "it's $(reboot)", "--password", "p'w `x`",
    ]  # fmt: skip


def test_what_is_written_can_be_read_again(write: Write) -> None:
    rows = [
        Candidate("1", 2, "dev1", NAME, Secret(b'p,"w')),
        Candidate("2", 3, "dev2", parse_name("/CN=dev2/O=Acme, Inc."), Secret("pä".encode())),
    ]
    file = io.StringIO()
    write_csv(with_secrets(rows), file)
    assert list(read_candidates(write(file.getvalue()), {})) == rows
