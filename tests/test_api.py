"""The interface for programs, apart from what it does over the network (tests/e2e/test_api.py)."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import Any, get_type_hints

import anyio
import anyio.to_thread
import pytest

import bulkcmp
from bulkcmp.api import OfEndEntity, Settings
from bulkcmp.engine.client import OF_A_ROW
from bulkcmp.engine.options import Options
from bulkcmp.errors import BulkcmpError, InputError, InsecureWarning
from bulkcmp.io.loop import run_beside

_OWN = {"out", "stated", "foremost", "updates_only"}
"""Options that functions have as parameters of their own, and what is none."""


def test_settings_are_the_options() -> None:
    names = [one.name for one in fields(Options) if one.name not in _OWN]
    assert set(get_type_hints(Settings)) == set(names)
    assert set(get_type_hints(OfEndEntity)) == OF_A_ROW


def test_settings_have_the_types_of_the_options() -> None:
    offered, known = get_type_hints(Settings), get_type_hints(Options)
    for name, kind in offered.items():
        wanted = Sequence[str] if known[name] == tuple[str, ...] else known[name]
        assert wanted in (kind, kind | None), name


def test_the_package_itself_imports_nothing() -> None:
    code = "import sys; before = set(sys.modules); import bulkcmp; print(set(sys.modules) - before)"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(eval(ended.stdout))
    assert not {name for name in loaded if name.startswith(("bulkcmp.", "httpx", "cryptography"))}


@pytest.mark.parametrize("name", bulkcmp.__all__)
def test_what_the_package_offers_is_there_and_documented(name: str) -> None:
    assert getattr(bulkcmp, name).__doc__


def test_what_it_does_not_offer() -> None:
    with pytest.raises(AttributeError, match="no attribute 'renew'"):
        _ = bulkcmp.renew


def test_no_function_bears_the_name_of_a_subpackage() -> None:
    for name in bulkcmp.__all__:
        found = subprocess.run(
            [sys.executable, "-c", f"import bulkcmp.{name}"], capture_output=True, check=False
        ).returncode
        assert found != 0, name


def test_an_unknown_option_is_refused_with_a_guess() -> None:
    with pytest.raises(InputError, match="unknown option 'implicit_conform'") as caught:
        bulkcmp.Client(implicit_conform=True)  # type: ignore[call-arg]  # what is tested
    assert str(caught.value.hint).startswith("did you mean 'implicit_confirm'?")


def test_a_client_that_is_not_open() -> None:
    client = bulkcmp.Client(server="http://127.0.0.1:1/cmp")
    with pytest.raises(BulkcmpError, match="not open"):
        anyio.run(client.enroll, "dev")


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [
        ("trusted", "ca.pem", "list of str, not str"),
        ("trusted", [b"ca.pem"], "list of str, not list"),
        ("days", "7", "int, not str"),
        ("days", True, "int, not bool"),
        ("msg_timeout", "1s", "float, not str"),
        ("implicit_confirm", "no", "bool, not str"),
        ("secret", b"not to be shown", "str, not bytes"),
    ],
)
def test_a_value_of_another_type_is_refused_and_not_told(
    option: str, value: object, wanted: str
) -> None:
    settings: dict[str, Any] = {option: value}
    with pytest.raises(InputError) as caught:
        bulkcmp.Client(**settings)
    assert str(caught.value) == f"{option} must be {wanted}"


def test_values_that_are_taken_beside_those_that_types_name(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"trusted": (tmp_path / "ca.pem",), "msg_timeout": 3, "days": None}
    bulkcmp.Client(**settings)


_ROOT = Path(__file__).parent / "vectors" / "openssl" / "root.der"


def test_who_switches_a_check_off_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def stop(work: object) -> None:
        raise BulkcmpError("far enough")

    monkeypatch.setattr(bulkcmp.api, "run", stop)
    rows = tmp_path / "rows.csv"
    rows.write_text("id,subject\none,CN=one\n")
    settings = Settings(
        server="https://127.0.0.1:1/cmp",
        insecure=True,
        ref="ra",
        secret="env:S",
        trusted=[str(_ROOT)],
        plain_keys=True,
    )
    known = {"S": "secret"}
    run = tmp_path / "run"
    for what in (
        lambda: bulkcmp.Client(**settings),
        lambda: bulkcmp.enroll(rows, out=run, environ=known, **settings),
        lambda: bulkcmp.resume(run, environ=known),
        lambda: bulkcmp.load_test("smoke", out=tmp_path / "test", environ=known, **settings),
    ):
        with (
            pytest.warns(InsecureWarning, match=r"\(--insecure\)") as said,
            suppress(BulkcmpError),
        ):
            what()
        assert [one.filename for one in said] == [__file__]


def test_a_text_is_no_list_of_letters(tmp_path: Path) -> None:
    lists: dict[str, Any] = {"thresholds": "p95 < 1s"}
    with pytest.raises(InputError, match="thresholds must be list of str, not str"):
        bulkcmp.load_test("smoke", out=tmp_path / "run", **lists)
    with pytest.raises(InputError, match="config must be list of str, not str"):
        bulkcmp.Client(config="ca.toml")


def test_a_client_on_trio() -> None:
    async def main() -> None:
        async with bulkcmp.Client(server="http://127.0.0.1:1/cmp"):
            pytest.fail("it is open")

    with pytest.raises(BulkcmpError, match="asyncio only"):
        anyio.run(main, backend="trio")


def _interrupt_once_it_waits() -> None:
    """Send SIGINT to this process when its main thread waits for a result."""
    main = threading.main_thread().ident
    assert main is not None
    while True:
        frame: FrameType | None = sys._current_frames()[main]
        while frame is not None and frame.f_code.co_name != "run_beside":
            frame = frame.f_back if frame.f_code.co_name in ("wait", "result") else None
        if frame is not None and frame is not sys._current_frames()[main]:
            os.kill(os.getpid(), signal.SIGINT)
            return
        time.sleep(0.01)


def test_an_interrupt_reaches_the_loop_of_the_other_thread() -> None:
    asked: list[str] = []
    overs: list[anyio.Event] = []

    async def work() -> str:
        overs.append(anyio.Event())
        await anyio.to_thread.run_sync(_interrupt_once_it_waits)
        await overs[0].wait()
        return "ended in good order"

    def interrupt() -> None:
        asked.append("asked")
        overs[0].set()

    # pytest-xdist's processes ignore it
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert run_beside(work, interrupt) == "ended in good order"
    finally:
        signal.signal(signal.SIGINT, before)
    assert asked == ["asked"]
