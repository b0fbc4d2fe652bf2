from pathlib import Path

from bulkcmp.outputs.listing import listing, write_listing


def test_a_listing_is_harmless_to_spreadsheets(tmp_path: Path) -> None:
    lines = [("id", "detail"), ("=cmd()", "two\nlines")]
    assert listing(lines) == b"id,detail\r\n'=cmd(),two\\nlines\r\n"
    write_listing(tmp_path / "a.csv", lines)
    assert (tmp_path / "a.csv").read_bytes() == listing(lines)
    assert (tmp_path / "a.csv").stat().st_mode & 0o777 == 0o600
