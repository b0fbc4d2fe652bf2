from pathlib import Path

from bulkcmp.inputs.csv import CsvSource
from bulkcmp.outputs.population import write_population


def test_what_is_written_is_read_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "population.csv"
    path.write_text("an old one")
    rows = [{"id": 'a "b", c', "subject": "=1+1"}, {"id": "-ü"}]
    write_population(path, ("id", "subject"), rows)
    assert path.stat().st_mode & 0o777 == 0o600
    read = [dict(record.values) for record in CsvSource(path).records()]
    assert read == [{"id": ('a "b", c',), "subject": ("=1+1",)}, {"id": ("-ü",)}]
