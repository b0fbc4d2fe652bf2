"""The populations and scenarios that come with bulkcmp."""

from pathlib import Path
from typing import Final

import bulkcmp
from bulkcmp.errors import InputError

_PACKAGE: Final = Path(bulkcmp.__file__).parent


def shipped(name: str) -> Path:
    """The path of a shipped file, in an installation or in a checkout.

    Raises:
        InputError: the installation lacks it.
    """
    for folder in (_PACKAGE / "scenarios", _PACKAGE.parent / "scenarios"):
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        f"scenarios/{name} is missing from this installation", hint="install bulkcmp again"
    )
