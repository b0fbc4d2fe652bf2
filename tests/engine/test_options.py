import datetime as dt
import io
import json
from contextlib import closing
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mlkem
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bulkcmp.cmp.request import MacCredential, SignatureCredential
from bulkcmp.cmp.trust import CrlCheck, load_certificate
from bulkcmp.engine.options import Options
from bulkcmp.engine.plan import OutputPlan, Plan
from bulkcmp.engine.server import trust_of
from bulkcmp.errors import InputError, RemoteCmpError
from bulkcmp.inputs.name import parse_name
from bulkcmp.inputs.profile import shipped_profiles
from bulkcmp.io.keyworker import make_keys
from bulkcmp.journal.keyfile import KeyFile
from bulkcmp.model import EndEntity, KeySpec, Popo, Secret, SubjectCheck
from bulkcmp.outputs.credentials import OutChain, OutFormat
from bulkcmp.testca import state
from bulkcmp.testca.crl import current_crl
from bulkcmp.waves.breaker import BreakerRules
from bulkcmp.waves.canary import Amount, Canary

ENVIRON = {"S": "a secret", "K": "a passphrase"}
GOOD: dict[str, Any] = {
    "server": "http://ca.test:8080/cmp/ra",
    "ref": "ra1",
    "secret": "env:S",
    "trusted": ("ca/ca.pem",),
    "key_pass": "env:K",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a CA and a population."""
    monkeypatch.chdir(tmp_path)
    state.create(tmp_path / "ca", state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
    (tmp_path / "a.csv").write_text("id,subject\na,/CN=a\nb,/CN=b\n")
    return tmp_path


def plan(population: str = "a.csv", **changes: Any) -> Plan:
    return Options.merge(GOOD, changes).plan(population, ENVIRON)


def refused(population: str = "a.csv", **changes: Any) -> str:
    """What is said of options that can't be used, and what to do."""
    with pytest.raises(InputError) as raised:
        Options(**(GOOD | changes)).plan(population, ENVIRON)
    return f"{raised.value} ({raised.value.hint})"


# --- where options come from ----------------------------------------------------------------------


def test_later_layers_win_and_what_is_not_given_does_not() -> None:
    merged = Options.merge(
        {"server": "a", "trusted": [Path("x")], "retries": 1, "rate": 2.0},
        {"server": "b", "trusted": (), "retries": 0, "rate": None, "ref": None},
    )
    assert merged == Options(server="b", trusted=("x",), retries=0, rate=2.0)


def test_run_folder_is_named_like_the_population() -> None:
    assert Options().run_folder("x/devices.batch.csv") == "runs/devices.batch"
    assert Options(out="elsewhere").run_folder("devices.csv") == "elsewhere"


def test_paths_in_a_settings_file_are_relative_to_it(folder: Path) -> None:
    (folder / "p").mkdir()
    (folder / "p" / "s.toml").write_text(
        """
        trusted = ["ca.pem", "/abs.pem"]
        srvcert = "srv.pem"
        secret = "file:secret"
        key_pass = "env:K"
        newkey = "own.pem"
        keypass = "pass:file:x"
        retry_reused = true
        """
    )
    read = Options.read(["p/s.toml"], {"key_pass": "stdin", "ref": "r"})
    assert read == Options(
        trusted=("p/ca.pem", "/abs.pem"),
        srvcert="p/srv.pem",
        secret="file:p/secret",
        keypass="pass:file:x",
        newkey="p/own.pem",
        retry_reused=True,
        key_pass="stdin",
        ref="r",
    )
    (folder / "p" / "s.toml").write_text('newkey = "ec:P-384"\n')
    assert Options.read(["p/s.toml"], {}).newkey == "ec:P-384"


def test_later_profiles_win_and_the_command_line_over_all(folder: Path) -> None:
    for name, rate in (("a", 1), ("b", 2)):
        (folder / f"{name}.toml").write_text(f'rate = {rate}\nref = "{name}"\nretries = 7\n')
    (folder / "c.toml").write_text("lint = false\n")
    configs = ["a.toml", "b.toml", "c.toml"]
    assert Options.read(configs, {"ref": "r"}) == Options(rate=2.0, ref="r", retries=7)


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ("ca.test", "http://ca.test/.well-known/cmp"),
        ("http://ca.test/", "http://ca.test/.well-known/cmp"),
        ("http://ca.test/other", "http://ca.test/other"),
        ("ca.test:80/other", "http://ca.test:80/other"),
    ],
)
def test_a_server_with_a_path_needs_none_of_an_earlier_profile(server: str, url: str) -> None:
    given = {key: value for key, value in GOOD.items() if key != "server"}
    read = Options.read(["rfc9483"], given | {"server": server})
    assert read.plan("a.csv", ENVIRON).setup.url == url
    # a path is what it says where it is given beside it, or after it
    for layers in ({"server": server, "path": "p"},), ({"server": server}, {"path": "p"}):
        assert Options.merge(given, *layers).plan("a.csv", ENVIRON).setup.url.endswith("/p")


@pytest.mark.parametrize("name", shipped_profiles())
def test_a_run_can_begin_with_each_shipped_profile(name: str) -> None:
    given = GOOD | {"srvcert": "ca/ca.pem"}
    if name == "ejbca-nested":
        given |= RA
    options = Options.read([name], given)
    made = options.plan("a.csv", ENVIRON)
    assert made.setup.profile.accept_protection.value == options.accept_protection
    assert made.census is not None
    assert not made.census.bad


def test_nothing_shows_a_secret() -> None:
    options = Options(secret="pass:x1", keypass="x2", newkeypass="pass:x3", key_pass="pass:x4",
                      keys_pass="pass:x5", tls_keypass="pass:x6", regtoken="pass:x7",
                      authenticator="x8")  # fmt: skip
    for number in range(1, 9):
        assert f"x{number}" not in repr(options)
        assert f"x{number}" not in json.dumps(options.facts())


