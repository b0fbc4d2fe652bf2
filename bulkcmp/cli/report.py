"""`bulkcmp report`: the figures of load tests, made again from their records."""

from pathlib import Path
from typing import Annotated

import typer

from bulkcmp.cli.show import Errors
from bulkcmp.cli.stdout import put_out, put_out_octets
from bulkcmp.model import ReportFormat
from bulkcmp.outputs.records import record_files
from bulkcmp.stats.threshold import check_latency
from bulkcmp.ui.export import Export


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
        ReportFormat,
        typer.Option(
            "--format",
            help="text; html: one page with plots that opens offline; json: all figures; md:"
            " Markdown; junit: JUnit XML, the thresholds are its"
            " test cases; csv, jsonl and parquet: every transaction; hgrm: the percentile"
            " distribution of one latency, as HdrHistogram's plotters read it.",
        ),
    ] = ReportFormat.TEXT,
    latency: Annotated[
        str,
        typer.Option(
            metavar="LATENCY",
            help="Of hgrm: which one, as in a threshold: service, ir.response, ir/ip.total …",
        ),
    ] = "response",
    window: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER",
            help="Of a search for the capacity: the window to report on. Default: that of the"
            " highest rate that held, with what was found.",
            show_default=False,
        ),
    ] = None,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial",
            help="Of records that are damaged, report on what stands before the damage, and say so"
            " in the report and on standard error. Without it such records are refused.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write to this file.", show_default=False),
    ] = None,
) -> None:
    """Report on load tests, from the records in their run folders.

    Example: bulkcmp report runs/load-1 runs/load-2 --format md -o summary.md
    """
    check_latency(latency)
    files = record_files(runs, partial=partial)
    put_report(Export(files, latency=latency, window=window), format_, out)
    errors = Errors()
    for file in files:
        if file.damage is not None:
            errors.say(f"only a part is reported on: {file.damage}")


def put_report(export: Export, format_: ReportFormat, file: Path | None) -> None:
    """Print a report, or write it to a file.

    Raises:
        BulkcmpError: that can't be.
    """
    if format_ is ReportFormat.PARQUET:
        put_out_octets(export.write_parquet, "the report", file)
    else:
        put_out(lambda console: export.texts(format_, console), "the report", file)
