import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from bulkcmp.model import OutcomeClass
from bulkcmp.stats.capacity import Course
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.health import Pulse
from bulkcmp.stats.record import End, Ending, Level, Record, Run, Window
from bulkcmp.stats.report import Report
from bulkcmp.stats.threshold import Threshold
from bulkcmp.ui.figures import duration
from bulkcmp.ui.load import INTERVALS, Frame, make_view, plain_lines, sparkline
from bulkcmp.ui.view import LiveView, PlainView
from tests.stats.records import REJECTED, RUN, transaction, trouble
from tests.stats.searches import RUN_OF_THREE, records_of_three

MakeConsole = Callable[..., tuple[Console, io.StringIO]]


def report_of(records: list[Record], run: Run = RUN) -> Report:
    figures = Figures()
    figures.begin(run.warm_up)
    figures.feed(records)
    thresholds = [Threshold.parse(text) for text in run.thresholds]
    return Report.of([run], figures, thresholds, newest=INTERVALS)


def going_on() -> Report:
    """The run in its 60th second, with 12 transactions in flight."""
    return report_of([*trouble()[:-1], Level("worker 1", 80.0, 12, 3)])


def draw(
    make_console: MakeConsole, report: Report, width: int = 80, height: int = 40, **shape: str
) -> list[str]:
    console, stream = make_console(width, height, terminal=False, **shape)
    console.print(Frame(report))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_the_picture_says_how_it_stands(make_console: MakeConsole) -> None:
    report = going_on()
    lines = draw(make_console, report)
    assert lines[0] == "mixed|day: 10/s for 60 s"
    assert lines[1] == (
        f"0:01:20 measuring   {report.total.ok} ok   {report.total.failed} failed"
        "   12 in flight   3 waiting   6 dropped"
    )
    response = report.total.latencies["response"]
    (row,) = (line for line in lines if line.startswith("all response"))
    figures = (response.p50, response.p95, response.p99, response.max)
    for figure in figures:
        assert duration(figure) in row
    assert any(line.startswith("kur response") for line in lines)
    assert "rate(ok) > 1000" in "".join(lines)
    assert f"{report.total.failures[0].count} rejected: badPOP: no (badPOP)" in lines


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("height", [10, 24])
def test_the_picture_keeps_within_the_terminal(
    make_console: MakeConsole, width: int, height: int
) -> None:
    lines = draw(make_console, going_on(), width, height)
    assert all(len(line) <= width for line in lines)


def test_the_course_has_a_bar_for_each_of_the_newest_intervals(make_console: MakeConsole) -> None:
    records: list[Record] = [
        transaction(at / 2, at / 2, at / 2 + 0.1) for at in range(20, 200) if at < 120 or at >= 140
    ]
    (line,) = (
        line
        for line in draw(make_console, report_of([*records, End(100)]), 120)
        if line.startswith("finished")
    )
    name, rate, *bars = line.split()
    # the hole lies at 60 to 69 s, of those from 40 to 99 s
    assert (name, rate, bars) == ("finished", "2.0/s", ["█" * 20 + "▁" * 10 + "█" * 30])


def test_the_bars_stay_away_where_they_can_not_be_shown(make_console: MakeConsole) -> None:
    lines = draw(make_console, going_on(), encoding="ascii")
    assert any(line.startswith("finished") for line in lines)
    assert "\\u" not in "".join(lines)
    assert "".join(lines).isascii()


def test_sparkline() -> None:
    assert sparkline([0, 1, None, 7]) == "▁▂ █"
    assert sparkline([0.0, 0.0]) == "▁▁"
    assert sparkline([]) == ""


def test_the_warm_up_is_shown_as_long_as_there_is_nothing_else(make_console: MakeConsole) -> None:
    report = report_of([transaction(1, 1, 1.5, warm_up=True)])
    assert "0:00:02 warm-up   1 ok" in draw(make_console, report)[1]
    assert plain_lines(report, None)[0].startswith("0:00:02 warm-up ok 1 failed 0 ")


def test_what_the_generator_is_short_of_stands_at_the_top(make_console: MakeConsole) -> None:
    report = report_of([transaction(9, 9, 9.5), *[Pulse("worker 1", 1.0, 1.0, 1.0, 0.0)] * 3])
    assert draw(make_console, report, 200)[2].startswith("worker 1 used 100% of a core")


def test_nothing_yet_is_a_picture_too(make_console: MakeConsole) -> None:
    assert draw(make_console, report_of([]))[1].startswith("0:00:00 warm-up   0 ok")
    assert plain_lines(report_of([]), None) == ["0:00:00 warm-up ok 0 failed 0 in flight 0"]


