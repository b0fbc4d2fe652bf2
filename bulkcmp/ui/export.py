"""The reports of load tests, in each format that they can have."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import IO

from rich.console import Console

from bulkcmp.model import ReportFormat
from bulkcmp.outputs.hgrm import hgrm
from bulkcmp.outputs.parquet import samples_parquet
from bulkcmp.outputs.records import RecordFile, figures_of, report_of
from bulkcmp.outputs.report import report_json, report_junit
from bulkcmp.outputs.samples import samples_csv, samples_jsonl
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.report import Report
from bulkcmp.stats.threshold import latencies
from bulkcmp.ui.html import report_html
from bulkcmp.ui.report import markdown, render_report


class Export:
    """The records of one load test, or of several together.

    Args:
        latency: of `hgrm`, a LATENCY of the grammar of thresholds.
        figures: of the records, where they were made already.
    """

    def __init__(
        self,
        files: Sequence[RecordFile],
        *,
        latency: str = "response",
        figures: Figures | None = None,
    ) -> None:
        self._files = files
        self._latency = latency
        self._known = figures

    @cached_property
    def _figures(self) -> Figures:
        return figures_of(self._files) if self._known is None else self._known

    @cached_property
    def _report(self) -> Report:
        return report_of(self._files, self._figures)

    def texts(self, format_: ReportFormat, console: Console) -> Iterable[str]:
        """A report that is text, in pieces.

        Args:
            format_: any but Parquet.
            console: that it will be read on.

        Raises:
            InputError: what stands in a file is no record, or an extra is missing.
        """
        match format_:
            case ReportFormat.CSV:
                return samples_csv(file.records() for file in self._files)
            case ReportFormat.JSONL:
                return samples_jsonl(file.records() for file in self._files)
            case ReportFormat.HGRM:
                return hgrm(latencies(self._latency, self._figures))
            case ReportFormat.JSON:
                return [report_json(self._report)]
            case ReportFormat.MARKDOWN:
                return [markdown(self._report)]
            case ReportFormat.JUNIT:
                return [report_junit(self._report)]
            case ReportFormat.HTML:
                return [report_html(self._report, self._figures)]
            case _:
                with console.capture() as captured:
                    render_report(console, self._report)
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
