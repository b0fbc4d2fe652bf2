"""A CA for a demonstration: made, served on a free port, and gone with the block."""

import contextlib
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bulkcmp.testca import server, state
from bulkcmp.testca.aliases import RA_HMAC, paths


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What a client of the alias ra-hmac must know."""

    url: str
    secret: str = field(repr=False)
    trust_anchor: Path


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Demonstration]:
    """Serve a CA whose state lies in `folder`.

    Raises:
        BulkcmpError: the folder can't be used, or the server did not start.
    """
    state.create(folder, state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
    with contextlib.closing(state.open_books(folder)) as books:
        secret = books.alias_secret(RA_HMAC.name)
    assert secret is not None
    with server.serving(server.ServerSettings(state=folder, port=0)) as process:
        yield Demonstration(
            process.url + paths(RA_HMAC)[0],
            secret.reveal().decode(),
            state.Folder(folder).ca_certificate,
        )
