"""A site's project folder: how to talk to its CA, its population, and a place for its secrets."""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bulkcmp.errors import InputError, Where
from bulkcmp.outputs.files import make_private_folder, replacing

SETTINGS_FILE: Final = "ca.toml"
POPULATION_FILE: Final = "population.csv"
TRUSTED_FILE: Final = "trusted.pem"
SECRETS_FOLDER: Final = "secrets"

_IGNORED: Final = f"# never to be shared\n/{SECRETS_FOLDER}/\n/runs/\n"


@dataclass(frozen=True, slots=True)
class Project:
    """What a project folder is to hold.

    Attributes:
        settings: text of the settings file, TOML.
        population: octets of the population, or None where it stands elsewhere.
        trusted: PEM of the trust anchors, or None where there are none yet.
        secrets: by the name of its file in `secrets/`; one line each.
    """

    settings: str
    population: bytes | None
    trusted: bytes | None
    secrets: Mapping[str, bytes]


def refuse_taken(folder: Path) -> None:
    """Make sure that a project may be written to a folder.

    Raises:
        InputError: it has something in it, is a file, or can't be looked at.
    """
    where = Where(str(folder))
    try:
        if not folder.exists():
            return
        taken = any(folder.iterdir())
    except OSError as error:
        raise InputError(f"can't be used: {error.strerror}", where=where) from None
    if taken:
        raise InputError("is not empty", where=where, hint="name a folder that is new")


def write_project(folder: Path, project: Project) -> None:
    """Write a project into a folder that is empty, or not there; secrets come first, 0600.

    Raises:
        BulkcmpError: the file system refused.
    """
    make_private_folder(folder)
    if project.secrets:
        make_private_folder(folder / SECRETS_FOLDER)
    for path, octets, mode in _files(project):
        with replacing(folder / path, mode, durable=True) as file:
            file.write(octets)


def population_of(ids: Iterable[str]) -> bytes:
    """A population to begin with: CSV with a column `id`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([["id"], *([one] for one in ids)])
    return text.getvalue().encode()


def from_folder(folder: Path, path: str) -> str:
    """A path as it is written in a file of the folder; one that is absolute stays so."""
    return path if Path(path).is_absolute() else os.path.relpath(path, folder)


def _files(project: Project) -> Iterator[tuple[str, bytes, int]]:
    for name, secret in project.secrets.items():
        yield f"{SECRETS_FOLDER}/{name}", secret + b"\n", 0o600
    if project.trusted is not None:
        yield TRUSTED_FILE, project.trusted, 0o644
    if project.population is not None:
        yield POPULATION_FILE, project.population, 0o600
    yield ".gitignore", _IGNORED.encode(), 0o644
    yield SETTINGS_FILE, project.settings.encode(), 0o644
