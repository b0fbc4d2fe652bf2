"""Command lines of openssl cmp: what they are here."""

import re
import shlex
import subprocess
import tomllib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bulkcmp.errors import InputError
from bulkcmp.inputs.openssl import Translation, known_options, translate
from bulkcmp.inputs.settings import Setting, format_settings, option_words
from bulkcmp.inputs.template import Template
from tests import openssl

TRUST = "-trusted ca.pem"
"""So that no anchor is missing."""


def settings(options: str, *but: str) -> dict[str, Any]:
    """What options of an ir make, without server, cmd and trust anchor."""
    made = translate(f"openssl cmp -cmd ir -server h {TRUST} {options}").settings
    left = {"server", "cmd", "trusted", *but}
    return {name: value for name, value in made.items() if name not in left}


# --- the whole of it ------------------------------------------------------------------------------

HOST = "-server HOST:8080 -path ejbca/publicweb/cmp"
NAME = '-subject "/CN=USER/O=My Organization/C=SE"'
SERVER = {"server": "http://HOST:8080", "srvcert": "MyCA.pem", "cmd": "ir"}
BY_SECRET = {"ref": "USER", "secret": "env:CMP_SECRET", "mac": "hmac-sha1"}
NEW = {"newkey": "k1.pem", "subject": "/CN=USER/O=My Organization/C=SE"}


@pytest.mark.parametrize(
    ("command", "expected", "outputs"),
    [
        # the recipes: pre-registered client, by secret and by certificate; RA
        (
            f"openssl cmp -cmd ir {HOST}/ALIAS -srvcert MyCA.pem -ref USER -secret pass:PASSWORD"
            f" -certout c1.pem -newkey k1.pem {NAME}",
            SERVER | BY_SECRET | NEW | {"path": "ejbca/publicweb/cmp/ALIAS"},
            {"certout": "c1.pem"},
        ),
        (
            f"openssl cmp -cmd ir {HOST}/ALIAS1 -srvcert MyCA.pem -cert c1.pem -key k1.pem"
            " -certout c2.pem -newkey k1.pem",
            SERVER
            | {"path": "ejbca/publicweb/cmp/ALIAS1", "cert": "c1.pem", "key": "k1.pem"}
            | {"newkey": "k1.pem"},
            {"certout": "c2.pem"},
        ),
        (
            f"openssl cmp -cmd ir {HOST}/ALIAS2 -srvcert MyCA.pem -ref USER -secret pass:RASECRET"
            f" -certout c1.pem -newkey k1.pem {NAME}",
            SERVER | BY_SECRET | NEW | {"path": "ejbca/publicweb/cmp/ALIAS2"},
            {"certout": "c1.pem"},
        ),
        # the first of them in the words of the first clients
        (
            f"openssl cmp -cmd ir {HOST}/ALIAS -srvcert MyCA.pem -user USER -pass PASSWORD"
            f" -certout c1.pem -newkey k1.pem {NAME} -keyfmt PEM -certfmt PEM",
            SERVER | BY_SECRET | NEW | {"path": "ejbca/publicweb/cmp/ALIAS"},
            {"certout": "c1.pem"},
        ),
    ],
)
def test_recipes(command: str, expected: dict[str, str], outputs: dict[str, str]) -> None:
    made = translate(command)
    assert made.settings == expected
    assert made.outputs == outputs
    assert not made.lost
    assert not re.search("PASSWORD|RASECRET", repr(made))


