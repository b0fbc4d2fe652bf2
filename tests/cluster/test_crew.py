"""Which machines of a cluster are taken, and for what; without one."""

import sys
from functools import partial
from importlib.metadata import version
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from bulkcmp.cluster import crew
from bulkcmp.cluster.address import Address
from bulkcmp.cluster.link import Link, LostError, Offset
from bulkcmp.engine.colleague import WorkerError
from bulkcmp.errors import InputError

ADDRESS = Address("tcp://127.0.0.1:8786")
OURS = version("bulkcmp")


class FakeClient:
    """What Dask says of a cluster.

    Args:
        threads: of its workers; versions: of bulkcmp there.
    """

    def __init__(self, threads: dict[str, int], versions: dict[str, object]) -> None:
        self.scheduler = self
        self._threads = threads
        self._versions = versions

    async def ncores(self, workers: None) -> dict[str, int]:
        return self._threads

    async def run(self, _function: object, _name: str, *, on_error: str) -> dict[str, object]:
        assert on_error == "return"
        return self._versions


def nodes(threads: dict[str, int], each: int = 0, other: dict[str, object] | None = None) -> Any:
    has = {**dict.fromkeys(threads, OURS), **(other or {})}
    return anyio.run(partial(crew._nodes, FakeClient(threads, has), ADDRESS, each))


class FakeLink:
    """A node.

    Attributes:
        fails: it can't be reached, which nobody knows yet.
    """

    def __init__(self, name: str, fullness: float, offset: Offset | None = None) -> None:
        self.name = name
        self.fullness = fullness
        self.is_lost = False
        self.fails = False
        self._offset = offset

    async def hire(self) -> str:
        if self.fails:
            self.is_lost = True
            raise LostError
        return self.name

    async def measure(self) -> Offset:
        if self._offset is None:
            raise LostError
        return self._offset


def hire(*links: FakeLink) -> str:
    return cast(str, anyio.run(crew._hire, cast(list[Link], list(links))))


def compare_clocks(offset: Offset | None) -> list[str]:
    notices: list[str] = []
    links = cast(list[Link], [FakeLink("10.0.0.7:4711", 0.0, offset)])
    anyio.run(crew._compare_clocks, links, notices.append)
    return notices


def test_a_node_has_as_many_workers_as_is_said_or_as_it_has_threads() -> None:
    threads = {"tcp://127.0.0.3:2": 4, "tcp://127.0.0.2:1": 8}
    assert nodes(threads) == {"tcp://127.0.0.2:1": 8, "tcp://127.0.0.3:2": 4}
    assert nodes(threads, 2) == {"tcp://127.0.0.2:1": 2, "tcp://127.0.0.3:2": 2}


def test_a_cluster_without_workers_is_of_no_use() -> None:
    with pytest.raises(InputError, match="has no workers"):
        nodes({})


def test_a_worker_elsewhere_without_tls_is_refused() -> None:
    with pytest.raises(InputError, match=r"tcp://10\.0\.0\.7:1 is reached without TLS"):
        nodes({"tcp://127.0.0.2:1": 1, "tcp://10.0.0.7:1": 1})


@pytest.mark.parametrize(
    ("theirs", "what"),
    [("9.9.9", r"has bulkcmp 9\.9\.9, and we are"), (ModuleNotFoundError(), "has no bulkcmp")],
)
def test_another_bulkcmp_is_refused(theirs: object, what: str) -> None:
    with pytest.raises(InputError, match=rf"127\.0\.0\.3:2 {what}") as caught:
        nodes({"tcp://127.0.0.2:1": 1, "tcp://127.0.0.3:2": 1}, other={"tcp://127.0.0.3:2": theirs})
    assert caught.value.hint == f"install bulkcmp[cluster]=={OURS} there"


def test_the_node_that_is_the_least_full_gets_the_next_worker() -> None:
    links = [FakeLink("a", 0.5), FakeLink("b", 0.25), FakeLink("c", 0.3)]
    assert hire(*links) == "b"
    links[1].fails = True
    assert hire(*links) == "c"
    assert links[1].is_lost
    links[2].is_lost = links[0].is_lost = True
    with pytest.raises(WorkerError, match="no machine of the cluster can be reached"):
        hire(*links)


def test_clocks_that_are_far_off_are_told() -> None:
    assert compare_clocks(Offset(1e6, 4.0, 0.01)) == []
    (slow,) = compare_clocks(Offset(1e6, 4.0, 0.08))
    assert slow.startswith("10.0.0.7:4711 answers slowly")
    assert "off by 80 ms" in slow
    (wrong,) = compare_clocks(Offset(1e6, -61.0, 0.01))
    assert wrong.startswith("the clock of 10.0.0.7:4711 is -61 s from ours")
    with pytest.raises(crew.ClusterError, match=r"10\.0\.0\.7:4711 does not answer"):
        compare_clocks(None)


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match="--cluster needs distributed") as caught:
        anyio.run(crew.look, ADDRESS, 0)
    assert caught.value.hint == "pip install 'bulkcmp[cluster]'"


@pytest.mark.parametrize(
    ("causes", "told"),
    [
        ([], "Timed out after 20 s"),
        ([TimeoutError()], "Timed out after 20 s"),
        ([OSError("in <object at 0x7f>: no"), ConnectionRefusedError(111, "no")], "[Errno 111] no"),
    ],
)
def test_a_scheduler_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, causes: list[Exception], told: str
) -> None:
    error = OSError("Timed out after 20 s")
    for outer, inner in pairwise([error, *causes]):
        outer.__cause__ = inner

    async def connect(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(Client=connect))
    monkeypatch.setitem(sys.modules, "distributed.security", SimpleNamespace(Security=None))
    with pytest.raises(crew.ClusterError) as caught:
        anyio.run(crew.look, ADDRESS, 0)
    assert str(caught.value) == f"the cluster at {ADDRESS.url} can't be reached: {told}"
