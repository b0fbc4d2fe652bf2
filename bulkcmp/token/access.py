"""The way to tokens for who may do without them: python-pkcs11 is an optional extra."""

from typing import TYPE_CHECKING

from bulkcmp.errors import TokenError

if TYPE_CHECKING:
    from bulkcmp.token.tokens import Tokens


def open_tokens() -> "Tokens":
    """The tokens of this process.

    Raises:
        TokenError: python-pkcs11 is not installed.
    """
    try:
        from bulkcmp.token.tokens import Tokens
    except ModuleNotFoundError as error:
        if error.name != "pkcs11":
            raise
        raise TokenError(
            "keys on PKCS#11 tokens need python-pkcs11, which is not installed",
            hint="pip install 'bulkcmp[pkcs11]'",
        ) from None
    return Tokens()