# --- options that no row uses ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("population", "given", "said"),
    [
        ("id,subject\na,/CN=a\n", {"serial": "7"}, "--serial is for rr, and the rows are ir"),
        ("id\na\n", {"revreason": "1", "cmd": "{id}r"}, None),
        ("id,subject\na,/CN=a\n", {"popo": "none", "cmd": "cr"}, None),
        ("id,csr\na,a.pem\n", {"popo": "none"}, "--popo is for ir, cr and kur, and the rows are p"),
        ("id,subject,cmd\na,/CN=a,ir\nb,/CN=b,cr\n", {"serial": "7"}, "the rows are ir and cr"),
        ("id,subject,cmd\na,/CN=a,ir\nb,/CN=b,rr\n", {"serial": "7"}, None),
    ],
)
@pytest.mark.parametrize("skip_bad_rows", [False, True])
def test_an_option_that_no_row_uses_is_refused(
    folder: Path, population: str, given: dict[str, str], said: str | None, skip_bad_rows: bool
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    pem = csr.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    (folder / "a.pem").write_bytes(pem)
    (folder / "b.csv").write_text(population)
    stated = GOOD | given | {"issuer": "/CN=CA", "skip_bad_rows": skip_bad_rows}
    options = Options.read([], stated)
    if said is None:
        options.plan("b.csv", ENVIRON)
        return
    with pytest.raises(InputError, match=said):
        options.plan("b.csv", ENVIRON)


def test_a_probe_without_a_file_is_judged_too() -> None:
    options = Options.read([], GOOD | {"subject": "/CN=a", "serial": "7"})
    with pytest.raises(InputError, match="--serial is for rr, and the rows are ir"):
        options.single(None, None, ENVIRON)
    # one row of a file is told what all of them are
    Path("b.csv").write_text("id,subject,cmd\na,/CN=a,ir\nb,/CN=b,rr\n")
    assert options.single("b.csv", "a", ENVIRON)[1].cmd == "ir"


def test_a_bad_row_may_be_the_one_that_uses_an_option(folder: Path) -> None:
    """What is wrong with it is what the user must hear first."""
    (folder / "b.csv").write_text("id,subject,cmd\na,/CN=a,ir\nb,/CN=b,rx\n")
    census = Options.read([], GOOD | {"serial": "7"}).plan("b.csv", ENVIRON).census
    assert census is not None
    assert census.bad == 1


def test_settings_of_a_file_are_for_runs_of_any_kind(folder: Path) -> None:
    (folder / "s.toml").write_text('popo = "none"\nserial = "7"\n')
    options = Options.read(["s.toml"], GOOD)
    (row, *_) = options.plan("a.csv", ENVIRON).rows
    assert isinstance(row, EndEntity)
    assert row.popo is Popo.NONE
    assert not {"stated", "foremost", "updates_only"} & options.facts().keys()


# --- nested messages ------------------------------------------------------------------------------

RA: dict[str, Any] = {"ra_cert": ("ca/ra.pem",), "ra_key": ("ca/ra.key",)}


def test_tls_keys_are_in_files() -> None:
    for name in ("tls_key", "tls_cert"):
        given = {"server": "https://h", name: "pkcs11:token=t;object=k"}
        said = refused(**given)
        assert said.startswith(f"--{name.replace('_', '-')}: Python's TLS takes keys")
        assert "stunnel" in said


def test_layers_of_ras(folder: Path) -> None:
    assert plan().setup.layers == ()
    setup = plan(**RA, ra_ref="ra1", ra_secret="env:S", batch=7, batch_wait=0.25).setup
    mac, signature = setup.layers
    assert isinstance(mac, MacCredential)
    assert (mac.ref, mac.secret) == ("ra1", Secret(b"a secret"))
    assert mac.parameters.salt == setup.pbm_salt
    assert isinstance(signature, SignatureCredential)
    certificate = load_certificate(signature.chain[0])
    assert certificate.subject.rfc4514_string().startswith("CN=bulkcmp test RA")
    assert (setup.batch, setup.batch_wait) == (7, 0.25)
    # innermost first, as they were given
    (folder / "both.pem").write_bytes(
        (folder / "ca/ca.pem").read_bytes() + (folder / "ca/ca.key").read_bytes()
    )
    *_, outer = plan(
        ra_cert=("ca/ra.pem", "both.pem"), ra_key=("ca/ra.key", "both.pem")
    ).setup.layers
    assert isinstance(outer, SignatureCredential)
    assert outer.chain[0] == plan().setup.anchors[0]
    # a key may stand in the certificate's file
    assert plan(ra_cert=("both.pem",)).setup.layers == (outer,)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"ra_cert": ("ca/ra.pem",) * 2, "ra_key": ("ca/ra.key",)}, "2 --ra-cert, but 1 --ra-key"),
        ({"ra_key": ("ca/ra.key",)}, "0 --ra-cert, but 1 --ra-key"),
        ({"ra_cert": ("ca/ra.pem",)}, "--ra-cert: ca/ra.pem: the certificate's private key is"),
        ({"ra_cert": ("ca/ra.pem",), "ra_key": ("ca/ca.key",)}, "is not that of the certificate"),
        ({"ra_ref": "ra1"}, "--ra-ref and --ra-secret go together"),
        ({"ra_secret": "env:S"}, "--ra-ref and --ra-secret go together"),
        ({"ra_ref": "ra1", "ra_secret": "env:X"}, "--ra-secret: "),
        ({"ra_keypass": "env:S"}, "--ra-keypass without --ra-cert"),
        ({"batch": 2}, "--batch, but no RA to protect it"),
        (RA | {"batch": 0}, "--batch is 0; it must be at least 1"),
        (RA | {"batch": 101}, "--batch is 101; it can be --concurrency (100) at most, and 1000"),
        (RA | {"batch": 1001, "concurrency": 2000}, "--batch is 1001"),
        (RA | {"batch_wait": -1.0}, "--batch-wait is -1"),
    ],
)
def test_layers_that_can_not_be(changes: dict[str, Any], text: str) -> None:
    assert text in refused(**changes)


