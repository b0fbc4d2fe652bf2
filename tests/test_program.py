"""`bulkcmp/__main__.py`, the program itself."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NoReturn

import pytest

from bulkcmp.__main__ import main
from bulkcmp.cli import title
from bulkcmp.errors import EXIT_INTERRUPTED


def test_ctrl_c_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(title, "hide_secrets", interrupted)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == EXIT_INTERRUPTED


def test_what_only_an_inspection_needs_is_not_loaded_at_the_start() -> None:
    # pyasn1's modules were a third of the CPU time of a start
    program = "import sys, bulkcmp.cli.main; print('pyasn1' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "False\n"


def test_the_extra_all_has_every_other() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert extras.pop("all") == [f"bulkcmp[{','.join(sorted(extras))}]"]
