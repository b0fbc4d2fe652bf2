"""What workers and parents tell the log, in virtual time."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio.testing

from bulkcmp.cmp.messages import BodyType
from bulkcmp.engine import log
from bulkcmp.engine.channel import Outbox, memory_channels
from bulkcmp.engine.frame import Drain, Frame, Logged
from bulkcmp.errors import Loss
from bulkcmp.model import OutcomeClass
from bulkcmp.outputs.log import FACTS

if TYPE_CHECKING:
    from tests.engine.conftest import Lose, Scene

Play = Callable[..., list[Logged]]


@pytest.fixture
def play(scene: "Scene") -> Play:
    """Runs some rows; the lines of the log."""

    def run(verbosity: int, rows: int = 1, **options: Any) -> list[Logged]:
        scene.nesting |= {"verbosity": verbosity}
        lines: list[Logged] = []
        scene.play(scene.rows(rows), tell=lines.append, **options)
        return lines

    return run


def events(lines: Sequence[Logged]) -> list[str]:
    return [line.event for line in lines]


def facts(lines: Sequence[Logged], event: str) -> list[dict[str, object]]:
    return [dict(line.facts) for line in lines if line.event == event]


def test_nothing_is_told_where_nothing_is_wanted(play: Play) -> None:
    assert play(0) == []


def test_a_transaction_begins_and_ends(scene: "Scene", play: Play) -> None:
    lines = play(1)
    assert events(lines) == ["begins", "ended"]
    (result,) = scene.results().values()
    for line in lines:
        assert line.transaction_id is not None
        assert line.transaction_id.hex() == result.transaction_id
        assert (line.number, line.ids, line.level) == (1, ("dev1",), logging.INFO)
    assert facts(lines, "begins") == [{"cmd": "ir"}]
    assert facts(lines, "ended") == [{"outcome": "issued"}]


def test_each_step_is_told_where_all_is_wanted(scene: "Scene", play: Play, tmp_path: Path) -> None:
    messages = tmp_path / "messages"
    # whoever else looks on does so too
    scene.nesting = {"save_messages": str(messages)}
    lines = play(2)
    assert len(list(messages.iterdir())) == 4
    answered = facts(lines, "answered")
    assert [(one["sent"], one["received"]) for one in answered] == [
        ("ir", "ip"),
        ("certConf", "pkiconf"),
    ]
    assert all(one["ms"] == pytest.approx(10) for one in answered)
    states = [one["to"] for one in facts(lines, "state")]
    assert states[0] == "own MAC key being derived"
    assert states[-3:] == ["certConf sent", "response's MAC key being derived", "finished"]
    counts = Counter(events(lines))
    assert (counts["stored"], counts["committed"]) == (2, 3)
    assert (events(lines)[0], "ended" in counts) == ("begins", True)


def test_losses_waits_and_repetitions_are_told(scene: "Scene", play: Play, lose: "Lose") -> None:
    scene.peer.before = lose(Loss.BUSY, BodyType.IR, times=2)
    scene.peer.behave(poll_count=2, check_after=30)
    lines = play(1)
    assert [one["loss"] for one in facts(lines, "lost")] == ["server busy"] * 2
    assert [one["to"] for one in facts(lines, "waits")] == ["send again"] * 2 + ["poll"] * 2
    assert [one["seconds"] for one in facts(lines, "waits")][2:] == [0.0, 30.0]
    assert {line.level for line in lines if line.event == "lost"} == {logging.WARNING}
    assert events(lines)[-1] == "ended"


def test_a_no_is_told_with_what_the_ca_says(scene: "Scene", play: Play) -> None:
    scene.peer.behave(reject="badCertTemplate")
    scene.tune(retry_fail_info=frozenset({"badCertTemplate"}), retries=1)
    lines = play(1)
    assert events(lines) == ["begins", "ended", "again", "begins", "ended"]
    first, last = (line for line in lines if line.event == "ended")
    assert last.level == logging.WARNING
    assert last.facts["failInfo"] == "badCertTemplate"
    assert last.facts["outcome"] == "rejected"
    # each transaction has its own
    assert first.transaction_id != last.transaction_id


def test_rows_of_one_message_are_named_together(play: Play) -> None:
    lines = play(1, 3, certs_per_message=3)
    assert lines[0].ids == ("dev1", "dev2", "dev3")
    assert [line.ids for line in lines[1:]] == [("dev1",), ("dev2",), ("dev3",)]
    assert len({line.transaction_id for line in lines}) == 1


def test_a_worker_that_dies_is_told(scene: "Scene", play: Play) -> None:
    scene.peer.latency = 5.0

    async def kill(_: object) -> None:
        await anyio.sleep(1.0)
        scene.workers_alive[0].cancel()

    lines = play(1, conduct=kill)
    assert [line.facts for line in lines if line.event == "workerLost"] == [{"tasks": 1}]
    assert scene.outcomes() == {1: OutcomeClass.UNKNOWN}


def test_a_run_that_is_given_up_says_why(play: Play, scene: "Scene", lose: "Lose") -> None:
    scene.peer.before = lose(Loss.CONNECT)
    (line,) = [line for line in play(1) if line.event == "unreachable"]
    assert (line.level, line.facts["loss"]) == (logging.ERROR, "cannot connect")


def test_lines_fill_no_batch() -> None:
    """Or a log would have each record committed alone."""
    batches: list[Sequence[Frame]] = []

    async def main() -> None:
        ours, theirs = memory_channels()
        outbox = Outbox(theirs)
        outbox.under_way = 32
        async with anyio.create_task_group() as group:
            group.start_soon(outbox.run)
            for number in range(100):
                outbox.mention(Logged(0.0, 20, "state", {}, b"id", number, ("x",)))
            outbox.put(Drain())
            await anyio.wait_all_tasks_blocked()
            outbox.put(Drain())
            batches.append(await ours.receive())
            assert anyio.current_time() == 0.0
            # without others they do not wait for ever
            outbox.mention(Logged(0.0, 20, "state", {}))
            batches.append(await ours.receive())
            outbox.close()
        ours.close()
        theirs.close()

    anyio.run(
        main,
        backend="trio",
        backend_options={"clock": trio.testing.MockClock(autojump_threshold=0)},
    )
    assert [len(batch) for batch in batches] == [102, 1]


@pytest.mark.parametrize(
    ("level", "wanted"),
    [
        (logging.DEBUG, 2),
        (logging.INFO, 1),
        (logging.WARNING, 0),
    ],
)
def test_the_level_of_the_logger_says_how_much_is_wanted(
    caplog: pytest.LogCaptureFixture, level: int, wanted: int
) -> None:
    with caplog.at_level(level, "bulkcmp"):
        assert log.verbosity() == wanted


def test_a_line_is_a_record_of_the_standard_library(caplog: pytest.LogCaptureFixture) -> None:
    line = Logged(
        1.25, logging.WARNING, "lost", {"ms": 1.5, "why": "no answer"}, b"\x0f", 7, ("a",)
    )
    with caplog.at_level(logging.WARNING, "bulkcmp"):
        log.write(line, "10.0.0.7:1")
        log.write(Logged(1.0, logging.WARNING, "ended", {"statusText": "x" * 1_000_000}))
        log.write(Logged(1.0, logging.INFO, "begins", {}))
    record, other = caplog.records
    # whatever a peer says
    assert other.getMessage() == 'ended statusText="' + "x" * 500 + ' ..."'
    assert (record.created, record.msecs) == (1.25, 250)
    assert record.getMessage() == '7 a 0f lost host=10.0.0.7:1 ms=1.5 why="no answer"'
    assert getattr(record, FACTS)["transactionID"] == "0f"
