"""Requests a battery must survive: section 12 of the DEYE RS485 page, "Also"."""

import random
from dataclasses import dataclass

from vbms.simulate.deye_checks import COUNT, FIRST, read_request
from vbms.simulate.sums import with_crc

_GOOD = read_request(0)
_NEWER = read_request(0, 0x1008, 2)
_rng = random.Random("deye/noise")


@dataclass(frozen=True, slots=True)
class Wrong:
    """Pieces to send, each after a pause; the request whose answer may or must follow, if any."""

    pieces: tuple[tuple[float, bytes], ...]
    request: bytes | None = None
    must_answer: bool = False
    rest_s: float = 0.0  # how long nothing else is asked afterwards


def _silent(data: bytes, rest_s: float = 0.0) -> Wrong:
    return Wrong(((0.0, data),), rest_s=rest_s)


WRONG = {
    "bad_crc": _silent(_GOOD[:-1] + bytes((_GOOD[-1] ^ 1,))),
    "swapped_crc": _silent(_GOOD[:-2] + _GOOD[-1:] + _GOOD[-2:-1]),
    "truncated": _silent(_GOOD[:6], rest_s=0.25),
    "function_03": _silent(with_crc(b"\x00\x03" + _GOOD[2:6])),
    "address_15": _silent(read_request(15)),
    "count_0": _silent(read_request(0, FIRST, 0)),
    "count_126": _silent(read_request(0, FIRST, 126)),
    "ascii": _silent(b"~200246610000FDAB\r"),
    # Two at once: the newer one is answered.
    "back_to_back": Wrong(((0.0, read_request(0, FIRST, COUNT) + _NEWER),), _NEWER, True),
    # Documents disagree whether bytes 50 ms apart are one request: silence or an answer will do.
    "split": Wrong(tuple((0.05, bytes((byte,))) for byte in _GOOD), _GOOD, False, 0.25),
    "noise": Wrong(((0.0, _rng.randbytes(7) + _GOOD),), _GOOD, True),
}
