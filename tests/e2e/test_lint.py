"""`enroll --lint`: what is issued is linted, and counted by rule."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, RunFolder, WritePopulation

ABSENT = "cabf.serverauth.subscriber.subject_altname_extension_absent"


def test_findings_are_counted_and_change_no_outcome(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    options = (*ca.options(), "--lint", "--lint-profile", "cabf-serverauth")
    ended = cli("enroll", write_population(70), *options, "--out", run.path)
    assert run.outcomes() == {("issued", "")}
    lint = run.summary()["lint"]
    assert (lint["profile"], lint["every"], lint["complete"]) == ("cabf-serverauth", 1, True)
    assert (lint["certificates"], lint["flawed"]) == (70, 70)
    counts = {one["rule"]: one for one in lint["findings"]}
    assert counts[ABSENT] == {
        "rule": ABSENT,
        "severity": "error",
        "certificates": 70,
        "example": "dev000001",
    }
    said = " ".join(ended.out.split())
    assert "lint by cabf-serverauth: 70 of 70 certificates have findings" in said
    assert "more rules in summary.json" in said
    assert "linting certificates" in ended.err


def test_each_nth_and_a_clean_profile(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    options = (*ca.options(), "--lint", "--lint-every", "3", "--lint-fail")
    ended = cli("enroll", write_population(7), *options, "--out", run.path)
    lint = run.summary()["lint"]
    assert (lint["profile"], lint["certificates"], lint["flawed"]) == ("rfc5280", 3, 0)
    assert lint["findings"] == []
    assert "lint by rfc5280, one in 3: 0 of 3 certificates have findings" in ended.out


def test_lint_fail_makes_failures_of_findings(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    options = (*ca.options(), "--lint", "--lint-profile", "cabf-serverauth", "--lint-fail")
    told = ("--on-issued", "false")
    ended = cli("enroll", write_population(2), *options, *told, "--out", run.path, code=1)
    assert "0 of 0 certificates delivered; 2 withheld, which break a lint rule" in ended.out
    ((outcome, reason),) = run.outcomes()
    assert outcome == "issued, breaks a lint rule"
    assert reason.startswith("cabf.serverauth.")
    assert "2  issued, breaks a lint rule" in ended.out
    # they are there, and confirmed
    assert all((run.path / row["cert_file"]).exists() for row in run.results())
    before = ca.count()
    cli("resume", run.path, code=1)
    assert run.outcomes() == {(outcome, reason)}
    assert ca.count() == before


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--lint-fail",), "--lint-fail, but not --lint"),
        (("--lint-every", "2"), "--lint-every, but not --lint"),
        (("--lint-profile", "etsi"), "--lint-profile, but not --lint"),
        (("--lint", "--lint-every", "0"), "--lint-every is 0"),
        (("--lint", "--lint-profile", "x.509"), "--lint-profile: 'x.509' is not known"),
    ],
)
def test_bad_options(
    cli: "Cli",
    ca: "Ca",
    write_population: "WritePopulation",
    run: "RunFolder",
    given: tuple[str, ...],
    said: str,
) -> None:
    ended = cli("enroll", write_population(1), *ca.options(), *given, "--out", run.path, code=2)
    assert said in ended.err
    assert not run.path.exists()


def test_without_lint_nothing_is_said_of_it(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    ended = cli("enroll", write_population(1), *ca.options(), "--out", run.path)
    assert run.summary()["lint"] is None
    assert "lint by" not in ended.out + ended.err
