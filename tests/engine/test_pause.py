import os
import signal
import stat
from pathlib import Path

import anyio
import pytest

from bulkcmp.engine.pause import MARK, Pause, heed_signals
from bulkcmp.errors import InputError
from bulkcmp.io.loop import run
from bulkcmp.journal.journal import Journal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a run."""
    Journal.create(tmp_path / "run", {}, None).close()
    return tmp_path / "run"


def test_a_pause_is_on_until_it_ends(folder: Path) -> None:
    pause = Pause(folder)
    assert not pause.is_on
    for _ in range(2):
        pause.begin()
        assert pause.is_on
        assert Pause(folder).is_on
    assert stat.S_IMODE((folder / MARK).stat().st_mode) == 0o600
    for _ in range(2):
        pause.end()
        assert not pause.is_on


def test_only_a_run_can_be_paused(tmp_path: Path) -> None:
    pause = Pause(tmp_path)
    for act in (pause.begin, pause.end):
        with pytest.raises(InputError, match="is not a run folder"):
            act()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_refuses(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    for act in (Pause(folder).begin, Pause(folder).end):
        with pytest.raises(InputError, match="paused: can't be written: Permission denied"):
            act()


def test_signals_begin_and_end_it(folder: Path) -> None:
    said: list[str] = []
    states: list[bool] = []

    async def main() -> None:
        pause = Pause(folder)
        say, heard = anyio.create_memory_object_stream[str](10)
        async with say, heard, anyio.create_task_group() as group:
            await group.start(heed_signals, pause, say.send_nowait)
            for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR1):
                os.kill(os.getpid(), number)
                said.append(await heard.receive())
                states.append(pause.is_on)
            (folder / "journal.db").unlink()
            os.kill(os.getpid(), signal.SIGUSR2)
            said.append(await heard.receive())
            group.cancel_scope.cancel()

    run(main)
    assert states == [True, False, True]
    assert said == [
        f"paused: bulkcmp pause {folder} --continue, or SIGUSR2, goes on",
        "going on",
        f"paused: bulkcmp pause {folder} --continue, or SIGUSR2, goes on",
        f"{folder}: is not a run folder: it holds no journal",
    ]
