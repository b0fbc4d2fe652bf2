import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bulkcmp.engine.options import Options
from bulkcmp.engine.plan import Plan
from bulkcmp.engine.start import begin, begin_on, go_on, open_run, refuse_used
from bulkcmp.errors import InputError, InputErrors
from bulkcmp.io.keyworker import make_keys
from bulkcmp.journal.entry import Skipped
from bulkcmp.journal.folder import FILE_NAME
from bulkcmp.journal.journal import Journal
from bulkcmp.journal.keyfile import KeyFile
from bulkcmp.model import BadRow, KeySpec, Secret
from bulkcmp.testca import state

ENVIRON = {"S": "a secret", "K": "a passphrase", "WRONG": "another"}
RUN = Path("run")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory: a CA and a population."""
    monkeypatch.chdir(tmp_path)
    state.create(tmp_path / "ca", state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
    Path("a.csv").write_text("id,subject\na,/CN=a\nb,/CN=b\n")


def options(**changes: Any) -> Options:
    good = {
        "server": "http://ca.test/",
        "secret": "env:S",
        "trusted": ("ca/ca.pem",),
        "key_pass": "env:K",
    }
    return Options.merge(good, changes)


def resume(environ: dict[str, str] = ENVIRON, **given: Any) -> tuple[Plan, Journal]:
    return go_on(Journal.open(RUN), given, environ, retry_unknown=False, retry_failed=False)


def refused(*, environ: dict[str, str] = ENVIRON, **given: Any) -> str:
    with pytest.raises(InputError) as raised:
        resume(environ, **given)
    # whoever is refused leaves the run to others
    Journal.open(RUN).close()
    return str(raised.value)


def test_begin_then_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, journal = begin("a.csv", options(rate=5.0), RUN, ENVIRON)
    with journal:
        facts = journal.facts
        assert facts["population"] == str(tmp_path / "a.csv")
        assert facts["sha256"] == plan.population.digest()
        assert facts["options"]["trusted"] == [str(tmp_path / "ca" / "ca.pem")]
        assert not journal.is_plain
    # from anywhere else
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    journal = open_run(tmp_path / RUN, None, None)
    again, journal = go_on(journal, {"workers": 3}, ENVIRON, retry_unknown=True, retry_failed=False)
    with journal:
        assert (again.setup.rate, again.workers) == (5.0, 3)
        assert again.key_pass == Secret(b"a passphrase")
        assert (again.retry_unknown, again.retry_failed) == (True, False)
        assert again.setup.anchors == plan.setup.anchors


@pytest.mark.parametrize(
    "changes",
    [
        {"newkey": "rsa:1"},
        {"subject_check": "x"},
        {"server": "ftp://h/"},
        {"proxy": "socks5://h:1"},
        {"server": "https://h", "tls_cert": "ca/ca.pem", "tls_key": "ca/ra.key"},
    ],
)
def test_nothing_is_left_of_a_run_that_can_not_begin(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        begin("a.csv", options(**changes), RUN, ENVIRON)
    assert not RUN.exists()


def test_bad_rows_are_refused_unless_they_are_skipped() -> None:
    Path("a.csv").write_text("id,subject\na,/CN=a\nb,CN\n")
    with pytest.raises(InputError, match=r"a\.csv: 1 of 2 rows can't be used"):
        begin("a.csv", options(), RUN, ENVIRON)
    assert not RUN.exists()
    _, journal = begin("a.csv", options(skip_bad_rows=True), RUN, ENVIRON)
    journal.close()
    plan, journal = resume()
    journal.close()
    assert plan.skip_bad_rows


def test_messages_are_saved_into_a_folder_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ca: is not an empty folder"):
        begin("a.csv", options(save_messages="ca"), RUN, ENVIRON)
    assert not RUN.exists()
    plan, journal = begin("a.csv", options(save_messages="messages"), RUN, ENVIRON)
    journal.close()
    assert plan.setup.save_messages == "messages"
    Path("messages/of-the-first-session.der").touch()
    plan, journal = resume()
    journal.close()
    assert plan.setup.save_messages == str(tmp_path / "messages")


def test_a_folder_that_is_in_use() -> None:
    refuse_used(RUN)
    RUN.mkdir()
    refuse_used(RUN)
    (RUN / FILE_NAME).touch()
    with pytest.raises(InputError, match="run: holds a run already"):
        refuse_used(RUN)
    with pytest.raises(InputError, match=r"a\.csv: is a file, not a folder"):
        refuse_used(Path("a.csv"))
    # found before all else
    with pytest.raises(InputError, match="holds a run already"):
        begin("nowhere.csv", Options(), RUN, ENVIRON)


def test_a_key_file_must_have_a_key_for_each_row() -> None:
    spec = KeySpec.parse("ed25519")
    with KeyFile.open_or_create(Path("k.db"), Secret(b"a passphrase")) as keys:
        keys.append(spec, make_keys(spec, 1))
        with pytest.raises(InputError, match=r"k\.db: 2 ed25519 keys are wanted, and 1 are free"):
            begin("a.csv", options(keys="k.db"), RUN, ENVIRON)
        with pytest.raises(InputError, match=r"k\.db: 2 ed448 keys are wanted, and 0 are free"):
            begin("a.csv", options(keys="k.db", newkey="ed448"), RUN, ENVIRON)
        keys.append(spec, make_keys(spec, 1))
    with pytest.raises(InputError, match="wrong passphrase"):
        begin("a.csv", options(keys="k.db", keys_pass="env:WRONG"), RUN, ENVIRON)
    assert not RUN.exists()
    plan, journal = begin("a.csv", options(keys="k.db"), RUN, ENVIRON)
    journal.close()
    assert plan.key_file == Path("k.db")


def test_wrong_passphrase() -> None:
    begin("a.csv", options(), RUN, ENVIRON)[1].close()
    assert refused(key_pass="env:WRONG") == "run: wrong passphrase"
    assert "no variable 'K'" in refused(environ={"S": "a secret"})


def test_changed_population() -> None:
    begin("a.csv", options(), RUN, ENVIRON)[1].close()
    # even what is no population any more has changed in the first place
    Path("a.csv").write_text("nonsense\n")
    assert "the population has changed since the run began" in refused()
    Path("a.csv").unlink()
    assert "a.csv: no such file" in refused()


def test_a_run_on_a_mapped_source_goes_on_with_the_same_rules() -> None:
    Path("users.jsonl").write_text('{"uid": "ann"}\n')
    rules = Path("rules.toml")
    rules.write_text('[columns]\nid = "{uid}"\nsubject = "/CN={uid}"\n')
    mapped = options(map="rules.toml")
    plan, journal = begin("users.jsonl", mapped, RUN, ENVIRON)
    journal.close()
    assert [row.id for row in plan.rows] == ["ann"]
    again, journal = resume()
    journal.close()
    assert [row.id for row in again.rows] == ["ann"]
    Path("users.jsonl").write_text('{"uid": "bo"}\n')
    assert "users.jsonl: the population has changed since the run began" in refused()
    Path("users.jsonl").write_text('{"uid": "ann"}\n')
    rules.write_text('[columns]\nid = "{uid}"\nsubject = "/CN={uid}/O=Acme"\n')
    assert "rules.toml: the mapping rules have changed since the run began" in refused()


def test_mapping_rules_may_have_moved() -> None:
    Path("users.jsonl").write_text('{"uid": "ann"}\n')
    Path("rules.toml").write_text('[columns]\nid = "{uid}"\nsubject = "/CN={uid}"\n')
    begin("users.jsonl", options(map="rules.toml"), RUN, ENVIRON)[1].close()
    Path("rules.toml").rename("moved.toml")
    assert "rules.toml: no such file" in refused()
    plan, journal = resume(map="moved.toml")
    journal.close()
    assert [row.id for row in plan.rows] == ["ann"]
    Path("others.toml").write_text('[columns]\nid = "x-{uid}"\n')
    assert "others.toml: the mapping rules have changed" in refused(map="others.toml")


def test_a_run_on_a_range_goes_on() -> None:
    ranged = options(subject="/CN={id}")
    plan, journal = begin("range:dev-{1..2}", ranged, RUN, ENVIRON)
    with journal:
        assert journal.facts["population"] == "range:dev-{1..2}"
    again, journal = resume()
    journal.close()
    assert [row.id for row in plan.rows] == [row.id for row in again.rows] == ["dev-1", "dev-2"]
    assert ranged.run_folder("range:dev-{1..2}") == "runs/dev-1-2"


def test_a_population_of_our_own_is_read_as_it_is() -> None:
    Path("rules.toml").write_text('[columns]\nid = "{uid}"\n')
    rows = [{"id": "a", "subject": "/CN=a"}]
    plan, journal = begin_on(("id", "subject"), rows, options(map="rules.toml"), RUN, ENVIRON)
    journal.close()
    assert [row.id for row in plan.rows] == ["a"]


def test_a_population_of_the_user_is_not_written_over() -> None:
    theirs = Path("population.csv")
    theirs.write_text("id\na\n")
    with pytest.raises(InputError, match=r"population\.csv: is there already"):
        begin_on(("id",), [{"id": "b"}], options(), Path(), ENVIRON)
    assert theirs.read_text() == "id\na\n"


def test_a_run_that_is_refused_leaves_no_folder() -> None:
    unseen = ("id", "subject"), [{"id": "a", "subject": "nonsense"}]
    with pytest.raises(InputErrors):
        begin_on(*unseen, options(), RUN, ENVIRON)
    nested = Path("runs/17")
    with pytest.raises(InputError, match=r"the database can't be reached|not installed"):
        begin("a.csv", options(journal="postgresql://u@127.0.0.1:1/x"), nested, ENVIRON)
    with pytest.raises(InputError, match="which run"):
        open_run(nested, "postgresql://u@127.0.0.1:1/x", None)
    assert not RUN.exists()
    assert not nested.parent.exists()


def test_plain_run_needs_no_passphrase() -> None:
    plain = replace(options(), key_pass=None, plain_keys=True)
    begin("a.csv", plain, RUN, ENVIRON)[1].close()
    # and minds none
    plan, journal = resume(key_pass="env:K")
    journal.close()
    assert plan.plain_keys
    assert plan.key_pass is None


def test_rows_that_have_gone_bad_since() -> None:
    Path("own.pem").write_bytes(Path("ca/ca.key").read_bytes())
    Path("a.csv").write_text("id,subject,newkey\na,/CN=a,own.pem\n")
    begin("a.csv", options(), RUN, ENVIRON)[1].close()
    Path("own.pem").unlink()
    assert "1 of 1 rows can't be used" in refused()


def test_a_run_is_named_by_its_database_too() -> None:
    with pytest.raises(InputError, match="--run without --journal"):
        open_run(RUN, None, "4711")


@pytest.mark.parametrize("term", [0.0, 0.5, -1.0, float("nan"), float("inf")])
def test_a_lease_has_a_sensible_term(term: float) -> None:
    with pytest.raises(InputError, match=r"--journal-lease is .*at least 1 seconds"):
        begin("a.csv", options(journal_lease=term), RUN, ENVIRON)
    assert not RUN.exists()


def test_a_lease_is_of_a_journal_in_a_database() -> None:
    stated = replace(options(journal_lease=5.0), stated=frozenset({"journal_lease"}))
    with pytest.raises(InputError, match="--journal-lease is for a journal in a database"):
        begin("a.csv", stated, RUN, ENVIRON)
    assert not RUN.exists()
    # in a file that is for runs of any kind
    begin("a.csv", options(journal_lease=5.0), RUN, ENVIRON)[1].close()
    with pytest.raises(InputError, match="--journal-lease is for a journal in a database"):
        resume(journal_lease=5.0)
    resume()[1].close()


def test_the_population_may_have_moved() -> None:
    begin("a.csv", options(), RUN, ENVIRON)[1].close()
    Path("a.csv").rename("b.csv")
    with pytest.raises(InputError):
        resume()
    Journal.open(RUN).close()
    plan, journal = go_on(
        Journal.open(RUN), {}, ENVIRON, population="b.csv", retry_unknown=False, retry_failed=False
    )
    journal.close()
    assert plan.population_file == "b.csv"


@pytest.mark.peer
def test_a_run_with_its_journal_in_a_database(database: str) -> None:
    plan, journal = begin("a.csv", options(journal=database), RUN, ENVIRON)
    with journal:
        run = journal.run_id
        assert journal.facts["options"]["journal"] == database
        # nobody else goes on with it, from wherever
        waited: list[str] = []

        def live(what: str) -> None:
            waited.append(what)
            journal.write([Skipped(BadRow(1, 2, "a", ()), dt.datetime.now(dt.UTC))])

        with pytest.raises(InputError, match="another bulkcmp is at work on this run"):
            go_on(
                open_run(Path("elsewhere"), database, run), {}, ENVIRON,
                retry_unknown=False, retry_failed=False, on_notice=live,
            )  # fmt: skip
        assert "waiting for process" in waited[0]
    with pytest.raises(InputError, match="holds a run already"):
        begin("a.csv", options(), RUN, ENVIRON)
    again, journal = resume()
    journal.close()
    assert again.setup.anchors == plan.setup.anchors
