"""`bulkcmp inspect`: any file -> trees."""

import json
from collections.abc import Iterator
from contextlib import suppress

from bulkcmp.errors import InputError
from bulkcmp.inspect.armour import parts_of
from bulkcmp.inspect.inspection import inspect_part
from bulkcmp.inspect.text import lines_of
from bulkcmp.outputs.text import visible
from tests.fuzz import credential
from tests.fuzz.mutation import PIECES

_WIDTH = 80


def one(data: bytes) -> None:
    """Whatever a file has, each value in it is shown as text and as JSON, or told to be no good.

    No character of the text is one that a terminal would obey.
    """
    with suppress(InputError):
        for part in parts_of(data, "file"):
            with suppress(InputError):
                inspection = inspect_part(part)
                for line in lines_of(inspection, _WIDTH, visible):
                    assert all(one.isprintable() for one in line), line
                json.dumps(inspection.json()).encode()


def seeds() -> Iterator[bytes]:
    """Messages, and whatever has keys and certificates."""
    yield from PIECES
    yield PIECES[0].hex().encode()
    yield from credential.files()
