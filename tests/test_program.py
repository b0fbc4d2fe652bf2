"""`bulkcmp/__main__.py`, the program itself."""

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
