"""A program that enrolls: against the embedded CA, in this process."""

import json
import logging
import os
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.from_thread
import pytest
from cryptography.hazmat.primitives.serialization import load_der_private_key
from cryptography.x509 import load_der_x509_certificate

import bulkcmp
from bulkcmp import BulkcmpError, Client, Kept, OutcomeClass, enroll, load_test, resume
from bulkcmp.outputs.report import report_json

if TYPE_CHECKING:
    from tests.e2e.conftest import Ca, RunFolder


def talk(ca: "Ca") -> dict[str, Any]:
    return {
        "server": ca.url(),
        "ref": "ra1",
        "secret": "env:SECRET",
        "trusted": [str(ca.anchor)],
        "environ": {**os.environ, "SECRET": ca.secret},
    }


def test_many_at_a_time_and_each_is_kept_before_it_is_confirmed(
    ca: "Ca", caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bulkcmp")
    kept: list[Kept] = []

    async def main() -> list[bulkcmp.Answer]:
        answers: list[bulkcmp.Answer] = []
        async with Client(**talk(ca), keep=kept.append, newkey="ec:P-256") as client:

            async def one(name: str) -> None:
                answers.append(await client.enroll(name, subject="/CN={id}"))

            async with anyio.create_task_group() as group:
                for number in range(10):
                    group.start_soon(one, f"api-{number}")
        return answers

    answers = anyio.run(main)
    assert [answer.outcome.outcome for answer in answers] == [OutcomeClass.ISSUED] * 10
    for answer in answers:
        told = f"{answer.id} {(answer.transaction_id or b'').hex()} ended outcome=issued"
        assert any(line.endswith(told) for line in caplog.messages)
        before, after = (one for one in kept if one.id == answer.id)
        assert (before.certificate, before.private_key) == (None, after.private_key)
        assert after.private_key is not None
        assert after.certificate is not None
        assert answer.certificate == load_der_x509_certificate(after.certificate)
        key = load_der_private_key(after.private_key, None)
        assert answer.certificate.public_key() == key.public_key()
        assert answer.private_key is not None


def test_what_keep_raises_ends_the_client_before_anything_is_sent(ca: "Ca") -> None:
    def full(kept: Kept) -> None:
        raise OSError(28, "No space left on device")

    async def main() -> None:
        async with Client(**talk(ca), keep=full) as client:
            await client.enroll("lost", subject="/CN=api-lost")

    with pytest.raises(OSError, match="No space left"):
        anyio.run(main)
    assert "CN=api-lost" not in {
        load_der_x509_certificate(one.der).subject.rfc4514_string() for one in ca.issued()
    }


def test_who_waits_in_another_task_is_told_that_the_client_ended(ca: "Ca") -> None:
    def full(kept: Kept) -> None:
        raise OSError(28, "No space left on device")

    async def main() -> None:
        clients: list[Client] = []
        opened, over = anyio.Event(), anyio.Event()

        async def serve() -> None:
            async with Client(**talk(ca), keep=full) as client:
                clients.append(client)
                opened.set()
                await over.wait()

        async def host() -> None:
            with pytest.raises(OSError, match="No space left"):
                await serve()

        async with anyio.create_task_group() as group:
            group.start_soon(host)
            await opened.wait()
            with anyio.fail_after(60), pytest.raises(BulkcmpError, match=r"ended before .* api-on"):
                await clients[0].enroll("api-on", subject="/CN={id}")

    anyio.run(main)


def test_what_its_block_raises_comes_out_as_it_is(ca: "Ca") -> None:
    cause = KeyError("cause")
    mine = ExceptionGroup("mine", [ValueError("a"), BulkcmpError("b")])

    async def main() -> None:
        async with Client(**talk(ca)):
            raise mine from cause

    with pytest.raises(ExceptionGroup) as caught:
        anyio.run(main)
    assert caught.value is mine
    assert mine.__cause__ is cause


def test_a_client_is_open_once_at_a_time(ca: "Ca") -> None:
    async def main() -> None:
        client = Client(**talk(ca), newkey="ec:P-256")
        for _ in range(2):
            async with client:
                with pytest.raises(BulkcmpError, match="open already"):
                    await client.__aenter__()
                assert (await client.enroll("api-twice", subject="/CN={id}")).is_done
                with pytest.raises(bulkcmp.InputError, match="unknown option 'subjct'"):
                    await client.enroll("api", subjct="/CN=x")  # type: ignore[call-arg]  # tested

    anyio.run(main)


def test_what_nobody_waits_for_any_more_goes_on(ca: "Ca") -> None:
    kept: list[Kept] = []

    async def main() -> None:
        handed = anyio.Event()

        def keep(one: Kept) -> None:
            kept.append(one)
            anyio.from_thread.run_sync(handed.set)

        async with (
            Client(**talk(ca), keep=keep, newkey="ec:P-256") as client,
            anyio.create_task_group() as group,
        ):
            group.start_soon(partial(client.enroll, "api-left", subject="/CN={id}"))
            await handed.wait()
            group.cancel_scope.cancel()

    anyio.run(main)
    assert kept[-1].certificate is not None


def test_renewed_revoked_and_asked(ca: "Ca") -> None:
    async def main() -> None:
        async with Client(**talk(ca)) as client:
            refused = await client.enroll("two", subject="/CN=api-two", secret="pass:wrong")
            assert not refused.is_done
            assert refused.outcome.outcome is OutcomeClass.CREDENTIALS_REFUSED
            assert refused.certificate is None
            answer = await client.enroll("three", subject="/CN=api-three")
            assert answer.certificate is not None
            gone = await client.revoke(
                "three",
                serial=hex(answer.certificate.serial_number),
                issuer=answer.certificate.issuer.rfc4514_string(),
            )
            assert gone.outcome.outcome is OutcomeClass.REVOKED
            told = await client.ask("the CA", infotype="caCerts")
            assert set(told.information) == {"caCerts.pem"}
            with pytest.raises(bulkcmp.InputError, match="rate: of no end entity alone"):
                await client.enroll("four", rate=3)  # type: ignore[call-arg]  # what is tested

    anyio.run(main)


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a running loop"])
def test_a_run(ca: "Ca", run: "RunFolder", beside: bool) -> None:
    snapshots: list[bulkcmp.Snapshot] = []

    def work() -> bulkcmp.RunSummary:
        return enroll(
            "range:api-{01..12}",
            out=run.path,
            subject="/CN={id}",
            plain_keys=True,
            workers=1,
            on_progress=snapshots.append,
            **talk(ca),
        )

    async def inside() -> bulkcmp.RunSummary:
        return work()

    summary = anyio.run(inside) if beside else work()
    assert (summary.exit_code, summary.done) == (0, 12)
    assert snapshots[-1].finished
    assert {row["outcome"] for row in run.results()} == {"issued"}
    again = resume(run.path, environ=talk(ca)["environ"])
    assert (again.exit_code, again.transactions) == (0, 0)
    with pytest.raises(bulkcmp.InputError):
        work()


def test_a_load_test(ca: "Ca", run: "RunFolder") -> None:
    reports: list[bulkcmp.Report] = []
    report = load_test(
        "smoke",
        out=run.path,
        changes=["count=6"],
        thresholds=["count(ok) > 0"],
        workers=1,
        on_progress=reports.append,
        **talk(ca),
    )
    assert report.total.failed == 0
    assert report.total.ok > 0
    assert report.verdicts[-1].held
    assert json.loads(report_json(report)) == run.summary()
    assert reports
    with pytest.raises(bulkcmp.InputError, match="holds a load test already"):
        load_test("smoke", out=run.path, **talk(ca))
