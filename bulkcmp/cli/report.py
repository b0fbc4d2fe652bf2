"""`bulkcmp report`: the figures of load tests, made again from their records."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bulkcmp.cli.stdout import put_out
from bulkcmp.outputs.hgrm import hgrm
from bulkcmp.outputs.records import RecordFile, figures_of, report_of
from bulkcmp.outputs.report import report_json, report_junit
from bulkcmp.outputs.samples import samples_csv, samples_jsonl
from bulkcmp.stats.threshold import check_latency, latencies
from bulkcmp.ui.html import report_html
from bulkcmp.ui.report import markdown, render_report


class Format(StrEnum):
    """What a report can be."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "md"
    JUNIT = "junit"
    CSV = "csv"
    JSONL = "jsonl"
    HGRM = "hgrm"
    HTML = "html"


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Run folders of load tests; several give one report of all of them together.",
            show_default=False,
        ),
    ],
    format_: Annotated[
        Format,
        typer.Option(
            "--format",
            help="text; html: one page with plots that opens offline; json: all figures; md:"
            " Markdown; junit: JUnit XML, the thresholds are its"
            " test cases; csv and jsonl: every transaction; hgrm: the percentile distribution of"
            " one latency, as HdrHistogram's plotters read it.",
        ),
    ] = Format.TEXT,
    latency: Annotated[
        str,
        typer.Option(
            metavar="LATENCY",
            help="Of hgrm: which one, as in a threshold: service, ir.response, ir/ip.total …",
        ),
    ] = "response",
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write to this file.", show_default=False),
    ] = None,
) -> None:
    """Report on load tests, from the records in their run folders.

    Example: bulkcmp report runs/load-1 runs/load-2 --format md -o summary.md
    """
    check_latency(latency)
    files = [RecordFile(run) for run in runs]
    put_out(lambda console: _texts(files, format_, latency, console), "the report", out)


def _texts(
    files: list[RecordFile], format_: Format, latency: str, console: Console
) -> Iterable[str]:
    match format_:
        case Format.TEXT:
            with console.capture() as captured:
                render_report(console, report_of(files))
            return [captured.get()]
        case Format.JSON:
            return [report_json(report_of(files))]
        case Format.MARKDOWN:
            return [markdown(report_of(files))]
        case Format.JUNIT:
            return [report_junit(report_of(files))]
        case Format.CSV:
            return samples_csv(file.records() for file in files)
        case Format.JSONL:
            return samples_jsonl(file.records() for file in files)
        case Format.HTML:
            figures = figures_of(files)
            return [report_html(report_of(files, figures), figures)]
        case Format.HGRM:
            return hgrm(latencies(latency, figures_of(files)))
