"""HTTP as uvicorn speaks it for the embedded CA."""

import sys
from typing import Any

import httptools
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's faster parser, which leaves to the other one what it would not get whole.

    After a head that offers to upgrade, httptools reads no body, whether the offer is taken or not.
    Java's HttpClient offers HTTP/2 with the first request of a connection. The offer may be ignored
    (RFC 9110, 7.8), and h11 then reads on, once the requests before it are answered.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._received = b""
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        if self._rest:
            self._rest += data
            self.flow.pause_reading()
            return
        self._received = data
        super().data_received(data)

    def _should_upgrade(self) -> bool:
        # asked where there is an offer
        return True

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over, with all that came of the request, when it is its turn."""
        upgrade = sys.exception()
        assert isinstance(upgrade, httptools.HttpParserUpgrade)
        (head_end,) = upgrade.args
        version = self.scope["http_version"].encode()
        lines = [b"%s %s HTTP/%s" % (self.scope["method"].encode(), self.url, version)]
        # without the offer, which would be logged as one that is not understood
        lines += [b"%s: %s" % one for one in self.headers if one[0] != b"upgrade"]
        self._rest = b"\r\n".join([*lines, b"", b""]) + self._received[head_end:]
        if self.cycle is None or self.cycle.response_complete:
            self._hand_over()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._rest and self.cycle.response_complete and not self.transport.is_closing():
            self._hand_over()

    def _hand_over(self) -> None:
        self._unset_keepalive_if_required()
        other = H11Protocol(self.config, self.server_state, self.app_state)
        self.connections.discard(self)
        other.connection_made(self.transport)
        self.transport.set_protocol(other)
        other.data_received(self._rest)
