"""The reports of load tests, in each format that they can have."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import IO, Final

from rich.console import Console

from bulkcmp.model import ReportFormat
from bulkcmp.outputs.hgrm import hgrm
from bulkcmp.outputs.parquet import samples_parquet
from bulkcmp.outputs.records import RecordFile, report_of
from bulkcmp.outputs.report import report_json, report_junit
from bulkcmp.outputs.samples import samples_csv, samples_jsonl
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.report import Report
from bulkcmp.stats.threshold import latencies
from bulkcmp.ui.html import report_html
from bulkcmp.ui.report import markdown, render_report

_SAMPLES: Final = {ReportFormat.CSV: samples_csv, ReportFormat.JSONL: samples_jsonl}
"""Formats that have every transaction, and no figure of several."""


class Export:
    """The records of one load test, or of several together.

    Args:
        latency: of `hgrm`, a LATENCY of the grammar of thresholds.
        window: of a search for the capacity, as of `report_of`.
        known: report and figures, where they were made already.
    """

    def __init__(
        self,
        files: Sequence[RecordFile],
        *,
        latency: str = "response",
        window: int | None = None,
        known: tuple[Report, Figures] | None = None,
    ) -> None:
        self._files = files
        self._latency = latency
        self._window = window
        self._known = known

    @cached_property
    def _made(self) -> tuple[Report, Figures]:
        return report_of(self._files, self._window) if self._known is None else self._known

    def texts(self, format_: ReportFormat, console: Console) -> Iterable[str]:
        """A report that is text, in pieces.

        Args:
            format_: any but Parquet.
            console: that it will be read on.

        Raises:
            InputError: what stands in a file is no record, or an extra is missing.
        """
        if format_ in _SAMPLES:
            return _SAMPLES[format_](file.records() for file in self._files)
        report, figures = self._made
        match format_:
            case ReportFormat.HGRM:
                return hgrm(latencies(self._latency, figures))
            case ReportFormat.JSON:
                return [report_json(report)]
            case ReportFormat.MARKDOWN:
                return [markdown(report)]
            case ReportFormat.JUNIT:
                return [report_junit(report)]
            case ReportFormat.HTML:
                return [report_html(report, figures)]
            case _:
                with console.capture() as captured:
                    render_report(console, report)
                return [captured.get()]

    def write_parquet(self, file: IO[bytes]) -> None:
        """Write the one report that is no text.

        Raises:
            InputError: what stands in a file is no record, or an extra is missing.
            OSError: `file` can't be written.
        """
        samples_parquet(
            [one.run for one in self._files], (one.records() for one in self._files), file
        )
