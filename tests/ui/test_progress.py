from types import SimpleNamespace

import pytest

from bulkcmp.ui.progress import show_progress


def test_plain_lines_are_rare_and_tell_rate_and_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter((100.0, 100.0, 104.0, 105.0, 109.0, 110.0))
    # of the module alone: other threads have their own use of time
    monkeypatch.setattr("bulkcmp.ui.progress.time", SimpleNamespace(monotonic=lambda: next(clock)))
    with show_progress("making keys", "keys", 2000, 500, quiet=False) as tell:
        for total in (500, 700, 1000, 1400, 1500):
            tell(total)
    assert capsys.readouterr().err.splitlines() == [
        "1000/2000 keys, 100 keys/s, 10 s to go",
        "1500/2000 keys, 100 keys/s, 5 s to go",
    ]


def test_nothing_is_shown_where_nothing_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress("making keys", "keys", 2, quiet=True) as tell:
        tell(2)
    assert capsys.readouterr() == ("", "")
