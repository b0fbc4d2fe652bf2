"""The views of a run, drawn for terminals of all sizes."""

import dataclasses
import datetime as dt
import io
import re
import threading
from collections.abc import Callable

import pytest
from rich.console import Console

from bulkcmp.model import Outcome, OutcomeClass
from bulkcmp.stats.progress import Held, NewestError, Snapshot
from bulkcmp.stats.tally import OutcomeCount
from bulkcmp.ui.live import Frame, make_view, plain_line, plain_lines
from bulkcmp.ui.view import LiveView, PlainView, SilentView, View
from bulkcmp.waves.admission import Hold

MakeConsole = Callable[..., tuple[Console, io.StringIO]]
NOON = dt.datetime(2026, 1, 2, 12, 0, 5, tzinfo=dt.UTC)
SIZES = [(40, 24), (80, 24), (200, 60)]


def draw(make_console: MakeConsole, snapshot: Snapshot, width: int, height: int) -> list[str]:
    console, stream = make_console(width, height)
    console.print(Frame(snapshot))
    return stream.getvalue().splitlines()


# --- frames ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_frame_fits_its_terminal(
    make_console: MakeConsole, snapshot: Snapshot, width: int, height: int
) -> None:
    lines = draw(make_console, snapshot, width, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_frame_shows_all_that_matters(
    make_console: MakeConsole, snapshot: Snapshot, width: int, height: int
) -> None:
    text = " ".join(" ".join(draw(make_console, snapshot, width, height)).split())
    for part in (
        "1,300 of 10,000 rows done (13%), 100 of them before",
        "240.0 rows/s now",
        "240.0 rows/s average",
        "100 in flight",
        "elapsed 0:00:05",
        "ETA 0:00:36",
        "waited 0:00:03 for keys",
        "p50 p95 p99 max",
        "1,275 issued",
        "7 rejected: badPOP 4, badRequest 3",
        "newest error, 0:00:00 ago: dev-01199: rejected: badPOP (4 of this kind)",
    ):
        assert part in text


def test_all_classes_are_shown_where_there_is_room(
    make_console: MakeConsole, snapshot: Snapshot
) -> None:
    tall = "\n".join(draw(make_console, snapshot, 80, 60))
    for one in snapshot.counts:
        assert re.search(rf"^ +[\d,]+  {one.outcome.value}", tall, re.MULTILINE)
    assert "other classes" not in tall


def test_the_rarest_classes_are_counted_together_where_there_is_none(
    make_console: MakeConsole, snapshot: Snapshot
) -> None:
    lines = draw(make_console, snapshot, 40, 22)
    [rest] = [line for line in lines if "other classes" in line]
    shown = [line for line in lines if re.match(r" +[\d,]+  ", line)]
    assert rest == shown[-1]
    rows = sum(int(line.split()[0].replace(",", "")) for line in shown)
    assert rows == snapshot.done


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_what_the_peer_says_is_neither_markup_nor_control(
    make_console: MakeConsole, snapshot: Snapshot, width: int, height: int
) -> None:
    text = "\n".join(draw(make_console, snapshot, width, height))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    if width > 40:
        assert r"[red]no[/red] :smile: \x1b[2J" in text


def test_colours_do_not_come_from_the_peer_and_go_with_no_color(
    make_console: MakeConsole, snapshot: Snapshot
) -> None:
    console, stream = make_console(color=True)
    console.print(Frame(snapshot))
    # colours, but no other escape sequence than these
    assert "\x1b[32m" in stream.getvalue()
    assert not re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).count("\x1b")
    console, stream = make_console(color=True, env={"NO_COLOR": "1"})
    console.print(Frame(snapshot))
    assert set(re.findall(r"\x1b\[([0-9;]*)m", stream.getvalue())) <= {"0", "1", "2"}


def test_an_ascii_terminal_gets_ascii(make_console: MakeConsole, snapshot: Snapshot) -> None:
    console, stream = make_console(40, encoding="ascii")
    console.print(Frame(snapshot))
    assert stream.getvalue().isascii()


def test_a_run_that_just_began(make_console: MakeConsole) -> None:
    lines = draw(make_console, Snapshot(), 80, 24)
    assert [line.rstrip() for line in lines] == [
        "0 rows done",
        "0.0 rows/s now   0.0 rows/s average   0 in flight   elapsed 0:00:00   ETA -",
    ]


def test_the_bar_grows_with_the_rows(make_console: MakeConsole) -> None:
    lengths = []
    for done in (0, 50, 100):
        lines = draw(make_console, Snapshot(total=100, done=done), 80, 24)
        lengths.append(lines[1].count("━"))
    assert lengths == [0, 40, 80]


# --- the live view ---------------------------------------------------------------------------


def test_the_live_view_draws_each_update_and_clears_itself(
    make_console: MakeConsole, snapshot: Snapshot
) -> None:
    console, stream = make_console()
    with LiveView(console, Frame) as view:
        before = len(stream.getvalue())
        view.update(Snapshot(done=7))
        assert "7 rows done" in stream.getvalue()[before:]
        view.update(snapshot)
        assert "1,300 of 10,000 rows done" in stream.getvalue()
        before = len(stream.getvalue())
    # it shows the cursor again, and goes up over the whole last frame, erasing line by line
    after = stream.getvalue()[before:]
    assert "\x1b[?25h" in after
    drawn = len(draw(make_console, snapshot, 80, 24))
    assert after.rpartition("rows done")[2].count("\x1b[1A\x1b[2K") == drawn


