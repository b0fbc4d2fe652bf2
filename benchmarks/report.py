"""RESULTS.md: the figures of all results against their targets."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.benchmark import Benchmark
from benchmarks.figure import Figure, Profile, Series
from benchmarks.plot import plot_overview, plot_result
from benchmarks.result import Result

RESULTS = "results"
IDEAS = "ideas"


def write_report(folder: Path, results: Mapping[str, Result], suite: Sequence[Benchmark]) -> None:
    """Write RESULTS.md and its plots.

    What people thought about misses stands in `ideas/BENCHMARK.md`, and is quoted.

    Args:
        results: by benchmark.
        suite: says in which order.
    """
    known = [results[one.name] for one in suite if one.name in results]
    figures = [figure for result in known for figure in result.findings.figures]
    plot_overview(folder / RESULTS / "overview.svg", figures)
    for result in known:
        plot_result(folder / RESULTS / f"{result.benchmark}.svg", result)
    lines = [*_head(known), *_table(known)]
    for result in known:
        lines += _section(folder, result)
    (folder / "RESULTS.md").write_text("\n".join(lines) + "\n")


def _head(results: Sequence[Result]) -> Iterator[str]:
    yield "# Results of the benchmarks"
    yield ""
    yield "Made by `python -m benchmarks`; see [README.md](README.md). Each figure is a ratio taken"
    yield "in one run on one machine, the median of its repetitions, with the least and the"
    yield "greatest. Read the ratios, not the quantities."
    yield ""
    yield "![the figures against their targets](results/overview.svg)"
    yield ""
    if any(result.scale < 1 for result in results):
        yield "**Some of these were not taken at full size (scale 1): they are a first look.**"
        yield ""


def _table(results: Sequence[Result]) -> Iterator[str]:
    yield "| figure | ratio | least to greatest | target | verdict |"
    yield "| --- | ---: | ---: | ---: | --- |"
    for result in results:
        for figure in result.findings.figures:
            if figure.target is not None:
                yield _row(figure)
    yield ""


def _row(figure: Figure) -> str:
    target = "" if figure.target is None else str(figure.target)
    least, greatest = min(figure.ratios), max(figure.ratios)
    spread = f"{_number(least)} to {_number(greatest)}"
    verdict = _verdict(figure)
    return f"| {figure.title} | {_number(figure.ratio)} | {spread} | {target} | {verdict} |"


def _verdict(figure: Figure) -> str:
    if figure.target is None:
        return ""
    if not figure.is_missed:
        return "met"
    return f"**missed by {figure.target.missed_by(figure.ratio):.0%}**"


def _section(folder: Path, result: Result) -> Iterator[str]:
    yield f"## {result.benchmark}: {result.title}"
    yield ""
    machine = ", ".join(f"{name} {value}" for name, value in result.machine.items())
    yield (
        f"{result.date:%Y-%m-%d %H:%M} UTC, commit {result.commit}, scale {result.scale:g},"
        f" {len(result.findings.figures[0].ratios)} repetitions, {result.seconds:.0f} s; load of"
        f" the machine as it began {result.load:.2f}; {machine}."
    )
    yield ""
    yield f"![{result.benchmark}](results/{result.benchmark}.svg)"
    yield ""
    yield "| figure | ratio | least to greatest | target | verdict |"
    yield "| --- | ---: | ---: | ---: | --- |"
    for figure in result.findings.figures:
        yield _row(figure)
    yield ""
    yield "| quantity | median | least to greatest |"
    yield "| --- | ---: | ---: |"
    yield from _quantities(result.findings.figures)
    for fact in result.findings.facts:
        yield f"| {fact.label} | {fact.value} | |"
    yield ""
    missed = [figure for figure in result.findings.figures if figure.is_missed]
    if missed:
        for profile in result.findings.profiles:
            yield from _profile(profile)
        yield from _ideas(folder, result, missed)


def _quantities(figures: Iterable[Figure]) -> Iterator[str]:
    shown: set[Series] = set()
    for figure in figures:
        for series in (figure.numerator, figure.denominator):
            if series in shown:
                continue
            shown.add(series)
            spread = f"{_number(min(series.values))} to {_number(max(series.values))}"
            yield f"| {series.label} | {_number(series.median)} {series.unit} | {spread} |"


def _profile(profile: Profile) -> Iterator[str]:
    yield f"Where the time goes, {profile.title} (cProfile; only the shares mean anything):"
    yield ""
    yield "| own time | calls each | function |"
    yield "| ---: | ---: | --- |"
    for line in profile.lines:
        yield f"| {line.share:.1%} | {line.calls:g} | `{line.function}` |"
    yield ""


def _ideas(folder: Path, result: Result, missed: Sequence[Figure]) -> Iterator[str]:
    yield "### What to try next"
    yield ""
    path = folder / IDEAS / f"{result.benchmark}.md"
    if path.exists():
        yield path.read_text().strip()
    else:
        names = ", ".join(figure.name for figure in missed)
        yield f"Nobody has written `{IDEAS}/{path.name}` yet ({names})."
    yield ""


def _number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")
