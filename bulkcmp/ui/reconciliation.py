"""What a reconciliation found, for a reader and as JSON: counts, first examples, what to do."""

import json
from collections.abc import Iterator
from typing import Any, Final

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from bulkcmp.engine.reconciliation.reconciliation import Reconciliation
from bulkcmp.model import Difference, DifferenceKind
from bulkcmp.outputs.results import serial_text
from bulkcmp.outputs.text import utc
from bulkcmp.ui.figures import clean

_MOST_EXAMPLES: Final = 3
_MOST_REFUSED: Final = 5

MEANINGS: Final[dict[DifferenceKind, tuple[str, str]]] = {
    DifferenceKind.ORPHANED: (
        "issued for a row of the run, and the journal does not have it",
        "bulkcmp reconcile {run} --issued LIST --adopt takes it where the journal has its key;"
        " revoke the others, then bulkcmp resume {run} --retry-unknown",
    ),
    DifferenceKind.UNCONFIRMED: (
        "the CA waits for its confirmation, and may revoke it without",
        "bulkcmp resume {run} sends the certConf again where it is due; else ask the CA",
    ),
    DifferenceKind.MISSING: (
        "the journal has it, and the CA's list does not",
        "is the list of this CA, and whole? If so, ask the CA before anybody relies on it",
    ),
    DifferenceKind.DOUBLE: (
        "valid besides another certificate of the same row",
        "revoke it: bulkcmp revoke, by its serial number",
    ),
    DifferenceKind.REVOKED: (
        "the CA has revoked it, and the journal does not say so",
        "ask who did it, and why; a new run enrolls these end entities again",
    ),
    DifferenceKind.NOT_REVOKED: (
        "valid at the CA, and the journal says that it is revoked, or was refused",
        "revoke it: bulkcmp revoke, by its serial number",
    ),
}
"""What each kind means, and what to do."""


def render_reconciliation(console: Console, found: Reconciliation) -> None:
    """Print what was found, for a reader."""
    for line in found.evidence:
        console.print(Text("compared with ", style="dim").append(clean(line, console)))
    counts = found.findings.counts()
    differing = sum(counts.values())
    console.print()
    headline = (
        f"{differing:,} difference{'' if differing == 1 else 's'}: {found.findings.agreed:,} of"
        f" {found.rows:,} rows have a certificate, or a revocation, and the CA says the same"
    )
    console.print(Text(headline, style="bold"))
    console.print()
    width = max(len(f"{count:,}") for count in counts.values())
    for kind, count in counts.items():
        style = "green" if not count else "yellow"
        console.print(Text(f"{count:>{width},}  ").append(kind.value, style=style), end="")
        meaning, hint = MEANINGS[kind]
        console.print(f": {meaning}", highlight=False)
        if count:
            _print_examples(console, found, kind, width)
            hint = hint.format(run=found.run_folder)
            console.print(Padding(Text(hint, style="dim"), (0, 0, 0, width + 2), expand=False))
    console.print()
    for line in _notes(found):
        console.print(Text(clean(line, console)))
    console.print(Text(clean(f"all differences: {found.file}", console)), soft_wrap=True)


def _print_examples(
    console: Console, found: Reconciliation, kind: DifferenceKind, width: int
) -> None:
    of_kind = [one for one in found.findings.differences if one.kind is kind]
    for one in of_kind[:_MOST_EXAMPLES]:
        text = clean(
            f"row {one.number} {one.id}: {serial_text(one.serial)}, journal: {one.journal},"
            f" CA: {one.ca} (by {one.by})",
            console,
        )
        console.print(Padding(Text(text), (0, 0, 0, width + 2), expand=False))
    if len(of_kind) > _MOST_EXAMPLES:
        more = len(of_kind) - _MOST_EXAMPLES
        console.print(Padding(Text(f"and {more:,} more"), (0, 0, 0, width + 2), expand=False))


def _notes(found: Reconciliation) -> Iterator[str]:
    findings = found.findings
    if found.listed:
        yield (
            f"{found.listed:,} certificates are listed, {found.strangers:,} of them are not of this"
            " run."
        )
    if findings.unissued:
        yield (
            f"For {findings.unissued:,} rows whose outcome is not known the list has no"
            f" certificate: bulkcmp resume {found.run_folder} --retry-unknown begins them anew."
        )
    if found.adoption is not None:
        yield (
            f"{len(found.adoption.numbers):,} certificates were adopted: bulkcmp resume"
            f" {found.run_folder} writes their files."
        )
        for one, why in found.adoption.refused[:_MOST_REFUSED]:
            yield f"Not adopted: {serial_text(one.serial)} of row {one.number} {one.id}: {why}."
        if len(found.adoption.refused) > _MOST_REFUSED:
            yield f"Not adopted: {len(found.adoption.refused) - _MOST_REFUSED:,} more."
    yield from found.limits


def json_of_reconciliation(found: Reconciliation) -> str:
    """All that was found, as one JSON object."""
    adoption = found.adoption
    facts: dict[str, Any] = {
        "run_folder": found.run_folder,
        "file": found.file,
        "evidence": found.evidence,
        "rows": found.rows,
        "agreed": found.findings.agreed,
        "untold": found.findings.untold,
        "too_late": found.findings.too_late,
        "unissued": found.findings.unissued,
        "listed": found.listed,
        "strangers": found.strangers,
        "counts": {kind.value: count for kind, count in found.findings.counts().items()},
        "differences": [_facts(one) for one in found.findings.differences],
        "adopted": None if adoption is None else sorted(adoption.numbers),
        "not_adopted": None
        if adoption is None
        else [{"row": one.number, "id": one.id, "why": why} for one, why in adoption.refused],
        "limits": found.limits,
        "exit_code": found.exit_code,
    }
    return json.dumps(facts, indent=2, ensure_ascii=False)


def _facts(one: Difference) -> dict[str, Any]:
    return {
        "kind": one.kind.value,
        "row": one.number,
        "line": one.line,
        "id": one.id,
        "serial": serial_text(one.serial),
        "subject": one.subject,
        "journal": one.journal,
        "ca": one.ca,
        "matched_by": one.by,
        "source": one.source,
        "issued_at": None if one.issued_at is None else utc(one.issued_at, "seconds"),
        "revoked_at": None if one.revoked_at is None else utc(one.revoked_at, "seconds"),
        "transaction_id": one.transaction_id,
    }
