"""The options of commands that drive transactions, by which what happens to these is logged."""

import functools
import logging
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from bulkcmp.engine import log
from bulkcmp.errors import BulkcmpError, InputError
from bulkcmp.outputs.log import FACTS, LogFormat, log_file, logging_to

_PANEL: Final = "Log"

_KEPT: Final = 5

_LEVELS: Final = (logging.INFO, logging.DEBUG)
"""Of -v and -vv; a log file without either is as of -v."""

_TOLD: Final = ("notice", "failed")
"""Events that stand on standard error without a log, too."""

_BATCH: Final = 500
"""Lines that are put on a terminal at once."""

Verbose = Annotated[
    int,
    typer.Option(
        "-v",
        "--verbose",
        count=True,
        help="Log how transactions begin, what they wait for, what is lost and how they end; -vv"
        " each of their steps. Lines go to standard error, or to --log-file.",
        metavar="",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
LogFile = Annotated[
    Path | None,
    typer.Option(
        help="Append the log to this file; it may be moved away at any time, as logrotate does.",
        metavar="FILE",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
LogFormat_ = Annotated[
    LogFormat | None,
    typer.Option(
        "--log-format",
        help="Plain lines, or a JSON object in each line. Default: plain.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
LogSize = Annotated[
    int | None,
    typer.Option(
        help="Begin a new log file when one would grow beyond this; the old ones are FILE.1"
        f" to FILE.{_KEPT}.",
        metavar="BYTES",
        min=1,
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]

_OPTIONS: Final = {
    "verbose": (Verbose, 0),
    "log_file": (LogFile, None),
    "log_format": (LogFormat_, None),
    "log_size": (LogSize, None),
}

OF_LOG: Final = tuple(_OPTIONS)
"""Names of the options that say what is logged, and where."""


def logged(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the log, and have it logged as they say."""
    own = signature(command).parameters
    new = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in _OPTIONS.items()
        if name not in own
    ]

    @functools.wraps(command)
    def wrapper(**given: Any) -> None:
        asked = {name: given.pop(name) for name in _OPTIONS}
        handler = _handler(asked, quiet=given["quiet"])
        if handler is None:
            command(**given)
            return
        level = _LEVELS[min(max(asked["verbose"], 1), len(_LEVELS)) - 1]
        with logging_to(handler, level, asked["log_format"] or LogFormat.PLAIN):
            try:
                command(**given)
            except BulkcmpError as error:
                log.say("failed", level=logging.ERROR, text=str(error))
                raise

    parameters = [*own.values(), *new]
    wrapper.__annotations__ = {one.name: one.annotation for one in parameters}
    setattr(wrapper, "__signature__", Signature(parameters))  # noqa: B010  # as in `with_those_of`
    return wrapper


def _handler(asked: Mapping[str, Any], *, quiet: bool) -> logging.Handler | None:
    """What writes the log; None where there is none.

    Raises:
        InputError: an option would do nothing, or the file can't be written.
    """
    file: Path | None = asked["log_file"]
    if file is None:
        if asked["log_size"] is not None:
            raise InputError("--log-size without --log-file")
        if not asked["verbose"]:
            if asked["log_format"] is not None:
                raise InputError("--log-format, but nothing is logged", hint="give -v or -vv")
            return None
        if quiet:
            raise InputError(
                "--quiet, but -v logs to standard error", hint="give --log-file FILE too"
            )
        return _Lines()
    return log_file(file, _complain, size=asked["log_size"], keep=_KEPT)


def _complain(what: str) -> None:
    with suppress(OSError):
        typer.echo(what, err=True)


class _Lines(logging.Handler):
    """Lines on standard error; above a live view, which is drawn anew for what comes at once.

    What a user is told there anyhow is not told twice.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []
        self._is_lost = False

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, FACTS, {}).get("event") in _TOLD:
            return
        self._lines.append(self.format(record))
        if len(self._lines) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        lines, self._lines = self._lines, []
        if not lines or self._is_lost:
            return
        try:
            # a live view has another one in its place
            sys.stderr.write("\n".join([*lines, ""]))
            sys.stderr.flush()
        except (OSError, ValueError):
            # a pager that was closed, a terminal that is gone
            self._is_lost = True
