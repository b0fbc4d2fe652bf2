"""Build hook: the manual page of a release goes where `man` looks for it.

The page is made from the program itself (`conf.py`), by what a build does not have; `.ci/package`
makes it before it builds. What is built from a clone has none, and `bulkcmp --help` has the same.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManualPage(BuildHookInterface[Any]):
    """Adds `man/bulkcmp.1` to the wheel, where there is one."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        page = Path(self.root) / "man" / "bulkcmp.1"
        if page.exists():
            build_data["shared_data"][str(page)] = "share/man/man1/bulkcmp.1"
