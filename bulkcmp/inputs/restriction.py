"""Which cells and options mean something for which operations only."""

from collections.abc import Collection, Sequence
from typing import Final

from bulkcmp.errors import InputError
from bulkcmp.inputs.field import option_name
from bulkcmp.model import Operation

BY_TEMPLATE: Final = (Operation.IR, Operation.CR, Operation.KUR)
"""The operations that ask by a CertTemplate."""

CELLS: Final = {
    "csr": (Operation.P10CR,),
    "revreason": (Operation.RR,),
    "serial": (Operation.RR,),
    "infotype": (Operation.GENM,),
    "oldwithold": (Operation.GENM,),
    "crlcert": (Operation.GENM,),
    "oldcrl": (Operation.GENM,),
    "centralkeygen": BY_TEMPLATE,
    "keyusage": BY_TEMPLATE,
    "extkeyusage": BY_TEMPLATE,
    "policy_oids": BY_TEMPLATE,
    "extensions": BY_TEMPLATE,
    "extensions_from": BY_TEMPLATE,
    "not_before": BY_TEMPLATE,
    "not_after": BY_TEMPLATE,
    "regtoken": BY_TEMPLATE,
    "authenticator": BY_TEMPLATE,
    "reginfo": BY_TEMPLATE,
    "out_pass": BY_TEMPLATE,
}
"""Columns that a row of another operation must leave empty."""

OPTIONS: Final = CELLS | {
    "oldcert": (*BY_TEMPLATE, Operation.RR),
    "sans": BY_TEMPLATE,
    "san_nodefault": BY_TEMPLATE,
    "days": BY_TEMPLATE,
    "newkey": BY_TEMPLATE,
    "newkeypass": BY_TEMPLATE,
    "popo": BY_TEMPLATE,
    "certs_per_message": (*BY_TEMPLATE, Operation.RR),
}
"""Options, by the names of their settings, that no row of another operation uses."""


def refuse_unused(stated: Collection[str], operations: Collection[Operation]) -> None:
    """Make sure that what the user says of the rows is used by some of them.

    Args:
        stated: names of settings.
        operations: of the rows.

    Raises:
        InputError: an option would be passed over in every row.
    """
    for name, only in OPTIONS.items():
        if name in stated and operations and not set(only) & set(operations):
            option = option_name(name)
            there = listed([one for one in Operation if one in operations])
            raise InputError(
                f"{option} is for {listed(only)}, and the rows are {there}",
                hint=f"leave {option} away, or say with --cmd what the rows shall be",
            )


def listed(operations: Sequence[Operation]) -> str:
    """Their names as a sentence has them: `ir, cr and kur`."""
    *others, last = operations
    return f"{', '.join(others)} and {last}" if others else last.value