def test_notes_tell_of_nested_messages() -> None:
    (note,) = plan(**RA).notes
    assert note == "messages went in nested ones, of 1 layer (--ra-cert ...)"
    (note,) = plan(**RA, ra_ref="r", ra_secret="env:S", batch=9).notes
    assert "of 2 layers, 9 messages in one at most" in note


def test_the_journal_keeps_no_secret_of_an_ra(folder: Path) -> None:
    options = Options(
        ra_ref="r", ra_secret="pass:x1", ra_keypass="pass:x2", ra_cert=("c.pem",), ra_key=("k",)
    )
    facts = json.loads(json.dumps(options.facts()))
    assert not {"x1", "x2"} & set(repr(options).split("'"))
    assert (facts["ra_secret"], facts["ra_keypass"]) == ("pass:***", "pass:***")
    assert (facts["ra_cert"], facts["ra_key"]) == ([f"{folder}/c.pem"], [f"{folder}/k"])
    given = {"ra_secret": "pass:x1", "ra_keypass": "pass:x2"}
    assert Options.resumed(facts, given).ra_cert == (f"{folder}/c.pem",)
    with pytest.raises(InputError, match="--ra-secret is needed again"):
        Options.resumed(facts, {"ra_keypass": "pass:x2"})


# --- what the journal keeps -----------------------------------------------------------------------


def test_facts_hold_wherever_resume_is_called(folder: Path) -> None:
    options = Options(
        server="http://u:pw@h/", proxy="u:pw@p:1", trusted=("ca.pem",), cert="c.pem",
        secret="file:s", keypass="env:K", newkey="own/{id}.pem", oldcert="/abs.pem", out="run",
    )  # fmt: skip
    facts = json.loads(json.dumps(options.facts()))
    assert facts["trusted"] == [f"{folder}/ca.pem"]
    assert facts["cert"] == f"{folder}/c.pem"
    assert facts["oldcert"] == "/abs.pem"
    assert facts["newkey"] == f"{folder}/own/{{id}}.pem"
    assert facts["secret"] == f"file:{folder}/s"
    assert facts["keypass"] == "env:K"
    assert facts["server"] == "http://u:***@h/"
    assert facts["proxy"] == "u:***@p:1"
    assert Options(newkey="rsa:2048").facts()["newkey"] == "rsa:2048"
    assert Options(key="ra.key").facts()["key"] == f"{folder}/ra.key"
    # and are taken for options again
    given = {"server": "http://u:pw@h/", "proxy": "u:pw@p:1"}
    assert Options.resumed(facts, given).trusted == (f"{folder}/ca.pem",)


def test_facts_of_a_key_on_a_token() -> None:
    uri = "pkcs11:token=a;object=ra?module-name=m"
    facts = Options(key=uri, pkcs11_module="/m.so").facts()
    assert (facts["key"], facts["pkcs11_module"]) == (uri, "/m.so")
    assert Options.resumed(facts, {}).key == uri
    facts = Options(key=f"{uri}&pin-value=1234").facts()
    assert facts["key"] == f"{uri}&pin-value=***"


def test_a_key_in_a_settings_file(folder: Path) -> None:
    (folder / "sub").mkdir()
    config = folder / "sub" / "profile.toml"
    config.write_text('key = "pkcs11:object=ra"\npkcs11_module = "m.so"\n')
    options = Options.read([str(config)], {})
    assert options.key == "pkcs11:object=ra"
    assert options.pkcs11_module == f"{folder}/sub/m.so"
    config.write_text('key = "ra.key"\n')
    assert Options.read([str(config)], {}).key == f"{folder}/sub/ra.key"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("secret", "pass:x"),
        ("secret", "stdin"),
        ("key_pass", "pass:x"),
        ("tls_keypass", "pass:x"),
        ("regtoken", "pass:x"),
        ("authenticator", "stdin"),
        ("on_issued_bearer", "pass:x"),
        ("server", "http://u:pw@h/"),
        ("proxy", "http://u:pw@h/"),
        ("key", "pkcs11:object=ra?pin-value=1234"),
        ("newkey", "pkcs11:object=ra?pin-value=1234"),
    ],
)
def test_what_is_not_kept_is_asked_for_again(name: str, value: str) -> None:
    facts = Options.merge({name: value}).facts()
    with pytest.raises(
        InputError, match="is needed again: the run folder keeps no secrets"
    ) as raised:
        Options.resumed(facts, {name: None})
    assert str(raised.value).startswith("--" + name.replace("_", "-"))
    assert getattr(Options.resumed(facts, {name: value}), name) == value


def test_that_passwords_are_made_is_kept_and_what_they_are_given_by_is_not() -> None:
    recipients = ("age1x", "vault.pem")
    made = Options(out_pass="make", passwords_recipient=recipients).facts()
    assert made["out_pass"] == "make"
    assert made["passwords_recipient"] == ["age1x", str(Path.cwd() / "vault.pem")]
    assert Options.resumed(made, {}).out_pass == "make"
    given = Options(out_pass="pass:hush").facts()
    assert given["out_pass"] == "pass:***"
    with pytest.raises(InputError, match="--out-pass is needed again"):
        Options.resumed(given, {})


def test_what_is_given_takes_the_place_of_what_was() -> None:
    facts = Options(secret="env:OLD", rate=5.0, concurrency=7).facts()
    resumed = Options.resumed(facts, {"secret": "env:NEW", "rate": 0.0, "concurrency": None})
    assert (resumed.secret, resumed.rate, resumed.concurrency) == ("env:NEW", 0.0, 7)


# --- delivery -------------------------------------------------------------------------------------


def test_a_command_is_split_as_by_a_shell_and_gets_little_of_our_environment() -> None:
    environ = {**ENVIRON, "HOME": "/h", "LINE": "7"}
    options = Options(**GOOD, on_issued="sh -c 'a b' \\$c", on_issued_env=("LINE",))
    ways = options.plan("a.csv", environ).delivery
    assert ways is not None
    assert ways.command == ("sh", "-c", "a b", "$c")
    assert dict(ways.environ) == {"HOME": "/h", "LINE": "7"}
    assert (ways.concurrency, ways.timeout, ways.attempts) == (4, 60.0, 3)
    assert plan().delivery is None


