"""results.csv: one line for each row of the population, and what became of it."""

import csv
import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bulkcmp.errors import InputError, Where
from bulkcmp.model import RowResult
from bulkcmp.outputs.table import table
from bulkcmp.outputs.text import utc, visible

COLUMNS: Final = (
    "id",
    "outcome",
    "pki_status",
    "fail_info",
    "status_text",
    "serial",
    "subject",
    "not_after",
    "reason",
    "detail",
    "cmd",
    "requested_subject",
    "transaction_id",
    "cert_file",
    "key_file",
    "info_files",
    "delivery",
    "delivery_reason",
    "attempts",
    "sends",
    "service_s",
    "request_s",
    "polling_s",
    "confirm_s",
    "finished_at",
    "row",
    "line",
)

PKI_STATUS: Final = (
    "accepted",
    "grantedWithMods",
    "rejection",
    "waiting",
    "revocationWarning",
    "revocationNotification",
    "keyUpdateWarning",
)
"""Names of the PKIStatus numbers 0 to 6 (RFC 9810, 5.2.3)."""

# the full-width forms are taken for operators by spreadsheets set to an East Asian language
_FORMULA: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@dataclass(frozen=True, slots=True)
class RowFiles:
    """The files of a row, relative to the run folder; empty for what there is not."""

    certificate: str = ""
    key: str = ""
    infos: tuple[str, ...] = ()


def write_results(
    path: Path,
    rows: Iterable[RowResult],
    *,
    files: Callable[[RowResult], RowFiles] | None = None,
    delivers: bool = False,
) -> int:
    """Write `rows` in the order given and return how many there were.

    UTF-8, comma-separated with CRLF (RFC 4180), mode 0600; the old file is replaced whole, and
    durably, only when the new one is complete. `rows` is read one by one.

    In every text column, control characters and line breaks stand as visible escapes
    (`outputs.text.visible`), and a cell that a spreadsheet would take for a formula (its first
    character other than a blank is `=`, `+`, `-` or `@`) gets a `'` in front. The numbers and
    times that bulkcmp makes itself (attempts, sends, the seconds, finished_at, not_after, row,
    line) stay as they are. To join with the population, use `row`: it is never changed.

    Columns: `serial` is hex as `openssl x509 -serial` prints it; `pki_status` is the name in
    RFC 9810, 5.2.3, or the number where that has none; `fail_info` the names of the bits, joined
    by `|`, as are the `info_files`; times are UTC in ISO 8601; `*_s` are seconds, empty for a step
    that did not happen; `delivery` is empty where there is nothing to deliver.

    Args:
        files: names the files of a row; without it their columns are empty.
        delivers: the run delivers certificates (--on-issued).

    Raises:
        BulkcmpError: the file system refused.
    """
    count = 0
    with table(path, COLUMNS) as writer:
        for row in rows:
            writer.writerow(_cells(row, files(row) if files else RowFiles(), delivers))
            count += 1
    return count


def read_row_files(path: Path) -> dict[int, RowFiles]:
    """The files of each row, by its number; nothing where there are no results yet.

    Raises:
        InputError: it can't be read, or is not what `write_results` wrote.
    """
    found: dict[int, RowFiles] = {}
    where = Where(str(path))
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            for row in reader:
                found[int(row["row"])] = RowFiles(row["cert_file"], row["key_file"])
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(error.strerror or str(error), where=where) from None
    except (ValueError, LookupError, TypeError, csv.Error):
        raise InputError(
            "not the results of a run",
            where=where,
            hint="bulkcmp resume writes them anew from the journal",
        ) from None
    return found


def _cells(row: RowResult, files: RowFiles, delivers: bool) -> tuple[str, ...]:
    outcome = row.outcome
    timings = row.timings
    return (
        cell(row.id),
        cell(outcome.outcome),
        cell(_status(outcome.pki_status)),
        cell("|".join(outcome.fail_info)),
        cell(outcome.status_text),
        cell(serial_text(row.serial)),
        cell(row.subject),
        _instant(row.not_after, "seconds"),
        cell(outcome.reason),
        cell(outcome.detail),
        cell(row.cmd or ""),
        cell(row.requested_subject),
        cell(row.transaction_id),
        cell(files.certificate),
        cell(files.key),
        cell("|".join(files.infos)),
        *_delivery(row, asked=delivers),
        str(row.attempts),
        str(row.sends),
        _seconds(timings.service),
        _seconds(timings.request),
        _seconds(timings.polling),
        _seconds(timings.confirm),
        _instant(row.finished_at, "milliseconds"),
        str(row.number),
        str(row.line),
    )


def _delivery(row: RowResult, *, asked: bool) -> tuple[str, str]:
    if not asked or not row.is_deliverable:
        return "", ""
    return cell(row.delivery.state), cell(row.delivery.reason)


def cell(text: str) -> str:
    """A text of others as a cell: on one line, and no formula."""
    shown = visible(text)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown


def _status(number: int | None) -> str:
    if number is None:
        return ""
    return PKI_STATUS[number] if 0 <= number < len(PKI_STATUS) else str(number)


def serial_text(serial: int | None) -> str:
    """A serial number in hex, as `openssl x509 -serial` prints it; empty for none."""
    if serial is None:
        return ""
    digits = f"{abs(serial):X}"
    return ("-" if serial < 0 else "") + digits.zfill(len(digits) + len(digits) % 2)


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.6f}"


def _instant(instant: dt.datetime | None, precision: str) -> str:
    return "" if instant is None else utc(instant, precision)
