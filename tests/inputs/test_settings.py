from pathlib import Path

import pytest

from bulkcmp.errors import EXIT_BAD_INPUT, InputErrors
from bulkcmp.inputs.settings import Kind, newkey_in, read_settings

KNOWN: dict[str, Kind] = {
    "server": Kind.TEXT,
    "concurrency": Kind.WHOLE,
    "rate": Kind.NUMBER,
    "ignore_keyusage": Kind.FLAG,
    "retry_failinfo": Kind.TEXTS,
    "tls_cert": Kind.PATH,
    "trusted": Kind.PATHS,
    "secret": Kind.SOURCE,
    "newkey": Kind.NEWKEY,
    "key": Kind.KEY,
    "on_issued": Kind.COMMAND,
    "subject_check": Kind.TEXT,
}


def _write(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "profile.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_settings_of_each_type(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        """\ufeff# a profile
server = "http://127.0.0.1:8829/"
concurrency = 64
rate = 5
ignore_keyusage = true
retry_failinfo = ["systemUnavail"]
trusted = ["ca.pem"]
""",
    )
    settings = read_settings(path, KNOWN)
    assert settings == {
        "server": "http://127.0.0.1:8829/",
        "concurrency": 64,
        "rate": 5.0,
        "ignore_keyusage": True,
        "retry_failinfo": ["systemUnavail"],
        "trusted": [str(tmp_path / "ca.pem")],
    }
    assert isinstance(settings["rate"], float)


@pytest.mark.parametrize(
    ("setting", "value", "elsewhere"),
    [
        ("tls_cert", "a.pem", "{}/a.pem"),
        ("secret", "file:s.txt", "file:{}/s.txt"),
        ("secret", "env:FILE", "env:FILE"),
        ("newkey", "ec:p-256", "ec:p-256"),
        ("newkey", "k.pem", "{}/k.pem"),
        ("key", "k.pem", "{}/k.pem"),
        ("key", "pkcs11:object=k", "pkcs11:object=k"),
        ("on_issued", "./push 'to it'", "{}/push 'to it'"),
        ("on_issued", "push ./it", "push ./it"),
        ("on_issued", "push 'it", "push 'it"),
        ("on_issued", "", ""),
    ],
)
def test_paths_are_relative_to_the_folder_of_the_file(
    tmp_path: Path, setting: str, value: str, elsewhere: str
) -> None:
    settings = read_settings(_write(tmp_path, f'{setting} = "{value}"\n'), KNOWN)
    assert settings == {setting: elsewhere.format(tmp_path)}


def test_the_same_key_is_no_path(tmp_path: Path) -> None:
    assert newkey_in(tmp_path, "same") == "same"
    assert newkey_in(tmp_path, "k.pem") == str(tmp_path / "k.pem")


def test_an_empty_file_has_no_settings(tmp_path: Path) -> None:
    assert read_settings(_write(tmp_path, ""), KNOWN) == {}


def test_all_errors_at_once_each_with_its_line(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        'server = 1\n\nsubject-chek = "record"\nconcurrency = true\nrate = "5"\n'
        'ignore_keyusage = "yes"\nretry_failinfo = [1]\ntrusted = 1\n\n[table]\nx = 1\n',
    )
    with pytest.raises(InputErrors) as caught:
        read_settings(path, KNOWN)
    error = caught.value
    assert error.exit_code == EXIT_BAD_INPUT
    assert error.what == f"{path}: 8 wrong settings"
    assert [p.where and (p.where.line, p.where.key) for p in error.problems] == [
        (1, "server"),
        (3, "subject-chek"),
        (4, "concurrency"),
        (5, "rate"),
        (6, "ignore_keyusage"),
        (7, "retry_failinfo"),
        (8, "trusted"),
        (10, "table"),
    ]
    texts = str(error).splitlines()
    assert texts[1] == (
        f"{path}:1, key server: a value of the wrong type: "
        'it must be a text in quotes, as in server = "..."'
    )
    assert texts[3].endswith("it must be a whole number, as in concurrency = 10")
    assert texts[5].endswith("it must be ignore_keyusage = true or ignore_keyusage = false")
    assert error.problems[1].what == "unknown setting 'subject-chek'"
    assert (error.problems[1].hint or "").startswith("did you mean 'subject_check'? known are")


def test_a_value_is_never_shown(tmp_path: Path) -> None:
    path = _write(tmp_path, 'secrt = "pass:hunter2"\nconcurrency = "hunter2"\n')
    with pytest.raises(InputErrors) as caught:
        read_settings(path, KNOWN)
    assert "hunter2" not in str(caught.value)
