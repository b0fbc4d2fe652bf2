"""What the user perhaps meant by a name that is not known."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the known one that is nearest to it, if any, and all of them."""
    known = list(known)
    meant = similar(name, known)
    return f"{'' if meant is None else f'did you mean {meant!r}? '}known are {', '.join(known)}"


def similar(name: str, known: Iterable[str]) -> str | None:
    """The known name that is nearest to one, if any is near; `-` and `_` are the same here."""
    plain = {_plain(one): one for one in known}
    close = difflib.get_close_matches(_plain(name), plain, n=1)
    return plain[close[0]] if close else None


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")