def test_a_url_may_have_a_token() -> None:
    options = Options(**GOOD, on_issued_url="https://h/x", on_issued_bearer="env:T")
    ways = options.plan("a.csv", {**ENVIRON, "T": "a-token"}).delivery
    assert ways is not None
    assert (ways.url, ways.bearer, ways.command) == ("https://h/x", Secret(b"a-token"), ())
    assert "a-token" not in repr(ways)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"on_issued": "sh 'x"}, "--on-issued can't be split into words: No closing quotation"),
        ({"on_issued": " "}, "--on-issued is empty"),
        ({"on_issued": "./nothing-there x"}, "there is no program './nothing-there'"),
        ({"on_issued": "sh", "on_issued_url": "https://h"}, "exclude each other"),
        ({"on_issued": "sh", "on_issued_env": ("X",)}, "the environment has no variable 'X'"),
        ({"on_issued": "sh", "on_issued_bearer": "env:S"}, "is for --on-issued-url"),
        ({"on_issued": "sh", "on_issued_concurrency": 0}, "it must be at least 1"),
        ({"on_issued": "sh", "on_issued_attempts": 0}, "it must be at least 1"),
        ({"on_issued": "sh", "on_issued_timeout": 0.0}, "a number of seconds above 0"),
        ({"on_issued_bearer": "env:S"}, "--on-issued-bearer, but nothing is told (--on-issued)"),
        ({"on_issued_env": ("S",)}, "--on-issued-env, but nothing is told (--on-issued)"),
        ({"on_issued_url": "https://h", "on_issued_env": ("S",)}, "a URL gets no environment"),
        ({"on_issued_url": "http://h/"}, "--on-issued-url: http:// is for this machine's loopback"),
    ],
)
def test_deliveries_that_cannot_be(changes: dict[str, Any], text: str) -> None:
    assert text in refused(**changes)


def test_another_one_is_told_from_now_on() -> None:
    facts = Options(on_issued="push it", on_issued_env=("S",), on_issued_attempts=7).facts()
    resumed = Options.resumed(facts, {"on_issued_url": "https://h/", "on_issued_bearer": "env:S"})
    assert (resumed.on_issued, resumed.on_issued_env) == (None, ())
    assert (resumed.on_issued_url, resumed.on_issued_attempts) == ("https://h/", 7)
    back = Options.resumed(resumed.facts(), {"on_issued": "push it"})
    assert (back.on_issued, back.on_issued_url, back.on_issued_bearer) == ("push it", None, None)


def test_a_command_is_found_from_another_folder(folder: Path) -> None:
    facts = Options(on_issued="./push it", on_issued_url="https://u:pw@h/").facts()
    assert facts["on_issued"] == f"{folder}/push it"
    assert facts["on_issued_url"] == "https://u:***@h/"


# --- the plan -------------------------------------------------------------------------------------


def test_plan(folder: Path) -> None:
    made = plan()
    anchor = load_certificate(made.setup.anchors[0])
    assert made.setup.url == "http://ca.test:8080/cmp/ra"
    # the only trust anchor is the CA to address
    assert made.setup.profile.recipient == anchor.subject.public_bytes()
    assert made.setup.profile.subject_check is SubjectCheck.EXACT
    assert (made.setup.tls, made.setup.proxy, made.setup.srvcert) == (None, None, None)
    assert made.setup.limits.total == 70
    assert made.output == OutputPlan((OutFormat.PEM,), OutChain.FULL)
    assert made.census is not None
    assert (made.census.rows, made.census.keys) == (2, {KeySpec.parse("ec:P-256"): 2})
    assert made.key_pass == made.key_file_pass == Secret(b"a passphrase")
    assert made.notes == ()
    # no two runs have the salt in common
    assert plan().setup.pbm_salt != made.setup.pbm_salt


@pytest.mark.parametrize(
    ("rows", "given", "workers"),
    [
        (1, {}, 1),
        (256, {}, 1),
        (257, {}, 2),
        (1025, {}, 4),
        # nobody counted them, or somebody asked for so many
        (1, {"skip_bad_rows": True}, 4),
        (1, {"workers": 3}, 3),
    ],
)
def test_few_rows_are_not_worth_many_workers(
    folder: Path, monkeypatch: pytest.MonkeyPatch, rows: int, given: dict[str, Any], workers: int
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    lines = (f"dev{number},/CN=dev{number}\n" for number in range(rows))
    (folder / "few.csv").write_text("id,subject\n" + "".join(lines))
    assert plan("few.csv", **given).workers == workers


def test_unprotected_requests_need_no_credential() -> None:
    options = Options(**(GOOD | {"secret": None, "ref": None, "unprotected_requests": True}))
    made = options.plan("a.csv", ENVIRON)
    assert made.setup.profile.unprotected_requests is True
    assert all(isinstance(row, EndEntity) for row in made.rows)
    assert "requests had no CMP protection (--unprotected-requests)" in made.notes


def test_recipient() -> None:
    anchor = Path("ca/ca.pem")
    Path("two.pem").write_bytes(anchor.read_bytes() + Path("ca/ra.pem").read_bytes())
    named = load_certificate(plan().setup.anchors[0]).subject.public_bytes()
    assert plan(trusted=("two.pem",)).setup.profile.recipient is None
    assert plan(trusted=("two.pem",), srvcert="ca/ca.pem").setup.profile.recipient == named
    assert plan(issuer="/CN=i").setup.profile.recipient == parse_name("/CN=i") != named
    assert plan(issuer="/CN={id}").setup.profile.recipient == named, "no one name for all"
    both = plan(issuer="/CN=i", recipient="/CN=r")
    assert both.setup.profile.recipient == parse_name("/CN=r")


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({"server": "h"}, "http://h"),
        ({"server": "h:81/a"}, "http://h:81/a"),
        ({"server": "h:81/a", "path": "b/c"}, "http://h:81/b/c"),
        ({"server": "https://h/a", "path": "/b"}, "https://h/b"),
        ({"server": "h", "tls_trusted": ("ca/ca.pem",)}, "https://h"),
        ({"server": "h", "insecure": True}, "https://h"),
    ],
)
def test_server(changes: dict[str, Any], url: str) -> None:
    made = plan(**changes)
    assert made.setup.url == url
    assert (made.setup.tls is not None) == url.startswith("https")


