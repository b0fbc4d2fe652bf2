from dataclasses import replace
from typing import TYPE_CHECKING, Any

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


def elsewhere(scene: "Scene", cmd: Operation, **fields: Any) -> Holder:
    """Who goes on to the server `ra`."""
    first = Member(scene.row(1, cmd=cmd, cert=(b"old",), key=b"old key"), b"key")
    there = scene.row(1, **{"cmd": cmd, "cert": (b"old",), "key": b"old key", **fields})
    one = Holder(0, first, {"ra": there})
    one.keep(Part(1, Phase.GRANTED, 0, certificate=b"cert", chain=(b"root",)))
    return one


def test_another_server_is_asked_as_it_wants_it(scene: "Scene") -> None:
    one = elsewhere(scene, Operation.IR, ref="other", secret=None)
    one.turn_to(Step(Operation.CR, server="ra"), b"new key")
    assert one.member.entity == scene.row(
        1, cmd=Operation.CR, cert=(b"old",), key=b"old key", ref="other", secret=None
    )
    one.turn_to(Step(Operation.CR), b"new key")
    assert (one.member.entity.ref, one.member.entity.secret) == ("ra1", scene.peer.secret)


def test_what_one_server_issued_is_updated_at_another(scene: "Scene") -> None:
    one = elsewhere(scene, Operation.IR, ref="other")
    one.turn_to(Step(Operation.KUR, server="ra"), b"new key")
    entity = one.member.entity
    assert (entity.ref, entity.key) == ("other", b"key")
    assert (entity.cert, entity.old_cert) == ((b"cert", b"root"), b"cert")


@pytest.mark.parametrize(
    ("fields", "signer"),
    [({}, (b"cert", b"root")), ({"cert": (b"ra",), "key": b"ra's key"}, (b"ra",))],
    ids=["by what it holds", "by the RA's"],
)
def test_who_began_with_an_update_revokes_elsewhere_by_what_is_said_there(
    scene: "Scene", fields: dict[str, Any], signer: tuple[bytes, ...]
) -> None:
    one = elsewhere(scene, Operation.KUR, **fields)
    one.turn_to(replace(REVOKE, server="ra"), None)
    entity = one.member.entity
    assert (entity.cmd, entity.cert, entity.old_cert) == (Operation.RR, signer, b"cert")