def test_lines_that_go_on_and_what_stands_before() -> None:
    command = "OPENSSL_CONF= /usr/bin/openssl cmp \\\n  -cmd ir \\\r\n -subject '/CN=a b' --days=3"
    assert translate(command).settings == {"cmd": "ir", "subject": "/CN=a b", "days": 3}
    assert translate("-cmd cr -days 3 -days 0").settings == {"cmd": "cr"}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("", "no option of openssl cmp in it"),
        ("openssl cmp", "no option of openssl cmp in it"),
        ("openssl req -new", "a word after openssl cmp belongs to no option"),
        ("-cmd ir -subjct x", "no option -subjct"),
        ("-cmd ir hunter2", "a word after -cmd belongs to no option"),
        ("-secret:hunter2", "openssl cmp has no option -secret$"),
        ("-batch=hunter2", "-batch takes no value"),
        ("-cmd ir -secret", "-secret has no value"),
        ("-cmd xr", "bulkcmp has no operation 'xr'"),
        ("-popo 7", "-popo 7 is no proof of possession"),
        ("-days hunter2", "-days is not a whole number"),
        ("-subject '/CN=a", "not a command line: no closing quotation"),
    ],
)
def test_what_is_no_such_command_line(command: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        translate(command)
    assert "hunter2" not in f"{raised.value}{raised.value.hint}"


def test_an_unknown_option_has_a_hint() -> None:
    with pytest.raises(InputError) as raised:
        translate("-cmd ir -implicit-confrm")
    assert raised.value.hint == "did you mean -implicit_confirm?"


# --- options with another meaning or default here -------------------------------------------------


@pytest.mark.parametrize(
    ("options", "server"),
    [
        ("-server h", "http://h/"),
        ("-server h:80", "http://h:80/"),
        ("-server h/a/b", "http://h/a/b"),
        ("-server http://h:80/a?b=c#d", "http://h:80/a?b=c"),
        ("-server user:word@h:80/a@b", "http://h:80/a@b"),
        ("-server [::1]:80", "http://[::1]:80/"),
        ("-server h:443 -tls_used", "https://h:443/"),
        ("-server https://h", "https://h/"),
        ("-server http://h -tls_used", "https://h/"),
        ("-server h/a -path b", "http://h"),
    ],
)
def test_servers(options: str, server: str) -> None:
    assert translate(f"-cmd ir {options}").settings["server"] == server


def test_no_server() -> None:
    made = translate("-cmd ir -path p -proxy q -tls_used -tls_cert c")
    assert made.settings == {"cmd": "ir", "path": "p", "tls_cert": "c"}
    assert made.needless.keys() == {"proxy"}
    assert "no -server was given: say with --server https://... " in made.notes[0]


@pytest.mark.parametrize(
    ("options", "proxy"),
    [
        ("-proxy p", "http://p"),
        ("-proxy p:8080", "http://p:8080"),
        ("-proxy http://user:word@p:8080/x", "http://p:8080"),
        ("-proxy https://p", "http://p:443"),
        ("-proxy https://p:1", "http://p:1"),
        ("-proxy p -proxyport 8080", "http://p:8080"),
        ("-proxy p -no_proxy 'a,h b'", ""),
        ("-no_proxy h", ""),
        ("-proxy p -no_proxy hh", "http://p"),
    ],
)
def test_proxies(options: str, proxy: str) -> None:
    assert settings(f"-server h:80 {options}", "newkey") == {"proxy": proxy}


def test_the_environments_no_proxy() -> None:
    made = translate("-cmd ir -server h -no_proxy a")
    assert "proxy" not in made.settings
    assert any("NO_PROXY" in note for note in made.notes)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("-popo -1", {"popo": "none"}),
        ("-popo 0", {"popo": "raVerified"}),
        ("-popo 1", {"popo": "signature"}),
        ("-popo 2", {"popo": "keyEncipherment"}),
        ("-unprotected_errors", {"unprotected_errors": True, "tolerate_pkiconf": True}),
        ("-implicit_confirm", {"implicit_confirm": True}),
        ("-disableconfirm", {"disable_confirm": True}),
        ("-policy_oids '1.2, 1.3'", {"policy_oids": "1.2,1.3"}),
        ("-policy_oids 1.2 -policy_oids_critical", {"policy_oids": "critical,1.2"}),
        ("-policies 1.2,1.3 -policies_critical", {"policy_oids": "critical,1.2,1.3"}),
        ("-days 0 -revreason -1 -subject ''", {}),
        ("-total_timeout 0", {"total_timeout": 0}),
        ("-total_timeout -1 -msgtimeout 5", {"total_timeout": 0, "msg_timeout": 5}),
        ("-digest SHA512", {"digest": "sha512"}),
        ("-mac hmacWithSHA256", {"mac": "hmac-sha256"}),
        ("-mac hmac-sha3-256", {"mac": "hmac-sha3-256"}),
        ("-mac HMAC-SHA-1", {"mac": "hmac-sha1"}),
        ("-untrusted 'a b,file:/c'", {"untrusted": ["a", "b", "/c"]}),
        ("-extcerts a -user u", {"extracerts": ["a"], "ref": "u"}),
        ("-subject '/CN={x}'", {"subject": "/CN={{x}}"}),
        ("-oldcert file:o.pem -csr file:r", {"oldcert": "o.pem", "extensions_from": "r"}),
        ("-recipient '/CN={x}'", {"recipient": "/CN={x}"}),
        (
            "-ref r -secret env:S -mac hmac-sha256",
            {"ref": "r", "secret": "env:S", "mac": "hmac-sha256"},
        ),
        ("-keypass file:p", {"keypass": "file:p"}),
        ("-keypass stdin", {"keypass": "stdin"}),
        ("-keypass fd:3", {"keypass": "file:/dev/fd/3"}),
        ("-tls_used -tls_cert c -tls_key k", {"tls_cert": "c", "tls_key": "k"}),
    ],
)
def test_options(options: str, expected: dict[str, Any]) -> None:
    assert settings(options) == expected