def test_the_live_view_leaves_standard_output_alone(
    make_console: MakeConsole, capsys: pytest.CaptureFixture[str]
) -> None:
    console, stream = make_console()
    with LiveView(console, Frame) as view:
        view.update(Snapshot())
        print("{}")
    assert capsys.readouterr().out == "{}\n"
    assert "{}" not in stream.getvalue()


def test_the_live_view_starts_no_thread(make_console: MakeConsole) -> None:
    before = threading.active_count()
    with LiveView(make_console()[0], Frame) as view:
        view.update(Snapshot())
        assert threading.active_count() == before


# --- plain lines -----------------------------------------------------------------------------


def plain(
    make_console: MakeConsole, interval: float = 10.0
) -> tuple[PlainView[Snapshot], io.StringIO]:
    console, stream = make_console(terminal=False)
    return PlainView(console, plain_lines, interval, lambda: NOON), stream


def test_a_plain_line_says_it_all(snapshot: Snapshot) -> None:
    counts = (
        OutcomeCount(OutcomeClass.ISSUED, "", 1198),
        OutcomeCount(OutcomeClass.REJECTED, "badPOP", 1),
        OutcomeCount(OutcomeClass.REJECTED, "badRequest", 1),
    )
    assert plain_line(dataclasses.replace(snapshot, done=1200, counts=counts)) == (
        "done 1200/10000 (12%) 240.0 rows/s in flight 100 p95 "
        + plain_line(snapshot).split(" p95 ")[1].split(" eta ")[0]
        + " eta 0:00:36 issued 1198 rejected 2"
    )


def test_a_plain_line_leaves_out_what_is_not_known() -> None:
    assert plain_line(Snapshot(done=3)) == "done 3 0.0 rows/s in flight 0"


def test_plain_lines_come_at_once_then_at_intervals_then_at_the_end(
    make_console: MakeConsole,
) -> None:
    view, stream = plain(make_console)
    with view:
        for tenth in range(256):
            view.update(Snapshot(elapsed=tenth / 10, done=tenth))
    assert stream.getvalue().splitlines() == [
        f"12:00:05 done {done} 0.0 rows/s in flight 0" for done in (0, 100, 200, 255)
    ]


def test_the_last_line_is_not_said_twice(make_console: MakeConsole) -> None:
    view, stream = plain(make_console)
    with view:
        view.update(Snapshot(done=1))
    assert stream.getvalue().count("\n") == 1
    view, stream = plain(make_console)
    with view:
        pass
    assert stream.getvalue() == ""


def test_after_a_stall_there_is_no_burst(make_console: MakeConsole) -> None:
    view, stream = plain(make_console)
    for elapsed in (0.0, 95.0, 96.0, 104.9, 105.0):
        view.update(Snapshot(elapsed=elapsed, done=int(elapsed)))
    assert re.findall(r"done (\d+)", stream.getvalue()) == ["0", "95", "105"]


def test_a_new_failure_gets_a_line_of_its_own_once(make_console: MakeConsole, hostile: str) -> None:
    view, stream = plain(make_console, 1.0)
    error = NewestError("dev-7", Outcome(OutcomeClass.REJECTED, "badPOP", hostile), 0.5, 3)
    for elapsed in (0.0, 1.0, 2.0):
        view.update(Snapshot(elapsed=elapsed, newest_error=error if elapsed else None))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4
    assert lines[2].startswith(
        "12:00:05 newest error dev-7: rejected: badPOP (3 of this kind): [red]no[/red] :smile: "
        r"\x1b[2J\x9b31m\r\nsecond line and on"
    )


# --- which view ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terminal", "quiet", "json", "kind"),
    [
        (True, False, False, LiveView),
        (True, False, True, LiveView),
        (True, True, False, SilentView),
        (False, False, False, PlainView),
        (False, False, True, SilentView),
        (False, True, True, SilentView),
    ],
)
def test_the_view_fits_the_options(
    make_console: MakeConsole, terminal: bool, quiet: bool, json: bool, kind: type[View[Snapshot]]
) -> None:
    console, _ = make_console(terminal=terminal)
    assert type(make_view(console, quiet=quiet, json=json)) is kind


def test_a_dumb_terminal_gets_plain_lines(make_console: MakeConsole) -> None:
    console, _ = make_console(term="dumb")
    assert isinstance(make_view(console), PlainView)


def test_the_interval_is_passed_on(make_console: MakeConsole) -> None:
    console, stream = make_console(terminal=False)
    with make_view(console, interval=2.0) as view:
        for elapsed in (0.0, 1.0, 2.0):
            view.update(Snapshot(elapsed=elapsed))
    assert re.fullmatch(r"(\d\d:\d\d:\d\d done 0 0\.0 rows/s in flight 0\n){2}", stream.getvalue())


def test_quiet_shows_nothing(make_console: MakeConsole, snapshot: Snapshot) -> None:
    console, stream = make_console()
    with make_view(console, quiet=True) as view:
        view.update(snapshot)
    assert stream.getvalue() == ""


def test_what_holds_a_run_back_is_shown(make_console: MakeConsole, snapshot: Snapshot) -> None:
    until = dt.datetime(2026, 1, 2, 12, 0, 5).astimezone().timestamp()
    held = dataclasses.replace(snapshot, held=Held(Hold.CIRCUIT, until, "HTTP \x1b[2J500"))
    text = r"circuit open (HTTP \x1b[2J500) until Fri 12:00:05"
    assert f"nothing begins: {text}" in "\n".join(draw(make_console, held, 80, 40))
    console, stream = make_console(terminal=False)
    with make_view(console) as view:
        view.update(held)
    assert f" held back: {text} " in stream.getvalue()
    plain = dataclasses.replace(snapshot, held=Held(Hold.CIRCUIT))
    assert " held back: circuit open issued" in plain_line(plain)
