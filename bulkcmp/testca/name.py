"""Names as `cryptography` reads them, its warnings taken for errors."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def strictly() -> Iterator[None]:
    """Make a ValueError of what `cryptography` only warns of: values out of X.520's bounds.

    A warning would go to stderr, once, and the name into a certificate.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            yield
        except UserWarning as warning:
            raise ValueError(str(warning)) from warning
