"""JK's live payload, patched instead of written anew: the same bytes at a fifth of the price.

The first payload is the simulator's own and tells where each value stands; fields that no codec
reads (average, throughput, times) stay as they were there. A test holds both against each other.
"""

import struct

from vbms.simulate.sums import sum8

_HEAD = 6
_CELLS = struct.Struct("<16H")
_POWER = struct.Struct("<IIi2h")  # voltage, power, current, sensors 1 and 2, from 0x90
_SHORT = struct.Struct("<h")
_CHARGE = struct.Struct("<hBBi")  # balancing current, balancing, SOC, remaining, from 0xA4
_FETS = struct.Struct("<2B")
_WARM = struct.Struct("<3h")  # sensors 3 to 5, from 0xF8


class LivePayload:
    """Of one unit; `begun` is a whole payload of it with 16 cells and four sensors."""

    def __init__(self, begun: bytes) -> None:
        self._body = bytearray(begun[:-1])

    def write(
        self,
        cells_v: "list[float]",
        amps: float,
        temps_c: "list[float]",
        mosfet_c: float,
        balance_a: float,
        soc: float,
        remaining_ah: float,
        fets: "tuple[bool, bool]",
    ) -> bytes:
        """The payload with these values, rounded as vbms.simulate.jk_payload rounds them."""
        body = self._body
        volts = round(sum(cells_v) * 1000)
        milliamps = round(amps * 1000)
        mosfet = round(mosfet_c * 10)
        one, two, four, five = temps_c
        _CELLS.pack_into(body, _HEAD, *[round(cell * 1000) for cell in cells_v])
        _SHORT.pack_into(body, _HEAD + 0x8A, mosfet)
        power = abs(volts * milliamps) // 1000
        _POWER.pack_into(
            body, _HEAD + 0x90, volts, power, milliamps, round(one * 10), round(two * 10)
        )
        balancing = 0 if not balance_a else 1 if balance_a > 0 else 2
        _CHARGE.pack_into(
            body,
            _HEAD + 0xA4,
            round(balance_a * 1000),
            balancing,
            round(soc * 100),
            round(remaining_ah * 1000),
        )
        _FETS.pack_into(body, _HEAD + 0xC0, *fets)
        _WARM.pack_into(body, _HEAD + 0xF8, mosfet, round(four * 10), round(five * 10))
        return bytes(body) + bytes((sum8(bytes(body)),))
