import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcmp.errors import EXIT_BAD_INPUT, InputError, Where
from bulkcmp.journal import seal as seal_module
from bulkcmp.journal.seal import Seal, is_plain_header
from bulkcmp.model import Secret

PASSPHRASE = Secret(b"correct horse battery staple")
WHERE = Where("keys.db")

# as they are made: tests of other things make cheaper ones; one derivation for all examples
SEALED = Seal.create(PASSPHRASE, where=WHERE)
PLAIN = Seal.create(None, where=WHERE)

seals = pytest.mark.parametrize("seal", [SEALED, PLAIN], ids=["sealed", "plain"])


def edited(header: str, *path: str, to: object) -> str:
    fields: dict[str, Any] = json.loads(header)
    inner = fields
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = to
    return json.dumps(fields)


def test_a_passphrase_is_dear_to_guess() -> None:
    kdf = json.loads(SEALED.header)["kdf"]
    # OWASP's first choice: 128 MiB for each guess
    assert (kdf["name"], kdf["n"], kdf["r"], kdf["p"]) == ("scrypt", 2**17, 8, 1)


@seals
@given(plaintext=st.binary(max_size=3000), context=st.binary(max_size=40))
def test_what_was_sealed_comes_back(seal: Seal, plaintext: bytes, context: bytes) -> None:
    assert seal.unseal(seal.seal(plaintext, context), context) == plaintext


