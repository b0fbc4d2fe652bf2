from typing import TYPE_CHECKING

import anyio
import pytest
from trio.testing import MockClock

from bulkcmp.engine.frame import Supply
from bulkcmp.engine.keys import KeySource
from bulkcmp.engine.load.provision import OneKey, Provision
from bulkcmp.errors import InputError, InputErrors
from bulkcmp.io.keyworker import make_keys
from bulkcmp.load.chance import Chance
from bulkcmp.load.scenario import Lifecycle, Step
from bulkcmp.load.schedule import Numbers
from bulkcmp.model import BadRow, KeySpec, Operation, RevocationReason

if TYPE_CHECKING:
    from tests.engine.conftest import Scene

LIFE = Lifecycle(
    "life", 1.0, tuple(map(Step, (Operation.IR, Operation.KUR, Operation.RR, Operation.KUR)))
)
KEY = make_keys(KeySpec.parse("ed25519"), 1)[0]


def all_of(source: Provision) -> list[Supply]:
    async def take() -> list[Supply]:
        found = []
        while (supply := await source.next()) is not None:
            found.append(supply)
        return found

    return anyio.run(take, backend="trio")


def test_each_step_that_certifies_a_key_has_one_of_its_own(scene: "Scene") -> None:
    source = Provision({"": scene.rows(3)}, (LIFE,), Chance(1), scene.fresh_keys)
    supplies = all_of(source)
    assert [one.number for one in supplies] == [0, 1, 2]
    keys = []
    for one in supplies:
        ((first,), (none,), (second,)) = one.keys
        assert none is None, "a revocation certifies nothing"
        keys += [one.members[0].key, first, second]
    assert len(set(keys)) == 9


def test_rows_that_bring_their_key_keep_it(scene: "Scene") -> None:
    rows = [scene.row(1, new_key=KEY, new_key_spec=None)]
    (supply,) = all_of(Provision({"": rows}, (LIFE,), Chance(1), scene.fresh_keys))
    assert supply.members[0].key == KEY
    assert supply.keys == ((KEY,), (None,), (KEY,))


def test_one_key_for_all(scene: "Scene") -> None:
    keys = OneKey(scene.fresh_keys)
    supplies = all_of(Provision({"": scene.rows(3)}, (LIFE,), Chance(1), keys))
    assert len({member.key for one in supplies for member in one.members}) == 1
    assert {key for one in supplies for step in one.keys for key in step} == {
        supplies[0].members[0].key,
        None,
    }


def test_several_rows_go_in_one_message(scene: "Scene") -> None:
    source = Provision(
        {"": scene.rows(8)}, (LIFE,), Chance(1), scene.fresh_keys, certs_per_message=3
    )
    supplies = all_of(source)
    numbers = [[member.entity.number for member in one.members] for one in supplies]
    # the last ones go though they are fewer
    assert numbers == [[1, 2, 3], [4, 5, 6], [7, 8]]
    assert [len(step) for step in supplies[2].keys] == [2, 2, 2]


def test_a_count_ends_it(scene: "Scene") -> None:
    source = Provision({"": scene.rows(8)}, (LIFE,), Chance(1), scene.fresh_keys, count=5)
    assert len(all_of(source)) == 5


def test_a_row_that_cant_be_used_ends_it_with_its_problems(scene: "Scene") -> None:
    bad = BadRow(2, 3, "dev2", (InputError("no secret"),))
    source = Provision({"": [scene.row(1), bad]}, (LIFE,), Chance(1), scene.fresh_keys)
    with pytest.raises(InputErrors, match="no secret"):
        all_of(source)


def test_what_nobody_used_is_given_again(scene: "Scene") -> None:
    source = Provision({"": scene.rows(6)}, (LIFE,), Chance(1), scene.fresh_keys)

    async def take(count: int) -> list[Supply]:
        found = [await source.next() for _ in range(count)]
        return [one for one in found if one is not None]

    first, second, third, fourth = anyio.run(take, 4, backend="trio")
    assert source.numbers == Numbers(first=4)
    source.take_back([second, fourth])
    assert source.numbers == Numbers((1, 3), 4)
    # with the keys that they have, and before what was taken back earlier
    source.take_back([first])
    assert source.numbers == Numbers((0, 1, 3), 4)
    assert anyio.run(take, 3, backend="trio") == [first, second, fourth]
    assert [one.number for one in all_of(source)] == [4, 5]
    assert third.number == 2


def test_whoever_does_not_wait_for_a_key_takes_no_row(scene: "Scene") -> None:
    class Slow(KeySource):
        starved = 0.0
        waits = True

        async def take(self, spec: KeySpec) -> tuple[bytes, int | None]:
            if self.waits:
                await anyio.sleep_forever()
            return KEY, None

    keys = Slow()
    source = Provision({"": scene.rows(2)}, (LIFE,), Chance(1), keys)

    async def give_up() -> None:
        with anyio.move_on_after(1.0):
            await source.next()

    anyio.run(give_up, backend="trio", backend_options={"clock": MockClock(autojump_threshold=0)})
    assert source.numbers == Numbers()
    keys.waits = False
    assert [one.members[0].entity.id for one in all_of(source)] == ["dev1", "dev2"]


def test_the_first_step_says_the_reason_unless_the_row_does(scene: "Scene") -> None:
    compromised = RevocationReason.KEY_COMPROMISE
    storm = Lifecycle("storm", 1.0, (Step(Operation.RR, reason=compromised),))
    row = scene.row(1, cmd=Operation.RR)
    own = scene.row(2, cmd=Operation.RR, revocation_reason=RevocationReason.SUPERSEDED)
    supplies = all_of(Provision({"": [row, own]}, (storm,), Chance(1), scene.fresh_keys))
    reasons = [one.members[0].entity.revocation_reason for one in supplies]
    assert reasons == [compromised, RevocationReason.SUPERSEDED]
