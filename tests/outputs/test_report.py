import json
from xml.etree import ElementTree as ET

from bulkcmp.load.capacity import Search
from bulkcmp.model import OutcomeClass
from bulkcmp.outputs.report import SCHEMA, report_json, report_junit
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.record import End, Ending, Fault, Record
from bulkcmp.stats.report import Report
from bulkcmp.stats.threshold import Threshold
from tests.stats.records import RUN, transaction, trouble
from tests.stats.searches import RUN_OF_THREE, records_of_three, reported, run_of, steady, windows


def report_of(records: list[Record]) -> Report:
    figures = Figures()
    figures.begin(RUN.warm_up)
    figures.feed(records)
    return Report.of([RUN], figures, [Threshold.parse(text) for text in RUN.thresholds])


def test_json_has_all_figures() -> None:
    report = report_of(trouble())
    found = json.loads(report_json(report))
    assert found["schema"] == SCHEMA
    assert found["runs"][0]["began_at"] == "2026-11-27T12:00:00.000Z"
    assert found["runs"][0]["notes"] == ["a check is off"]
    assert found["exit_code"] == 3
    total = found["transactions"]["all"]
    assert total["ok"] + total["failed"] == total["finished"] == report.total.finished
    assert total["latencies"]["response"]["count"] == total["ok"]
    assert total["outcomes"][0] == {"outcome": "issued", "reason": "", "count": total["ok"]}
    assert total["fail_info"]["badPOP"] == total["failures"][0]["count"]
    assert {one["name"] for one in found["exchanges"]} >= {
        "ir/ip", "kur/kup", "pollReq/pollRep", "certConf/pkiconf", "ir: no answer in time",
    }  # fmt: skip
    assert found["thresholds"][1] == {
        "threshold": "rate(ok) > 1000",
        "held": False,
        "value": round(report.total.ok_rate or 0, 9),
        "limit": 1000.0,
        "unit": "/s",
    }
    assert len(found["intervals"]) == len(report.intervals)
    assert found["generator"][0]["process"] == "worker 1"


def test_junit_fails_where_something_did() -> None:
    suite = ET.fromstring(report_junit(report_of(trouble())))
    failed = {
        case.get("name"): failure.get("message")
        for case in suite.iter("testcase")
        if (failure := case.find("failure")) is not None
    }
    assert set(failed) == {"rate(ok) > 1000", "ir", "kur", "the plan was kept"}
    assert failed["the plan was kept"] == "transactions dropped: 6; transactions abandoned: 1"
    assert suite.get("tests") == str(len(list(suite.iter("testcase")))) == "7"
    assert suite.get("failures") == "4"
    properties = {one.get("name"): one.get("value") for one in suite.iter("property")}
    assert properties["notes"] == "a check is off"
    assert {one.get("type") for one in suite.iter("failure")} == {
        "threshold", "transactions", "run",
    }  # fmt: skip
    # Surefire's readers want them all
    assert (suite.get("errors"), suite.get("skipped")) == ("0", "0")


def test_junit_of_a_good_run_has_no_failure() -> None:
    figures = Figures()
    figures.begin(0)
    figures.feed([transaction(0, 0, 1), End(2)])
    suite = ET.fromstring(report_junit(Report.of([RUN], figures, [])))
    assert suite.get("failures") == "0"
    assert list(suite.iter("failure")) == []


def test_junit_is_xml_whatever_the_server_says() -> None:
    hostile = Ending(OutcomeClass.REJECTED, "\x00\x1b]]>&<\ud800\ufffe\uffff", detail="\x00")
    suite = ET.fromstring(report_junit(report_of([transaction(9, 9, 9.5, hostile)])))
    assert r"\x00\x1b]]>&<\ud800\ufffe\uffff" in "".join(
        str(one.get("message")) for one in suite.iter("failure")
    )


def test_a_run_that_was_killed_fails() -> None:
    text = report_junit(report_of([transaction(9, 9, 9.5)]))
    assert "the records stop before the run's end" in text


FAULT = Fault("a worker died, and what it had under way is not known", 2)


def test_what_could_not_be_gone_on_after_goes_before_all_else() -> None:
    records = [one for one in trouble() if not isinstance(one, End)]
    report = report_of([*records, End(80.5, interrupted=True, failed=FAULT)])
    assert report.exit_code == FAULT.exit_code
    found = json.loads(report_json(report))
    assert (found["failed"], found["exit_code"]) == ([FAULT.what], 2)
    suite = ET.fromstring(report_junit(report))
    first = next(suite.iter("testcase"))
    failure = first.find("failure")
    assert failure is not None
    assert str(failure.get("message")).startswith(f"failed: {FAULT.what}")


def test_a_search_that_could_not_go_on() -> None:
    *records, _ = records_of_three()
    report, _ = reported(RUN_OF_THREE, [*records, End(9.0, failed=FAULT)])
    assert report.exit_code == FAULT.exit_code
    found = json.loads(report_json(report))
    assert found["failed"] == [FAULT.what]
    assert found["capacity"]["conclusion"] == "failed"
    # what was known by then stays known
    assert found["capacity"]["highest_that_held"] == 140
    assert found["capacity"]["windows"][-1]["verdict"] == "not finished"


def test_json_has_the_windows_of_a_search() -> None:
    report, _ = reported(RUN_OF_THREE, records_of_three())
    document = json.loads(report_json(report))
    assert document["exit_code"] == 0
    found = document["capacity"]
    assert found["conclusion"] == "found"
    assert (found["highest_that_held"], found["lowest_that_did_not"]) == (150, 160)
    assert [one["rate"] for one in found["windows"]] == [20, 40, 80, 160, 120, 140, 150]
    crossed, held = found["windows"][3], found["windows"][6]
    assert (crossed["verdict"], crossed["reasons"]) == (
        "a threshold was crossed",
        ["p95(response) < 40ms"],
    )
    assert crossed["thresholds"][0]["held"] is False
    assert (held["verdict"], held["reasons"], held["number"]) == ("held", [], 7)
    # all else is of the window at the highest rate that held
    assert held["transactions"] == document["transactions"]["all"]
    assert document["runs"][0]["search"]["up_to"] == 1000


def test_json_of_another_load_test_has_no_capacity() -> None:
    assert json.loads(report_json(report_of(trouble())))["capacity"] is None


def test_junit_has_the_capacity() -> None:
    suite = ET.fromstring(report_junit(reported(RUN_OF_THREE, records_of_three())[0]))
    assert suite.get("failures") == "0"
    properties = {one.get("name"): one.get("value") for one in suite.iter("property")}
    assert properties["capacity.highest_that_held"] == "150"
    assert properties["capacity.lowest_that_did_not"] == "160"


def test_junit_fails_where_no_capacity_was_found() -> None:
    run = run_of(Search(start=10, up_to=10, window=10, settle=2), "share(failed) < 1%")
    records = list(windows(run, steady(lambda _: 0.01, busy_from=10)))
    suite = ET.fromstring(report_junit(reported(run, records)[0]))
    failed = {
        case.get("name"): failure.get("message")
        for case in suite.iter("testcase")
        if (failure := case.find("failure")) is not None
    }
    assert failed["a capacity was found"] == "the load generator was the bottleneck"
    assert str(failed["the generator kept up"]).startswith("worker 1 used 99% of a core")
