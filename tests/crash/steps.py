"""What is killed, and at which steps of it."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bulkcmp.testca.aliases import Behaviour
from tests.crash.failpoint import Failpoint

if TYPE_CHECKING:
    from tests.crash.stage import Stage

ISSUED = "issued"
UNKNOWN = "unknown outcome"

# --- what is killed -------------------------------------------------------------------------------


def plain(stage: "Stage") -> str:
    return stage.population(3)


def two(stage: "Stage") -> str:
    return stage.population(2)


def four(stage: "Stage") -> str:
    return stage.population(4)


def central(stage: "Stage") -> str:
    return stage.population(3, centralkeygen="yes")


def with_passwords(stage: "Stage") -> str:
    return stage.population(3, out_pass="make")


def mixed(stage: "Stage") -> str:
    """A row of each operation besides ir."""
    shutil.copytree(stage.troupe.seeds / "certs", stage.folder / "seeds")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dev000002")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    (stage.folder / "csr.pem").write_bytes(csr.public_bytes(Encoding.PEM))
    return stage.write(
        ["id", "cmd", "cert", "key", "oldcert", "csr", "infotype"],
        ["dev000001", "kur", "seeds/dev000001.pem", "seeds/dev000001.key.pem", "", "", ""],
        ["dev000002", "p10cr", "", "", "", "csr.pem", ""],
        ["dev000003", "rr", "", "", "seeds/dev000003.pem", "", ""],
        ["dev000004", "genm", "", "", "", "", "caCerts"],
    )


@dataclass(frozen=True)
class Act:
    """A run, and what its rows come to where nothing gets in its way."""

    population: Callable[["Stage"], str]
    outcomes: tuple[str, ...]
    options: tuple[str, ...] = ()
    behaviour: Behaviour = field(default_factory=Behaviour)
    confirms: bool = True
    makes_keys: bool = True


TELL = "echo $BULKCMP_TOKEN >> told"
REFUSE_ONCE = f"{TELL}; test $(grep -c -- -2- told) != 1"
"""The second row is refused when it is told of for the first time."""


def told_by(script: str) -> tuple[str, ...]:
    return ("--on-issued", f"sh -c '{script}'", "--on-issued-concurrency", "1")


ACTS: Final = {
    "certConf": Act(plain, (ISSUED,) * 3),
    "implicit": Act(plain, (ISSUED,) * 3, ("--implicit-confirm",), confirms=False),
    "several": Act(four, (ISSUED,) * 4, ("--certs-per-message", "3")),
    "polling": Act(plain, (ISSUED,) * 3, behaviour=Behaviour(poll_count=1, check_after=0)),
    "central": Act(central, (ISSUED,) * 3, makes_keys=False),
    "passwords": Act(with_passwords, (ISSUED,) * 3),
    "delivering": Act(two, (ISSUED,) * 2, told_by(TELL)),
    "refusing": Act(two, (ISSUED,) * 2, told_by(REFUSE_ONCE)),
    "mixed": Act(mixed, (ISSUED, ISSUED, "revoked", "answered"), ("--accept-revoked",)),
}

# --- where ----------------------------------------------------------------------------------------

WRITE: Final = "bulkcmp.journal.journal:Journal.write"
SEND: Final = "bulkcmp.engine.driver:_answer"
TAKES_ITS_PLACE: Final = "pathlib:Path.replace"


BEFORE: Final = ("before",)
AFTER: Final = ("after",)
MOMENTS: Final = (*BEFORE, *AFTER)


@dataclass(frozen=True)
class Step:
    """A step, and who is in doubt where a run dies before it, or after it.

    Attributes:
        before, after: numbers of the rows that `resume` must name unknown.
        worker: a worker that dies alone at that step is a case of its own.
        small: the moments that are of the small size too.
        cut: where the session before was killed; else there was none.
    """

    act: str
    failpoint: Failpoint
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    worker: bool = False
    small: tuple[str, ...] = ()
    cut: Failpoint | None = None

    def at(self, moment: str) -> Failpoint:
        return replace(self.failpoint, after=moment == "after")

    def doubtful(self, moment: str, *, is_worker: bool) -> tuple[int, ...]:
        """Numbers of the rows that are named unknown where all die in that moment, or a worker."""
        # what a worker said before it died is written all the same
        is_late = moment == "after" or (is_worker and self.failpoint.at == WRITE)
        return self.after if is_late else self.before


def written(entry: str, number: int) -> Failpoint:
    """An entry of a row is made durable."""
    return Failpoint(WRITE, of=rf"{entry}\((?:(?!Begun\(|Advanced\(|Ended\().)*\bnumber={number},")


def sent(label: str, nth: int = 1) -> Failpoint:
    return Failpoint(SEND, of=f"label='{label}'", nth=nth)


def placed(name: str) -> Failpoint:
    """A file is renamed to its name."""
    return Failpoint(TAKES_ITS_PLACE, of=rf"{name}\.tmp'")


UNCONFIRMED: Final = sent("certConf", 2)

STEPS: Final = {
    # the run folder and its journal
    "folder made": Step("certConf", Failpoint("bulkcmp.journal.folder:HeldFolder.make")),
    "journal drafted": Step("certConf", Failpoint("bulkcmp.journal.sqlite:_write_draft")),
    "journal named": Step(
        "certConf", Failpoint("pathlib:Path.rename", of="journal.db.draft"), small=BEFORE
    ),
    "folder synced": Step("certConf", Failpoint("bulkcmp.journal.folder:HeldFolder.sync")),
    # a row
    "request recorded": Step(
        "certConf", written("Begun", 2), after=(2,), worker=True, small=BEFORE
    ),
    "request sent": Step("certConf", sent("ir", 2), (2,), (2,), worker=True, small=MOMENTS),
    "certificate stored": Step(
        "certConf", written("Advanced", 2), before=(2,), worker=True, small=MOMENTS
    ),
    "certConf sent": Step("certConf", sent("certConf", 2), worker=True, small=AFTER),
    "row done": Step("certConf", written("Ended", 3), worker=True, small=BEFORE),
    # the other ways of a row
    "implicit: certificate stored": Step("implicit", written("Advanced", 2), before=(2,)),
    "implicit: row done": Step("implicit", written("Ended", 3)),
    "several: requests recorded": Step("several", written("Begun", 1), after=(1, 2, 3)),
    "several: requests sent": Step("several", sent("ir"), (1, 2, 3), (1, 2, 3), worker=True),
    "several: certificates stored": Step(
        "several", written("Advanced", 1), before=(1, 2, 3), worker=True, small=AFTER
    ),
    "several: certConf sent": Step("several", sent("certConf"), worker=True),
    "waiting recorded": Step("polling", written("Advanced", 2), before=(2,), worker=True),
    # the certificate may be in the answer that is lost
    "pollReq sent": Step("polling", sent("pollReq", 2), after=(2,), worker=True, small=AFTER),
    "central: key stored": Step("central", written("Advanced", 2), before=(2,), worker=True),
    "kur sent": Step("mixed", sent("kur"), (1,), (1,)),
    "kur stored": Step("mixed", written("Advanced", 1), before=(1,)),
    "p10cr sent": Step("mixed", sent("p10cr"), (2,), (2,), worker=True),
    "p10cr stored": Step("mixed", written("Advanced", 2), before=(2,)),
    "rr recorded": Step("mixed", written("Begun", 3), after=(3,)),
    "rr sent": Step("mixed", sent("rr"), (3,), (3,), worker=True, small=AFTER),
    "rr done": Step("mixed", written("Ended", 3), before=(3,)),
    # a question that is asked twice does no harm
    "genm sent": Step("mixed", sent("genm")),
    "genm done": Step("mixed", written("Ended", 4)),
    # what a session leaves besides
    "settled": Step("certConf", Failpoint("bulkcmp.journal.journal:Journal.settle", nth=2)),
    "results": Step("certConf", placed("results.csv")),
    "passwords": Step("passwords", placed("passwords.*")),
    "key file": Step("certConf", placed("000002.key.pem")),
    "certificate file": Step("certConf", placed("000002.pem"), small=BEFORE),
    "files synced": Step("certConf", Failpoint("bulkcmp.outputs.files:sync_folder", of="/certs'")),
    "summary": Step("certConf", placed("summary.json")),
    "manifest": Step("certConf", placed("manifest.json"), small=BEFORE),
    "sums": Step("certConf", placed("SHA256SUMS")),
    "closed": Step("certConf", Failpoint("bulkcmp.journal.journal:Journal.close")),
    # deliveries
    "told": Step(
        "delivering", Failpoint("bulkcmp.engine.courier:_Command.__call__", nth=2), small=MOMENTS
    ),
    "told recorded": Step("delivering", written("Attempted", 2)),
    "refusal kept": Step("refusing", placed("000002.log")),
    # a resumed run
    "resume: settled": Step(
        "certConf", Failpoint("bulkcmp.journal.journal:Journal.settle"), cut=UNCONFIRMED
    ),
    "resume: recorded": Step(
        "certConf", Failpoint(WRITE, of="Resumed"), cut=UNCONFIRMED, small=AFTER
    ),
    "resume: certConf sent": Step("certConf", sent("certConf"), cut=UNCONFIRMED),
    "resume: polled": Step(
        "polling", sent("pollReq"), after=(2,), cut=replace(written("Advanced", 2), after=True)
    ),
    "resume: sums set aside": Step(
        "certConf",
        Failpoint("bulkcmp.engine.session:set_aside"),
        cut=Failpoint("bulkcmp.journal.journal:Journal.close"),
    ),
    "resume: sums compared": Step(
        "certConf",
        Failpoint("bulkcmp.engine.harvest:remove_damaged"),
        cut=Failpoint("bulkcmp.journal.journal:Journal.close"),
    ),
}
