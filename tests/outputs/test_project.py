import stat
from pathlib import Path

import pytest

from bulkcmp.errors import InputError
from bulkcmp.outputs.project import (
    Project,
    from_folder,
    population_of,
    refuse_taken,
    write_project,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_project_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "meters"
    refuse_taken(folder)
    write_project(folder, Project("x = 1\n", population_of(["a", "b,c"]), b"PEM", {"ra": b"s"}))
    assert (folder / "ca.toml").read_text() == "x = 1\n"
    assert (folder / "population.csv").read_text() == 'id\na\n"b,c"\n'
    assert (folder / "trusted.pem").read_bytes() == b"PEM"
    assert (folder / "secrets" / "ra").read_bytes() == b"s\n"
    assert "/secrets/" in (folder / ".gitignore").read_text().splitlines()
    assert mode(folder) == mode(folder / "secrets") == 0o700
    assert mode(folder / "secrets" / "ra") == 0o600
    with pytest.raises(InputError, match="is not empty"):
        refuse_taken(folder)


def test_what_a_project_does_not_have_is_not_written(tmp_path: Path) -> None:
    write_project(tmp_path, Project("", None, None, {}))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".gitignore", "ca.toml"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="Not a directory"):
        refuse_taken(tmp_path / "file")


def test_paths_lead_from_the_folder(tmp_path: Path) -> None:
    assert from_folder(Path("meters"), "keys/ra.pem") == "../keys/ra.pem"
    assert from_folder(tmp_path, "/keys/ra.pem") == "/keys/ra.pem"
