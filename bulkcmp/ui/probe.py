"""What a probe found, as text and as JSON."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509

from bulkcmp.cmp.checks import Judgement, Verdict
from bulkcmp.cmp.explanation import CHECKS, TITLES, explain
from bulkcmp.cmp.general import name_of
from bulkcmp.engine.probe import Probed, Step
from bulkcmp.errors import InputError
from bulkcmp.inspect.text import lines_of
from bulkcmp.io.times import ExchangeTimes
from bulkcmp.outputs.credentials import pem_certificates
from bulkcmp.outputs.summary import public_url
from bulkcmp.outputs.text import utc
from bulkcmp.ui.figures import duration

if TYPE_CHECKING:
    from bulkcmp.inspect.inspection import Inspection

_MARKS: Final = {
    Judgement.PASSED: "ok  ",
    Judgement.FAILED: "FAIL",
    Judgement.TOLERATED: "pass",
}
_TITLE_WIDTH: Final = max(map(len, TITLES.values()))


def lines_of_probe(probed: Probed, width: int | None, clean: Callable[[str], str]) -> Iterator[str]:
    """Every message as a tree, its times, its checks, and what came of it all.

    Args:
        width: columns at which the trees are wrapped; None: never.
        clean: makes text of the peer harmless to show.
    """
    yield f"server {clean(public_url(probed.url))}"
    if probed.key_seconds is not None:
        yield f"private key ({probed.entity.new_key_spec}) made in {duration(probed.key_seconds)}"
    for step in probed.steps:
        yield ""
        yield from _message(f"sent: {step.sent_label}", step.sent, width, clean)
        yield ""
        yield from _answer(step, width, clean)
    yield ""
    yield from _end(probed, clean)


def _answer(step: Step, width: int | None, clean: Callable[[str], str]) -> Iterator[str]:
    if step.received is not None:
        yield from _message(f"received: {step.received_label}", step.received, width, clean)
    if step.times is not None:
        spans = ", ".join(f"{name} {duration(span)}" for name, span in spans_of(step.times).items())
        yield f"times: {spans}"
    if step.missing is not None:
        yield f"no answer: {step.missing.reason}: {clean(step.missing.detail)}"
        if step.missing.hint:
            yield f"  hint: {clean(step.missing.hint)}"
        return
    yield "checks:"
    for verdict in step.verdicts:
        yield from _verdict(verdict, clean)


def _message(
    heading: str, der: bytes, width: int | None, clean: Callable[[str], str]
) -> Iterator[str]:
    shown = _inspected(heading, der)
    if isinstance(shown, InputError):
        yield f"{heading}: {len(der):,} octets that can't be shown: {clean(shown.what)}"
    else:
        yield from lines_of(shown, width, clean)


def _verdict(verdict: Verdict, clean: Callable[[str], str]) -> Iterator[str]:
    title = TITLES[verdict.reason].ljust(_TITLE_WIDTH)
    yield f"  {_MARKS[verdict.judgement]}  {title}  {clean(verdict.what)}".rstrip()
    hint = hint_of(verdict)
    if hint:
        yield f"        hint: {clean(hint)}"


def hint_of(verdict: Verdict) -> str:
    """What to do about a check that failed; nothing for others."""
    if verdict.judgement is not Judgement.FAILED:
        return ""
    return verdict.hint or CHECKS[verdict.reason].hint


def spans_of(times: ExchangeTimes) -> dict[str, float]:
    """Seconds that the parts of an exchange took, in their order."""
    ready = times.connected or times.started
    spans = {} if times.connected is None else {"connect": times.connected - times.started}
    return spans | {
        "send": times.sent - ready,
        "wait": times.first_byte - times.sent,
        "receive": times.finished - times.first_byte,
        "all": times.finished - times.started,
    }


def _end(probed: Probed, clean: Callable[[str], str]) -> Iterator[str]:
    outcome = probed.outcome
    reason = f": {clean(outcome.reason)}" if outcome.reason else ""
    yield f"outcome: {outcome.outcome}{reason}"
    if outcome.detail:
        yield f"  {clean(outcome.detail)}"
    if outcome.status_text and outcome.status_text not in outcome.detail:
        yield f"  the CA says: {clean(outcome.status_text)}"
    if not outcome.outcome.is_done:
        for known in explain(outcome):
            yield f"  {known.meaning}"
            if known.hint:
                yield f"    hint: {known.hint}"
    spans = {
        name: getattr(probed.timings, name)
        for name in ("request", "polling", "confirm", "service")
        if getattr(probed.timings, name) is not None
    }
    if spans:
        yield "times: " + ", ".join(f"{name} {duration(span)}" for name, span in spans.items())
    if probed.transaction_id is not None:
        yield f"transactionID: {probed.transaction_id.hex()}"
    if probed.certificate is not None:
        yield f"serial: {_serial(probed.certificate)}"
    yield from (f"note: {note}" for note in notes_of(probed))


def notes_of(probed: Probed) -> Iterator[str]:
    """What the user must know of a try, and of a certificate that was issued for it."""
    yield from probed.notes
    if probed.is_lost:
        yield (
            "the CA has issued a certificate, which is not kept: revoke it by its serial; --certout"
            " and --newkeyout keep it and its private key"
        )


def json_of_probe(probed: Probed) -> dict[str, Any]:
    """The same for programs; octets are hexadecimal digits, times are seconds."""
    outcome = probed.outcome
    certificate = probed.certificate
    chain = () if probed.part is None else probed.part.chain
    return {
        "server": public_url(probed.url),
        "began_at": utc(probed.began_at, "milliseconds"),
        "id": probed.entity.id,
        "cmd": probed.entity.cmd.value,
        "key_seconds": probed.key_seconds,
        "steps": [_step_json(step) for step in probed.steps],
        "transaction_id": None if probed.transaction_id is None else probed.transaction_id.hex(),
        "outcome": outcome.outcome.value,
        "reason": outcome.reason,
        "detail": outcome.detail,
        "pki_status": outcome.pki_status,
        "fail_info": list(outcome.fail_info),
        "status_text": outcome.status_text,
        "explanations": [
            {"meaning": known.meaning, "hint": known.hint} for known in explain(outcome)
        ],
        "seconds": {
            name: getattr(probed.timings, name)
            for name in ("request", "polling", "confirm", "service")
        },
        "serial": None if certificate is None else _serial(certificate),
        "certificate": None if certificate is None else pem_certificates(certificate).decode(),
        "chain": pem_certificates(*chain).decode(),
        "information": [
            {
                "infoType": name_of(info.oid),
                "oid": info.oid,
                "infoValue": None if info.value is None else info.value.hex(),
            }
            for info in (() if probed.part is None else probed.part.infos)
        ],
        "notes": list(notes_of(probed)),
    }


def _step_json(step: Step) -> dict[str, Any]:
    missing = step.missing
    return {
        "sent": _message_json(step.sent_label, step.sent),
        "received": None
        if step.received is None
        else _message_json(step.received_label, step.received),
        "missing": None
        if missing is None
        else {"reason": missing.reason, "detail": missing.detail, "hint": missing.hint},
        "seconds": None if step.times is None else spans_of(step.times),
        "checks": [
            {
                "check": TITLES[verdict.reason],
                "verdict": verdict.judgement.value,
                "reason": "" if verdict.judgement is Judgement.PASSED else verdict.reason.value,
                "detail": verdict.what,
                "hint": hint_of(verdict),
            }
            for verdict in step.verdicts
        ],
    }


def _message_json(label: str, der: bytes) -> dict[str, Any]:
    shown = _inspected(label, der)
    if isinstance(shown, InputError):
        return {"type": label, "der": der.hex(), "error": shown.what}
    return {"type": label, "der": der.hex(), "inspection": shown.json()}


def _inspected(name: str, der: bytes) -> "Inspection | InputError":
    # loaded where it is used: pyasn1's modules take long
    from bulkcmp.inspect.inspection import inspect_octets

    try:
        return inspect_octets(der, name)
    except InputError as error:
        return error


def _serial(certificate: bytes) -> str:
    try:
        return f"{x509.load_der_x509_certificate(certificate).serial_number:X}"
    except ValueError:
        return "unreadable"
