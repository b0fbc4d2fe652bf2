"""kill -9 before and after each durable step: what `resume` finds, and what it makes of it."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bulkcmp.testca.aliases import Behaviour
from tests.aftermath import check_files
from tests.crash.failpoint import Failpoint

if TYPE_CHECKING:
    from tests.crash.stage import Stage

IS_FULL = os.environ.get("BULKCMP_SCALE") == "full"

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


TELL = "sh -c 'echo $BULKCMP_TOKEN >> told'"

ACTS: Final = {
    "certConf": Act(plain, (ISSUED,) * 3),
    "implicit": Act(plain, (ISSUED,) * 3, ("--implicit-confirm",), confirms=False),
    "several": Act(four, (ISSUED,) * 4, ("--certs-per-message", "3")),
    "polling": Act(plain, (ISSUED,) * 3, behaviour=Behaviour(poll_count=1, check_after=0)),
    "central": Act(central, (ISSUED,) * 3, makes_keys=False),
    "passwords": Act(with_passwords, (ISSUED,) * 3),
    "delivering": Act(two, (ISSUED,) * 2, ("--on-issued", TELL, "--on-issued-concurrency", "1")),
    "mixed": Act(mixed, (ISSUED, ISSUED, "revoked", "answered"), ("--accept-revoked",)),
}

# --- where ----------------------------------------------------------------------------------------

WRITE: Final = "bulkcmp.journal.journal:Journal.write"
SEND: Final = "bulkcmp.engine.driver:_answer"
TAKES_ITS_PLACE: Final = "pathlib:Path.replace"


@dataclass(frozen=True)
class Step:
    """A step, and who is in doubt where a run dies before it, or after it.

    Attributes:
        before, after: numbers of the rows that `resume` must name unknown.
        worker: a worker that dies alone at that step is a case of its own.
        always: it is of the small size too.
        cut: where the session before was killed; else there was none.
    """

    act: str
    failpoint: Failpoint
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    worker: bool = False
    always: bool = False
    cut: Failpoint | None = None


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
        "certConf", Failpoint("pathlib:Path.rename", of="journal.db.draft"), always=True
    ),
    "folder synced": Step("certConf", Failpoint("bulkcmp.journal.folder:HeldFolder.sync")),
    # a row
    "request recorded": Step("certConf", written("Begun", 2), after=(2,), worker=True, always=True),
    "request sent": Step("certConf", sent("ir", 2), (2,), (2,), worker=True, always=True),
    "certificate stored": Step(
        "certConf", written("Advanced", 2), before=(2,), worker=True, always=True
    ),
    "certConf sent": Step("certConf", sent("certConf", 2), worker=True, always=True),
    "row done": Step("certConf", written("Ended", 3), worker=True, always=True),
    # the other ways of a row
    "implicit: certificate stored": Step("implicit", written("Advanced", 2), before=(2,)),
    "implicit: row done": Step("implicit", written("Ended", 3)),
    "several: requests recorded": Step("several", written("Begun", 1), after=(1, 2, 3)),
    "several: requests sent": Step("several", sent("ir"), (1, 2, 3), (1, 2, 3), worker=True),
    "several: certificates stored": Step(
        "several", written("Advanced", 1), before=(1, 2, 3), worker=True, always=True
    ),
    "several: certConf sent": Step("several", sent("certConf"), worker=True),
    "waiting recorded": Step("polling", written("Advanced", 2), before=(2,), worker=True),
    # the certificate may be in the answer that is lost
    "pollReq sent": Step("polling", sent("pollReq", 2), after=(2,), worker=True, always=True),
    "central: key stored": Step("central", written("Advanced", 2), before=(2,), worker=True),
    "kur sent": Step("mixed", sent("kur"), (1,), (1,)),
    "kur stored": Step("mixed", written("Advanced", 1), before=(1,)),
    "p10cr sent": Step("mixed", sent("p10cr"), (2,), (2,), worker=True),
    "p10cr stored": Step("mixed", written("Advanced", 2), before=(2,)),
    "rr recorded": Step("mixed", written("Begun", 3), after=(3,)),
    "rr sent": Step("mixed", sent("rr"), (3,), (3,), worker=True, always=True),
    "rr done": Step("mixed", written("Ended", 3), before=(3,)),
    # a question that is asked twice does no harm
    "genm sent": Step("mixed", sent("genm")),
    "genm done": Step("mixed", written("Ended", 4)),
    # what a session leaves besides
    "settled": Step("certConf", Failpoint("bulkcmp.journal.journal:Journal.settle", nth=2)),
    "results": Step("certConf", placed("results.csv")),
    "passwords": Step("passwords", placed("passwords.*")),
    "key file": Step("certConf", placed("dev000002.key.pem")),
    "certificate file": Step("certConf", placed("dev000002.pem"), always=True),
    "files synced": Step("certConf", Failpoint("bulkcmp.outputs.files:_sync_folder", of="/certs'")),
    "summary": Step("certConf", placed("summary.json")),
    "manifest": Step("certConf", placed("manifest.json"), always=True),
    "sums": Step("certConf", placed("SHA256SUMS")),
    "closed": Step("certConf", Failpoint("bulkcmp.journal.journal:Journal.close")),
    # deliveries
    "told": Step(
        "delivering", Failpoint("bulkcmp.engine.courier:_Command.__call__", nth=2), always=True
    ),
    "told recorded": Step("delivering", written("Attempted", 2)),
    # a resumed run
    "resume: settled": Step(
        "certConf", Failpoint("bulkcmp.journal.journal:Journal.settle"), cut=UNCONFIRMED
    ),
    "resume: recorded": Step(
        "certConf", Failpoint(WRITE, of="Resumed"), cut=UNCONFIRMED, always=True
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

CASES: Final = {
    f"{name}, {'after' if after else 'before'}": (step, after)
    for name, step in STEPS.items()
    if step.always or IS_FULL
    for after in (False, True)
}


def begin(
    stage: "Stage", act: Act, failpoint: Failpoint, *, is_worker: bool = False
) -> Callable[[], int]:
    """Have a run begin, and die; returns what goes on with it."""
    stage.behaviour = act.behaviour
    population = act.population(stage)
    stage.begin(population, *act.options, failpoint=failpoint, is_worker=is_worker)
    if stage.holds_run:
        stage.aftermath().check_promises(confirms=act.confirms, makes_keys=act.makes_keys)
        return lambda: stage("resume", "run")
    # the folder may be used again, for nothing was begun
    assert not stage.issued()
    return lambda: stage.begin(population, *act.options)


def check(stage: "Stage", act: Act, go_on: Callable[[], int], doubtful: Sequence[int]) -> None:
    """A run goes on until it has ended, and leaves no doubt but about these rows."""
    code = go_on()
    expected = [
        UNKNOWN if number in doubtful else outcome
        for number, outcome in enumerate(act.outcomes, start=1)
    ]
    assert stage.outcomes() == expected, stage.log()
    assert code == (1 if doubtful else 0), stage.log()
    stage.aftermath().check_ended(makes_keys=act.makes_keys)
    check_files(stage.out)
    if act.options[:1] == ("--on-issued",):
        check_told(stage)
    if doubtful:
        assert stage("resume", "run", "--retry-unknown") == 0, stage.log()
        assert stage.outcomes() == list(act.outcomes)
        stage.aftermath().check_ended(makes_keys=act.makes_keys)
        check_files(stage.out)


def check_told(stage: "Stage") -> None:
    """Each is told of, and only what was under way is told of twice."""
    told = Counter((stage.folder / "told").read_text().split())
    tokens = {row["transaction_id"]: int(row["row"]) for row in stage.results()}
    counts = {tokens[token.rpartition("-")[2]]: count for token, count in told.items()}
    assert counts.keys() == {1, 2}
    assert counts[1] == 1
    assert counts[2] <= 2
    assert {row["delivery"] for row in stage.results()} == {"delivered"}


@pytest.mark.parametrize("name", CASES)
def test_all_die_at_once(stage: "Stage", name: str) -> None:
    step, after = CASES[name]
    act, failpoint = ACTS[step.act], replace(step.failpoint, after=after)
    if step.cut is None:
        go_on = begin(stage, act, failpoint)
    else:
        go_on = begin(stage, act, step.cut)
        stage("resume", "run", failpoint=failpoint)
        stage.aftermath().check_promises(confirms=act.confirms, makes_keys=act.makes_keys)
    check(stage, act, go_on, step.after if after else step.before)


@pytest.mark.parametrize("name", [name for name, (step, _) in CASES.items() if step.worker])
def test_a_worker_dies_alone(stage: "Stage", name: str) -> None:
    """The run goes on with another, by the rules of `resume`."""
    step, after = CASES[name]
    act, failpoint = ACTS[step.act], replace(step.failpoint, after=after)
    # what a worker said before it died is written all the same
    doubtful = step.after if after or failpoint.at == WRITE else step.before
    go_on = begin(stage, act, failpoint, is_worker=True)
    found = [one for one, outcome in enumerate(stage.outcomes(), start=1) if outcome == UNKNOWN]
    assert found == list(doubtful)
    check(stage, act, go_on, doubtful)
