"""Lines of a log, for readers and for programs, and the files that they go to.

A line has the time (UTC, to the millisecond), the level, where it is about a transaction its first
row with id and transactionID, the event, and what there is to say of it. Texts of others are made
harmless.
"""

import datetime as dt
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler, WatchedFileHandler
from pathlib import Path
from queue import Queue
from typing import Any, Final

from bulkcmp.errors import InputError, Where
from bulkcmp.outputs.text import utc, visible

LOGGER: Final = "bulkcmp"
"""The name of the logger."""

FACTS: Final = "facts"
"""The attribute of a `logging.LogRecord` that has the facts of a line, by their names."""

_LEADING: Final = ("row", "id", "transactionID", "event")
"""Facts that stand first in a plain line, without their names."""

_QUOTED: Final = frozenset(' "=')


class LogFormat(StrEnum):
    PLAIN = "plain"
    JSON = "json"


def plain(facts: Mapping[str, object]) -> str:
    """`7 dev7 0123…ef ended outcome=issued`: values with blanks are quoted."""
    leading = [visible(str(facts[name])) for name in _LEADING if name in facts]
    others = (f"{name}={_value(it)}" for name, it in facts.items() if name not in _LEADING)
    return " ".join((*leading, *others))


def _value(value: object) -> str:
    text = visible(str(value))
    return json.dumps(text, ensure_ascii=False) if not text or _QUOTED & set(text) else text


class _PlainFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"{_time(record)} {record.levelname:<7} {visible(record.getMessage())}"


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, FACTS, None) or {"text": record.getMessage()}
        made = {name: visible(it) if isinstance(it, str) else it for name, it in facts.items()}
        head = {"time": _time(record), "level": record.levelname.lower()}
        return json.dumps(head | made, ensure_ascii=False)


def _time(record: logging.LogRecord) -> str:
    return utc(dt.datetime.fromtimestamp(record.created, dt.UTC), "milliseconds")


_FORMATTERS: Final = {LogFormat.PLAIN: _PlainFormatter, LogFormat.JSON: _JsonFormatter}


@contextmanager
def logging_to(handler: logging.Handler, level: int, format_: LogFormat) -> Iterator[None]:
    """Have the logger `bulkcmp` written to one place alone while the block goes on.

    A thread writes: the event loop never waits for a disk or a terminal.

    Args:
        handler: that writes; it is closed in the end.
        level: of `logging`, from which on lines are written.
    """
    logger = logging.getLogger(LOGGER)
    before = logger.level, logger.propagate
    handler.setFormatter(_FORMATTERS[format_]())
    queue: Queue[Any] = Queue()
    queued, writer = _Queued(queue), _Writer(queue, handler)
    writer.start()
    logger.addHandler(queued)
    logger.setLevel(level)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(queued)
        logger.setLevel(before[0])
        logger.propagate = before[1]
        writer.stop()
        handler.close()


def settle() -> None:
    """Return when all that was logged is written."""
    for handler in logging.getLogger(LOGGER).handlers:
        handler.flush()


class _Queued(QueueHandler):
    def __init__(self, queue: Queue[Any]) -> None:
        super().__init__(queue)
        self._lines = queue

    def flush(self) -> None:
        self._lines.join()


class _Writer(QueueListener):
    def __init__(self, queue: Queue[Any], handler: logging.Handler) -> None:
        super().__init__(queue, handler)
        self._lines = queue
        self._handler = handler

    def handle(self, record: logging.LogRecord) -> None:
        """Hand a record on; a handler that gathers lines is told when there are no more for now."""
        try:
            self._handler.handle(record)
            if self._lines.empty():
                self._handler.flush()
        except Exception:
            # the thread must go on: others wait for it
            self._handler.handleError(record)


def log_file(
    path: Path, on_failure: Callable[[str], None], *, size: int | None = None, keep: int = 0
) -> logging.Handler:
    """What appends lines to a file of its owner's alone (mode 0600).

    A file that is moved away, as logrotate does, is followed by a new one.

    Args:
        on_failure: told once, in plain English, if lines can't be written; the run goes on.
        size: octets from which on a new file is begun; the old ones are PATH.1, PATH.2 …
        keep: so many of them.

    Raises:
        InputError: the file can't be written.
    """
    try:
        made = _Watched(path) if size is None else _Rotating(path, maxBytes=size, backupCount=keep)
    except OSError as error:
        raise InputError(
            f"can't be written: {error.strerror}",
            where=Where(str(path)),
            hint="choose another --log-file",
        ) from None
    made.on_failure = on_failure
    return made


class _Owned(logging.FileHandler):
    """A file of its owner's alone, whose loss is told once and ends nothing."""

    on_failure: Callable[[str], None]
    _is_lost = False

    def _open(self) -> Any:
        return open(  # a path has no opener
            self.baseFilename, "a", encoding="utf-8", opener=_open_private
        )

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError as error:
            self._lose(error)

    def close(self) -> None:
        try:
            super().close()
        except OSError as error:
            self._lose(error)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # of logging
        error = sys.exception()
        if isinstance(error, OSError):
            self._lose(error)
        else:
            super().handleError(record)

    def _lose(self, error: OSError) -> None:
        if not self._is_lost:
            self._is_lost = True
            self.on_failure(f"lines of the log are lost: {self.baseFilename}: {error.strerror}")


class _Watched(_Owned, WatchedFileHandler):
    """Goes on with a new file where another program took the old one away."""


class _Rotating(_Owned, RotatingFileHandler):
    """Begins a new file when the old one is large enough."""


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
