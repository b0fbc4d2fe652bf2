"""A request refused: what the CA says instead of doing what was asked."""


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
