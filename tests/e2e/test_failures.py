"""What a server or a network can do to a run: each failure is told from the others."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bulkcmp.testca import state

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, Cli, MakeServer, RunFolder, Tools, WritePopulation

Answer = Callable[[int, bytes], bytes | None]


def test_wrong_secret(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    before = ca.count()
    options = (*ca.options(), "--secret", "pass:wrong")
    ended = cli("enroll", write_population(3), *options, "--out", run.path, code=1)
    assert run.outcomes() == {("credentials refused", "badMessageCheck")}
    assert "check --ref, the secret or the certificate" in ended.out
    assert ca.count() == before

    # the right one mends it
    options = ("--secret", "env:RA_SECRET", "--retry-failed")
    cli("resume", run.path, *options)
    assert run.outcomes() == {("issued", "")}


def test_answer_that_does_not_chain_to_the_anchor(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder", tmp_path: Path
) -> None:
    state.create(tmp_path / "other", state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
    other = ("--trusted", tmp_path / "other" / "ca.pem", "--recipient", "/CN=whoever")
    given = ca.options()
    without = [text for text in given if text not in ("--trusted", str(ca.anchor))]
    cli("enroll", write_population(2), *without, *other, "--out", run.path, code=1)
    assert run.outcomes() == {("issued, refused", "certificate does not chain to a trust anchor")}
    # stored, with its serial, for revocation
    issued = {f"{one.serial:X}" for one in ca.issued()}
    for row in run.results():
        assert row["serial"].lstrip("0") in issued
        assert (run.path / row["cert_file"]).exists()


def test_server_that_is_down(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder", tools: "Tools"
) -> None:
    port = tools.free_port()
    down = ("--server", f"http://127.0.0.1:{port}/cmp", "--connect-timeout", "5")
    ended = cli("enroll", write_population(50), *ca.options(), *down, "--out", run.path, code=1)
    # the connect limit, and the start of the workers; five retries would take 15 s and more
    assert run.summary()["elapsed_s"] < 5 + 5
    assert {row["outcome"] for row in run.results()} == {"to do"}
    assert len(run.results()) == 50
    said = " ".join(ended.out.split())
    assert f"cannot connect: connecting to 127.0.0.1:{port} failed: Connection refused" in said
    assert "nothing was sent: check --server, the network and the proxy" in said

    # once the right server is named, all of it is done
    cli("resume", run.path, "--server", ca.url())
    assert run.outcomes() == {("issued", "")}


def test_server_that_never_accepts(
    cli: "Cli", ca: "Ca", write_population: "WritePopulation", run: "RunFolder"
) -> None:
    # TEST-NET-1 (RFC 5737): nothing is there, and what is sent there is dropped or refused
    away = ("--server", "http://192.0.2.1/cmp", "--connect-timeout", "1")
    cli("enroll", write_population(5), *ca.options(), *away, "--out", run.path, code=1)
    assert run.summary()["elapsed_s"] < 1 + 5
    assert {row["outcome"] for row in run.results()} == {"to do"}


def html(_number: int, _body: bytes) -> bytes | None:
    page = b"<html><body>Please log in</body></html>"
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (
        len(page),
        page,
    )


def error_500(_number: int, _body: bytes) -> bytes | None:
    return b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"


def not_found(_number: int, _body: bytes) -> bytes | None:
    return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def bad_gateway(_number: int, _body: bytes) -> bytes | None:
    return b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"


def cut(_number: int, _body: bytes) -> bytes | None:
    return None


def cut_in_the_middle(_number: int, _body: bytes) -> bytes | None:
    raise ConnectionAbortedError(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/pkixcmp\r\nContent-Length: 900\r\n\r\n0"
    )


def silence(_number: int, _body: bytes) -> bytes | None:
    raise TimeoutError


def garbage(_number: int, _body: bytes) -> bytes | None:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/pkixcmp\r\nContent-Length: 4\r\n\r\nzzzz"


def no_http(_number: int, _body: bytes) -> bytes | None:
    return b"220 mail.example.com ESMTP\r\n"


@pytest.mark.parametrize(
    ("answer", "outcome", "reason", "detail"),
    [
        (html, "not CMP", "answer is not CMP", "Please log in"),
        (error_500, "HTTP error", "HTTP 500", "HTTP 500"),
        (not_found, "HTTP error", "HTTP 404", "HTTP 404"),
        (bad_gateway, "unknown outcome", "gateway lost the answer", "HTTP 502"),
        (cut, "unknown outcome", "connection lost", ""),
        (cut_in_the_middle, "unknown outcome", "connection lost", ""),
        (silence, "unknown outcome", "no answer in time", "1"),
        (garbage, "bad response", "", ""),
        (no_http, "unknown outcome", "malformed HTTP", ""),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_server_that_is_no_cmp_server(
    cli: "Cli",
    ca: "Ca",
    make_server: "MakeServer",
    write_population: "WritePopulation",
    run: "RunFolder",
    answer: Answer,
    outcome: str,
    reason: str,
    detail: str,
) -> None:
    server = make_server(answer)
    options = (*ca.options(), "--server", server.url, "--msg-timeout", "1")
    ended = cli("enroll", write_population(3), *options, "--out", run.path, code=1)
    for row in run.results():
        assert row["outcome"] == outcome
        assert row["reason"] == reason or not reason
        assert detail in row["detail"]
    # asked once for each row: nothing of this is repeated unasked
    assert len(server.times) == 3
    assert f"3  {outcome}" in ended.out


@pytest.mark.parametrize(
    ("answer", "outcome", "word"),
    [(html, "not CMP", "--retry-failed"), (cut, "unknown outcome", "--retry-unknown")],
)
def test_nothing_begins_anew_unasked(
    cli: "Cli",
    ca: "Ca",
    make_server: "MakeServer",
    write_population: "WritePopulation",
    run: "RunFolder",
    answer: Answer,
    outcome: str,
    word: str,
) -> None:
    options = (*ca.options(), "--server", make_server(answer).url, "--out", run.path)
    cli("enroll", write_population(2), *options, code=1)
    before = ca.count()
    ended = cli("resume", run.path, "--server", ca.url(), code=1)
    assert {row["outcome"] for row in run.results()} == {outcome}
    assert ca.count() == before
    assert word == "--retry-failed" or word in ended.out
    cli("resume", run.path, "--server", ca.url(), word)
    assert run.outcomes() == {("issued", "")}


def test_busy_server_is_asked_again_when_it_said(
    cli: "Cli",
    ca: "Ca",
    make_server: "MakeServer",
    write_population: "WritePopulation",
    run: "RunFolder",
    tools: "Tools",
) -> None:
    def answer(number: int, body: bytes) -> bytes:
        if number == 0:
            busy = "503 Service Unavailable"
            return tools.http_answer(busy, "text/plain", b"busy", "Retry-After: 1")
        return tools.forward(ca, body)

    server = make_server(answer)
    options = (*ca.options(), "--server", server.url, "--out", run.path)
    cli("enroll", write_population(1), *options)
    (row,) = run.results()
    assert (row["outcome"], row["attempts"]) == ("issued", "1")
    assert server.times[1] - server.times[0] >= 1
    assert len(server.times) == 3
