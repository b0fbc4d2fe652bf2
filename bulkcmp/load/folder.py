"""The names of what every load test keeps in its run folder."""

from typing import Final

RECORDS: Final = "records.jsonl.gz"
CERTIFICATES: Final = "certificates.csv"
SUMMARY: Final = "summary.json"
SETTINGS: Final = "settings.json"

KEPT: Final = (RECORDS, CERTIFICATES, SUMMARY, SETTINGS)
