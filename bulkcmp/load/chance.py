"""Random numbers that depend on what they are for, never on the order in which they are asked for.

Workers share nothing, and still the plan of one seed is the same for any number of them.
"""

import struct
from hashlib import blake2b
from typing import Final

_KEY: Final = struct.Struct(">QQ")
_BITS: Final = 53
"""Of a double's significand."""


class Chance:
    """The random numbers of one seed.

    Args:
        seed: any integer.
    """

    def __init__(self, seed: int) -> None:
        self._seed = str(seed).encode()[:64]

    def uniform(self, purpose: str, number: int, turn: int = 0) -> float:
        """A number of [0, 1), evenly distributed; the same one for the same arguments.

        Args:
            purpose: what it is drawn for, 16 octets at most: draws of two purposes are independent.
            number: of the arrival, or whatever has a number; turn: of the draw for it.
        """
        draw = blake2b(
            _KEY.pack(number, turn), digest_size=8, key=self._seed, person=purpose.encode()
        )
        return (int.from_bytes(draw.digest()) >> (64 - _BITS)) * 2.0**-_BITS
