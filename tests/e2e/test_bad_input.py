"""Bad input: a clear error and exit code 2 before any request, and nothing is left behind."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, MakeServer, RunFolder, WritePopulation

GOOD = ("id,subject", "a,/CN=a/O=Acme/C=SE")


@dataclass(frozen=True)
class Case:
    """What is wrong, and what is said of it."""

    says: tuple[str, ...]
    lines: Sequence[str] = GOOD
    options: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)


CASES = {
    "missing file": Case(("nowhere.csv: no such file",), lines=()),
    "empty CSV": Case(("devices.csv: the file is empty",), lines=("",)),
    "header only": Case(("devices.csv: the file has a header, but no rows",), lines=GOOD[:1]),
    "unknown column": Case(
        ("devices.csv:1: unknown column 'subjct'", "did you mean 'subject'?"),
        lines=("id,subjct", "a,/CN=a"),
    ),
    "bad DN": Case(
        ("devices.csv:3 (row 2), column subject: RDN 'XX=1': unknown attribute type 'XX'",),
        lines=(*GOOD, "b,/XX=1"),
    ),
    "bad key spec": Case(
        ("--newkey: 'rsa:1' is neither a key spec nor a file", "key specs are rsa:2048"),
        options=("--newkey", "rsa:1"),
    ),
    "duplicate id": Case(
        ("devices.csv:3 (row 2), column id: duplicate id 'a': line 2 has it",),
        lines=(*GOOD, "a,/CN=b"),
    ),
    "unreadable anchor": Case(
        ("--trusted: nowhere.pem: no such file",), options=("--trusted", "nowhere.pem")
    ),
    "no anchor": Case(("no trust anchor", "--trusted FILE"), without=("--trusted",)),
    "p12 can't hold the key": Case(
        ("--newkey: p12 files can't hold ml-dsa-65 keys", "--out-format pem, der or jks"),
        options=("--out-format", "p12", "--newkey", "ml-dsa-65"),
    ),
    "p12 can't hold a row's key": Case(
        ("devices.csv:2 (row 1), column newkey: p12 files can't hold ml-dsa-44 keys",),
        lines=("id,subject,newkey", "a,/CN=a,ml-dsa-44"),
        options=("--out-format", "p12"),
    ),
    "keys without protection": Case(
        ("--key-pass SOURCE", "--plain-keys"), without=("--key-pass",)
    ),
    "no credential": Case(
        ("no credential", "--ref TEXT and --secret SOURCE"), without=("--secret",)
    ),
    "secret without a source": Case(
        ("--secret: not a source of a secret (its text is not shown here)", "env:NAME"),
        options=("--secret", "swordfish"),
    ),
    "rate nan": Case(("--rate is nan; it must be",), options=("--rate", "nan")),
    "not a number": Case(("Invalid value for '--rate'",), options=("--rate", "fast")),
    "unknown option": Case(("No such option: --serve", "--server"), options=("--serve", "x")),
    "port out of range": Case(("--server: Port out of range",), options=("--server", "h:70000")),
    "TLS over http": Case(
        ("--tls-cert is for https, and --server is http",), options=("--tls-cert", "x.pem")
    ),
    "proxy of another kind": Case(
        ("the proxy in --proxy is not an HTTP proxy",), options=("--proxy", "socks5://h")
    ),
    "proxy of another kind in the environment": Case(
        ("the proxy in all_proxy is not an HTTP proxy",), environ={"all_proxy": "socks5://h"}
    ),
    "unknown setting": Case(
        ("bad.toml:1, key sever: unknown setting 'sever'", "did you mean 'server'?"),
        options=("--config", "bad.toml"),
    ),
    "missing key file": Case(("gone.db: the key file",), options=("--keys", "gone.db")),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_bad_input(
    cli: "Cli",
    ca: "Ca",
    make_server: "MakeServer",
    write_population: "WritePopulation",
    run: "RunFolder",
    case: Case,
) -> None:
    server = make_server(lambda _n, _body: None)
    (cli.folder / "bad.toml").write_text('sever = "x"\n')
    if case.lines:
        write_population(lines=case.lines)
    options = dict(zip(ca.options()[::2], ca.options()[1::2], strict=True))
    options["--server"] = server.url
    given = [text for name, value in options.items() if name not in case.without
             for text in (name, value)]  # fmt: skip
    cli.environ.update(case.environ)
    population = "devices.csv" if case.lines else "nowhere.csv"
    ended = cli("enroll", population, *given, *case.options, "--out", run.path, code=2)
    said = " ".join(ended.err.replace("│", " ").split())
    for text in case.says:
        assert text in said, ended.err
    assert "swordfish" not in ended.err
    assert ended.out == ""
    assert server.connections == 0
    assert not run.path.exists()


def test_the_folder_of_another_run(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    population = write_population(lines=GOOD)
    cli("enroll", population, *ca.options(), "--out", run.path)
    before = run.all_bytes(), ca.count()
    again = cli("enroll", population, *ca.options(), "--out", run.path, code=2)
    assert f"error: {run.path}: holds a run already" in again.err
    assert f"go on with it by bulkcmp resume {run.path}" in again.err
    assert (run.all_bytes(), ca.count()) == before


def test_resume_refuses_what_does_not_fit(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    population = write_population(lines=GOOD)
    secret = ("--secret", f"pass:{ca.secret}")
    cli("enroll", population, *ca.options(), *secret, "--out", run.path)
    before = run.all_bytes(), ca.count()

    # what was given as text is asked for again
    ended = cli("resume", run.path, code=2)
    assert "--secret is needed again: the run folder keeps no secrets" in ended.err
    ended = cli("resume", run.path, *secret, "--key-pass", "pass:wrong", code=2)
    assert f"error: {run.path}: wrong passphrase" in ended.err
    population.write_text(population.read_text() + "b,/CN=b\n")
    ended = cli("resume", run.path, *secret, code=2)
    assert f"error: {population}: the population has changed since the run began" in ended.err
    population.unlink()
    ended = cli("resume", run.path, *secret, code=2)
    assert f"error: {population}: no such file" in ended.err
    ended = cli("resume", cli.folder, *secret, code=2)
    assert "is not a run folder" in ended.err
    assert (run.all_bytes(), ca.count()) == before
