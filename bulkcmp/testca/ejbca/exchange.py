"""One request under way."""

import datetime as dt
from dataclasses import dataclass

from bulkcmp.cmp.messages import PKIMessage
from bulkcmp.testca.aliases import Alias, Behaviour, Mode
from bulkcmp.testca.ejbca.response import Mac


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, before anything of it was checked.

    Attributes:
        now: the time, aware.
    """

    alias: Alias
    behaviour: Behaviour
    message: PKIMessage
    now: dt.datetime

    def answers_by(self, mac: Mac | None) -> Mac | None:
        """The MAC of an ip, cp, kup or rp; None where it is signed.

        Client mode signs always. Without senderKID the secret is not found again.
        """
        is_ra = self.alias.mode is Mode.RA
        if not is_ra or self.behaviour.signs_answers(self.alias) or not self.names_a_key:
            return None
        return mac

    @property
    def names_a_key(self) -> bool:
        """Whether the request has a senderKID."""
        return self.message.header.senderKID is not None