@pytest.mark.parametrize(
    ("popo", "expected"),
    [("0", "none"), ("1", "signature"), ("2", "keyEncipherment"), ("3", "raVerified")],
)
def test_the_first_clients_had_other_numbers(popo: str, expected: str) -> None:
    assert settings(f"-user u -popo {popo}")["popo"] == expected


@pytest.mark.parametrize("option", ["secret", "keypass", "newkeypass", "tls_keypass"])
@pytest.mark.parametrize("source", ["pass:hunter2", "hunter2", "pass:env:hunter2"])
def test_a_secret_itself_is_nowhere(option: str, source: str) -> None:
    made = translate(f"-cmd ir -tls_used -server h -{option} {source}")
    variable = f"CMP_{option.upper()}"
    assert made.settings[option] == f"env:{variable}"
    assert any(variable in note and f"-{option} had" in note for note in made.notes)
    assert "hunter2" not in repr(made)


def test_macs_have_openssls_default() -> None:
    assert settings("-secret env:S")["mac"] == "hmac-sha1"
    assert "mac" not in settings("-cert c -key k")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("-key k -keypass env:K", {"newkey": "k", "newkeypass": "env:K"}),
        ("-key k -newkey n -keypass env:K", {"newkey": "n"}),
        ("-secret env:S", {}),
    ],
)
def test_the_key_that_is_certified(options: str, expected: dict[str, str]) -> None:
    made = settings(options)
    assert {name: made[name] for name in ("newkey", "newkeypass") if name in made} == expected
    note = any("a new key is made" in one for one in translate(f"-cmd ir {options}").notes)
    assert note is not bool(expected)


@pytest.mark.parametrize(
    ("options", "expected", "notes"),
    [
        ("-srvcert s", {"srvcert": "s"}, 1),
        ("-srvcert s -out_trusted o", {"srvcert": "s", "out_trusted": ["o"]}, 0),
        ("-trusted t -out_trusted o", {"trusted": ["t"], "out_trusted": ["o"]}, 0),
        (
            "-out_trusted o -secret env:S -mac hmac-sha256",
            {"trusted": ["o"], "accept_protection": "mac"},
            0,
        ),
        ("-out_trusted o", {"out_trusted": ["o"]}, 1),
        ("", {}, 1),
        ("-ta_in_ip_extracerts", {"trust_first_ca_cert": True}, 0),
        ("-ta_in_ip_extracerts -untrusted u", {"trust_first_ca_cert": True}, 0),
        ("-ta_in_ip_extracerts -trusted t", {"trusted": ["t"]}, 0),
        ("-ta_in_ip_extracerts -secret env:S -mac hmac-sha256", {}, 1),
    ],
)
def test_trust(options: str, expected: dict[str, Any], notes: int) -> None:
    made = translate(f"-cmd ir -server h -newkey k {options}")
    for name in ("cmd", "server", "newkey", "secret", "mac"):
        made.settings.pop(name, None)
    assert made.settings == expected
    assert len(made.notes) == notes


