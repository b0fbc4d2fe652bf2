from typing import TYPE_CHECKING

import pytest

from bulkcmp.cmp.events import Part, Phase
from bulkcmp.engine.frame import Member
from bulkcmp.engine.load.holder import Holder
from bulkcmp.load.scenario import Step
from bulkcmp.model import Operation, RevocationReason

if TYPE_CHECKING:
    from tests.engine.conftest import Scene

REVOKE = Step(Operation.RR, reason=RevocationReason.SUPERSEDED)


def holder(scene: "Scene", cmd: Operation, key: bytes | None) -> Holder:
    one = Holder(0, Member(scene.row(1, cmd=cmd), key))
    one.keep(Part(1, Phase.GRANTED, 0, certificate=b"cert", chain=(b"root",)))
    return one


@pytest.mark.parametrize(("cmd", "key"), [(Operation.IR, b"key"), (Operation.P10CR, None)])
def test_what_was_enrolled_is_revoked_whoever_has_its_key(
    scene: "Scene", cmd: Operation, key: bytes | None
) -> None:
    one = holder(scene, cmd, key)
    one.turn_to(REVOKE, None)
    entity = one.member.entity
    assert (entity.cmd, entity.old_cert) == (Operation.RR, b"cert")
    assert entity.revocation_reason is RevocationReason.SUPERSEDED
    assert (entity.secret, entity.cert) == (scene.peer.secret, ())


def test_an_update_is_about_what_is_held_and_a_new_enrollment_is_not(scene: "Scene") -> None:
    one = holder(scene, Operation.IR, b"key")
    one.turn_to(Step(Operation.KUR), b"new key")
    entity = one.member.entity
    assert (entity.cmd, entity.old_cert, entity.key) == (Operation.KUR, b"cert", b"key")
    assert one.member.key == b"new key"
    one.turn_to(Step(Operation.CR), b"newer key")
    assert one.member.entity == scene.row(1, cmd=Operation.CR)


def test_who_began_with_an_update_revokes_by_what_it_holds(scene: "Scene") -> None:
    one = holder(scene, Operation.KUR, b"key")
    one.turn_to(REVOKE, None)
    entity = one.member.entity
    assert (entity.cert, entity.key, entity.old_cert) == ((b"cert", b"root"), b"key", b"cert")
