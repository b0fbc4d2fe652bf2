"""Standard output, whose reader may leave before the end, or a file in its place."""

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, NoReturn

from rich.console import Console

from bulkcmp.errors import BulkcmpError, InputError, Where
from bulkcmp.outputs.files import replacing

_WIDTH: Final = 120
"""Columns of what goes to a file."""

_TO_A_FILE: Final = "-o writes it to a file"


class PipedConsole(Console):
    """A console whose reader may leave."""

    def on_broken_pipe(self) -> NoReturn:
        """Called where a BrokenPipeError is handled; rich itself would end the program."""
        raise BrokenPipeError


@contextmanager
def printing(what: str, hint: str) -> Iterator[None]:
    """Print something on standard output; a reader that left early has had what it wanted.

    Args:
        what: what is printed; hint: what to do where it can't be.

    Raises:
        BulkcmpError: it can't be printed.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        pass
    except OSError as error:
        raise BulkcmpError(
            f"{what} can't be printed: {error.strerror or error}",
            where=Where("standard output"),
            hint=hint,
        ) from None


def leave() -> None:
    """Let go of what can no longer be printed, on standard output or error.

    The interpreter flushes both as it ends; where it can't, the exit code would be 120, whatever
    came of the run.
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def put_out(texts: Callable[[Console], Iterable[str]], what: str, file: Path | None) -> None:
    """Print texts, or write them to a file (mode 0600) that is replaced whole.

    Args:
        texts: made for the console that they will be read on.
        what: they are, for an error.

    Raises:
        BulkcmpError: that can't be.
    """
    if file is not None:
        console = Console(file=io.StringIO(), width=_WIDTH, no_color=True, highlight=False)
        with replacing(file, 0o600, durable=False) as stream:
            for text in texts(console):
                stream.write(text.encode())
        return
    with printing(what, _TO_A_FILE):
        for text in texts(PipedConsole(highlight=False)):
            sys.stdout.write(text)


def put_out_octets(write: Callable[[IO[bytes]], None], what: str, file: Path | None) -> None:
    """Print what is no text, or write it to a file (mode 0600) that is replaced whole.

    Args:
        write: to a file.
        what: it is, for an error.

    Raises:
        InputError: standard output is a terminal.
        BulkcmpError: that can't be.
    """
    if file is not None:
        with replacing(file, 0o600, durable=False) as stream:
            write(stream)
        return
    if sys.stdout.isatty():
        raise InputError(f"{what} is binary: it is not for a terminal", hint=_TO_A_FILE)
    with printing(what, _TO_A_FILE):
        write(sys.stdout.buffer)
