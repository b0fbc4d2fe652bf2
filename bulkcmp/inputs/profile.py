"""Connection profiles: files of settings that say how to talk to one server.

Those that are shipped have names; a site's own are files.
"""

from pathlib import Path
from typing import Final

import bulkcmp
from bulkcmp.errors import InputError
from bulkcmp.inputs.spelling import nearest

_FOLDER: Final = Path(bulkcmp.__file__).parent / "profiles"


def shipped_profiles() -> dict[str, Path]:
    """The file of each profile that comes with bulkcmp, by its name."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.toml"))}


def shipped_profile(name: str) -> Path:
    """The file of a shipped profile.

    Raises:
        InputError: there is none of that name.
    """
    shipped = shipped_profiles()
    if name not in shipped:
        raise InputError(f"there is no profile {name!r}", hint=nearest(name, shipped))
    return shipped[name]


def find_profile(text: str) -> Path:
    """The file that `--config` means: a shipped name is that profile, all else is a path.

    A file that is called as a shipped profile is reached as `./NAME`.

    Raises:
        InputError: it is neither a shipped name nor could it be a path: it has no folder and no
            suffix, and there is no such file.
    """
    path = Path(text)
    if text in shipped_profiles() or not (path.suffix or path.name != text or path.exists()):
        return shipped_profile(text)
    return path


def purpose(profile: Path) -> str:
    """What a shipped profile is for: its first line, a comment."""
    with profile.open(encoding="utf-8") as file:
        return file.readline().removeprefix("#").strip()
