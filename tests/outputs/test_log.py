"""The lines of a log, and the files that they go to."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bulkcmp.errors import InputError
from bulkcmp.outputs.log import FACTS, LogFormat, log_file, logging_to, plain, settle

LOGGER = logging.getLogger("bulkcmp")
FACTS_OF_A_LOSS = {
    "row": 7,
    "id": "dev\n7",
    "transactionID": "0f",
    "event": "lost",
    "ms": 1.5,
    "detail": 'no "answer"\x1b[31m',
    "text": "",
}


def say(facts: dict[str, object], level: int = logging.WARNING) -> None:
    record = LOGGER.makeRecord(
        "bulkcmp", level, "", 0, plain(facts), (), None, extra={FACTS: facts}
    )
    record.created = 1795860000.0625
    LOGGER.handle(record)


@contextmanager
def written(
    path: Path, format_: LogFormat = LogFormat.PLAIN, size: int | None = None
) -> Iterator[list[str]]:
    """A log file while the block goes on; what is said of it if it is lost."""
    said: list[str] = []
    with logging_to(log_file(path, said.append, size=size, keep=2), logging.INFO, format_):
        yield said


def test_a_plain_line_is_one_line_whatever_is_in_it(tmp_path: Path) -> None:
    with written(tmp_path / "log"):
        say(FACTS_OF_A_LOSS)
        say({"event": "notice", "text": "2 of 3"}, logging.INFO)
        LOGGER.debug("not wanted")
    assert (tmp_path / "log").read_text() == (
        "2026-11-28T10:00:00.062Z WARNING 7 dev\\n7 0f lost ms=1.5"
        ' detail="no \\"answer\\"\\\\x1b[31m" text=""\n'
        '2026-11-28T10:00:00.062Z INFO    notice text="2 of 3"\n'
    )


def test_a_json_line_is_an_object(tmp_path: Path) -> None:
    with written(tmp_path / "log", LogFormat.JSON):
        say(FACTS_OF_A_LOSS)
        LOGGER.info("a text of %s", "another module")
    first, second = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert first == FACTS_OF_A_LOSS | {
        "time": "2026-11-28T10:00:00.062Z",
        "level": "warning",
        "id": "dev\\n7",
        "detail": 'no "answer"\\x1b[31m',
    }
    assert list(first)[:2] == ["time", "level"]
    assert (second["level"], second["text"]) == ("info", "a text of another module")


def test_a_log_is_its_owners_alone_and_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for _ in range(2):
        with written(path):
            say({"event": "begins"})
            settle()
            assert path.read_text().endswith("begins\n")
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_text().splitlines()) == 2


def test_nothing_else_is_written_and_nothing_is_left_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = LOGGER.level, LOGGER.propagate, list(LOGGER.handlers)
    with written(tmp_path / "log"):
        say({"event": "begins"})
    assert (LOGGER.level, LOGGER.propagate, list(LOGGER.handlers)) == before
    assert caplog.records == []


def test_a_file_that_is_moved_away_is_followed_by_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with written(path) as said:
        say({"event": "first"})
        settle()
        path.rename(tmp_path / "log.old")
        say({"event": "second"})
    assert path.read_text().endswith("second\n")
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "log.old").read_text().endswith("first\n")
    assert said == []


def test_a_large_file_is_followed_by_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with written(path, size=200):
        for number in range(20):
            say({"event": "state", "number": number})
    parts = [path, tmp_path / "log.1", tmp_path / "log.2"]
    assert sorted(tmp_path.iterdir()) == parts
    assert all(part.stat().st_mode & 0o777 == 0o600 for part in parts)
    assert all(part.stat().st_size <= 200 for part in parts)
    lines = "".join(part.read_text() for part in reversed(parts)).splitlines()
    assert [line.rpartition("=")[2] for line in lines] == [str(n) for n in range(8, 20)]


def test_a_full_disk_is_told_once_and_ends_nothing() -> None:
    with written(Path("/dev/full")) as said:
        for _ in range(3):
            say({"event": "begins"})
        settle()
    assert said == ["lines of the log are lost: /dev/full: No space left on device"]


def test_a_folder_that_vanishes_is_told_and_a_new_one_is_used(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "log"
    path.parent.mkdir()
    with written(path) as said:
        say({"event": "first"})
        settle()
        path.unlink()
        path.parent.rmdir()
        say({"event": "second"})
        settle()
        path.parent.mkdir()
        say({"event": "third"})
    assert said == [f"lines of the log are lost: {path}: No such file or directory"]
    assert path.read_text().endswith("third\n")


def test_a_bug_in_a_handler_lets_nobody_wait_for_ever() -> None:
    class Broken(logging.Handler):
        has_failed = False

        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("broken")

        def handleError(self, record: logging.LogRecord) -> None:
            self.has_failed = True

    broken = Broken()
    with logging_to(broken, logging.INFO, LogFormat.PLAIN):
        say({"event": "begins"})
        settle()
    assert broken.has_failed


def test_a_file_that_can_t_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be written: Is a directory"):
        log_file(tmp_path, print)
