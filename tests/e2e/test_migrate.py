"""From one CA to another, with kills, an outage, and rows that are bad in ten ways.

In the end every user has exactly one valid certificate of the new CA and a revoked one of the old,
or a line in rejected.csv that says why not; both CAs' books agree. At its full size, with 20,000
users and an outage of ten seconds:

    BULKCMP_SCALE=full python -m pytest tests/e2e/test_migrate.py
"""

import base64
import csv
import datetime as dt
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from subprocess import DEVNULL
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from bulkcmp.model import RevocationReason
from bulkcmp.testca import state
from bulkcmp.testca.aliases import Behaviour
from bulkcmp.testca.server import ServerSettings, serving
from bulkcmp.testca.store import CertificateStatus, IssuedCertificate

if TYPE_CHECKING:
    from tests.e2e.conftest import Cli, RunFolder, Tools

UNKNOWN = "unknown outcome"


class Site:
    """A CA that can be switched off and on again, under one address."""

    def __init__(self, folder: Path, port: int, delay: float) -> None:
        self.folder = folder
        self._settings = ServerSettings(folder, port=port, behaviour=Behaviour(delay=delay))
        self._serving = ExitStack()
        state.create(folder, state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
        self.start()

    def start(self, **behaviour: Any) -> None:
        """Serve, with a behaviour of its own."""
        behaves = replace(self._settings.behaviour, **behaviour)
        self._serving.enter_context(serving(replace(self._settings, behaviour=behaves)))

    def stop(self) -> None:
        self._serving.close()

    def settings(self, concurrency: int) -> Path:
        """A file of settings that says how to talk to it."""
        with closing(state.open_books(self.folder)) as books:
            secret = books.alias_secret("ra-hmac")
        assert secret is not None
        self.folder.with_suffix(".secret").write_bytes(secret.reveal())
        path = self.folder.with_suffix(".toml")
        path.write_text(
            f'server = "http://127.0.0.1:{self._settings.port}/ejbca/publicweb/cmp/ra-hmac"\n'
            f'ref = "ra1"\nsecret = "file:{self.folder.name}.secret"\n'
            f'trusted = ["{self.folder.name}/ca.pem"]\n'
            f"workers = 1\nconcurrency = {concurrency}\n"
        )
        return path

    def certificates(self) -> list[IssuedCertificate]:
        with closing(state.open_books(self.folder)) as books:
            return [one for one in books.certificates() if not one.is_ra]

    def users(self, status: CertificateStatus) -> Counter[str]:
        """How many certificates of a status each user has."""
        return Counter(one.user or "" for one in self.certificates() if one.status is status)


@pytest.fixture
def sites(tmp_path: Path, tools: "Tools") -> Iterator[tuple[Site, Site]]:
    # slow enough for kills to come in its midst
    delay = 0.0 if tools.is_full else 0.05
    old, new = (Site(tmp_path / name, tools.free_port(), delay) for name in ("old", "new"))
    yield old, new
    old.stop()
    new.stop()


def encoded(value: bytes) -> str:
    """A value as LDIF has it behind the first colon."""
    return f": {base64.b64encode(value).decode()}"


def foreign(user: str) -> bytes:
    """A certificate of another CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name.from_rfc4514_string(f"CN={user}"))
        .issuer_name(x509.Name.from_rfc4514_string("CN=Other CA"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=30))
    )
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


RULES = """
[attributes.usercertificate]
several = "all"

[columns]
id = "{uid}"
subject = "{dn!s}"
sans = ["email:{mail}"]
oldcert = "{usercertificate?!s}"
"""
"""How the entries of the directory become rows."""

WAYS = {
    "bad base64": "is not base64",
    "no uid": "there is no uid",
    "duplicate uid": "duplicate id",
    "invalid DN": "no '='",
    "invalid mail": "email",
    "foreign certificate": "is not of the old CA",
    "no certificate": "neither PEM nor the DER of a certificate",
    "long name": "65 characters, and CN may have 64",
    "no mail": "there is no mail",
    "charset": "UTF-8",
}
"""Ways in which an entry may be bad, and what rejected.csv says of it."""


class Users:
    """A directory, as LDIF, in which each of some entries is bad in one way.

    Attributes:
        bad: ways, by the number of the entry, from 1.
        good: the users that can be migrated.
        lost: those that can't, but stand in the old CA's books.
    """

    def __init__(self, path: Path, old: dict[str, bytes], step: int) -> None:
        self.path = path
        self.bad: dict[int, str] = {}
        self.good: list[str] = []
        self.lost: list[str] = []
        ways = list(WAYS)
        entries = []
        for number, (user, der) in enumerate(old.items(), start=1):
            entry = {
                "dn": f" cn={user},o=New",
                "uid": f" {user}",
                "mail": f" {user}@new.test",
                "userCertificate;binary": encoded(der),
            }
            if number % step:
                self.good.append(user)
            else:
                self.bad[number] = ways[(number // step - 1) % len(ways)]
                self.lost.append(user)
                self._spoil(entry, user, self.bad[number])
            entries.append("".join(f"{name}:{text}\n" for name, text in entry.items()))
        path.write_text("version: 1\n\n" + "\n".join(entries))

    def _spoil(self, entry: dict[str, str], user: str, way: str) -> None:
        match way:
            case "bad base64":
                entry["userCertificate;binary"] = ": @@@"
            case "no uid":
                del entry["uid"]
            case "duplicate uid":
                entry["uid"] = f" {self.good[-1]}"
            case "invalid DN":
                entry["dn"] = " no name"
            case "invalid mail":
                entry["mail"] = f" {user} at new.test"
            case "foreign certificate":
                entry["userCertificate;binary"] = encoded(foreign(user))
            case "no certificate":
                entry["userCertificate;binary"] = encoded(b"no certificate")
            case "long name":
                entry["dn"] = f" cn={'x' * 65},o=New"
            case "no mail":
                del entry["mail"]
            case "charset":
                entry["dn"] = encoded(f"cn={user},o=".encode() + b"\xff")


class Campaign:
    """A migration that is killed now and then."""

    def __init__(
        self, cli: "Cli", tools: "Tools", run: "RunFolder", begin: tuple[object, ...]
    ) -> None:
        self._cli = cli
        self._tools = tools
        self._run = run
        self._begin = begin
        self.kills = 0

    def start(self, *options: object) -> Any:
        begun = (self._run.path / "migration.json").exists()
        words = ("resume", self._run.path, *options) if begun else self._begin
        return self._cli.start(*words, stdout=DEVNULL, stderr=DEVNULL)

    def kill_at(self, site: Site, table: str, count: int) -> None:
        """Go on until the books of a CA have so many of something, or nothing is left to do."""
        process = self.start()
        self._wait(process, site, table, count)
        self.kills += process.poll() is None
        if self.kills % 2:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        else:
            self._tools.kill_all(process)

    def cut_off(self, site: Site, table: str, count: int, seconds: float) -> None:
        """Go on to the end, with an outage of a CA once its books have so many of something."""
        process = self.start()
        self._wait(process, site, table, count)
        site.stop()
        time.sleep(seconds)
        site.start()
        self._cli.finish(process, 1, seconds=1200)

    def _wait(self, process: Any, site: Site, table: str, count: int) -> None:
        status = CertificateStatus(table)
        self._tools.wait_until(
            lambda: site.users(status).total() >= count or process.poll() is not None,
            seconds=1200,
            step=0.5 if self._tools.is_full else 0.05,
        )


@pytest.mark.timeout(3600)
def test_every_user_is_migrated_or_named(
    cli: "Cli", tools: "Tools", run: "RunFolder", sites: tuple[Site, Site], tmp_path: Path
) -> None:
    old, new = sites
    rows, step, outage = (20_000, 33, 10.0) if tools.is_full else (100, 10, 1.0)
    concurrency = 60 if tools.is_full else 10
    old_settings, new_settings = (site.settings(concurrency) for site in sites)
    (tmp_path / "before.csv").write_text(
        "id,subject\n" + "".join(f"user{n:05},/CN=user{n:05}/O=Old\n" for n in range(rows))
    )
    cli("enroll", "before.csv", "--config", old_settings, "--plain-keys", "--quiet",
        "--out", tmp_path / "before", seconds=1200)  # fmt: skip
    issued = {one.user or "": one.der for one in old.certificates()}
    users = Users(tmp_path / "users.ldif", issued, step)
    (tmp_path / "rules.toml").write_text(RULES)
    assert len(set(users.bad.values())) == len(WAYS)
    campaign = Campaign(
        cli,
        tools,
        run,
        ("migrate", old_settings, new_settings, users.path, "--map", tmp_path / "rules.toml",
         "--key-pass", "env:KEY_PASS", "--skip-bad-rows", "--out", run.path),
    )  # fmt: skip

    def check_order() -> None:
        # nobody is ever without a valid certificate
        revoked = old.users(CertificateStatus.REVOKED)
        assert revoked.keys() <= new.users(CertificateStatus.CONFIRMED).keys()

    for share in (0.2, 0.4, 0.6) if tools.is_full else (0.3,):
        campaign.kill_at(new, "confirmed", int(share * rows))
        check_order()
    campaign.cut_off(new, "confirmed", int(0.7 * rows), outage)
    check_order()
    for share in (0.3, 0.6) if tools.is_full else (0.4,):
        campaign.kill_at(old, "revoked", int(share * rows))
        check_order()
    assert campaign.kills > 0
    for _ in range(3):
        ended = cli.finish(campaign.start("--retry-unknown"), 1, seconds=1200)
        assert ended.code == 1, "bad rows are never done"
        if run.summary()["users"]["migrated"] == len(users.good):
            break

    # the old CA's books
    fates = {one.user: one for one in old.certificates()}
    for user in users.good:
        assert fates[user].status is CertificateStatus.REVOKED
        assert fates[user].reason is RevocationReason.SUPERSEDED
    assert {fates[user].status for user in users.lost} == {CertificateStatus.CONFIRMED}
    # the new one's: what is not confirmed is of a transaction whose answer was lost
    assert new.users(CertificateStatus.CONFIRMED) == dict.fromkeys(users.good, 1)
    outcomes = Counter(one.outcome for one in _enrollment(run).transactions())
    pending = new.users(CertificateStatus.PENDING).total()
    assert pending <= outcomes[UNKNOWN]
    assert new.users(CertificateStatus.REVOKED).total() == 0
    # our own
    rejected = _table(run.path / "rejected.csv")
    assert [int(row["row"]) for row in rejected] == list(users.bad)
    for row in rejected:
        assert WAYS[users.bad[int(row["row"])]] in row["reason"], row
    rollback = _table(run.path / "rollback.csv")
    assert [row["id"] for row in rollback] == users.good
    serials = {one.user: f"{one.serial:X}" for one in new.certificates() if _is_good(one)}
    for row in rollback:
        assert row["new_serial"] == serials[row["id"]]
        assert row["old_serial"] == f"{fates[row['id']].serial:X}"
        assert row["old_state"] in ("revoked", "revoked before")
    summary = run.summary()
    assert summary["users"] == {
        "migrated": len(users.good),
        "enrolled, nothing to revoke": 0,
        "enrolled, old certificate not revoked": 0,
        "enrolled, not delivered": 0,
        "not enrolled": 0,
        "rejected": len(users.bad),
    }
    assert summary["exit_code"] == 1
    certified = [run.path / "enrollment" / row["cert_file"] for row in _enrollment(run).results()]
    tools.verify(new.folder / "ca.pem", certified)


def _is_good(one: IssuedCertificate) -> bool:
    return one.status is CertificateStatus.CONFIRMED


def _enrollment(run: "RunFolder") -> "RunFolder":
    return type(run)(run.path / "enrollment")


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_migration_of_a_few(
    cli: "Cli", tools: "Tools", run: "RunFolder", sites: tuple[Site, Site], tmp_path: Path
) -> None:
    old, new = sites
    old_settings, new_settings = (site.settings(10) for site in sites)
    (tmp_path / "before.csv").write_text("id,subject\na,/CN=a\nb,/CN=b\nc,/CN=c\n")
    cli("enroll", "before.csv", "--config", old_settings, "--plain-keys", "--out", "before")
    lines = ["id,subject,oldcert", *(f"{n},/CN={n},before/certs/{n}.pem" for n in "abc"), "d,CN,"]
    (tmp_path / "users.csv").write_text("\n".join(lines) + "\n")
    migrate = ("migrate", old_settings, new_settings, "users.csv", "--key-pass", "env:KEY_PASS",
               "--out", run.path)  # fmt: skip

    ended = cli(*migrate, "--plan", code=1)
    assert "3 of 4 users would be enrolled at the new CA" in ended.out
    assert "3 certificates would be revoked at the old one" in ended.out
    assert "1  row can't be used: rejected" in ended.out
    assert "users.csv:5 (row 4), column subject" in ended.out
    ended = cli(*migrate, code=2)
    assert "1 of 4 users can't be migrated" in ended.err
    assert not run.path.exists()
    assert not new.certificates()

    # what is not delivered is not revoked, and can't be delivered twice
    deliver = ("--on-issued", "test -e there", "--on-issued-attempts", "1")
    cli(*migrate[:-1], "delivery", *deliver, "--skip-bad-rows", "--several", "reject", code=1)
    assert not old.users(CertificateStatus.REVOKED)
    reasons = [row["reason"] for row in _table(tmp_path / "delivery" / "rejected.csv")]
    assert sum("not delivered: " in reason for reason in reasons) == 3

    # b was revoked before by somebody else
    (tmp_path / "b.csv").write_text("id,cmd,oldcert\nb,rr,before/certs/b.pem\n")
    cli("enroll", "b.csv", "--config", old_settings, "--out", "b")
    hold = ("--reason", "certificateHold", "--skip-bad-rows", "--json")
    ended = cli(*migrate, *hold, code=1)
    states = {row["id"]: row["old_state"] for row in _table(run.path / "rollback.csv")}
    assert states == {"a": "on hold", "b": "revoked before", "c": "on hold"}
    assert run.summary()["users"]["migrated"] == 3
    assert old.users(CertificateStatus.REVOKED).keys() == {"a", "b", "c"}
    undo = {row["id"]: row["undo"] for row in _table(run.path / "rollback.csv")}
    assert "removeFromCRL" in undo["a"]
    assert "for good" in undo["b"]

    # neither anew nor as a run
    assert "holds a migration already" in cli(*migrate, code=2).err
    assert "--server is for a run" in cli("resume", run.path, "--server", "http://x", code=2).err
    before = len(new.certificates())
    assert cli("resume", run.path, "--quiet", code=1).out == ""
    assert len(new.certificates()) == before
    # the run of the old CA never goes by itself beyond what was enrolled
    cli("resume", run.path / "revocation", code=1)


@pytest.mark.timeout(300)
def test_a_failed_canary_at_the_new_ca_revokes_nothing(
    cli: "Cli", run: "RunFolder", sites: tuple[Site, Site], tmp_path: Path
) -> None:
    old, new = sites
    old_settings, new_settings = (site.settings(1) for site in sites)
    (tmp_path / "before.csv").write_text("id,subject\na,/CN=a\nb,/CN=b\nc,/CN=c\n")
    cli("enroll", "before.csv", "--config", old_settings, "--plain-keys", "--out", "before")
    lines = ["id,subject,oldcert", *(f"{n},/CN={n},before/certs/{n}.pem" for n in "abc")]
    (tmp_path / "users.csv").write_text("\n".join(lines) + "\n")
    new_settings.write_text(new_settings.read_text() + 'canary = "2"\n')
    new.stop()
    new.start(reject="badCertTemplate", reject_every=2)

    # a is enrolled, b is not, and nobody is asked for c
    ended = cli("migrate", old_settings, new_settings, "users.csv", "--key-pass", "env:KEY_PASS",
                "--out", run.path, code=1)  # fmt: skip
    assert "no old certificate is revoked" in " ".join(ended.out.split())
    assert run.summary()["revocation_exit_code"] is None
    cli("resume", run.path, "--quiet", code=1)
    assert new.users(CertificateStatus.CONFIRMED).keys() == {"a"}
    assert not old.users(CertificateStatus.REVOKED)

    # told to go on without
    new.stop()
    new.start()
    cli("resume", run.path, "--canary", "0", "--quiet", code=1)
    assert old.users(CertificateStatus.REVOKED).keys() == {"a", "c"}
    assert run.summary()["notes"] == []
    assert run.summary()["users"]["not enrolled"] == 1

    # each CA agrees with the run at it
    assert "holds a migration, which has two runs" in cli("reconcile", run.path, code=2).err
    for site, step in ((new, "enrollment"), (old, "revocation")):
        cli("ca", "issued", "--state", site.folder, "-o", "issued.csv")
        ended = cli("reconcile", run.path / step, "--issued", "issued.csv", "--json")
        found = json.loads(ended.out)
        assert (found["agreed"], found["differences"]) == (2, [])
