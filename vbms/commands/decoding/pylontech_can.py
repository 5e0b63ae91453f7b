"""A frame of Pylontech's CAN or of a dialect: which layout it has shows in its bytes, mostly.

What does not show (a Deye battery counts discharging as positive) has to be said by the flavour's
word, such as `vbms decode luxpower_can`.
"""

from vbms.commands.decoding import Values
from vbms.downstream.can_frames import BIT_NAMES, PAIR_NAMES
from vbms.downstream.pylontech_can import HEARTBEAT, Codec
from vbms.errors import FrameError

_KELVIN_MC = 273150
_LOWEST_MV = 10000  # no pack of this family: 0.1 V told where others tell 0.01


def read(can_id: int, data: bytes, extended: bool, flavour: str | None) -> Values:
    """Named values in milli-units. Raises FrameError, its first word saying why."""
    if extended:
        if can_id != HEARTBEAT:
            raise FrameError("marker: %08x is a 29-bit identifier, only 305 may be one" % can_id)
        return {"direction": "inverter to battery", "heartbeat": True, "extended": True}
    codec = Codec(flavour=flavour or _guess(can_id, data))
    found: Values = codec.read((can_id, data))
    for name in ("protection", "alarm"):
        if name in found and "faults" not in found:
            found[name + "_names"] = _named(BIT_NAMES, found[name])
    for name in ("alarm_bits", "warning_bits"):
        if name in found:
            words = [word for place, word in PAIR_NAMES if found[name] >> place & 3 == 1]
            found[name + "_names"] = " ".join(words) or "none"
    for name in ("temp_min_mc", "temp_max_mc"):
        if can_id == 0x373:
            found[name[:-2] + "k"] = (found[name] + _KELVIN_MC) // 1000
    return found


def _named(rows: tuple[tuple[int, str], ...], bits: int) -> str:
    return " ".join(word for bit, word in rows if bits & bit) or "none"


def _guess(can_id: int, data: bytes) -> str:
    """Whose layout this looks like."""
    full = data + bytes(8 - len(data)) if len(data) < 8 else data
    third = int.from_bytes(full[4:6], "little")
    fourth = int.from_bytes(full[6:8], "little")
    if can_id == 0x355 and fourth:
        return "luxpower"
    if can_id == 0x355 and third:
        return "sma"
    if can_id == 0x356 and fourth:
        return "luxpower"
    if can_id == 0x356 and 0 < int.from_bytes(full[:2], "little", signed=True) < _LOWEST_MV // 10:
        return "solark"
    if can_id == 0x359 and len(data) >= 7 and full[5:7] != b"PN":
        return "luxpower" if full[4] else "deye_pcs"
    if can_id == 0x35C and full[2:4] != b"\0\0":
        return "luxpower"
    return "deye_pcs" if can_id in (0x361, 0x364, 0x371) else "pylon_v2"
