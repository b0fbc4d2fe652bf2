import errno
import socket
import ssl

import pytest

from bulkcmp.io.cause import cause


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (None, "closed by the peer"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed"), "Connection refused"),
        (
            OSError(
                "Multiple exceptions: [Errno 111] Connect call failed ('::1', 1, 0, 0),"
                " [Errno 113] Connect call failed ('127.0.0.1', 1)"
            ),
            "Connection refused / No route to host",
        ),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not kn"),
        (
            ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"),
            "OpenSSL says: wrong version number",
        ),
        (OSError("something else"), "something else"),
        (OSError(), "OSError"),
        (ConnectionResetError(), "closed by the peer"),
    ],
)
def test_cause(error: Exception | None, text: str) -> None:
    assert cause(error).startswith(text)
