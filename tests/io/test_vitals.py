import os
import resource
import time
from pathlib import Path

import pytest

from bulkcmp.io import vitals as module
from bulkcmp.io.vitals import allow_open_files, most_open_files, vitals


def test_cpu_time_is_that_of_work() -> None:
    began = vitals().cpu
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    assert vitals().cpu - began >= 0.05


def test_open_files_are_counted() -> None:
    before = vitals()
    reader, writer = os.pipe()
    try:
        after = vitals()
    finally:
        os.close(reader)
        os.close(writer)
    if before.open_files is not None and after.open_files is not None:
        assert after.open_files == before.open_files + 2
        assert after.open_files < after.most_files


def test_where_the_system_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DESCRIPTORS", tmp_path / "missing")
    assert vitals().open_files is None


def test_as_many_files_as_the_system_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"now": (64, 4096)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: limits.__setitem__("now", both))
    assert most_open_files() == 4096
    allow_open_files()
    assert limits["now"] == (4096, 4096)
    limits["now"] = (64, resource.RLIM_INFINITY)
    assert most_open_files() > 10**9
