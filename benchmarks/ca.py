"""The embedded CA in a process of its own, and what clients must be told of it."""

import datetime as dt
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bulkcmp.engine.options import Options
from bulkcmp.testca import state
from bulkcmp.testca.aliases import RA_CERT, RA_HMAC, Alias
from bulkcmp.testca.server import ServerSettings, serving

ITERATIONS: Final = 500
"""Of the password-based MACs: what OpenSSL asks for."""

REFERENCE: Final = "ra1"


@dataclass(frozen=True, slots=True)
class Ca:
    """A CA that serves.

    Attributes:
        folder: its state.
        base: URL without a path.
        pid: of its process.
        secret: what requests at ra-hmac share.
    """

    folder: state.Folder
    base: str
    pid: int
    secret: str

    def url(self, alias: Alias = RA_HMAC) -> str:
        return f"{self.base}/.well-known/cmp/p/{alias.name}"

    def options(self, alias: Alias = RA_HMAC) -> Options:
        """How to enroll there: by the RA's secret at ra-hmac, by its certificate at ra-cert."""
        options = Options(
            server=self.url(alias),
            trusted=(str(self.folder.ca_certificate),),
            pbm_iterations=ITERATIONS,
            proxy="",
        )
        if alias is RA_CERT:
            cert, key = self.folder.ra_certificate, self.folder.ra_key
            return replace(options, cert=str(cert), key=str(key))
        return replace(options, ref=REFERENCE, secret=f"pass:{self.secret}")


@contextmanager
def serving_ca() -> Iterator[Ca]:
    """A new CA, as it is by default, while the block runs."""
    with tempfile.TemporaryDirectory(prefix="bulkcmp-") as name:
        folder = state.Folder(Path(name) / "ca")
        state.create(folder.path, state.DEFAULT_CA_KEY, dt.datetime.now(dt.UTC))
        with closing(state.open_books(folder.path)) as books:
            secret = books.alias_secret(RA_HMAC.name)
        assert secret is not None
        with serving(ServerSettings(folder.path, port=0)) as process:
            assert process.process.pid is not None
            yield Ca(folder, process.url, process.process.pid, secret.reveal().decode())