def test_what_is_weak_must_be_allowed_and_is_noted() -> None:
    weak: dict[str, Any] = {"digest": "sha1", "pbm_iterations": 1, "mac": "hmac-sha1"}
    made = plan(allow_weak=True, **weak)
    assert made.setup.profile.allow_weak
    assert [note.partition(" (")[2] for note in made.notes if "(--" in note][:2] == [
        "--allow-weak)", "--mac): accepted still, HMAC-SHA256 is better",
    ]  # fmt: skip
    assert not any("--allow-weak" in note for note in plan(mac="hmac-sha1").notes)
    assert Options.resumed(Options(allow_weak=True).facts(), {}).allow_weak


@pytest.fixture
def crl(folder: Path) -> Path:
    """A CRL of the CA."""
    root = state.load_identity(folder / "ca")
    path = folder / "ca.crl"
    with closing(state.open_books(folder / "ca")) as books, books.writing():
        path.write_bytes(current_crl(books, root, dt.datetime.now(dt.UTC)))
    return path


def test_crls_to_look_signers_up_in(folder: Path, crl: Path) -> None:
    assert plan().setup.crl_check is None
    check = plan(crl_check=True, crls=(str(crl),)).setup.crl_check
    assert check == CrlCheck((crl.read_bytes(),))
    setup = plan(crl_check_all=True, crls=("ca.crl",), tls_trusted=("ca/ca.pem",), server="h").setup
    assert setup.crl_check == CrlCheck((crl.read_bytes(),), whole_path=True)


@pytest.mark.parametrize("out_trusted", [(), ("ca/ca.pem",)])
def test_workers_look_signers_up(folder: Path, out_trusted: tuple[str, ...]) -> None:
    root = state.load_identity(folder / "ca")
    now = dt.datetime.now(dt.UTC)
    (ra,) = x509.load_pem_x509_certificates((folder / "ca" / "ra.pem").read_bytes())[:1]
    revoked = x509.RevokedCertificateBuilder().serial_number(ra.serial_number)
    made = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(root.certificate.subject)
        .last_update(now - dt.timedelta(hours=1))
        .next_update(now + dt.timedelta(hours=1))
        .add_revoked_certificate(revoked.revocation_date(now).build())
        .sign(root.key, hashes.SHA256())
    )
    (folder / "revoked.crl").write_bytes(made.public_bytes(Encoding.PEM))
    signer = ra.public_bytes(Encoding.DER)
    for crl_check in (False, True):
        crls = ("revoked.crl",) if crl_check else ()
        trust = trust_of(plan(crl_check=crl_check, crls=crls, out_trusted=out_trusted).setup)
        assert trust is not None
        for store in (trust.signers, trust.issuers):
            if crl_check:
                with pytest.raises(RemoteCmpError, match="certificate revoked"):
                    store.cached_chain(signer, (), now)
            else:
                assert store.cached_chain(signer, (), now)


def test_crls_stand_in_profiles_and_in_the_journal(folder: Path) -> None:
    (folder / "p").mkdir()
    (folder / "p" / "s.toml").write_text('crls = ["ca.crl", "HTTP://u:x1@h/ca.crl"]\n')
    read = Options.read(["p/s.toml"], {"crl_check": True})
    assert read.crls == ("p/ca.crl", "HTTP://u:x1@h/ca.crl")
    facts = json.loads(json.dumps(read.facts()))
    assert facts["crls"] == [f"{folder}/p/ca.crl", "HTTP://u:***@h/ca.crl"]
    with pytest.raises(InputError, match="--crls is needed again"):
        Options.resumed(facts, {})
    resumed = Options.resumed(facts, {"crls": ["new.crl"]})
    assert (resumed.crl_check, resumed.crls) == (True, ("new.crl",))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"crls": ("ca.crl",)}, "--crls, but not --crl-check (give --crl-check too)"),
        ({"crl_check": True}, "--crl-check, but no CRL to look signers up in"),
        ({"crl_check_all": True}, "--crl-check-all, but no CRL to look signers up in"),
        ({"crl_check": True, "crls": ("no.crl",)}, "--crls: no.crl: no such file"),
        ({"crl_check": True, "crls": ("ca/ca.pem",)}, "--crls: ca/ca.pem: no CRL in it"),
        (
            {"crl_check": True, "crls": ("a",), "trusted": (), "srvcert": "ca/ca.pem"},
            "--crl-check looks up whom --trusted vouches for",
        ),
        (
            {"trust_first_ca_cert": True, "trusted": (), "secret": None, "crl_check": True},
            "--trust-first-ca-cert and --crl-check exclude each other",
        ),
    ],
)
def test_crls_that_are_of_no_use(changes: dict[str, Any], what: str) -> None:
    assert what in refused(**changes)


def test_srvcert_alone_is_the_anchor() -> None:
    made = Options(**(GOOD | {"trusted": (), "srvcert": "ca/ca.pem"})).plan("a.csv", ENVIRON)
    assert made.setup.anchors == (made.setup.srvcert,)
    named = made.setup.profile.recipient
    assert named is not None
    assert made.setup.profile.expect_sender == named, "as in openssl cmp"


