"""What the user perhaps meant by a name that is not known."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the known one that is nearest to it, if any, and all of them."""
    known = list(known)
    close = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"{meant}known are {', '.join(known)}"
