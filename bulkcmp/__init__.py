"""bulkcmp: enroll populations of end entities over CMP, and measure the CA that serves them.

For programs there are `Client`, `enroll`, `resume` and `load_test`, what they return, and the
errors that they raise (docs/tutorials/python.md). They are imported when they are first asked for:
the command line, and the processes that it starts, would pay for them each time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from bulkcmp.api import Client, enroll, load_test, resume
    from bulkcmp.engine.client import Answer, Kept
    from bulkcmp.errors import (
        BulkcmpError,
        InputError,
        InputErrors,
        InsecureWarning,
        LocalCmpError,
        RemoteCmpError,
        TransportError,
    )
    from bulkcmp.model import Outcome, OutcomeClass
    from bulkcmp.outputs.summary import RunSummary
    from bulkcmp.stats.progress import Snapshot
    from bulkcmp.stats.report import Report

__all__ = [
    "Answer",
    "BulkcmpError",
    "Client",
    "InputError",
    "InputErrors",
    "InsecureWarning",
    "Kept",
    "LocalCmpError",
    "Outcome",
    "OutcomeClass",
    "RemoteCmpError",
    "Report",
    "RunSummary",
    "Snapshot",
    "TransportError",
    "enroll",
    "load_test",
    "resume",
]

_HOMES: Final = {
    "bulkcmp.api": ("Client", "enroll", "load_test", "resume"),
    "bulkcmp.engine.client": ("Answer", "Kept"),
    "bulkcmp.errors": (
        "BulkcmpError", "InputError", "InputErrors", "InsecureWarning", "LocalCmpError",
        "RemoteCmpError", "TransportError",
    ),
    "bulkcmp.model": ("Outcome", "OutcomeClass"),
    "bulkcmp.outputs.summary": ("RunSummary",),
    "bulkcmp.stats.progress": ("Snapshot",),
    "bulkcmp.stats.report": ("Report",),
}  # fmt: skip


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
