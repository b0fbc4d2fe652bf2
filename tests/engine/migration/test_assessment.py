"""What is to be done with each user, case by case."""

import base64
import csv
import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from bulkcmp.engine.migration.assessment import Assessment, Migrating
from bulkcmp.engine.migration.input import InputFolder, User
from bulkcmp.engine.migration.oldcert import OldCa
from bulkcmp.engine.migration.rules import Case, Names, Rules, Several
from bulkcmp.engine.options import Options
from bulkcmp.errors import InputError
from bulkcmp.model import BadRow, RevocationReason

NOW = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
NEW = Options(server="http://new.test/", secret="pass:s", newkey="ec:P-256")


def name(text: str) -> x509.Name:
    return x509.Name.from_rfc4514_string(text)


class Issuer:
    """A CA."""

    def __init__(self, subject: str) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = name(subject)
        self.serial = 100
        self.certificate = self.issue(subject, ca=True)

    def issue(
        self,
        subject: str,
        *,
        serial: int | None = None,
        ends: dt.datetime = NOW + 30 * DAY,
        begins: dt.datetime = NOW - 30 * DAY,
        ca: bool = False,
        sans: Sequence[str] = (),
    ) -> x509.Certificate:
        self.serial += 1
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(self.name)
            .public_key(self.key.public_key())
            .serial_number(self.serial if serial is None else serial)
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
        )
        if sans:
            names = x509.SubjectAlternativeName(map(x509.DNSName, sans))
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.key, SHA256())


def cell(certificate: x509.Certificate) -> str:
    return "base64:" + base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


