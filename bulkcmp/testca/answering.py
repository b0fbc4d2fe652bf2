"""What every server that the embedded CA can stand for has in common."""

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Mapping

from bulkcmp.testca.aliases import Alias, Behaviour
from bulkcmp.testca.crl import current_crl
from bulkcmp.testca.identity import Identity
from bulkcmp.testca.store import Store


class Answering(ABC):
    """A CA that answers requests.

    Args:
        store: the books.
        root: the CA's key and certificate.
        behaviour: how every alias behaves,
        exceptions: but for these, by name.
    """

    def __init__(
        self,
        store: Store,
        root: Identity,
        behaviour: Behaviour | None,
        exceptions: Mapping[str, Behaviour] | None,
    ) -> None:
        self._store = store
        self._root = root
        self._behaviour = behaviour or Behaviour()
        self._exceptions = dict(exceptions or {})

    def behaviour(self, alias: Alias) -> Behaviour:
        """How an alias behaves."""
        return self._exceptions.get(alias.name, self._behaviour)

    def crl(self, now: dt.datetime) -> bytes:
        """DER of the current CRL.

        Raises:
            BulkcmpError: the books can't be written.
        """
        with self._store.writing():
            return current_crl(self._store, self._root, now)

    @abstractmethod
    def handle(self, alias: Alias, request: bytes, now: dt.datetime) -> bytes:
        """Answer a request; what changes in the books is committed when this returns.

        Args:
            request: what was received, DER of a PKIMessage or anything else.
            now: the time, aware.

        Returns:
            DER of a PKIMessage.

        Raises:
            FailedError: the server fails at such a request.
            BulkcmpError: the books can't be written.
        """