@seals
@given(data=st.data(), plaintext=st.binary(max_size=200))
def test_any_changed_bit_is_noticed(seal: Seal, data: st.DataObject, plaintext: bytes) -> None:
    sealed = bytearray(seal.seal(plaintext, b"row 1"))
    at = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[at // 8] ^= 1 << at % 8
    with pytest.raises(InputError, match=r"^keys\.db: a stored key is damaged"):
        seal.unseal(bytes(sealed), b"row 1")


@seals
@given(plaintext=st.binary(max_size=60), data=st.data())
def test_a_cut_one_is_noticed(seal: Seal, plaintext: bytes, data: st.DataObject) -> None:
    sealed = seal.seal(plaintext, b"row 1")
    kept = data.draw(st.integers(0, len(sealed) - 1))
    with pytest.raises(InputError, match="damaged"):
        seal.unseal(sealed[:kept], b"row 1")


@seals
def test_one_moved_to_another_row_is_noticed(seal: Seal) -> None:
    with pytest.raises(InputError, match="in another's place"):
        seal.unseal(seal.seal(b"key", b"row 1"), b"row 2")


def test_context_and_content_do_not_run_into_each_other() -> None:
    sealed = PLAIN.seal(b"1key", b"row ")
    moved = sealed[:17] + b"key"
    with pytest.raises(InputError, match="damaged"):
        PLAIN.unseal(moved, b"row 1")


def test_each_seal_has_a_data_key_of_its_own() -> None:
    other = Seal.create(PASSPHRASE)
    with pytest.raises(InputError, match="damaged"):
        other.unseal(SEALED.seal(b"key", b""), b"")


@pytest.mark.parametrize(("one", "other"), [(SEALED, PLAIN), (PLAIN, SEALED)])
def test_plain_and_sealed_are_never_taken_for_each_other(one: Seal, other: Seal) -> None:
    with pytest.raises(InputError, match="damaged"):
        other.unseal(one.seal(b"key", b""), b"")


def test_sealing_hides_the_text_and_never_repeats_itself() -> None:
    secret = b"a private key of 32 octets in all"
    first, second = SEALED.seal(secret, b""), SEALED.seal(secret, b"")
    assert secret not in first
    assert first != second
    assert secret in PLAIN.seal(secret, b"")


def test_reopened_with_the_passphrase() -> None:
    reopened = Seal.open(SEALED.header, Secret(PASSPHRASE.reveal()))
    assert reopened.unseal(SEALED.seal(b"key", b"row"), b"row") == b"key"
    assert reopened.header == SEALED.header
    assert not reopened.is_plain
    assert not is_plain_header(SEALED.header)


def test_plain_reopened() -> None:
    reopened = Seal.open(PLAIN.header, None)
    assert reopened.unseal(PLAIN.seal(b"key", b"row"), b"row") == b"key"
    assert reopened.is_plain
    assert is_plain_header(PLAIN.header)


@pytest.mark.parametrize(
    ("header", "passphrase", "what", "hint"),
    [
        (SEALED.header, Secret(b"guess"), "wrong passphrase", "--key-pass"),
        (SEALED.header, Secret(b""), "wrong passphrase", "--key-pass"),
        (SEALED.header, None, "encrypted and no passphrase was given", "--key-pass"),
        (PLAIN.header, PASSPHRASE, "stored unencrypted", "--plain-keys"),
    ],
)
def test_the_wrong_way_in(header: str, passphrase: Secret | None, what: str, hint: str) -> None:
    with pytest.raises(InputError, match=what) as caught:
        Seal.open(header, passphrase, where=WHERE)
    assert caught.value.exit_code == EXIT_BAD_INPUT
    assert caught.value.where == WHERE
    assert caught.value.hint is not None
    assert hint in caught.value.hint


def test_an_empty_passphrase_makes_no_seal() -> None:
    with pytest.raises(InputError, match="passphrase for the keys is empty"):
        Seal.create(Secret(b""))


def test_no_error_shows_the_passphrase() -> None:
    with pytest.raises(InputError) as caught:
        Seal.open(SEALED.header, Secret(b"sesame"))
    shown = f"{caught.value} {caught.value!r} {caught.value.hint} {SEALED!r}"
    assert "sesame" not in shown
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("kdf", "n"), 0),
        (("kdf", "n"), 1),
        (("kdf", "n"), -4),
        (("kdf", "n"), 3),
        (("kdf", "n"), True),
        (("kdf", "n"), 1024.0),
        (("kdf", "n"), "1024"),
        (("kdf", "n"), 2**21),
        (("kdf", "n"), 2**70),
        (("kdf", "r"), 0),
        (("kdf", "r"), 65),
        (("kdf", "p"), 0),
        (("kdf", "r"), 1),
        (("kdf", "p"), 33),
        (("kdf", "salt"), ""),
        (("kdf", "salt"), "ab" * 15),
        (("kdf", "salt"), "xy" * 16),
        (("kdf", "salt"), None),
        (("kdf", "name"), "pbkdf2"),
        (("kdf", "pepper"), "x"),
        (("kdf",), None),
        (("kdf",), []),
        (("wrapped",), None),
        (("wrapped",), "zz"),
        (("cipher",), "ROT-13"),
        (("cipher",), ["none"]),
    ],
)
def test_a_header_that_asks_too_much_is_refused_unpaid(
    path: tuple[str, ...], value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def derive(**parameters: object) -> None:
        pytest.fail(f"derived with {parameters}")

    monkeypatch.setattr(seal_module, "Scrypt", derive)
    with pytest.raises(InputError, match="header of the sealed keys is damaged"):
        Seal.open(edited(SEALED.header, *path, to=value), PASSPHRASE)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("kdf", "n"), 2),
        (("kdf", "salt"), "00" * 16),
        (("wrapped",), ""),
        (("wrapped",), "00" * 60),
        (("note",), "added"),
    ],
)
def test_the_whole_header_is_authenticated(path: tuple[str, ...], value: object) -> None:
    with pytest.raises(InputError, match="wrong passphrase"):
        Seal.open(edited(SEALED.header, *path, to=value), PASSPHRASE)


def test_threads_may_open_at_once() -> None:
    """Argon2id of the same package hangs here."""
    threads = [
        threading.Thread(target=Seal.open, args=(SEALED.header, PASSPHRASE), daemon=True)
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in threads)


def test_a_header_made_plain_does_not_open_with_a_passphrase() -> None:
    with pytest.raises(InputError, match="stored unencrypted"):
        Seal.open(edited(SEALED.header, "cipher", to="none"), PASSPHRASE)


@pytest.mark.parametrize("version", [2, "1", None])
def test_another_version_is_named(version: object) -> None:
    with pytest.raises(InputError, match="sealed in format"):
        Seal.open(edited(SEALED.header, "version", to=version), PASSPHRASE)


@pytest.mark.parametrize("header", ["", "[]", "{", "null", "[" * 4000, " " * 5000, "\ud800"])
def test_a_header_that_is_none(header: str) -> None:
    with pytest.raises(InputError, match="header of the sealed keys is damaged"):
        Seal.open(header, PASSPHRASE)


@given(st.text() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps))
def test_random_headers_give_nothing_but_input_errors(header: str) -> None:
    with pytest.raises(InputError):
        Seal.open(header, PASSPHRASE)
