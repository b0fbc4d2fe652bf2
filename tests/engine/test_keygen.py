import os
import signal
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from bulkcmp.engine.keygen import Generated, generate_keys
from bulkcmp.io import keypool
from bulkcmp.io.keypool import KeyPoolError
from bulkcmp.journal.keyfile import KeyFile, KeyFileError, Stock
from bulkcmp.model import KeySpec

ED25519 = KeySpec.parse("ed25519")
RSA = KeySpec.parse("rsa:2048")

every_loop = pytest.mark.parametrize(
    "anyio_backend",
    [
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        pytest.param(("trio", {}), id="trio"),
    ],
)


@pytest.fixture
def key_file(tmp_path: Path) -> Iterator[KeyFile]:
    with KeyFile.open_or_create(tmp_path / "keys.db", None) as opened:
        yield opened


@every_loop
@pytest.mark.anyio
async def test_fills_up_to_the_count_and_no_further(key_file: KeyFile) -> None:
    totals: list[int] = []
    done = await generate_keys(key_file, ED25519, 30, processes=2, on_stored=totals.append)
    assert done == Generated(made=30, total=30, interrupted=False)
    assert totals[-1] == 30
    assert totals == sorted(set(totals))

    key_file.take(ED25519, 10, "run")
    key_file.append(RSA, [b"of another type"])
    done = await generate_keys(key_file, ED25519, 45, processes=2, on_stored=totals.append)
    assert done == Generated(made=15, total=45, interrupted=False)
    assert key_file.count(ED25519) == Stock(free=35, taken=10)
    assert len({key for _, key in key_file.take(ED25519, 99, "run")}) == 35

    done = await generate_keys(key_file, ED25519, 20, processes=2, on_stored=totals.append)
    assert done == Generated(made=0, total=45, interrupted=False)


@every_loop
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.anyio
async def test_a_signal_keeps_what_was_stored(key_file: KeyFile, number: signal.Signals) -> None:
    def on_stored(total: int) -> None:
        os.kill(os.getpid(), number)

    with anyio.fail_after(20):
        done = await generate_keys(key_file, RSA, 5000, processes=2, on_stored=on_stored)
    assert done.interrupted
    assert 0 < done.total < 5000
    assert key_file.count(RSA) == Stock(free=done.total, taken=0)


@every_loop
@pytest.mark.anyio
async def test_an_error_of_the_file_comes_out_by_its_type(
    key_file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyFileError("the disk is full")

    monkeypatch.setattr(KeyFile, "append", fail)
    with pytest.raises(KeyFileError, match="the disk is full"):
        await generate_keys(key_file, ED25519, 5, processes=1, on_stored=lambda total: None)


@every_loop
@pytest.mark.anyio
async def test_an_error_of_the_pool_comes_out_by_its_type(
    key_file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keypool, "_BOOTSTRAP", "import sys; sys.exit(3)")
    with pytest.raises(KeyPoolError, match="exit status 3"):
        await generate_keys(key_file, ED25519, 5, processes=1, on_stored=lambda total: None)
    assert key_file.count(ED25519).total == 0
