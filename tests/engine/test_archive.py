"""--save-messages: every message of a run is in the folder, once, and in its order."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from bulkcmp.cmp.messages import BodyType, decode_message, decode_nested
from bulkcmp.cmp.request import SignatureCredential
from bulkcmp.engine import archive as module
from bulkcmp.errors import Loss
from bulkcmp.inputs.credential import read_credential
from bulkcmp.model import OutcomeClass
from bulkcmp.testca.state import Folder
from tests.engine.conftest import VirtualClock

if TYPE_CHECKING:
    from tests.engine.conftest import Lose, Scene, Seen

NAME = re.compile(r"(\d{7})-(\d{8}T\d{9}Z)-([0-9a-f]{32})-(\d{4})-(\w+)\.der")


@pytest.fixture
def messages(scene: "Scene") -> Path:
    folder = scene.folder.parent / "messages"
    scene.nesting = {"save_messages": str(folder)}
    return folder


class Later(VirtualClock):
    """A minute after a run began."""

    def now(self) -> float:
        return super().now() + 60


def steps(folder: Path) -> dict[int, list[str]]:
    """The types of a row's messages, in the order of the names; steps count by one."""
    found: dict[int, list[str]] = {}
    numbers: dict[str, int] = {}
    for name in sorted(path.name for path in folder.iterdir()):
        matched = NAME.fullmatch(name)
        assert matched is not None, name
        row, _, _, step, label = matched.groups()
        start = name.removesuffix(f"-{step}-{label}.der")
        numbers[start] = numbers.get(start, 0) + 1
        assert int(step) == numbers[start]
        found.setdefault(int(row), []).append(label)
    return found


def saved(folder: Path, *labels: str) -> list[bytes]:
    return sorted(
        path.read_bytes() for path in folder.iterdir() if path.stem.rpartition("-")[2] in labels
    )


def sent(scene: "Scene") -> list[bytes]:
    return sorted(seen.message for seen in scene.peer.seen)


def test_every_message_is_saved_under_its_row(scene: "Scene", messages: Path) -> None:
    scene.peer.behave(poll_count=1)
    scene.play(scene.rows(4), workers=2)
    types = ["ir", "ip", "pollReq", "ip", "certConf", "pkiconf"]
    assert steps(messages) == dict.fromkeys(range(1, 5), types)
    assert saved(messages, "ir", "pollReq", "certConf") == sent(scene)
    # the names are the journal's transactionIDs
    known = {tx.transaction_id.hex() for tx in scene.transactions()}
    assert {path.name.split("-")[2] for path in messages.iterdir()} == known


def test_rows_that_share_a_message_share_its_file(scene: "Scene", messages: Path) -> None:
    scene.play(scene.rows(6), certs_per_message=3)
    # the first row finds out that there is a server
    assert {tuple(one) for one in steps(messages).values()} == {("ir", "ip", "certConf", "pkiconf")}
    assert saved(messages, "ir", "certConf") == sent(scene)


def test_a_later_session_and_a_later_try_come_after(
    scene: "Scene", messages: Path, lose: "Lose"
) -> None:
    scene.peer.before = lose(Loss.CUT, BodyType.CERT_CONF)
    rows = scene.rows(2)
    scene.play(rows)
    scene.peer.before = lose(Loss.CUT, times=0)
    scene.clock = Later()
    scene.play(rows, resumed=True)
    for labels in steps(messages).values():
        assert labels[:3] == ["ir", "ip", "certConf"]
        assert labels[-2:] == ["certConf", "pkiconf"]
    assert saved(messages, "ir", "certConf") == sent(scene)


@pytest.mark.parametrize("loss", [Loss.CONNECT, Loss.TLS, Loss.NOT_SENT, Loss.NO_LAYER])
def test_what_did_not_leave_is_not_saved(
    scene: "Scene", messages: Path, lose: "Lose", loss: Loss
) -> None:
    scene.peer.before = lose(loss)
    scene.play(scene.rows(1))
    assert not messages.exists()


def test_what_is_no_message_is_saved_too(scene: "Scene", messages: Path) -> None:
    async def babble(_: "Seen") -> httpx.Response:
        headers = {"Content-Type": "application/pkixcmp"}
        return httpx.Response(200, headers=headers, content=b"who is there?")

    scene.peer.after = babble
    scene.play(scene.rows(1))
    assert steps(messages) == {1: ["ir", "answer"]}
    assert saved(messages, "answer") == [b"who is there?"]


@pytest.fixture
def nested(scene: "Scene", messages: Path) -> Path:
    folder = Folder(scene.folder.parent / "ca")
    ra = SignatureCredential(*read_credential(folder.ra_certificate, folder.ra_key))
    scene.nesting |= {"layers": (ra,), "batch": 5, "batch_wait": 0.5}
    return messages


def test_layers_are_saved_once_and_what_is_in_them_by_row(scene: "Scene", nested: Path) -> None:
    scene.play(scene.rows(6))
    inner = [one for seen in scene.peer.seen for one in decode_nested(decode_message(seen.message))]
    assert saved(nested, "ir", "certConf") == sorted(inner)
    envelopes = saved(nested, "nested")
    assert len(envelopes) == len(set(envelopes)) == 2 * len(scene.peer.seen)
    assert set(sent(scene)) < set(envelopes)
    for labels in steps(nested).values():
        assert [one for one in labels if one != "nested"] == ["ir", "ip", "certConf", "pkiconf"]
        # a layer stands between what is in it and the answer
        assert labels[0] == "ir"


def test_layers_are_saved_though_no_answer_comes(
    scene: "Scene", nested: Path, lose: "Lose", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 1)
    scene.peer.before = lose(Loss.TIMEOUT)
    scene.play(scene.rows(1))
    assert steps(nested) == {1: ["ir", "nested"]}
    assert saved(nested, "nested") == sent(scene)


def test_a_run_goes_on_without_its_messages(scene: "Scene", messages: Path) -> None:
    messages.touch()
    run = scene.play(scene.rows(3), workers=2)
    assert scene.outcomes() == dict.fromkeys((1, 2, 3), OutcomeClass.ISSUED)
    assert "messages: can't be written" in run.unsaved
    scene.check()
