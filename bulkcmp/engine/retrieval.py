"""Private keys out of the journals of runs, for requests that they are to protect.

A run's files may not do: a JKS alone, passwords of each row's own, or files that were taken away.
Its journal has the keys all the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Final

from bulkcmp.engine.holding import Held, Holding, Kept, kept_source
from bulkcmp.errors import InputError
from bulkcmp.inputs.credential import PassphraseError
from bulkcmp.inputs.secret import read_secret
from bulkcmp.journal.journal import Journal
from bulkcmp.model import Secret
from bulkcmp.outputs.credentials import (
    Credential,
    OutChain,
    OutFormat,
    credential_files,
    write_credentials,
)

_FORMATS: Final = (OutFormat.PEM,)

_CHUNK: Final = 256


@dataclass(frozen=True, slots=True)
class Opening:
    """What opens the keys of a journal.

    Attributes:
        passphrase: None where they are not encrypted.
        source: where it can be read again (`env:`, `file:`); empty where it is the command's own.
    """

    passphrase: Secret | None
    source: str = ""


class Openings:
    """What opens the journals of a holding, each tried once.

    Args:
        password: the command's own, where the one that a run had does not do.
        environ: where `env:` sources are looked up.
    """

    def __init__(
        self, holding: Holding, password: Secret | None, environ: Mapping[str, str]
    ) -> None:
        self._holding = holding
        self._password = password
        self._environ = environ
        self._known: dict[Path, Opening | InputError] = {}

    def of(self, run: Path) -> Opening:
        """
        Raises:
            PassphraseError: none is known that opens it.
            BulkcmpError: its journal can't be read.
        """
        known = self._known.get(run)
        if known is None:
            with self._holding.journal(run) as journal:
                known = self._known[run] = self._tried(journal)
        if isinstance(known, InputError):
            raise known
        return known

    def _tried(self, journal: Journal) -> Opening | InputError:
        if journal.is_plain:
            return Opening(None)
        problem: InputError | None = None
        for opening in self._possible(journal):
            try:
                journal.unlock(opening.passphrase)
            except InputError as error:
                problem = error
            else:
                return opening
        what = str(problem) if problem else "the keys of its journal are sealed"
        return PassphraseError(what, hint="give --keypass, the --key-pass of that run")

    def _possible(self, journal: Journal) -> Iterator[Opening]:
        if source := kept_source(journal, "key_pass"):
            # where it is gone from there, the command's own may do
            with suppress(InputError):
                yield Opening(read_secret(source, self._environ, stdin=False), source)
        if self._password is not None:
            yield Opening(self._password)


def signer_cells(folder: Path, held: Held, opening: Opening) -> dict[str, str]:
    """The cells of a population by which a request is protected with the files that
    `write_signers` writes into `folder`."""
    files = credential_files(_FORMATS, Credential(held.id, None, b"").stem, has_key=True)
    cells = {"cert": folder.absolute() / files.certificate, "key": folder.absolute() / files.key}
    return {**{name: str(path) for name, path in cells.items()}, "keypass": opening.source}


def write_signers(folder: Path, holding: Holding, signers: Sequence[tuple[Kept, Opening]]) -> None:
    """Write certificates with their keys, as journals have them, under the passphrases of these.

    Args:
        signers: with what opens the journals that have them.

    Raises:
        BulkcmpError: the file system or a journal failed.
    """
    for (run, opening), those in groupby(signers, lambda one: (one[0].run, one[1])):
        passphrase = opening.passphrase
        with holding.journal(run) as journal:
            journal.unlock(passphrase)
            found = (_credential(journal, kept.number) for kept, _ in those)
            while chunk := list(islice(found, _CHUNK)):
                write_credentials(
                    folder, _FORMATS, OutChain.FULL, chunk, passphrase, passphrase is None
                )


def _credential(journal: Journal, number: int) -> Credential:
    result, key = journal.result(number)
    assert result.certificate is not None, "only such are held"
    return Credential(result.id, key, result.certificate, result.chain)
