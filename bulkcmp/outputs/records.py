"""records.jsonl.gz: what a load test noted, from which all of its reports are made.

JSON Lines, compressed by gzip, so that `zcat records.jsonl.gz` shows them: the first line has the
schema and the `Run`, each further one a record under the name of its kind. What was flushed is
there even if the program was killed: such a file lacks gzip's trailer and a record `end`, and a
line may be cut off, but is read all the same.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import msgspec

from bulkcmp.errors import InputError, Where
from bulkcmp.load.folder import RECORDS
from bulkcmp.outputs.files import GrowingFile
from bulkcmp.stats.capacity import Course
from bulkcmp.stats.figures import Figures
from bulkcmp.stats.health import Pulse
from bulkcmp.stats.record import Drop, End, Fault, Level, Record, Run, TransactionRecord, Window
from bulkcmp.stats.report import Report
from bulkcmp.stats.threshold import Threshold

SCHEMA: Final = "bulkcmp/records/1"

_LEVEL: Final = 1
"""The fastest; the highest makes the file a quarter smaller at four times the cost."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_CHUNK: Final = 1 << 18
_LONGEST: Final = 1 << 24
"""Octets of a line; a record with many exchanges has a few thousand."""


class _Line(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    schema: str | None = None
    run: Run | None = None
    transaction: TransactionRecord | None = None
    drop: Drop | None = None
    pulse: Pulse | None = None
    level: Level | None = None
    window: Window | None = None
    end: End | None = None

    @classmethod
    def of(cls, record: Record) -> Self:
        match record:
            case TransactionRecord():
                return cls(transaction=record)
            case Drop():
                return cls(drop=record)
            case Pulse():
                return cls(pulse=record)
            case Level():
                return cls(level=record)
            case Window():
                return cls(window=record)
            case End():
                return cls(end=record)

    @property
    def record(self) -> Record | None:
        return self.transaction or self.drop or self.pulse or self.level or self.window or self.end


class _Schema(msgspec.Struct):
    schema: str | None = None


_T = TypeVar("_T")
_LINE: Final = msgspec.json.Decoder(_Line)
_SCHEMA: Final = msgspec.json.Decoder(_Schema)
"""Of what any version of the file begins with."""


class RecordWriter:
    """Writes the file, as a context manager.

    Args:
        path: must not exist; it is made for the user alone (0600).

    Raises:
        BulkcmpError: the file system refused; of every method but `write`.
    """

    def __init__(self, path: Path, run: Run) -> None:
        self._encoder = msgspec.json.Encoder()
        self._compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._file = GrowingFile(path)
        try:
            self._put(_Line(schema=SCHEMA, run=run))
            self.flush()
        except BaseException:
            self.close()
            raise

    def write(self, records: Iterable[Record]) -> None:
        """Take in records, in their order."""
        for record in records:
            self._put(_Line.of(record))

    def flush(self) -> None:
        """Whatever was written is safe from the end of this process."""
        self._file.write(self._compressor.flush(zlib.Z_SYNC_FLUSH))
        self._file.flush()

    def close(self) -> None:
        """End the file."""
        self._file.write(self._compressor.flush())
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _put(self, line: _Line) -> None:
        self._file.write(self._compressor.compress(self._encoder.encode(line) + b"\n"))


class RecordFile:
    """Reads the file of a run.

    Args:
        path: of the run folder, or of the file itself.
        partial: where it is damaged, what stands before the damage is read, and an `End` that says
            so; by default nothing.

    Attributes:
        run: what stands at its beginning.
        line: of the record that was given last.
        damage: what was found when the records were read last; None where they are sound.

    Raises:
        InputError: there is no such file, or it is none of ours.
    """

    def __init__(self, path: Path, *, partial: bool = False) -> None:
        self.path = path / RECORDS if path.is_dir() else path
        self.damage: InputError | None = None
        self._partial = partial
        self.line = 1
        _, text = next(self._texts(), (0, b"{}"))
        schema = self._decoded(1, text, _SCHEMA).schema
        if schema is None:
            raise self._not_ours("it has no schema in its first line")
        if schema != SCHEMA:
            raise InputError(
                f"its schema is {schema!r}, not {SCHEMA!r}",
                where=Where(str(self.path)),
                hint="another version of bulkcmp made it, which can report on it",
            )
        run = self._decoded(1, text, _LINE).run
        if run is None:
            raise self._not_ours("its first line does not say what the run was")
        if run.began_at.tzinfo is None:
            raise self._not_ours("its first line does not say in which time zone the run began")
        self.run: Run = run

    def records(self) -> Iterator[Record]:
        """All that are whole, in their order.

        Raises:
            InputError: what stands there is no record.
        """
        self.damage = None
        try:
            for number, text in islice(self._texts(), 1, None):
                record = self._decoded(number, text, _LINE).record
                if record is None:
                    raise self._damaged(number, "there is no record")
                if isinstance(record, TransactionRecord) and not record.endings:
                    raise self._damaged(number, "it has no outcome")
                self.line = number
                yield record
        except InputError as error:
            if not self._partial:
                raise
            self.damage = error
            yield End(0.0, failed=Fault(f"{error}; nothing more is counted"))

    def _damaged(self, number: int, why: str) -> InputError:
        return InputError(
            why,
            where=Where(str(self.path), number),
            hint="bulkcmp report --partial reports on what stands before it",
        )

    def _decoded(self, number: int, text: bytes, decoder: msgspec.json.Decoder[_T]) -> _T:
        try:
            return decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._damaged(number, f"it is no record: {error}") from error

    def _texts(self) -> Iterator[tuple[int, bytes]]:
        """The whole lines, with their numbers."""
        number = 0
        rest = b""
        try:
            for octets in self._unpacked():
                *lines, rest = (rest + octets).split(b"\n")
                if len(rest) > _LONGEST:
                    raise self._damaged(number + 1, "the line has no end")
                for text in lines:
                    number += 1
                    yield number, text
        except zlib.error as error:
            why = f"its compression is damaged ({error})"
            if "data check" in str(error) or "length check" in str(error):
                why = "its checksum is another: something that stands before was changed"
            raise self._damaged(number + 1, why) if number else self._not_ours(why) from error

    def _unpacked(self) -> Iterator[bytes]:
        decompressor = zlib.decompressobj(_GZIP)
        try:
            with self.path.open("rb") as file:
                while not decompressor.eof:
                    packed = decompressor.unconsumed_tail or file.read(_CHUNK)
                    if not packed:
                        return
                    before = decompressor.copy()
                    try:
                        octets = decompressor.decompress(packed, _CHUNK)
                    except zlib.error:
                        yield from _sound(before, packed)
                        raise
                    yield octets
        except OSError as error:
            raise InputError(
                f"can't be read: {error.strerror or error}",
                where=Where(str(self.path)),
                hint="name the run folder of a load test, which --out gave",
            ) from error

    def _not_ours(self, why: str) -> InputError:
        return InputError(
            f"not the records of a load test: {why}",
            where=Where(str(self.path)),
            hint="name the run folder of a load test, which --out gave",
        )


def _sound(decompressor: "zlib._Decompress", packed: bytes) -> Iterator[bytes]:
    """What precedes the damage in octets that can't be unpacked as a whole."""
    with suppress(zlib.error):
        for octet in packed:
            yield decompressor.decompress(bytes((octet,)))


def record_files(paths: Iterable[Path], *, partial: bool = False) -> list[RecordFile]:
    """The files of runs that are to be reported on together.

    Args:
        partial: as of `RecordFile`.

    Raises:
        InputError: there is no such file, or it is none of ours; or two are of one run.
    """
    files: list[RecordFile] = []
    for path in paths:
        file = RecordFile(path, partial=partial)
        for other in files:
            if other.run == file.run:
                raise InputError(
                    f"it is the run of {other.path}, which would count twice",
                    where=Where(str(file.path)),
                    hint="name each run once",
                )
        files.append(file)
    return files


def report_of(files: Sequence[RecordFile], window: int | None = None) -> tuple[Report, Figures]:
    """The report of one run, or of several together, with the thresholds of all; and its figures.

    Several are put on one time line by their wall clocks. Of a search for the capacity the figures
    are those of the highest rate that held.

    Args:
        window: of a search: the one to be reported on, from 1.

    Raises:
        InputError: what stands in a file is no record, or no threshold; a search is among several
            runs; or there is no such window.
    """
    texts = dict.fromkeys(text for file in files for text in file.run.thresholds)
    thresholds = [Threshold.parse(text) for text in texts]
    for file in files:
        if file.run.search is not None:
            if len(files) > 1:
                raise InputError(
                    "it is a search for the capacity, which can't be merged with other runs",
                    where=Where(str(file.path)),
                    hint="report on it alone",
                )
            return _report_of_search(file, thresholds, window)
    if window is not None:
        raise InputError(
            f"there is no window {window}: it is no search for the capacity",
            where=Where(str(files[0].path)),
        )
    figures = Figures()
    first = min(file.run.began_at for file in files)
    for file in files:
        figures.begin(file.run.warm_up, (file.run.began_at - first).total_seconds())
        _feed(figures, file)
    return Report.of([file.run for file in files], figures, thresholds), figures


def _report_of_search(
    file: RecordFile, thresholds: Sequence[Threshold], window: int | None
) -> tuple[Report, Figures]:
    course = Course(file.run, thresholds, window)
    _feed(course, file)
    # a program that was killed judged its last window no more
    course.close()
    trials = course.capacity.trials
    if window is None:
        report = Report.of([file.run], course.chosen, thresholds, capacity=course.capacity)
    elif 0 < window <= len(trials):
        report = trials[window - 1].report
    else:
        raise InputError(
            f"there is no window {window}", where=Where(str(file.path)), hint=f"1 to {len(trials)}"
        )
    return report, course.chosen


def _feed(figures: Figures | Course, file: RecordFile) -> None:
    try:
        figures.feed(file.records())
    except (ValueError, ArithmeticError) as error:
        raise InputError(
            f"a figure in it can't be: {error}", where=Where(str(file.path), file.line)
        ) from error
