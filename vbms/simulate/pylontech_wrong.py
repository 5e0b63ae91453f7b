"""Requests a Pylontech battery must survive: section 8 of its RS485 page. All at address 02."""

from dataclasses import dataclass

from vbms.simulate.pylontech_checks import frame, sealed

_GOOD = frame(0x20, 2, 0x63)


@dataclass(frozen=True, slots=True)
class Wrong:
    """Bytes, and what must follow: a return code, None: silence, `good`: the good one's answer."""

    data: bytes
    code: str | None = None
    good: bool = False
    rest_s: float = 0.0  # how long nothing else is asked afterwards


WRONG = {
    "bad_checksum": Wrong(_GOOD[:-5] + b"0000\r"),
    "bad_length_sum": Wrong(sealed("20024642000202"), "03"),
    "length_too_short": Wrong(sealed("20024642F00102"), "05"),
    "other_cid1": Wrong(frame(0x20, 2, 0x42, "02", 0x4A)),
    "other_address": Wrong(frame(0x20, 0x0F, 0x42, "0F")),
    "address_0": Wrong(frame(0x20, 0, 0x4F)),
    "unknown_command": Wrong(frame(0x20, 2, 0x7F), "04"),
    "shutdown": Wrong(frame(0x20, 2, 0x64), "04"),
    "set_limits": Wrong(frame(0x20, 2, 0x94, "02"), "04"),
    "turn_off": Wrong(frame(0x20, 2, 0x95, "02"), "04"),
    "no_info": Wrong(frame(0x20, 2, 0x42), "05"),
    "too_much_info": Wrong(frame(0x20, 2, 0x92, "0202"), "05"),
    "other_module": Wrong(frame(0x20, 2, 0x42, "05"), "06"),
    "lower_case": Wrong(_GOOD.lower()),
    "truncated": Wrong(_GOOD[:9], rest_s=0.3),
    "no_end": Wrong(_GOOD[:-1], rest_s=0.6),
    "begun_twice": Wrong(_GOOD[:7] + _GOOD, good=True),
    "noise": Wrong(b"\x00\xff\x7e\x81" + _GOOD, good=True),
    "binary": Wrong(bytes.fromhex("000410000017b515")),  # the other protocol on such a line
}
