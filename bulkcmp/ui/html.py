"""A load test, or two compared, in one HTML file that opens without a network.

The plots are drawn by Plotly, whose program is part of the file; a policy in the file's head lets
nothing be fetched.
"""

import html
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from bulkcmp.errors import EXIT_OK, InputError
from bulkcmp.outputs.text import utc, visible
from bulkcmp.stats.capacity import Capacity, Trial
from bulkcmp.stats.distribution import Heat, heat, spectrum
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.report import Report
from bulkcmp.stats.series import Interval
from bulkcmp.ui.comparison import NOTE as COMPARISON_NOTE
from bulkcmp.ui.comparison import Comparison, cautions
from bulkcmp.ui.comparison import sections as compared_sections
from bulkcmp.ui.report import (
    ALARMS,
    JUDGEMENTS,
    NOTE,
    Section,
    conclusion,
    facts,
    findings,
    headlines,
    sections,
)

_FIRST: Final = ("#", "threshold", "transactions")
"""Titles of the tables that stand above the plots."""

_POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)

_STYLE: Final = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 75rem;
  padding: 0 1rem; color: #1c2430; background: #fff }
h1 { font-size: 1.5rem; margin: 0 0 .5rem } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
.verdict { padding: .6rem 1rem; border-radius: .3rem; font-weight: 600; color: #fff }
.good { background: #1a7f37 } .bad { background: #b42318 }
.doubt { border-left: .3rem solid #b42318; padding: .2rem .8rem; margin: .5rem 0 }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #d8dee6 }
th:first-child, td:first-child, .words td { text-align: left; overflow-wrap: anywhere }
th { font-weight: 600; color: #526070 } td.indent { padding-left: 2rem }
.finding { font-weight: 600; margin: .5rem 0 }
.crossed { color: #b42318; font-weight: 600 } .note { color: #526070 }
.plot { height: 22rem }
"""

_DRAW: Final = """
for (const [name, plot] of Object.entries(PLOTS)) {
  Plotly.newPlot(name, plot.data, plot.layout, {responsive: true, displaylogo: false});
}
"""

_FEW: Final = 8
"""Of things that are counted; from there on Plotly sets its ticks at whole numbers."""

_FONT: Final = {"family": "system-ui, sans-serif", "size": 13, "color": "#1c2430"}
_MILLISECONDS: Final = {
    "title": {"text": "ms"},
    "type": "log",
    "dtick": "D2",
    # else 20 would be a small 2 between 10 and 100
    "tickformat": "~g",
}
_BLUE, _GREEN, _RED, _ORANGE, _GREY = "#2f6fb7", "#1a7f37", "#b42318", "#d97706", "#8a94a3"


def report_html(report: Report, figures: Figures) -> str:
    """The page.

    Args:
        report: of `figures`, with all of its intervals.

    Raises:
        InputError: Plotly is not there.
    """
    tables = list(sections(report))
    return _page(
        f"Load test {report.runs[0].scenario}",
        conclusion(report),
        dict(_plots(report, figures)),
        good=report.exit_code == EXIT_OK,
        doubts=headlines(report),
        above=[
            *(f"<p>{_text(run.description)}</p>" for run in report.runs if run.description),
            *(f'<p class="finding">{_text(line)}</p>' for line in findings(report)),
            *(f"<div>{_text(line)}</div>" for line in facts(report)),
            *(_table(one) for one in tables if one.title in _FIRST),
        ],
        below=[
            *(_table(one) for one in tables if one.title not in _FIRST),
            f'<p class="note">{_text(NOTE)}</p>',
            *map(_table, _settings(report)),
        ],
    )


def comparison_html(comparison: Comparison, before: Figures, after: Figures) -> str:
    """The page of two load tests, one laid over the other.

    Args:
        before, after: the figures of `comparison`'s reports.

    Raises:
        InputError: Plotly is not there.
    """
    reports = {"before": comparison.before, "after": comparison.after}
    names = dict.fromkeys(one.runs[0].scenario for one in reports.values())
    spectra = {
        name: spectrum(figures.measured.all_operations().ok.response)
        for name, figures in (("before", before), ("after", after))
    }
    return _page(
        f"Load tests compared: {', '.join(names)}",
        comparison.verdict,
        {
            "rates": _overlay("Successes per second", "per second", reports, _ok_rate),
            "latencies": _overlay("Response time, p95", "ms", reports, _p95),
            "spectrum": _spectrum(spectra),
        },
        good=comparison.exit_code == EXIT_OK,
        doubts=cautions(comparison),
        above=[
            *(
                f"<div>{name}: {_text(line)}</div>"
                for name, report in reports.items()
                for line in facts(report)
            ),
            *map(_table, compared_sections(comparison)),
            f'<p class="note">{_text(COMPARISON_NOTE)}</p>',
        ],
        below=[table for report in reports.values() for table in map(_table, _settings(report))],
    )


def _page(
    title: str,
    verdict: str,
    plots: dict[str, dict[str, Any]],
    *,
    good: bool,
    doubts: Iterable[str],
    above: Iterable[str],
    below: Iterable[str],
) -> str:
    """A page, with a verdict if there is one.

    Args:
        above, below: HTML that stands above and below the plots; all else is text.
    """
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{_text(title)}</h1>",
        f'<p class="verdict {"good" if good else "bad"}">{_text(verdict)}</p>' if verdict else "",
        *(f'<p class="doubt">{_text(line)}</p>' for line in doubts),
        *above,
        *(
            f'<h2>{_text(plot["title"])}</h2><div class="plot" id="{key}"></div>'
            for key, plot in plots.items()
        ),
        *below,
        f"<script>{_plotly()}</script>",
        f"<script>const PLOTS = {_script(plots)};{_DRAW}</script>",
        "</body></html>",
    ]
    return "\n".join([*parts, ""])


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise InputError(
            "an HTML report is drawn by Plotly, which is not installed",
            hint="pip install 'bulkcmp[html]'; all other formats do without it",
        ) from None
    program: str = get_plotlyjs()
    return program


def _text(text: str) -> str:
    return html.escape(visible(text))


def _script(value: object) -> str:
    """JSON that can end no script element."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _table(section: Section) -> str:
    rows = []
    for row in section.rows:
        first = ' class="indent"' if row[0].startswith(" ") else ""
        cells = [f"<td{first}>{_text(row[0].strip())}</td>"]
        for cell in row[1:]:
            crossed = ' class="crossed"' if cell in ALARMS else ""
            cells.append(f"<td{crossed}>{_text(cell)}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    heads = "".join(f"<th>{_text(head)}</th>" for head in (section.title, *section.heads))
    words = ' class="words"' if section.is_wordy else ""
    return f"<table{words}><tr>{heads}</tr>{''.join(rows)}</table>"


def _settings(report: Report) -> Iterator[Section]:
    for run in report.runs:
        rows = (
            ("began at", utc(run.began_at, "seconds")),
            ("bulkcmp", run.tool_version),
            ("workers", str(run.workers)),
            ("seed", str(run.seed)),
            *run.settings,
        )
        yield Section("configuration", ("",), rows, is_wordy=True)
        if run.environment:
            yield Section("environment", ("",), run.environment, is_wordy=True)


def _plots(report: Report, figures: Figures) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and plots, each with a title, as Plotly takes them."""
    if report.capacity is not None and report.capacity.curve:
        yield "capacity", _capacity(report.capacity)
    if not report.intervals:
        return
    yield "rates", _rates(report)
    yield "latencies", _latencies(report)
    if any(one.failures for one in report.intervals):
        yield "failures", _failures(report)
    measured = figures.measured.all_operations().ok
    if measured.response.count:
        yield "heat", _heat(report, heat(figures))
        yield (
            "spectrum",
            _spectrum(
                {"response": spectrum(measured.response), "service": spectrum(measured.service)}
            ),
        )
    if report.exchanges:
        yield "phases", _phases(report)


def _capacity(capacity: Capacity) -> dict[str, Any]:
    """Latency over rate, and what came of it."""
    curve = capacity.curve
    at = [one.rate for one in curve]

    def line(name: str, color: str, figure: Callable[[Trial], float | None], **more: Any) -> Any:
        values = [figure(one) for one in curve]
        rounded = [None if value is None else round(value, 3) for value in values]
        return _line(name, at, rounded, color, **more) | {
            "mode": "lines+markers",
            "text": [JUDGEMENTS[one.judgement] for one in curve],
            "hovertemplate": "%{y:.4g} (%{text})",
        }

    def milliseconds(metric: str, name: str, color: str, **more: Any) -> Any:
        def figure(trial: Trial) -> float | None:
            seconds = getattr(trial.report.total.latencies[metric], name)
            return None if seconds is None else seconds * 1e3

        return line(f"{metric} {name}", color, figure, **more)

    marks = [
        (name, trial.rate, color)
        for name, trial, color in (
            ("knee", capacity.knee, _GREY),
            ("held", capacity.held, _GREEN),
            ("not held", capacity.failed, _RED),
        )
        if trial is not None
    ]
    return _plot(
        "Latency over rate",
        [
            milliseconds("response", "p50", _GREEN),
            milliseconds("response", "p95", _ORANGE),
            milliseconds("response", "p99", _RED),
            milliseconds("service", "p95", _GREY, dash="dot"),
            line("ok/s", _BLUE, lambda one: one.report.total.ok_rate, dash="dash")
            | {"yaxis": "y2"},
        ],
        {"title": {"text": "lifecycles/s"}},
        _MILLISECONDS,
        # the ticks of the other axis are logarithms
        yaxis2=_right_axis("ok/s") | {"tickmode": "auto"},
        shapes=[
            {"type": "line", "xref": "x", "yref": "paper", "x0": rate, "x1": rate, "y0": 0, "y1": 1,
             "line": {"color": color, "width": 1, "dash": "dot"}}
            for _, rate, color in marks
        ],
        annotations=[
            {"xref": "x", "yref": "paper", "x": rate, "y": 0.02 + 0.07 * place, "text": name,
             "showarrow": False, "xanchor": "left", "font": {"color": color}}
            for place, (name, rate, color) in enumerate(marks)
        ],
    )  # fmt: skip


def _plot(
    title: str,
    data: Sequence[dict[str, Any]],
    x: dict[str, Any],
    y: dict[str, Any],
    **layout: Any,
) -> dict[str, Any]:
    axis = {"gridcolor": "#e6eaef", "zeroline": False, "automargin": True}
    return {
        "title": title,
        "data": list(data),
        "layout": {
            "font": _FONT,
            "margin": {"l": 60, "r": 60, "t": 10, "b": 45},
            "hovermode": "x unified",
            "legend": {"orientation": "h", "y": 1.12},
            "xaxis": axis | x,
            "yaxis": axis | y,
            **layout,
        },
    }


def _right_axis(title: str) -> dict[str, Any]:
    return {
        "title": {"text": title},
        "overlaying": "y",
        "side": "right",
        "rangemode": "tozero",
        "showgrid": False,
    }


def _over_time(report: Report) -> dict[str, Any]:
    """The axis of time, and the warm-up as a shade."""
    shades = []
    if report.warm_up_seconds:
        shades.append(
            {"type": "rect", "xref": "x", "yref": "paper", "x0": 0, "y0": 0, "y1": 1,
             "x1": report.warm_up_seconds, "fillcolor": "#8a94a3", "opacity": 0.15,
             "line": {"width": 0}}
        )  # fmt: skip
    return {"shapes": shades}


_TIME: Final = {"title": {"text": "seconds since the beginning"}}


def _line(
    name: str, x: Sequence[float], y: Sequence[float | None], color: str, **more: Any
) -> dict[str, Any]:
    return {
        "type": "scatter",
        # a line through one point is not to be seen
        "mode": "lines" if len(x) > 1 else "markers",
        "name": name,
        "x": x,
        "y": y,
        "line": {"color": color, "width": 1.5, **more},
    }


def _overlay(
    title: str,
    unit: str,
    reports: dict[str, Report],
    figure: Callable[[Interval], float | None],
) -> dict[str, Any]:
    """One figure of each run over time."""
    lines = []
    for (name, report), color in zip(reports.items(), (_GREY, _BLUE), strict=True):
        values = [figure(one) for one in report.intervals]
        rounded = [None if value is None else round(value, 3) for value in values]
        lines.append(_line(name, [one.at for one in report.intervals], rounded, color))
    return _plot(title, lines, _TIME, {"title": {"text": unit}, "rangemode": "tozero"})


def _ok_rate(interval: Interval) -> float:
    return interval.ok / interval.seconds


def _p95(interval: Interval) -> float | None:
    seconds = interval.response.p95
    return None if seconds is None else seconds * 1e3


def _rates(report: Report) -> dict[str, Any]:
    at = [one.at for one in report.intervals]

    def per_second(name: str, color: str, **more: Any) -> dict[str, Any]:
        rates = [round(getattr(one, name) / one.seconds, 3) for one in report.intervals]
        return _line(name, at, rates, color, **more)

    lines = [
        per_second("planned", _GREY, dash="dot"),
        per_second("started", _ORANGE),
        per_second("ok", _GREEN),
        per_second("failed", _RED),
    ]
    if any(one.dropped for one in report.intervals):
        lines.append(per_second("dropped", "#7c3aed"))
    in_flight = [one.in_flight for one in report.intervals]
    lines.append(_line("in flight", at, in_flight, _BLUE, dash="dash") | {"yaxis": "y2"})
    # Plotly's own ticks of so few would be fractions
    whole = {"dtick": 1} if max(in_flight) <= _FEW else {}
    return _plot(
        "Rates and transactions in flight",
        lines,
        _TIME,
        {"title": {"text": "per second"}, "rangemode": "tozero"},
        yaxis2=_right_axis("in flight") | whole,
        **_over_time(report),
    )


def _latencies(report: Report) -> dict[str, Any]:
    at = [one.at for one in report.intervals]

    def milliseconds(metric: str, name: str, color: str, **more: Any) -> dict[str, Any]:
        found = [getattr(getattr(one, metric), name) for one in report.intervals]
        values = [None if one is None else round(one * 1e3, 3) for one in found]
        return _line(f"{metric} {name}", at, values, color, **more)

    return _plot(
        "Latency of successes",
        [
            milliseconds("response", "p50", _GREEN),
            milliseconds("response", "p95", _ORANGE),
            milliseconds("response", "p99", _RED),
            milliseconds("service", "p50", _BLUE, dash="dot"),
            milliseconds("service", "p99", _GREY, dash="dot"),
        ],
        _TIME,
        _MILLISECONDS,
        **_over_time(report),
    )


def _failures(report: Report) -> dict[str, Any]:
    classes: dict[str, list[tuple[Interval, float]]] = defaultdict(list)
    for one in report.intervals:
        for outcome, count in one.failures:
            classes[outcome.value].append((one, count / one.seconds))
    bars = [
        {
            "type": "bar",
            "name": name,
            "x": [one.at for one, _ in points],
            "y": [round(rate, 3) for _, rate in points],
            "width": [one.seconds for one, _ in points],
            "offset": 0,
        }
        for name, points in classes.items()
    ]
    return _plot(
        "Failures by class",
        bars,
        _TIME | {"range": [0, report.elapsed]},
        {"title": {"text": "per second"}, "rangemode": "tozero"},
        barmode="stack",
        showlegend=True,
        **_over_time(report),
    )


def _heat(report: Report, found: Heat) -> dict[str, Any]:
    return _plot(
        "Response times over time",
        [
            {
                "type": "heatmap",
                "x": found.begins,
                "y": [round(one * 1e3, 3) for one in found.latencies],
                # what did not happen is no colour
                "z": [[count or None for count in row] for row in found.counts],
                "colorscale": "Viridis",
                "reversescale": True,
                "hovertemplate": "%{x:.0f} s, from %{y:.3g} ms on: %{z}<extra></extra>",
                "colorbar": {"title": {"text": "transactions", "side": "right"}},
            }
        ],
        _TIME | {"range": [0, report.elapsed]},
        _MILLISECONDS,
        hovermode="closest",
    )


def _spectrum(spectra: dict[str, tuple[tuple[float, float], ...]]) -> dict[str, Any]:
    lines = []
    for (name, points), color in zip(spectra.items(), (_ORANGE, _BLUE), strict=True):
        # the axis is 1 / (1 - share below): the highest latency lies at its end, not at infinity
        inner = [(q, seconds) for q, seconds in points if q < 100]
        line = _line(
            name,
            [round(100 / (100 - q), 6) for q, _ in inner],
            [round(seconds * 1e3, 3) for _, seconds in inner],
            color,
        )
        lines.append(
            line
            | {
                "text": [f"{q:.6g} %" for q, _ in inner],
                "hovertemplate": "%{text}: %{y:.4g} ms",
            }
        )
    shares = (0, 50, 90, 99, 99.9, 99.99, 99.999)
    return _plot(
        "Percentiles of successes",
        lines,
        {
            "title": {"text": "percentile"},
            "type": "log",
            "tickvals": [100 / (100 - q) for q in shares],
            "ticktext": [f"{q:g} %" for q in shares],
        },
        {"title": {"text": "ms"}, "rangemode": "tozero"},
        hovermode="closest",
    )


def _phases(report: Report) -> dict[str, Any]:
    answered = [one for one in report.exchanges if one.answered]
    names = [one.name for one in answered]
    bars = []
    for metric, name, color in (
        ("connect", "connect", _GREY),
        ("tls", "TLS", _ORANGE),
        ("first_byte", "first byte", _BLUE),
    ):
        # of those that had the phase; spread over all exchanges, so that the bars add up
        means = [
            (one.latencies[metric].mean or 0.0) * one.latencies[metric].count / one.count
            for one in answered
        ]
        bars.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "y": names,
                "x": [round(mean * 1e3, 4) for mean in means],
                "marker": {"color": color},
            }
        )
    return _plot(
        "Where the time of an exchange goes, on average",
        bars,
        {"title": {"text": "ms"}},
        {"autorange": "reversed"},
        barmode="stack",
        hovermode="closest",
    )
