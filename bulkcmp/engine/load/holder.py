"""Who goes through a lifecycle, and what it holds by now."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bulkcmp.cmp.events import Part
from bulkcmp.engine.frame import Member
from bulkcmp.load.lifecycle import revoking, updating
from bulkcmp.load.scenario import Step
from bulkcmp.model import EndEntity, Operation, TokenKey


@dataclass(slots=True)
class Holder:
    """An end entity on its way.

    Attributes:
        place: among those who enroll in one message.
        first: as its first transaction has it; member: as its next one does, or its last.
        elsewhere: the end entity as other servers than the first step's want it, by server.
        certificate: DER of what it holds, if anything; chain: of its issuers; key: its own,
            PKCS#8 DER or on a token.
    """

    place: int
    first: Member
    elsewhere: Mapping[str, EndEntity] = field(default_factory=dict)
    member: Member = field(init=False)
    certificate: bytes | None = None
    chain: tuple[bytes, ...] = ()
    key: bytes | TokenKey | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.member = self.first

    def keep(self, part: Part) -> None:
        """Take the certificate that a transaction brought, if it brought one."""
        if part.certificate is not None:
            self.certificate, self.chain = part.certificate, part.chain
            # the CA may have made it
            self.key = part.key or self.member.key

    def turn_to(self, step: Step, key: bytes | TokenKey | None) -> None:
        """Make ready for a further step.

        Args:
            key: to certify in it, if one is: PKCS#8 DER, or on a token.
        """
        self.member = Member(self._asking(step), key)

    def _asking(self, step: Step) -> EndEntity:
        first = self.first.entity
        entity = self.elsewhere.get(step.server, first)
        if self.certificate is None or step.cmd not in _ABOUT_IT:
            return replace(entity, cmd=step.cmd)
        # of a PKCS#10 request the key is not known
        began_with_update = first.cmd is Operation.KUR and entity.cert == first.cert
        if self.key is not None and (step.cmd is Operation.KUR or began_with_update):
            # who began with an update has no other credential than what it holds
            entity = updating(entity, self.certificate, self.chain, self.key)
        if step.cmd is Operation.RR:
            entity = revoking(entity, self.certificate, step.reason)
        return entity


_ABOUT_IT = frozenset({Operation.KUR, Operation.RR})
"""Operations about the certificate that is held."""
