"""PBM's one-way function: OpenSSL's chain and the loop are the same, and the loop is there where
OpenSSL's is not."""

import ctypes
import hashlib
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.cmp import algorithms, owf

DIGESTS = tuple(map(algorithms.digest_of, algorithms.DIGEST_IDENTIFIERS.values()))

openssl = pytest.mark.skipif(
    owf._libcrypto() is None, reason="this Python is not linked with a libcrypto of 3.0 or later"
)


@pytest.fixture
def fresh() -> Iterator[None]:
    """Nothing is known of OpenSSL before and after."""
    for cached in (owf._libcrypto, owf._openssl):
        cached.cache_clear()
    yield
    for cached in (owf._libcrypto, owf._openssl):
        cached.cache_clear()


def chain(digest: str, data: bytes, count: int) -> bytes:
    for _ in range(count):
        data = hashlib.new(digest, data).digest()
    return data


@openssl
@pytest.mark.parametrize("digest", DIGESTS)
def test_openssl_has_every_digest(digest: str) -> None:
    assert owf._openssl(digest) is not None


@openssl
@given(st.sampled_from(DIGESTS), st.binary(max_size=300), st.integers(1, 40))
def test_openssl_and_the_loop_agree(digest: str, data: bytes, count: int) -> None:
    native = owf._openssl(digest)
    assert native is not None
    assert native(data, count) == owf._loop(digest, data, count) == chain(digest, data, count)
    assert owf.iterated(digest, data, count) == chain(digest, data, count)


def test_the_lengths_are_those_of_the_digests() -> None:
    assert set(owf._CIPHERS) == {hashlib.new(digest).digest_size for digest in DIGESTS}


def no_module(name: str) -> ModuleType:
    raise ImportError(name)


def built_in(name: str) -> ModuleType:
    return ModuleType(name)


def no_such_file(name: str) -> ModuleType:
    module = ModuleType(name)
    module.__file__ = "/nonexistent/_hashlib.so"
    return module


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("found", [no_module, built_in, no_such_file])
def test_a_python_without_its_own_libcrypto_goes_by_the_loop(
    monkeypatch: pytest.MonkeyPatch, found: Any
) -> None:
    monkeypatch.setattr(owf, "import_module", found)
    assert not owf.is_native()
    assert owf.iterated("sha384", b"data", 5) == chain("sha384", b"data", 5)


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    "missing", ["EVP_MD_fetch", "EVP_CIPHER_fetch", "EVP_BytesToKey", "ERR_clear_error"]
)
def test_so_does_one_whose_libcrypto_lacks_a_function(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    library = SimpleNamespace(
        **{
            name: SimpleNamespace()
            for name in ("EVP_MD_fetch", "EVP_CIPHER_fetch", "EVP_BytesToKey", "ERR_clear_error")
            if name != missing
        }
    )
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    assert not owf.is_native()
    assert owf.iterated("sha256", b"data", 5) == chain("sha256", b"data", 5)


class Library:
    """Some libcrypto, of which a part does otherwise."""

    def __init__(self, real: ctypes.CDLL, **other: Any) -> None:
        self.__dict__.update(other)
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def libcrypto() -> ctypes.CDLL:
    library = owf._libcrypto()
    assert library is not None
    return library


@openssl
@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("refused", ["EVP_MD_fetch", "EVP_CIPHER_fetch"])
def test_what_a_provider_refuses_goes_by_the_loop_and_leaves_no_error_behind(
    monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    real = libcrypto()
    fetch = getattr(real, refused)

    def refuse(context: None, name: bytes, properties: None) -> object:
        return fetch(context, b"unheard of", properties)

    library = Library(real, **{refused: refuse})
    monkeypatch.setattr(owf, "_libcrypto", lambda: library)
    assert owf.iterated("sha256", b"data", 5) == chain("sha256", b"data", 5)
    assert owf._openssl("sha256") is None
    assert real.ERR_peek_error() == 0


@openssl
@pytest.mark.usefixtures("fresh")
def test_a_chain_that_answers_wrongly_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    real = libcrypto()

    def once_more(*arguments: Any) -> int:
        result: int = real.EVP_BytesToKey(*arguments[:5], arguments[5] + 1, *arguments[6:])
        return result

    library = Library(real, EVP_BytesToKey=once_more)
    monkeypatch.setattr(owf, "_libcrypto", lambda: library)
    assert owf.iterated("sha256", b"data", 5) == chain("sha256", b"data", 5)
    assert not owf.is_native()


@openssl
@pytest.mark.usefixtures("fresh")
def test_a_chain_that_fails_later_is_done_by_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = libcrypto(), 0

    def fail_later(*arguments: Any) -> int:
        nonlocal calls
        calls += 1
        result: int = real.EVP_BytesToKey(*arguments) if calls == 1 else 0
        return result

    library = Library(real, EVP_BytesToKey=fail_later)
    monkeypatch.setattr(owf, "_libcrypto", lambda: library)
    assert owf.is_native()
    assert owf.iterated("sha256", b"data", 5) == chain("sha256", b"data", 5)
    assert calls == 2


@openssl
@pytest.mark.usefixtures("fresh")
def test_a_chain_that_fails_leaves_no_error_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    real = libcrypto()

    def without_digest(cipher: int, _: int, *arguments: Any) -> int:
        result: int = real.EVP_BytesToKey(cipher, None, *arguments)
        assert real.ERR_peek_error() != 0
        return result

    library = Library(real, EVP_BytesToKey=without_digest)
    monkeypatch.setattr(owf, "_libcrypto", lambda: library)
    assert owf.iterated("sha256", b"data", 5) == chain("sha256", b"data", 5)
    assert real.ERR_peek_error() == 0


def test_what_a_c_int_does_not_hold_goes_by_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owf, "_MOST", 4)
    monkeypatch.setattr(owf, "_openssl", lambda _: lambda data, count: b"native")
    assert owf.iterated("sha256", b"data", 4) == b"native"
    assert owf.iterated("sha256", b"data", 5) == chain("sha256", b"data", 5)
    assert owf.iterated("sha256", b"datas", 4) == chain("sha256", b"datas", 4)
