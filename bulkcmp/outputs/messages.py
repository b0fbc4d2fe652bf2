"""Saved messages: a folder of PKIMessages in DER, each in a file of its own."""

from pathlib import Path

from bulkcmp.errors import BulkcmpError, InputError, Where
from bulkcmp.outputs.files import make_private_folder, replacing


def refuse_full_folder(folder: Path) -> None:
    """Make sure that messages may be saved in a folder, which need not exist.

    Raises:
        InputError: it holds something, or is no folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            "is not an empty folder",
            where=Where(str(folder)),
            hint="choose a new one, so that no message of another transaction is among these",
        )


def make_message_folder(folder: Path) -> None:
    """Make a folder for messages.

    Raises:
        InputError: it holds something, or can't be made.
    """
    refuse_full_folder(folder)
    try:
        make_private_folder(folder)
    except BulkcmpError as error:
        raise InputError(error.what, where=error.where) from error


def save_message(folder: Path, name: str, der: bytes) -> None:
    """Write a message for the user alone: it may have a regToken in it.

    Raises:
        BulkcmpError: the file system refused.
    """
    make_private_folder(folder)
    with replacing(folder / f"{name}.der", 0o600, durable=False) as file:
        file.write(der)
