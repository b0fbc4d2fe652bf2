from pathlib import Path

import pytest

from bulkcmp.engine.plan import Census, OutputPlan, Rows
from bulkcmp.errors import InputErrors
from bulkcmp.inputs.population import Population
from bulkcmp.inputs.recognition import open_source
from bulkcmp.inputs.row import Defaults
from bulkcmp.io.keyworker import make_keys
from bulkcmp.model import BadRow, EndEntity, KeySpec, Secret
from bulkcmp.outputs.credentials import OutFormat


def rows(
    folder: Path, text: str, out_format: OutFormat = OutFormat.PEM, *, newkey_assumed: bool = False
) -> Rows:
    path = folder / "a.csv"
    path.write_text(text)
    defaults = Defaults(newkey="ec:P-256", newkey_assumed=newkey_assumed, secret=Secret(b"x"))
    population = Population(open_source(path), defaults, {})
    return Rows(population, str(path), OutputPlan((out_format,)))


def test_census(tmp_path: Path) -> None:
    lines = ["id,subject,newkey,priority", "a,/CN=a,,", "b,/CN=b,ed25519,7", "c,/CN=c,,7",
             "d,CN,rsa:1,0", "e,/CN=e,rsa:2048,3"]  # fmt: skip
    census = Census.take(rows(tmp_path, "\n".join(lines)))
    assert (census.rows, census.bad) == (5, 1)
    assert {str(spec): count for spec, count in census.keys.items()} == {
        "ec:P-256": 2, "ed25519": 1, "rsa:2048": 1,
    }  # fmt: skip
    # rows without one go last, and bad rows with them
    assert census.priorities == (3, 7, None)
    assert (census.central, census.stores_keys) == (0, True)
    assert len(census.problems) == 2


def test_keys_that_the_ca_makes_are_stored_and_not_made(tmp_path: Path) -> None:
    lines = ["id,subject,newkey,centralkeygen", "a,/CN=a,,yes", "b,/CN=b,rsa:2048,1"]
    census = Census.take(rows(tmp_path, "\n".join(lines)))
    assert (census.keys, census.central, census.stores_keys) == ({}, 2, True)


def test_a_p12_file_takes_no_key_of_any_type_that_the_ca_chooses(tmp_path: Path) -> None:
    text = "id,subject,newkey,centralkeygen\na,/CN=a,,yes\nb,/CN=b,ec:P-256,yes\n"
    bad, good = rows(tmp_path, text, OutFormat.P12, newkey_assumed=True)
    assert isinstance(bad, BadRow)
    (problem,) = bad.problems
    assert "keys of every type that a CA may choose" in str(problem)
    assert problem.where is not None
    assert problem.where.column == "newkey"
    assert isinstance(good, EndEntity)


def test_a_key_of_a_file_stays_there_and_is_not_for_p12(tmp_path: Path) -> None:
    (tmp_path / "ec.key").write_bytes(make_keys(KeySpec.parse("ec:P-256"), 1)[0])
    text = "id,subject,newkey\na,/CN=a,ec.key\n"
    for out_format in (OutFormat.P12, OutFormat.JKS):
        (bad,) = rows(tmp_path, text, out_format)
        assert isinstance(bad, BadRow)
        assert "and a key file keeps" in str(bad.problems[0])
    assert all(isinstance(row, EndEntity) for row in rows(tmp_path, text, OutFormat.P7B))


def test_a_chain_alone_holds_no_key(tmp_path: Path) -> None:
    (bad,) = rows(tmp_path, "id,subject\na,/CN=a\n", OutFormat.P7B)
    assert isinstance(bad, BadRow)
    assert "p7b files hold no private keys" in str(bad.problems[0])
    assert bad.problems[0].hint == "add a format that does, as in --out-format p7b,pem"


def test_a_password_that_the_format_does_not_take_is_a_bad_row(tmp_path: Path) -> None:
    text = "id,subject,out_pass\na,/CN=a,pass:12345\nb,/CN=b,make\nc,/CN=c,\n"
    bad, made, none = rows(tmp_path, text, OutFormat.JKS)
    assert isinstance(bad, BadRow)
    assert "column out_pass: the password of a jks has 6 characters" in str(bad.problems[0])
    assert isinstance(made, EndEntity)
    assert made.out_pass is not None
    assert len(made.out_pass.reveal()) == 24
    assert isinstance(none, EndEntity)
    assert none.out_pass is None


def test_refusal_of_bad_rows(tmp_path: Path) -> None:
    good = Census.take(rows(tmp_path, "id,subject\na,/CN=a\n"))
    good.refuse_bad_rows("a.csv")
    assert good.priorities == (None,)

    many = Census.take(rows(tmp_path, "id,subject\n" + "".join(f"{n},CN\n" for n in range(50))))
    with pytest.raises(InputErrors) as raised:
        many.refuse_bad_rows("a.csv")
    assert raised.value.what == "a.csv: 50 of 50 rows can't be used"
    # the rest is listed by `check`
    assert len(raised.value.problems) == 20
    assert "bulkcmp check a.csv" in (raised.value.hint or "")


def test_rows_that_the_output_format_can_not_hold(tmp_path: Path) -> None:
    made = rows(
        tmp_path,
        "id,subject,newkey\na,/CN=a,ml-dsa-65\nb,/CN=b,ed25519\nc,CN,ml-dsa-65\n",
        OutFormat.P12,
    )
    for _ in range(2):  # they can be streamed again
        first, second, third = made
        assert isinstance(first, BadRow)
        assert (first.number, first.line, first.id) == (1, 2, "a")
        (problem,) = first.problems
        assert str(problem) == (
            f"{tmp_path / 'a.csv'}:2 (row 1), column newkey: p12 files can't hold ml-dsa-65 keys"
        )
        assert isinstance(second, EndEntity)
        assert second.new_key_spec == KeySpec.parse("ed25519")
        assert isinstance(third, BadRow)
        assert len(third.problems) == 1