@pytest.mark.parametrize("kind", ["x25519", "ec:P-256", "ml-kem-768"])
def test_srvcert_may_be_for_a_key_that_signs_nothing(folder: Path, kind: str) -> None:
    state.make_mac_key(folder / "ca", kind, dt.datetime.now(dt.UTC))
    srvcert = str(state.Folder(folder / "ca").mac_certificate(kind).relative_to(folder))
    made = plan(srvcert=srvcert)
    assert made.setup.srvcert not in made.setup.anchors
    name = load_certificate(made.setup.srvcert or b"").subject.public_bytes()
    assert made.setup.profile.recipient == name
    # who has a secret beside, or an RA, is answered under the CA's other name
    assert made.setup.profile.expect_sender is None
    assert "which are to be believed? (give the CA's certificate" in refused(
        trusted=(), srvcert=srvcert
    )
    # an RA that has a secret has its answers by that
    plan(srvcert=srvcert, ra_ref="ra", ra_secret="pass:pw")
    told = refused(srvcert=srvcert, ra_cert=("ca/ra.pem",), ra_key=("ca/ra.key",))
    assert "the key of --srvcert can't sign" in told


def certificate(folder: Path, key: Any, *bits: str) -> str:
    """Its keyUsage is what `bits` say."""
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    usage = x509.KeyUsage(**{name: name in bits for name in names})
    now = dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a CA")])
    made = x509.CertificateBuilder(
        name, name, key.public_key(), 1, now - dt.timedelta(days=1), now + dt.timedelta(days=1)
    )
    signed = made.add_extension(usage, critical=True).sign(
        ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()
    )
    (folder / "made.der").write_bytes(signed.public_bytes(Encoding.DER))
    return "made.der"


