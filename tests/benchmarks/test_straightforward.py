"""The straightforward client makes the checks that it claims to make."""

import asyncio
import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from benchmarks.enrollment import P256
from benchmarks.straightforward import CheckError, Client, Order
from bulkcmp.io.keyworker import make_keys
from bulkcmp.testca import state
from bulkcmp.testca.aliases import RA_HMAC, Behaviour
from bulkcmp.testca.authority import Authority
from bulkcmp.testca.store import Store

Spoil = Callable[[bytes], bytes]
ITERATIONS = 3


@pytest.fixture
def folder(tmp_path: Path) -> state.Folder:
    path = tmp_path / "ca"
    state.create(path, state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
    return state.Folder(path)


@pytest.fixture
def books(folder: state.Folder) -> Iterator[Store]:
    with closing(state.open_books(folder.path)) as store:
        yield store


def enroll(
    folder: state.Folder,
    books: Store,
    *,
    spoil: Spoil = bytes,
    behaviour: Behaviour | None = None,
    anchor: Path | None = None,
) -> x509.Certificate:
    """One enrollment; each answer of the CA is spoilt."""
    authority = Authority(books, state.load_identity(folder.path), behaviour)
    secret = books.alias_secret(RA_HMAC.name)
    assert secret is not None
    (key,) = make_keys(P256, 1)
    order = Order(
        "http://ca.test/", str(anchor or folder.ca_certificate), "ra1", secret.reveal().decode(),
        ITERATIONS, 1, "dev", [key],
    )  # fmt: skip

    def handle(request: httpx.Request) -> httpx.Response:
        answer = authority.handle(RA_HMAC, request.content, dt.datetime.now(dt.UTC))
        return httpx.Response(
            200, headers={"Content-Type": "application/pkixcmp"}, content=spoil(answer)
        )

    async def work() -> x509.Certificate:
        async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as http:
            return await Client(order, http).enroll(1, key)

    return asyncio.run(work())


def test_a_certificate_is_issued_and_confirmed(folder: state.Folder, books: Store) -> None:
    certificate = enroll(folder, books)
    assert "CN=dev1" in certificate.subject.rfc4514_string()
    issued = [one for one in books.certificates() if one.transaction_id is not None]
    assert [one.status.value for one in issued] == ["confirmed"]


def test_a_spoilt_answer_is_refused(folder: state.Folder, books: Store) -> None:
    with pytest.raises(CheckError, match="a wrong MAC"):
        enroll(folder, books, spoil=lambda answer: answer[:-1] + bytes([answer[-1] ^ 1]))


def test_an_old_answer_is_refused(folder: state.Folder, books: Store) -> None:
    seen: list[bytes] = []

    def replay(answer: bytes) -> bytes:
        seen.append(answer)
        return seen[0]

    with pytest.raises(CheckError, match="another recipNonce"):
        enroll(folder, books, spoil=replay)


def test_a_rejection_is_no_success(folder: state.Folder, books: Store) -> None:
    with pytest.raises(CheckError, match="not accepted"):
        enroll(folder, books, behaviour=Behaviour(reject="badCertTemplate"))


def test_another_cas_certificate_is_refused(
    folder: state.Folder, books: Store, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    state.create(other, state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
    anchor = state.Folder(other).ca_certificate
    with pytest.raises(ValueError, match="does not match certificate issuer"):
        enroll(folder, books, anchor=anchor)
