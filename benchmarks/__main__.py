"""python -m benchmarks: measures, and writes the results."""

import traceback
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.benchmark import Benchmark, Scale
from benchmarks.figure import Figure
from benchmarks.report import RESULTS, write_report
from benchmarks.result import measure, read_results, write_result
from benchmarks.suite import SUITE

_HERE = Path(__file__).parent


def main(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Which; by default all.")
    ] = None,
    *,
    scale: Annotated[float, typer.Option(min=0.0, help="Size: 1 is full.")] = 1.0,
    out: Annotated[
        Path, typer.Option(help="Where results/ and RESULTS.md are; ideas/ is read there.")
    ] = _HERE,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Write RESULTS.md anew, measure nothing.")
    ] = False,
    list_all: Annotated[bool, typer.Option("--list", help="Say which there are.")] = False,
) -> None:
    """Measure bulkcmp against what it must cost."""
    if list_all:
        for benchmark in SUITE:
            typer.echo(f"{benchmark.name:16} {benchmark.title}")
        return
    failed = []
    if not report_only:
        for benchmark in _chosen(names or []):
            try:
                _run(benchmark, Scale(scale), out)
            except Exception:
                # the others are as good as before
                traceback.print_exc()
                failed.append(benchmark.name)
    write_report(out, read_results(out / RESULTS), SUITE)
    if failed:
        names_of = ", ".join(failed)
        typer.echo(f"failed: {names_of}; the report has what an earlier run found", err=True)
        raise typer.Exit(1)


def _run(benchmark: Benchmark, scale: Scale, out: Path) -> None:
    if benchmark.missing is not None:
        typer.echo(f"{benchmark.name}: left out, {benchmark.missing}")
        return
    typer.echo(f"{benchmark.name}: {benchmark.title}")
    result = measure(benchmark, scale)
    write_result(out / RESULTS, result)
    for figure in result.findings.figures:
        typer.echo(f"  {figure.ratio:10.3g}  {figure.title}{_judged(figure)}")
    typer.echo(f"  {result.seconds:.0f} s")


def _judged(figure: Figure) -> str:
    if figure.target is None:
        return ""
    return f" (target {figure.target}{': missed' if figure.is_missed else ''})"


def _chosen(names: list[str]) -> list[Benchmark]:
    known = {benchmark.name: benchmark for benchmark in SUITE}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise typer.BadParameter(f"no {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names] if names else list(SUITE)


if __name__ == "__main__":
    typer.run(main)