def test_keys_on_tokens() -> None:
    key = "'pkcs11:token=t;object=o?module-path=/m.so&pin-value=hunter2'"
    made = translate(f"-cmd kur -server h {TRUST} -cert 'pkcs11:object=o' -key {key} -newkey n")
    assert made.settings["key"] == "pkcs11:token=t;object=o?module-path=/m.so"
    assert made.settings["keypass"] == "env:CMP_KEYPASS"
    assert "cert" not in made.settings
    assert list(made.needless) == ["cert"]
    assert "-key had the token's PIN" in made.notes[0]
    bare = translate(
        "-cmd ir -key pkcs11:object=o?pin-value=hunter2 -tls_used -tls_key pkcs11:id=1"
    )
    assert (bare.settings["key"], bare.settings["newkey"]) == ("pkcs11:object=o",) * 2
    assert bare.settings["newkeypass"] == "env:CMP_KEYPASS"
    assert list(bare.lost) == ["tls_key"]
    new = translate("-cmd ir -key pkcs11:object=o -newkey pkcs11:object=n?pin-value=hunter2")
    assert (new.settings["key"], new.settings["newkey"]) == ("pkcs11:object=o", "pkcs11:object=n")
    assert new.settings["newkeypass"] == "env:CMP_NEWKEYPASS"
    assert "hunter2" not in f"{made}{bare}{new}"


def test_what_an_operation_does_not_use() -> None:
    made = translate("-cmd rr -oldcert o -newkey n -days 3 -revreason 4 -certout c -csr r")
    assert made.settings == {"cmd": "rr", "oldcert": "o", "revreason": "4"}
    assert made.needless.keys() == {"newkey", "days", "certout"}
    assert made.lost.keys() == {"csr"}
    made = translate("-cmd p10cr -csr r -newkey n -sans a")
    assert made.settings == {"cmd": "p10cr", "csr": "r"}
    assert made.needless.keys() == {"newkey", "sans"}


def test_general_messages() -> None:
    made = translate(
        "-cmd genm -infotype rootCaCert -oldwithold o.pem -newwithnew n.pem -cacertsout c.pem"
        " -certout x.pem -newkey k"
    )
    assert made.settings == {"cmd": "genm", "infotype": "rootCaCert", "oldwithold": "o.pem"}
    assert made.outputs == {"newwithnew": "n.pem", "cacertsout": "c.pem"}
    assert made.needless.keys() == {"newkey", "certout"}


def test_central_key_generation() -> None:
    made = translate(
        "-cmd ir -server h -srvcert s -out_trusted t -centralkeygen -newkeyout k -newkey n"
    )
    assert made.settings["centralkeygen"] is True
    assert "newkey" not in made.settings
    assert made.outputs == {"newkeyout": "k"}
    assert made.needless.keys() == {"newkey"}
    assert made.notes == ["--newkeyout needs --key-pass SOURCE, or --plain-keys"]
    made = translate("-cmd ir -newkeyout k -newkey n")
    assert made.needless.keys() == {"newkeyout"}
    assert not made.outputs


def test_a_csr_that_becomes_a_template() -> None:
    made = translate("-cmd cr -csr r.pem -newkey n")
    assert made.settings == {"cmd": "cr", "newkey": "n", "extensions_from": "r.pem"}
    assert any("the subject of -csr" in note for note in made.notes)