def test_without_a_warm_up_none_is_told_of(make_console: MakeConsole) -> None:
    report = report_of([], replace(RUN, warm_up=0.0))
    assert draw(make_console, report)[1].startswith("0:00:00 measuring   0 ok")
    assert plain_lines(report, None) == ["0:00:00 ok 0 failed 0 in flight 0"]


def test_texts_of_the_server_are_harmless(make_console: MakeConsole, hostile: str) -> None:
    ending = Ending(OutcomeClass.REJECTED, "badPOP", (), hostile)
    lines = draw(make_console, report_of([transaction(9, 9, 9.5, ending)]), 120)
    assert "\x1b" not in "".join(lines)
    assert r"[red]no[/red] :smile: \x1b[2J" in "".join(lines)


def test_a_plain_line_says_it_all() -> None:
    report = going_on()
    line, failure = plain_lines(report, None)
    response = report.total.latencies["response"]
    assert line == (
        f"0:01:20 ok {report.total.ok} failed {report.total.failed}"
        f" {report.intervals[-1].finished:.1f}/s finished in flight 12"
        f" waiting 3 dropped 6 response p50 {duration(response.p50)} p99 {duration(response.p99)}"
        " thresholds crossed 1"
    )
    assert failure == (
        f"commonest failure {report.total.failures[0].count} rejected: badPOP: no (badPOP)"
    )


def test_a_failure_is_told_once() -> None:
    report = going_on()
    assert len(plain_lines(report, report)) == 1
    other = report_of([transaction(9, 9, 9.5, replace(REJECTED, reason="badAlg"))])
    assert len(plain_lines(report, other)) == 2


def test_the_view_fits_the_console(make_console: MakeConsole) -> None:
    assert isinstance(make_view(make_console()[0]), LiveView)
    console, stream = make_console(terminal=False)
    view = make_view(console)
    assert isinstance(view, PlainView)
    with view:
        view.update(going_on())
    assert "ok" in stream.getvalue()


def searching(windows: int) -> Report:
    """In the middle of the window after so many."""
    records = records_of_three()
    begins = [place for place, one in enumerate(records) if isinstance(one, Window)]
    thresholds = [Threshold.parse(text) for text in RUN_OF_THREE.thresholds]
    course = Course(RUN_OF_THREE, thresholds)
    course.feed(records[: begins[windows] + 150])
    return Report.of(
        [RUN_OF_THREE], course.figures, thresholds, newest=INTERVALS, capacity=course.capacity
    )


def test_the_picture_of_a_search_has_the_present_rate_and_those_before(
    make_console: MakeConsole,
) -> None:
    lines = draw(make_console, searching(5), 80, 24)
    assert lines[0].startswith("mixed|day: a search for the capacity: from 20/s")
    assert "window 6 at 140.0/s" in lines
    assert "tried         20.0 held, 40.0 held, 80.0 held, 160.0 CROSSED, 120.0 held" in lines
    assert not any(line.startswith("tried") for line in draw(make_console, searching(0)))


@pytest.mark.parametrize(
    ("width", "shown"), [(40, "120.0 held"), (60, "160.0 CROSSED, 120.0 held")]
)
def test_the_newest_rates_of_a_search_are_shown(
    make_console: MakeConsole, width: int, shown: str
) -> None:
    (line,) = (
        line for line in draw(make_console, searching(5), width, 24) if line.startswith("tried")
    )
    assert line.endswith(f" {shown}")
    assert len(line) <= width


def test_plain_lines_tell_each_window_of_a_search_once() -> None:
    second, fifth = searching(1), searching(4)
    assert plain_lines(second, None) == [
        "window 1 at 20.0/s: held response p95 20.0 ms",
        "0:00:04 window 2 at 40.0/s ok 69 failed 0 40.0/s finished in flight 0"
        " response p50 20.0 ms p99 20.0 ms",
    ]
    told = plain_lines(fifth, second)
    assert told[:3] == [
        "window 2 at 40.0/s: held response p95 20.0 ms",
        "window 3 at 80.0/s: held response p95 20.0 ms",
        "window 4 at 160.0/s: CROSSED response p95 787 ms",
    ]
    assert told[3].split(" ok ")[0] == "0:00:01 window 5 at 120.0/s warm-up"


def test_the_plain_view_begins_anew_with_a_window(make_console: MakeConsole) -> None:
    console, stream = make_console(terminal=False)
    with make_view(console) as view:
        for windows in (1, 4, 5):
            view.update(searching(windows))
    text = stream.getvalue()
    assert text.count("window 5 at 120.0/s warm-up") == 1
    assert text.count("window 6 at 140.0/s") == 1
