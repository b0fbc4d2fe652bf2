"""A request refused: what the CA says instead of doing what was asked."""

from bulkcmp.testca.aliases import Alias, Behaviour


class RefusedError(Exception):
    """The CA refuses a request.

    Attributes:
        fail_info: name of the PKIFailureInfo bit (RFC 9810, 5.2.3).
        text: statusString.
        as_response: say it in the request's own response (ip, cp, kup, rp) with PKIStatus
            rejection, and not by an error message.
    """

    def __init__(self, fail_info: str, text: str, *, as_response: bool = False) -> None:
        super().__init__(f"{fail_info}: {text}")
        self.fail_info = fail_info
        self.text = text
        self.as_response = as_response


def rejected(fail_info: str, text: str) -> RefusedError:
    """A refusal in the request's own response."""
    return RefusedError(fail_info, text, as_response=True)


class FailedError(Exception):
    """The server fails inside: HTTP 500, and no CMP message."""


class Rejections:
    """Rejects each N-th request of an alias that was told so."""

    def __init__(self) -> None:
        self._requests: dict[str, int] = {}

    def check(self, alias: Alias, behaviour: Behaviour) -> None:
        """Count a request that would be granted.

        Raises:
            RefusedError: it is one to reject.
        """
        if behaviour.reject is None:
            return
        count = self._requests.get(alias.name, 0) + 1
        self._requests[alias.name] = count
        if count % behaviour.reject_every == 0:
            raise rejected(behaviour.reject, "rejected, as this CA was told to do")
