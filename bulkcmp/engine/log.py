"""What happens to transactions, as lines of a log.

Workers tell it by frames, and the parent hands these to the logger `bulkcmp` of the standard
library. Its level decides what workers tell; where the lines go is for whoever runs the program to
say.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from bulkcmp.cmp.checks import Judgement, Verdict
from bulkcmp.cmp.events import Send
from bulkcmp.cmp.state import State
from bulkcmp.engine.archive import label_of
from bulkcmp.engine.driver import Exchanged, Observer
from bulkcmp.engine.frame import Fact, Logged
from bulkcmp.engine.nesting import NestingError
from bulkcmp.errors import TransportError
from bulkcmp.io.clock import Clock, SystemClock
from bulkcmp.io.http import Reply
from bulkcmp.model import EndEntity, Outcome
from bulkcmp.outputs.log import FACTS, LOGGER, plain

_LOGGER: Final = logging.getLogger(LOGGER)

_LONGEST: Final = 500
"""Characters of a value."""

_MILESTONES: Final = 1
ALL: Final = 2
"""The verbosity at which each step is told."""


def verbosity() -> int:
    """How much is wanted: 0 nothing, 1 how transactions begin, what they wait for, what is lost and
    how they end, 2 (`ALL`) each of their steps."""
    if _LOGGER.isEnabledFor(logging.DEBUG):
        return ALL
    return _MILESTONES if _LOGGER.isEnabledFor(logging.INFO) else 0


def write(line: Logged, host: str = "") -> None:
    """Hand a line to the logger.

    Args:
        host: the machine that it comes from, where it is another one.
    """
    if not _LOGGER.isEnabledFor(line.level):
        return
    facts: dict[str, Fact] = {}
    if line.number is not None:
        facts |= {"row": line.number, "id": line.ids[0]}
    if line.transaction_id is not None:
        facts["transactionID"] = line.transaction_id.hex()
    facts["event"] = line.event
    if len(line.ids) > 1:
        facts["with"] = ",".join(line.ids[1:])
    if host:
        facts["host"] = host
    facts |= {name: _shortened(it) for name, it in line.facts.items()}
    record = _LOGGER.makeRecord(
        _LOGGER.name, line.level, __name__, 0, plain(facts), (), None, extra={FACTS: facts}
    )
    record.created = line.at
    record.msecs = line.at % 1 * 1000
    _LOGGER.handle(record)


def _shortened(value: Fact) -> Fact:
    """What a peer says may be as long as an answer, and come with each."""
    if isinstance(value, str) and len(value) > _LONGEST:
        return f"{value[:_LONGEST]} ..."
    return value


def say(event: str, *, level: int = logging.INFO, **facts: Fact) -> None:
    """Log what is of no transaction alone."""
    write(Logged(SystemClock().now(), level, event, facts))


def noticed(on_notice: Callable[[str], None]) -> Callable[[str], None]:
    """Have what a user is told logged too."""

    def notice(what: str) -> None:
        say("notice", text=what)
        on_notice(what)

    return notice


def ended(
    at: float, number: int, identity: str, transaction_id: bytes | None, outcome: Outcome
) -> Logged:
    """What became of a row in one transaction."""
    told = {
        "outcome": outcome.outcome.value,
        "reason": outcome.reason,
        "failInfo": ",".join(outcome.fail_info),
        "statusText": outcome.status_text,
        "detail": outcome.detail,
    }
    level = logging.INFO if outcome.outcome.is_done else logging.WARNING
    facts = {name: text for name, text in told.items() if text}
    return Logged(at, level, "ended", facts, transaction_id, number, (identity,))


class TransactionLog(Observer):
    """Tells how one transaction begins, what it waits for, and what is lost.

    Args:
        tell: takes the lines.
        clock: of all times.
        entities: of its rows.
    """

    def __init__(
        self,
        tell: Callable[[Logged], None],
        clock: Clock,
        transaction_id: bytes,
        entities: Sequence[EndEntity],
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._transaction_id = transaction_id
        self._number = entities[0].number
        self._ids = tuple(entity.id for entity in entities)
        self._state = State.NEW
        self.say("begins", cmd=entities[0].cmd.value)

    @classmethod
    def of(cls, verbosity: int) -> "type[TransactionLog]":
        """The kind that tells as much as is wanted."""
        return _DetailedLog if verbosity >= ALL else cls

    def say(self, event: str, *, level: int = logging.INFO, **facts: Fact) -> None:
        self._tell(
            Logged(
                self._clock.now(),
                level,
                event,
                facts,
                self._transaction_id,
                self._number,
                self._ids,
            )
        )

    async def exchanged(self, send: Send, answer: Exchanged, began: float, ended: float) -> None:
        facts: dict[str, Fact] = {"sent": send.label, "ms": _ms(ended - began)}
        match answer:
            case TransportError():
                facts |= {"loss": answer.loss.value, "detail": answer.what}
                self.say("lost", level=logging.WARNING, **facts)
            case NestingError():
                facts |= {"outcome": answer.refusal.outcome.outcome.value}
                facts |= {"detail": answer.refusal.outcome.detail}
                self.say("refused", level=logging.WARNING, **facts)
            case Reply():
                self._answered(send, answer, facts)

    def moved(self, state: State) -> None:
        self._state = state

    def waits(self, until: float) -> None:
        why = "poll" if self._state is State.WAITING else "send again"
        self.say("waits", to=why, seconds=round(max(0.0, until - self._clock.now()), 3))

    def _answered(self, send: Send, answer: Reply, facts: dict[str, Fact]) -> None:
        """That an answer came is a detail."""


class _DetailedLog(TransactionLog):
    """Tells each step besides."""

    def moved(self, state: State) -> None:
        if state is not self._state:
            self.say("state", level=logging.DEBUG, to=state.value)
        super().moved(state)

    def stored(self, seconds: float) -> None:
        self.say("stored", level=logging.DEBUG, ms=_ms(seconds))

    def judged(self, verdict: Verdict) -> None:
        if verdict.judgement is not Judgement.PASSED:
            self.say(
                "check",
                level=logging.DEBUG,
                check=verdict.reason.value,
                judgement=verdict.judgement.value,
                detail=verdict.what,
            )

    def _answered(self, send: Send, answer: Reply, facts: dict[str, Fact]) -> None:
        facts["received"] = label_of(answer.body)
        facts["octetsSent"] = len(send.message)
        facts["octetsReceived"] = len(answer.body)
        facts["connection"] = "reused" if answer.times.reused else "new"
        if answer.repeated:
            facts["repeated"] = True
        self.say("answered", level=logging.DEBUG, **facts)


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)
