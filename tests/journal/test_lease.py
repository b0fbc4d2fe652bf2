"""Leases of shards on PostgreSQL: who may write what, and when no more."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkcmp.errors import EXIT_BAD_INPUT, EXIT_SOME_FAILED, InputError
from bulkcmp.journal.entry import Advanced
from bulkcmp.journal.failure import LeaseHeld, LeaseLost
from bulkcmp.journal.journal import Journal
from bulkcmp.journal.lease import WHOLE, Shard
from bulkcmp.model import OutcomeClass
from tests.journal.entries import begun, issued

if TYPE_CHECKING:
    from tests.conftest import Postgres

pytestmark = pytest.mark.peer


class Refused(Exception):  # noqa: N818  # a lease was, instead of waited for
    pass


def refuse(*_: Any) -> None:
    raise Refused


FIRST = Shard(0, 10)
SECOND = Shard(10, 20)


class Site:
    """A run, and whoever works on it."""

    def __init__(self, run: str, url: str, postgres: "Postgres", stack: ExitStack) -> None:
        self.run = run
        self.url = url
        self._postgres = postgres
        self._stack = stack

    def join(self) -> Journal:
        journal = self._stack.enter_context(Journal.join(self.url, self.run))
        journal.unlock(None)
        return journal

    def expire(self) -> None:
        """Have the term of every lease be over."""
        self.change("UPDATE bulkcmp.lease SET expires = clock_timestamp() - interval '1 hour'")

    def leases(self) -> list[Any]:
        columns = "first, beyond, fence, expires"
        return self.change(f"SELECT {columns} FROM bulkcmp.lease", "ORDER BY fence")

    def locked_by(self, pid: int) -> bool:
        """Whether a session has a transaction that wrote something."""
        locks = "SELECT pid FROM pg_locks WHERE locktype = 'transactionid' AND granted AND pid"
        return bool(self._postgres.run(self.url, f"{locks} = {pid}"))

    def change(self, statement: str, order: str = "") -> list[Any]:
        run = f"run = (SELECT number FROM bulkcmp.run WHERE id = '{self.run}')"
        return self._postgres.run(self.url, f"{statement} WHERE {run} {order}")


@pytest.fixture
def site(tmp_path: Path, database: str, postgres: "Postgres") -> Iterator[Site]:
    with Journal.create(tmp_path / "run", {}, None, url=database) as journal:
        run = journal.run_id
    with ExitStack() as stack:
        yield Site(run, database, postgres, stack)


def test_who_writes_holds_a_lease(site: Site) -> None:
    with pytest.raises(AssertionError, match="holds a lease"):
        site.join().write([begun(1)])


def test_a_holder_that_gives_signs_of_life_is_left_alone(site: Site) -> None:
    holder, other = site.join(), site.join()
    holder.hold()
    waited: list[tuple[str, float]] = []

    def live(who: str, left: float) -> None:
        waited.append((who, left))
        holder.write([begun(1)])

    with pytest.raises(LeaseHeld, match=r"at work on this run: process \d+ on ") as caught:
        other.hold(FIRST, on_wait=live)
    assert caught.value.exit_code == EXIT_BAD_INPUT
    ((who, left),) = waited
    assert who.startswith("process ")
    assert 0 < left <= 30
    # who was refused may try again
    holder.close()
    other.hold(FIRST)
    other.write([begun(2)])


def test_a_holder_that_is_gone_is_waited_for(site: Site) -> None:
    holder, other = site.join(), site.join()
    holder.hold()
    waited: list[str] = []

    def die(who: str, _: float) -> None:
        waited.append(who)
        site.expire()

    other.hold(on_wait=die)
    assert len(waited) == 1
    other.write([begun(1)])
    (lease,) = site.leases()
    assert lease[:3] == (WHOLE.first, WHOLE.beyond, 2)


def test_who_was_stopped_past_its_lease_writes_nothing_more(site: Site) -> None:
    stopped, other = site.join(), site.join()
    stopped.hold()
    stopped.write([begun(1), begun(2)])
    site.expire()
    other.hold()
    # the rules of resume: what the journal holds decides
    assert other.settle() == 2
    assert other.states([1])[1].outcome is OutcomeClass.UNKNOWN
    for _ in range(2):
        with pytest.raises(LeaseLost, match="taken over") as caught:
            stopped.write([begun(3)])
        assert caught.value.exit_code == EXIT_SOME_FAILED
    with pytest.raises(LeaseLost):
        # what stands in the way of the write itself is not the reason
        stopped.write([begun(1)])
    assert other.count() == 2
    # nor does it give back what is no longer its own
    stopped.close()
    other.write([begun(3)])


def test_a_lease_that_ran_out_and_that_nobody_wanted_holds(site: Site) -> None:
    journal = site.join()
    journal.hold()
    site.expire()
    journal.write([begun(1)])
    (lease,) = site.leases()
    ((now,),) = journal._store.read("SELECT clock_timestamp()")
    assert lease[3] > now, "a write is a sign of life"


def test_whose_session_we_may_not_end_is_told(site: Site) -> None:
    stopped, other = site.join(), site.join()
    stopped.hold()
    store: Any = stopped._store
    # its other thread is stopped as well
    store._renewal.end()
    site.expire()
    held: Any = store._link._connection
    held.execute("BEGIN")
    held.execute("UPDATE lease SET writes = 2")
    others: Any = other._store
    connection = others._link._connection
    role = f"poor_{uuid4().hex}"
    connection.execute(f"CREATE ROLE {role}")
    connection.execute(f"GRANT USAGE ON SCHEMA bulkcmp TO {role}")
    connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA bulkcmp TO {role}")
    connection.execute(f"SET ROLE {role}")
    with pytest.raises(InputError, match="may not end its session") as caught:
        other.hold()
    assert "connect as the user" in (caught.value.hint or "")


@pytest.mark.parametrize("way", ["after a statement", "between two messages"])
def test_who_is_stopped_within_a_transaction_holds_nobody_up(site: Site, way: str) -> None:
    stopped, other = site.join(), site.join()
    stopped.hold(term=1.0)
    stopped.write([begun(1)])
    store: Any = stopped._store
    # its other thread is stopped as well
    store._renewal.end()
    connection = store._link._connection
    update = f"UPDATE lease SET writes = 2 WHERE run = {store._number}".encode()
    if way == "after a statement":
        connection.execute("BEGIN")
        connection.execute(update)
    else:
        # the server waits for what comes next, and does not take the session for idle
        wire = connection.pgconn
        wire.enter_pipeline_mode()
        wire.send_query_params(b"BEGIN", [])
        wire.send_query_params(update, [])
        wire.send_flush_request()
        wire.flush()
        while not site.locked_by(connection.info.backend_pid):
            pass
    # its term of a second is over by itself
    other.hold()
    connection.close()
    other.write([begun(2)])
    with pytest.raises(LeaseLost):
        stopped.write([begun(3)])
    assert other.count() == 2


def test_signs_of_life_are_given_while_nothing_is_written(site: Site) -> None:
    journal = site.join()
    journal.hold(term=0.3)
    ((*_, before),) = site.leases()
    while site.leases()[0][3] == before:
        pass


def test_shards_are_held_by_several(site: Site) -> None:
    one, two, third = site.join(), site.join(), site.join()
    one.hold(FIRST)
    two.hold(SECOND)
    one.write([begun(1), begun(9)])
    two.write([begun(10), begun(11)])

    for shard in (FIRST, Shard(9, 11), Shard(19, 30), WHOLE):
        with pytest.raises(Refused):
            third.hold(shard, on_wait=refuse)
    third.hold(Shard(20, 30))
    # each settles its own
    assert one.settle() == 2
    assert two.settle() == 2


def test_the_same_issuers_from_several(site: Site) -> None:
    one, two = site.join(), site.join()
    one.hold(FIRST)
    two.hold(SECOND)
    one.write([begun(1), Advanced(issued(1, chain=(b"a", b"b")))])
    two.write([begun(10), Advanced(issued(10, chain=(b"b", b"a")))])
    assert [result.chain for result, _ in one.results()] == [(b"a", b"b"), (b"b", b"a")]


# --- any order ------------------------------------------------------------------------------------

ACTORS = (0, 1, 2)
SHARDS = (FIRST, SECOND, Shard(5, 15), WHOLE)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hold"), st.sampled_from(ACTORS), st.sampled_from(SHARDS)),
        st.tuples(st.sampled_from(("write", "close")), st.sampled_from(ACTORS), st.none()),
        st.tuples(st.just("expire"), st.none(), st.none()),
    ),
    max_size=14,
)


def overlap(one: Shard, other: Shard) -> bool:
    return one.first < other.beyond and other.first < one.beyond


@given(steps=STEPS)
@settings(max_examples=15)
def test_in_any_order_a_row_has_one_writer(
    tmp_path_factory: pytest.TempPathFactory, database: str, postgres: "Postgres", steps: list[Any]
) -> None:
    """Against a model: a dict of who holds what, and whether its term is over."""
    folder = tmp_path_factory.mktemp("run") / "run"
    with Journal.create(folder, {}, None, url=database) as journal:
        run = journal.run_id
    held: dict[int, Shard] = {}
    over: set[int] = set()
    had: set[int] = set()
    written = 0

    with ExitStack() as stack:
        site = Site(run, database, postgres, stack)
        journals = {actor: site.join() for actor in ACTORS}
        for kind, actor, shard in steps:
            if kind == "expire":
                site.expire()
                over |= held.keys()
            elif kind == "hold" and actor not in had:
                rivals = {one for one, its in held.items() if overlap(its, shard)}
                if rivals <= over:
                    journals[actor].hold(shard, on_wait=refuse)
                    for rival in rivals:
                        del held[rival]
                    held[actor] = shard
                    over -= {actor, *rivals}
                    had.add(actor)
                else:
                    with pytest.raises(Refused):
                        journals[actor].hold(shard, on_wait=refuse)
            elif kind == "write" and actor in had:
                entries = [begun(written + 1)]
                if actor in held:
                    journals[actor].write(entries)
                    written += 1
                    over.discard(actor)
                else:
                    with pytest.raises(LeaseLost):
                        journals[actor].write(entries)
            elif kind == "close":
                journals[actor].close()
                journals[actor] = site.join()
                held.pop(actor, None)
                over.discard(actor)
                had.discard(actor)
            fences = [fence for _, _, fence, _ in site.leases()]
            assert len(fences) == len(held)
            assert len(set(fences)) == len(fences)
        assert journals[0].count() == written
