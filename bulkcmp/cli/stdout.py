"""Standard output, whose reader may leave before the end."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from rich.console import Console

from bulkcmp.errors import BulkcmpError, Where


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
        # the interpreter must not try to flush it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise BulkcmpError(
            f"{what} can't be printed: {error.strerror or error}",
            where=Where("standard output"),
            hint=hint,
        ) from None
