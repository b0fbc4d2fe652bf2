"""What goes wrong with tokens."""

from bulkcmp.errors import LocalCmpError


class TokenError(LocalCmpError):
    """A token, or a key on it, can't be used."""
