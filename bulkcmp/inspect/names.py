"""Names of object identifiers, as the RFCs write them; and Names as text (RFC 4514)."""
from typing import Final
OIDS: Final[dict[str, str]] = {}