def test_a_srvcert_for_agreement_that_signs_certificates_is_an_anchor(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    srvcert = certificate(folder, key, "key_agreement", "key_cert_sign")
    made = Options(**(GOOD | {"trusted": (), "srvcert": srvcert})).plan("a.csv", ENVIRON)
    assert made.setup.anchors == (made.setup.srvcert,)
    only = certificate(folder, key, "key_agreement")
    assert "which are to be believed?" in refused(trusted=(), srvcert=only)


def test_the_key_usage_of_a_srvcert_for_a_kem_key_is_checked(folder: Path) -> None:
    kem = mlkem.MLKEM768PrivateKey.generate()
    srvcert = certificate(folder, kem, "key_agreement")
    told = refused(srvcert=srvcert)
    assert "--srvcert: the CA's certificate has a keyUsage without keyEncipherment" in told
    assert "--ignore-keyusage accepts it" in told
    assert plan(srvcert=srvcert, ignore_keyusage=True).setup.srvcert is not None
    assert plan(srvcert=certificate(folder, kem, "key_encipherment")).setup.srvcert is not None


def test_a_srvcert_that_can_not_be_used(folder: Path) -> None:
    pem = (folder / "ca" / "ca.pem").read_bytes()
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    # a curve that nobody knows
    curve = bytes.fromhex("06082a8648ce3d030107")
    (folder / "bad.der").write_bytes(der.replace(curve, curve[:-1] + b"\x7f"))
    assert "--srvcert: the certificate can't be used" in refused(srvcert="bad.der")


def test_a_named_sender_is_expected_before_that_of_srvcert() -> None:
    options = Options(**(GOOD | {"srvcert": "ca/ca.pem", "expect_sender": "/CN=other"}))
    expected = options.plan("a.csv", ENVIRON).setup.profile.expect_sender
    assert expected == parse_name("/CN=other")


def test_weakened_checks_are_told() -> None:
    made = plan(unprotected_errors=True, tolerate_pkiconf=True, ignore_keyusage=True, concurrency=5)
    assert len(made.notes) == 3
    assert made.setup.limits.connections == 5
    profile = made.setup.profile
    assert profile.unprotected_errors
    assert profile.tolerate_pkiconf
    assert profile.ignore_keyusage


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"server": ""}, "which server? (give --server"),
        ({"server": "http://h:x/"}, "--server: Port"),
        ({"server": "http://[h/"}, "--server: "),
        ({"proxy": "http://[h/"}, "--proxy: "),
        ({"server": "http://h/", "tls_key": "k"}, "--tls-key is for https, and --server is http"),
        ({"trusted": ()}, "no trust anchor"),
        ({"trusted": ("nope",)}, "--trusted: nope: no such file"),
        ({"trust_first_ca_cert": True}, "--trust-first-ca-cert and --trusted exclude each other"),
        (
            {"trust_first_ca_cert": True, "trusted": (), "srvcert": "ca.pem"},
            "--trust-first-ca-cert and --srvcert exclude each other",
        ),
        (
            {"trust_first_ca_cert": True, "trusted": ()},
            "--trust-first-ca-cert and --secret exclude each other",
        ),
        ({"untrusted": ("a.csv",)}, "--untrusted: a.csv: neither PEM nor"),
        ({"out_trusted": ("a.csv",)}, "--out-trusted: a.csv: neither PEM nor"),
        ({"srvcert": "nope"}, "--srvcert: nope: no such file"),
        ({"extracerts": ("nope",)}, "--extracerts: nope: no such file"),
        ({"expect_sender": "x"}, "--expect-sender: RDN 'x'"),
        ({"recipient": "x"}, "--recipient: RDN 'x'"),
        ({"digest": "md5"}, "--digest: 'md5' is not known (one of sha1"),
        ({"mac": "md5"}, "--mac: 'md5' is not known (one of hmac-sha1"),
        ({"accept_protection": "x"}, "--accept-protection: 'x' is not known (one of either, same"),
        (
            {"accept_protection": "same", "unprotected_requests": True},
            "--accept-protection same, but requests have none (--unprotected-requests)",
        ),
        (
            {"sign_requests": True, "unprotected_requests": True},
            "--unprotected-requests and --sign-requests exclude each other",
        ),
        ({"popo": "x"}, "--popo: 'x' is no proof of possession (methods are signature,"),
        ({"newkey": "ml-kem-768"}, "--newkey: ml-kem-768 keys can't prove possession by signature"),
        ({"subject_check": "no"}, "--subject-check: 'no' is not known (one of exact, record)"),
        ({"out_format": "pfx"}, "--out-format: 'pfx' is not known (one or several"),
        ({"out_format": "pem,"}, "--out-format: '' is not known"),
        ({"out_name": "all"}, "--out-name: 'all' is the same for every row"),
        ({"out_name": "{secret}"}, "--out-name: unknown placeholder {secret}"),
        ({"out_pass": "env:NOPE"}, "--out-pass: the environment has no variable 'NOPE'"),
        ({"out_pass": "make", "out_pass_length": 7}, "--out-pass-length is 7; it must be at least"),
        ({"out_pass": "make", "out_pass_length": 65}, "--out-pass-length is 65; it must be at mo"),
        ({"passwords_recipient": ("age1x",)}, "--passwords-recipient: not an age recipient"),
        ({"passwords_recipient": ("nope",)}, "--passwords-recipient: nope: no such file"),
        (
            {"passwords_recipient": ("age1x", "ca.pem")},
            "--passwords-recipient: age recipients and certificates exclude each other",
        ),
        ({"passwords_recipient": ("ca/ca.pem",)}, "--passwords-recipient: the key of CN="),
        ({"label": "a\nb"}, "--label has a control or another unprintable character"),
        ({"operator": "\x07"}, "--operator has a control"),
        ({"out_chain": "some"}, "--out-chain: 'some' is not known"),
        (
            {"out_format": "pem,jks", "key_pass": "pass:12345"},
            "the password of a jks has 6 characters at least",
        ),
        (
            {"out_format": "jks", "key_pass": None, "plain_keys": True},
            "a jks has always a password, and there is none (give --key-pass)",
        ),
        ({"retry_fail_info": ("x",)}, "--retry-fail-info: 'x' is no failInfo"),
        ({"digest": "sha1"}, "--digest: sha1 is too weak (--allow-weak takes it"),
        ({"pbm_iterations": 99}, "--pbm-iterations is 99, fewer than 100: too weak"),
        ({"pbm_iterations": 0}, "--pbm-iterations is 0; it must be at least 1"),
        (
            {"server": "http://h", "insecure": True},
            "--insecure is for https, and --server is http",
        ),
        (
            {"server": "https://h", "insecure": True, "tls_trusted": ("ca/ca.pem",)},
            "--insecure and --tls-trusted exclude each other",
        ),
        ({"retries": -1}, "--retries is -1; it must be at least 0"),
        ({"concurrency": 0}, "--concurrency is 0; it must be at least 1"),
        ({"workers": -1}, "--workers is -1; it must be at least 0"),
        ({"max_response": 0}, "--max-response is 0; it must be at least 1"),
        ({"connect_timeout": 0.0}, "--connect-timeout is 0; it must be a number of seconds"),
        ({"msg_timeout": float("nan")}, "--msg-timeout is nan; it must be"),
        ({"msg_timeout": float("inf")}, "--msg-timeout is inf; it must be"),
        ({"total_timeout": float("nan")}, "--total-timeout is nan; it must be"),
        ({"total_timeout": -1.0}, "--total-timeout is -1; it must be"),
        ({"rate": float("inf")}, "--rate is inf; it must be"),
        ({"rate": -0.5}, "--rate is -0.5; it must be"),
        ({"canary": "x"}, "--canary: 'x' is no number of rows (write it as 20, or as 1%)"),
        ({"canary_failures": "2%%"}, "--canary-failures: '2%%' is no number of rows"),
        ({"window": ("22-5",)}, "--window: '22-5' is no window (write it as 22:00-05:00"),
        ({"window_tz": "UTC"}, "--window-tz without --window"),
        ({"window": ("1:00-2:00",), "window_tz": "Mars"}, "--window-tz: 'Mars' is no time zone"),
        ({"window": ("1:00-2:00",), "window_tz": "../x"}, "--window-tz: '../x' is no time zone"),
        ({"breaker_failures": -1}, "--breaker-failures is -1; it must be at least 0"),
        ({"breaker_pause": 0.0}, "--breaker-pause is 0; it must be a number of seconds above 0"),
        ({"breaker_limit": -1.0}, "--breaker-limit is -1; it must be a number of seconds"),
        ({"secret": "env:NOPE"}, "--secret: the environment has no variable 'NOPE'"),
        ({"secret": "file:nope"}, "--secret: nope: no such file"),
        ({"key_pass": "pass:"}, "--key-pass: "),
        ({"keypass": "env:NOPE"}, "--keypass: "),
        ({"keys_pass": "env:NOPE"}, "--keys-pass: "),
        ({"newkeypass": "env:NOPE"}, "--newkeypass: "),
        ({"server": "https://h", "tls_keypass": "env:NOPE"}, "--tls-keypass: "),
        ({"secret": None, "ref": "x"}, "no credential: how shall requests be protected?"),
        ({"plain_keys": True}, "--key-pass and --plain-keys exclude each other"),
        ({"key_pass": None}, "how shall the private keys be stored? (give --key-pass SOURCE"),
        ({"keys": "nope.db"}, "nope.db"),
        ({"newkey": "ml-dsa-44", "out_format": "p12"}, "--newkey: p12 files can't hold ml-dsa-44"),
        ({"secret": "stdin", "key_pass": "stdin"}, "--secret and --key-pass can't both read"),
    ],
)  # fmt: skip
def test_refusals(changes: dict[str, Any], says: str) -> None:
    assert says in refused(**changes)


def test_waves() -> None:
    made = plan()
    assert (made.canary, made.windows) == (None, None)
    assert made.breaker == BreakerRules(5, 2.0, 900.0)
    assert plan(breaker_failures=0).breaker is None
    assert plan(canary="0").canary is None
    stated = Options.read([], {**GOOD, "on_issued_attempts": 2})
    with pytest.raises(InputError, match="--on-issued-attempts, but nothing is told"):
        stated.plan("a.csv", ENVIRON)
    with pytest.raises(InputError, match="--canary-failures without --canary"):
        Options.read([], {**GOOD, "canary_failures": "2"}).plan("a.csv", ENVIRON)
    made = plan(
        canary="1%",
        canary_failures="2",
        window=("Sat 1:00-2:00", "3:00-4:00"),
        window_tz="Asia/Tokyo",
    )
    assert made.canary == Canary(Amount(1.0, True), Amount(2.0, False))
    assert made.windows is not None
    assert len(made.windows.windows) == 2
    assert str(made.windows.zone) == "Asia/Tokyo"