class Site:
    """An old CA, and a population that is to leave it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = Issuer("CN=Old CA,O=Acme")
        self.impostor = Issuer("CN=Old CA,O=Acme")
        self.other = Issuer("CN=Other CA")
        (folder / "old.pem").write_bytes(pem(self.ca.certificate))
        self.old = Options(trusted=(str(folder / "old.pem"),))

    def assess(
        self,
        lines: Sequence[Sequence[str]],
        rules: Rules = Rules(),  # noqa: B008  # frozen
        new: Options = NEW,
        old: Options | None = None,
    ) -> tuple[list[Migrating | BadRow], Assessment]:
        path = self.folder / "users.csv"
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(lines)
        ca = OldCa.of(old or self.old)
        made = Assessment(new.source(str(path)), new, ca, rules, {}, NOW)
        return list(made.users()), made

    def only(
        self,
        lines: Sequence[Sequence[str]],
        rules: Rules = Rules(),  # noqa: B008
        new: Options = NEW,
    ) -> Migrating:
        (user,), _ = self.assess(lines, rules, new)
        assert isinstance(user, Migrating), user
        return user


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


HEAD = ("id", "subject", "oldcert")


def cases(assessment: Assessment) -> dict[Case, int]:
    return dict(assessment.cases.counts)


def test_one_certificate_of_each_kind(site: Site) -> None:
    a, b = site.ca.issue("CN=a"), site.ca.issue("CN=b", ends=NOW - DAY)
    (site.folder / "a.pem").write_bytes(pem(a, site.ca.certificate))
    users, made = site.assess(
        [HEAD, ("a", "/CN=a", "a.pem"), ("b", "/CN=b", cell(b)), ("c", "/CN=c", "")]
    )
    assert [one.id for one in users] == ["a", "b", "c"]
    assert all(isinstance(one, Migrating) for one in users)
    first, second, third = (one for one in users if isinstance(one, Migrating))
    # the chain in its file is none of the user's
    assert [one.serial for one in first.old.revoked] == [a.serial_number]
    assert first.old.revoked[0].cells == {"oldcert": cell(a)}
    assert dict(first.enrollment) == {"id": "a", "subject": "/CN=a"}
    assert (second.old.revoked, len(second.old.expired)) == ((), 1)
    assert third.old.cases().__next__() is Case.NONE
    assert cases(made) == {Case.ONE: 1, Case.EXPIRED: 1, Case.NONE: 1}
    assert (made.cases.users, made.cases.rejected, made.cases.revocations) == (3, 0, 1)


def test_several_certificates(site: Site) -> None:
    both = [site.ca.issue("CN=a,O=Acme"), site.ca.issue("CN=a,O=Before")]
    (site.folder / "both.pem").write_bytes(pem(*both, both[0]))
    lines = [HEAD, ("a", "/O=Acme/CN=a", "both.pem")]
    user = site.only(lines)
    assert [one.serial for one in user.old.revoked] == [one.serial_number for one in both]
    user = site.only(lines, Rules(several=Several.MATCHING))
    assert [one.serial for one in user.old.revoked] == [both[0].serial_number]
    assert [one.serial for one in user.old.left] == [both[1].serial_number]
    assert list(user.old.cases()) == [Case.SEVERAL, Case.LEFT]
    (rejected,), made = site.assess(lines, Rules(several=Several.REJECT))
    assert isinstance(rejected, BadRow)
    assert "2 old certificates are valid" in str(rejected.problems[0])
    assert cases(made) == {Case.SEVERAL: 1}


def test_names_are_mapped_or_kept(site: Site) -> None:
    old = site.ca.issue("CN=a,O=Acme", sans=["a.test"])
    lines = [HEAD, ("a", "/CN=a/O=New", cell(old))]
    _, made = site.assess(lines)
    assert cases(made) == {Case.ONE: 1, Case.NAME: 1}
    assert site.only(lines).enrollment == {"id": "a", "subject": "/CN=a/O=New"}
    keep = Rules(names=Names.KEEP)
    kept = site.only(lines, keep, replace(NEW, subject="/CN={id}"))
    assert kept.enrollment == {"id": "a", "oldcert": cell(old)}
    # who has no old certificate gets the name that is said of all rows
    (user,), made = site.assess([("id",), ("b",)], keep, replace(NEW, subject="/CN={id}/O=All"))
    assert isinstance(user, Migrating)
    assert user.enrollment == {"id": "b", "subject": "O=All,CN=b"}
    assert made.options.subject is None
    # of the certificates of a user, the newest has the name
    newer = site.ca.issue("CN=newer", begins=NOW - DAY)
    (site.folder / "names.pem").write_bytes(pem(newer, old))
    kept = site.only([HEAD, ("a", "/CN=x", "names.pem")], keep)
    assert kept.enrollment["oldcert"] == cell(newer)


def test_a_row_without_a_name_takes_the_old_one(site: Site) -> None:
    old = site.ca.issue("CN=a")
    user = site.only([("id", "oldcert"), ("a", cell(old))])
    assert user.enrollment == {"id": "a", "oldcert": cell(old)}
    assert list(user.old.cases()) == [Case.ONE]


def test_serial_numbers(site: Site) -> None:
    lines = [
        ("id", "subject", "serial", "issuer", "revreason"),
        ("a", "/CN=a", "0x1F", "O=Acme,CN=Old CA", "certificateHold"),
        ("b", "/CN=b", "7", "", ""),
        ("c", "/CN=c", "7", "/CN=Other CA", ""),
    ]
    (user, nameless, foreign), made = site.assess(lines)
    assert isinstance(user, BadRow), "the order of RDNs counts"
    lines[1] = ("a", "/CN=a", "0x1F", "CN=Old CA,O=Acme", "certificateHold")
    (user, nameless, foreign), made = site.assess(lines)
    assert isinstance(user, Migrating)
    assert user.enrollment == {"id": "a", "subject": "/CN=a"}
    assert user.old.revoked[0].cells == {"serial": "0x1F", "issuer": "CN=Old CA,O=Acme"}
    assert user.revocation == {"revreason": "certificateHold"}
    assert isinstance(nameless, BadRow)
    assert "needs its issuer" in str(nameless.problems[0])
    assert isinstance(foreign, BadRow)
    assert cases(made) == {Case.ONE: 1, Case.UNREADABLE: 1, Case.FOREIGN: 1}


def test_who_is_rejected(site: Site) -> None:
    mine = site.ca.issue("CN=a")
    lines = [
        HEAD,
        ("a", "/CN=a", cell(mine)),
        ("a", "/CN=a", ""),
        ("a", "/CN=a", cell(mine)),
        ("b", "/CN=b", cell(mine)),
        ("c", "/CN=c", cell(site.other.issue("CN=c"))),
        ("d", "/CN=d", cell(site.impostor.issue("CN=d"))),
        ("e", "/CN=e", "base64:AAAA"),
        ("f", "/CN=f", "base64:@"),
        ("g", "/CN=g", "nowhere.pem"),
        ("g", "/CN=g", "old.pem"),
        ("h", "CN", ""),
        ("", "/CN=i", ""),
    ]
    users, made = site.assess(lines)
    said = [
        "" if isinstance(one, Migrating) else "; ".join(problem.what for problem in one.problems)
        for one in users
    ]
    wanted = [
        "",
        "duplicate id 'a': line 2 has it",
        f"the certificate {mine.serial_number:X} is that of line 2 too",
        f"the certificate {mine.serial_number:X} is that of line 2 too",
        "is not of the old CA, but of CN=Other CA",
        "is not of the old CA, but of CN=Old CA",
        "neither PEM nor the DER of a certificate",
        "is not base64",
        "no such file",
        "certificates of CAs only",
        "RDN 'CN': no '='",
        "the id is empty",
    ]
    assert all(part in text for part, text in zip(wanted, said, strict=True)), said
    assert cases(made) == {
        Case.ONE: 1,
        Case.DUPLICATE: 2,
        Case.SHARED: 1,
        Case.FOREIGN: 2,
        Case.UNREADABLE: 4,
        Case.BAD_ROW: 2,
    }
    bad = [one for one in users if isinstance(one, BadRow)]
    assert [one.number for one in bad] == list(range(2, 13))
    assert made.cases.document(Rules())["certificate of another CA"] == {
        "rule": "rejected",
        "users": 2,
        "examples": [f"{one.id}: {one.problems[0]}" for one in bad[3:5]],
    }


def test_what_asks_for_no_certificate_or_brings_secrets_is_rejected(site: Site) -> None:
    users, _ = site.assess(
        [("id", "cmd", "subject", "secret"), ("a", "ir", "/CN=a", "pass:x"), ("b", "genm", "", "")]
    )
    said = [str(one.problems[0]) for one in users if isinstance(one, BadRow)]
    assert "the secret itself stands in the cell" in said[0]
    assert "column secret" in said[0]
    assert "pass:x" not in said[0]
    assert len(said) == 2


def test_a_reason_that_is_none_is_a_bad_row(site: Site) -> None:
    lines = [("id", "subject", "revreason"), ("a", "/CN=a", "nonsense")]
    (user,), made = site.assess(lines)
    assert isinstance(user, BadRow)
    assert "column revreason: 'nonsense' is not a revocation reason" in str(user.problems[0])
    assert cases(made) == {Case.BAD_ROW: 1}


def test_paths_are_found_from_elsewhere(site: Site) -> None:
    (site.folder / "word").write_text("a secret\n")
    user = site.only([("id", "subject", "secret"), ("a", "/CN=a", "file:word")])
    assert user.enrollment["secret"] == f"file:{site.folder.absolute() / 'word'}"


@pytest.mark.parametrize(
    ("lines", "new", "what"),
    [
        ([("subject",), ("/CN=a",)], NEW, "need ids"),
        ([("id",), ("a",)], replace(NEW, subject="/CN={number}"), "leave gaps"),
    ],
)
def test_what_can_not_be_said_of_migrations(
    site: Site, lines: Sequence[Sequence[str]], new: Options, what: str
) -> None:
    with pytest.raises(InputError, match=what):
        site.assess(lines, new=new)


def test_the_old_ca_is_named_by_its_settings(site: Site) -> None:
    with pytest.raises(InputError, match="which certificates are those of the old CA"):
        OldCa.of(Options())
    lines = [HEAD, ("a", "/CN=a", cell(site.other.issue("CN=a")))]
    (user,), _ = site.assess(lines, old=Options(issuer="CN=Other CA"))
    assert isinstance(user, Migrating)


def test_a_directory_has_several_certificates_of_a_user(site: Site, tmp_path: Path) -> None:
    both = [site.ca.issue("CN=a"), site.ca.issue("CN=a")]
    values = [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in both]
    lines = ["dn: cn=a", "uid: a", *(f"userCertificate;binary:: {one}" for one in values)]
    (tmp_path / "users.ldif").write_text("\n".join(lines) + "\n")
    (tmp_path / "rules.toml").write_text(
        'columns = {id = "{uid}", subject = "{dn!s}", oldcert = "{usercertificate!s}"}\n'
        'attributes.usercertificate.several = "all"\n'
    )
    new = replace(NEW, map=str(tmp_path / "rules.toml"))
    source = new.source(str(tmp_path / "users.ldif"))
    made = Assessment(source, new, OldCa.of(site.old), Rules(), {}, NOW)
    (user,) = made.users()
    assert isinstance(user, Migrating)
    assert {one.serial for one in user.old.revoked} == {one.serial_number for one in both}
    assert made.options.map is None
    assert made.digest() == source.digest()
    # a run that is no migration would not know which of them is meant
    (row,) = new.rows(str(tmp_path / "users.ldif"), {})
    assert isinstance(row, BadRow)
    assert "oldcert has 2 values" in str(row.problems[0])


def test_what_is_written_is_read_again(site: Site, tmp_path: Path) -> None:
    both = [site.ca.issue("CN=a"), site.ca.issue("CN=a", ends=NOW - DAY)]
    (site.folder / "two.pem").write_bytes(pem(*both))
    lines = [
        ("id", "subject", "oldcert", "revreason"),
        ("b", "CN", "", ""),
        ("a", "/CN=a", "two.pem", "certificateHold"),
    ]
    path = site.folder / "users.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    made = Assessment(NEW.source(str(path)), NEW, OldCa.of(site.old), Rules(), {}, NOW)
    folder = InputFolder(tmp_path / "input")
    (problem,) = folder.write(made)
    (rejected,) = folder.rejected()
    assert (rejected.number, rejected.line, rejected.id) == (1, 2, "b")
    assert str(rejected.problems[0]) == str(problem)
    assert rejected.problems[0].hint == problem.hint
    assert list(folder.users()) == [
        User(
            number=1,
            row=2,
            line=3,
            id="a",
            revoked=(f"{both[0].serial_number:X}",),
            expired=(f"{both[1].serial_number:X}",),
            left=(),
            reason=RevocationReason.CERTIFICATE_HOLD,
        )
    ]
    with folder.revocation.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["id"], row["oldcert"]) == ("1.1:a", cell(both[0]))
    for one in folder.path.iterdir():
        assert one.stat().st_mode & 0o777 == 0o600
