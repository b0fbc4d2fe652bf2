"""What a load test notes of one transaction as it goes on."""

from bulkcmp.cmp.events import Send
from bulkcmp.cmp.messages import decode_message
from bulkcmp.engine.driver import Exchanged, Observer
from bulkcmp.engine.nesting import NestingError
from bulkcmp.errors import RemoteCmpError, TransportError
from bulkcmp.io.clock import Clock
from bulkcmp.io.http import Reply
from bulkcmp.stats.record import Exchange, to_microsecond


class Observation(Observer):
    """The exchanges of one transaction, and the client's own work for it.

    Args:
        clock: of all times.
        epoch: Unix time of the run's beginning, from which all seconds count.

    Attributes:
        exchanges: in their order.
        crypto: seconds.
    """

    def __init__(self, clock: Clock, epoch: float) -> None:
        self._clock = clock
        self._epoch = epoch
        self.exchanges: list[Exchange] = []
        self.crypto = 0.0

    async def exchanged(self, send: Send, answer: Exchanged, began: float, ended: float) -> None:
        octets = len(send.message)
        began, ended = to_microsecond(began - self._epoch), to_microsecond(ended - self._epoch)
        match answer:
            case TransportError(loss=loss):
                exchange = Exchange(send.label, "", began, ended, loss, octets_sent=octets)
            case NestingError():
                # what came was about the message around ours
                exchange = Exchange(send.label, "", began, ended, octets_sent=octets)
            case Reply(body=body, times=times):
                exchange = Exchange(
                    send.label,
                    _label(body),
                    self._since(times.started),
                    self._since(times.finished),
                    None,
                    None if times.reached is None else self._since(times.reached),
                    None if times.connected is None else self._since(times.connected),
                    self._since(times.sent),
                    self._since(times.first_byte),
                    octets,
                    len(body),
                )
        self.exchanges.append(exchange)

    def worked(self, seconds: float) -> None:
        self.crypto += seconds

    def _since(self, monotonic: float) -> float:
        return to_microsecond(self._clock.unix(monotonic) - self._epoch)


def _label(message: bytes) -> str:
    try:
        return decode_message(message).body_type.label
    except RemoteCmpError:
        return ""