@pytest.mark.parametrize(
    ("options", "lost", "needless"),
    [
        ("-tls_cert c -tls_key k", set(), {"tls_cert", "tls_key"}),
        ("-keyform ENGINE -certform DER -engine e", {"keyform", "certform", "engine"}, set()),
        ("-keyform P12 -certform PEM -batch", set(), {"keyform", "certform", "batch"}),
        ("-digest md5 -mac poly1305", {"digest", "mac"}, set()),
        (
            "-msg_timeout 0 -policies sect -reqexts sect",
            {"msg_timeout", "policies", "reqexts"},
            set(),
        ),
        ("-crl_download -port 80 -geninfo 1.2:int:3", {"crl_download", "port", "geninfo"}, set()),
        ("-out_trusted o -ta_in_ip_extracerts", {"ta_in_ip_extracerts"}, set()),
        ("-proxyport 80 -policy_oids_critical", set(), {"proxyport", "policy_oids_critical"}),
    ],
)
def test_what_is_not_carried_over(options: str, lost: set[str], needless: set[str]) -> None:
    made = translate(f"-cmd ir -server h {TRUST} {options}")
    assert set(made.lost) == lost
    assert set(made.needless) == needless
    assert all(len(why) > 5 for why in (made.lost | made.needless).values())


# --- all options of all versions ------------------------------------------------------------------


def test_each_option_is_translated_or_named() -> None:
    """No option is passed over: it makes a setting, an output, or a reason."""
    values = {"cmd": "ir", "popo": "1", "days": "3", "msg_timeout": "3", "total_timeout": "3"}
    values |= {"msgtimeout": "3", "totaltimeout": "3", "revreason": "1", "digest": "sha1"}
    values |= {"mac": "hmac-sha1", "no_proxy": "h", "server": "h", "policy_oids": "1.2"}
    plain = translate("-cmd ir -server h")
    for name, takes in known_options().items():
        if name in ("cmd", "server"):
            continue
        value = f" {values.get(name, 'x')}" if takes else ""
        with_it = translate(f"-cmd ir -server h -{name}{value}")
        assert _named(with_it) != _named(plain), name


def _named(made: Translation) -> list[Any]:
    return [made.settings, made.outputs, made.lost, made.needless]


@pytest.mark.peer
@pytest.mark.skipif(openssl.missing() is not None, reason=str(openssl.missing()))
def test_this_machines_openssl_has_no_other_options() -> None:
    done = subprocess.run(["openssl", "cmp", "-help"], capture_output=True, text=True, check=True)
    listed = re.findall(r"^ -(\S+)( [a-z+]+)?  ", done.stdout + done.stderr, re.MULTILINE)
    assert len(listed) > 100
    known = known_options()
    for name, value in listed:
        assert known.get(name) is bool(value), name


def test_options_of_later_versions() -> None:
    """Those that OpenSSL 3.1 to 3.6 brought (openssl-cmp(1), HISTORY and SYNOPSIS)."""
    flags = {"centralkeygen", "no_cache_extracerts", "ta_in_ip_extracerts"}
    flags |= {"nonmatched_error_nonces"}
    values = {"profile", "template", "keyspec", "newkeyout", "serial", "srvcertout", "oldwithold"}
    values |= {"newwithnew", "newwithold", "oldwithnew", "crlcert", "oldcrl", "crlout", "crlform"}
    values |= {"reqout_only", "ref_cert", "rsp_key", "rsp_keypass", "rsp_crl", "rsp_newwithnew"}
    values |= {"rsp_newwithold", "rsp_oldwithnew", "provparam"}
    known = known_options()
    assert {name for name in flags if known[name] is False} == flags
    assert {name for name in values if known[name] is True} == values


# --- as TOML, and as words ------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXT)
@example('\x7f\x00"\\\n')
def test_settings_as_toml(text: str) -> None:
    made: dict[str, Setting] = {
        "text": text,
        "list": [text, "b"],
        "yes": True,
        "no": False,
        "number": 3,
    }
    assert tomllib.loads(format_settings(made)) == made


def test_settings_as_words() -> None:
    made: dict[str, Setting] = {
        "msg_timeout": 5,
        "trusted": ["a", "b"],
        "lint": True,
        "send_root": False,
        "ref": "-r",
    }
    words = "--msg-timeout 5 --trusted a --trusted b --lint --no-send-root --ref=-r"
    assert list(option_words(made)) == words.split()


@given(TEXT)
def test_a_text_is_the_same_in_every_row(text: str) -> None:
    text = "x" + re.sub(r"\\\r?\n", "", text)
    made = translate(shlex.join(["-cmd", "ir", "-subject", text])).settings["subject"]
    assert Template(str(made), []).render({}) == text