def test_the_window_is_in_the_time_zone_of_the_machine() -> None:
    for zone in ("America/Lima", ":America/Lima"):
        made = Options.merge(GOOD, {"window": ("1:00-2:00",)}).plan("a.csv", ENVIRON | {"TZ": zone})
        assert made.windows is not None
        assert str(made.windows.zone) == "America/Lima"
    made = plan(window=("1:00-2:00",))
    assert made.windows is not None
    now = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)
    with Path("/etc/localtime").open("rb") as file:
        assert (
            now.astimezone(made.windows.zone).utcoffset()
            == now.astimezone(ZoneInfo.from_file(file)).utcoffset()
        )


def test_a_canary_counts_the_good_rows_of_each_priority(folder: Path) -> None:
    lines = ["id,subject,priority", "a,/CN=a,2", "b,/CN=b,1", "c,,1", "d,/CN=d,", "e,/CN=e,2"]
    (folder / "p.csv").write_text("\n".join(lines) + "\n")
    made = plan("p.csv", skip_bad_rows=True, canary="1")
    assert made.census is not None
    assert made.census.usable == {2: 2, 1: 1, None: 1}
    assert plan(skip_bad_rows=True, canary="1").census is not None


def test_cheap_checks_come_before_the_population_is_read() -> None:
    assert "--rate" in refused("nowhere.csv", rate=float("nan"))
    assert "--workers" in refused("nowhere.csv", workers=-1)
    assert "nowhere.csv: no such file" in refused("nowhere.csv")


def test_passphrase_is_tried_before_the_population_is_read() -> None:
    seen: list[Secret | None] = []

    def unlock(passphrase: Secret | None) -> None:
        seen.append(passphrase)
        raise InputError("wrong passphrase")

    with pytest.raises(InputError, match="wrong passphrase"):
        Options(**GOOD).plan("nowhere.csv", ENVIRON, unlock=unlock)
    assert seen == [Secret(b"a passphrase")]


def test_a_secret_is_read_once_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"first\nsecond\n")))
    made = plan(key_pass="stdin")
    assert made.key_pass == made.key_file_pass == Secret(b"first")


# --- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "changes", "needs"),
    [
        ("id,subject\na,/CN=a\n", {}, True),
        ("id,subject,newkey\na,/CN=a,ca/ca.key\n", {}, False),
        ("id,csr\na,a.csr\n", {}, False),
        ("id,subject,centralkeygen\na,/CN=a,yes\n", {"newkey": "ec:P-256"}, True),
        ("id,subject\na,/CN=a\n", {"centralkeygen": True}, True),
        ("id,subject,centralkeygen\na,/CN=a,no\n", {"newkey": "ca/ca.key"}, False),
        ("id,cmd,oldcert\na,rr,ca/ca.pem\n", {}, False),
        ("id,oldcert\na,ca/ca.pem\n", {"cmd": "rr"}, False),
        # what is not known without reading the rows is needed
        ("id,oldcert\na,ca/ca.pem\n", {"cmd": "rr", "skip_bad_rows": True}, False),
        ("id,subject,newkey\na,/CN=a,ca/ca.key\n", {"skip_bad_rows": True}, True),
        ("id,csr\na,a.csr\n", {"skip_bad_rows": True}, False),
        ("id,csr\na,a.csr\n", {"skip_bad_rows": True, "centralkeygen": True}, True),
        ("id,csr,centralkeygen\na,a.csr,\n", {"skip_bad_rows": True}, True),
        ("id,subject\na,/CN=a\n", {"skip_bad_rows": True}, True),
        ("id,subject\na,/CN=a\n", {"skip_bad_rows": True, "newkey": "same"}, False),
        ("id,newkey\na,\n", {"skip_bad_rows": True, "newkey": "same"}, True),
    ],
)
def test_a_run_that_makes_no_keys_needs_no_passphrase(
    folder: Path, text: str, changes: dict[str, Any], needs: bool
) -> None:
    (folder / "b.csv").write_text(text)
    options = Options.merge({k: v for k, v in GOOD.items() if k != "key_pass"}, changes)
    if needs:
        with pytest.raises(InputError, match="how shall the private keys be stored"):
            options.plan("b.csv", ENVIRON)
    else:
        assert options.plan("b.csv", ENVIRON).key_pass is None


def test_a_key_file_of_one_type_says_which_keys(folder: Path) -> None:
    specs = [KeySpec.parse("ed25519"), KeySpec.parse("ec:P-384")]
    with KeyFile.open_or_create(folder / "k.db", None) as keys:
        keys.append(specs[0], make_keys(specs[0], 2))
        made = plan(keys="k.db")
        assert made.census is not None
        assert made.census.keys == {specs[0]: 2}
        assert made.key_file == Path("k.db")
        keys.append(specs[1], make_keys(specs[1], 1))
    assert "k.db: which keys shall be taken? It has: " in refused(keys="k.db")
    made = plan(keys="k.db", newkey="ec:P-384")
    assert made.census is not None
    assert made.census.keys == {specs[1]: 2}


def test_keys_are_made_here_or_at_the_ca(folder: Path) -> None:
    said = "--keys and --centralkeygen exclude each other"
    KeyFile.open_or_create(folder / "k.db", None).close()
    assert said in refused(keys="k.db", newkey="ed25519", centralkeygen=True)


def test_an_empty_key_file_says_so(folder: Path) -> None:
    KeyFile.open_or_create(folder / "k.db", None).close()
    assert "It has: none" in refused(keys="k.db")


def test_skipping_bad_rows_reads_them_only_for_their_priorities(folder: Path) -> None:
    (folder / "b.csv").write_text("id,subject,priority\na,/CN=a,2\nb,/CN=b,1\nc,CN,1\n")
    made = plan("b.csv", skip_bad_rows=True)
    assert made.census is not None
    assert made.census.priorities == (1, 2, None)
    assert plan(skip_bad_rows=True).census is None
