"""Arms a failpoint in a process of bulkcmp; Python loads this as it starts, from PYTHONPATH.

BULKCMP_CRASH says which, in JSON: `program`, the module that the process runs; `failpoint`;
`victim`, "self", "parent" or "worker" (the workers below it); and `mark`, a file that is made as it
strikes, once, however many such processes there are.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from tests.crash.failpoint import Failpoint
from tests.processes import descendants

_CRASH = json.loads(os.environ["BULKCMP_CRASH"])


def _victims() -> list[int]:
    match _CRASH["victim"]:
        case "self":
            return [os.getpid()]
        case "parent":
            return [os.getppid()]
    return [pid for pid in descendants(os.getpid()) if _is_worker(pid)]


def _is_worker(pid: int) -> bool:
    try:
        return b"bulkcmp.engine.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        # it has ended since
        return False


def _strike() -> None:
    try:
        os.close(os.open(_CRASH["mark"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    parent = os.getppid()
    for pid in _victims():
        os.kill(pid, signal.SIGKILL)
    while _CRASH["victim"] == "parent" and os.getppid() == parent:
        time.sleep(0.001)


# `python -m MODULE`
if _CRASH["program"] in sys.orig_argv:
    Failpoint(**_CRASH["failpoint"]).arm(_strike)
