"""Who was heard on the air, for people and for `VBMS.ScanBLE`: names, and which are batteries."""

import asyncio
from collections.abc import Iterable

from vbms.errors import LinkError
from vbms.links.ble_radio import SCAN_S, Heard, Radio

MOST = 16
BUSY = "BLE is busy"
TIMED_OUT = "BLE scan timeout"
_ANSWER_S = SCAN_S + 1

_FFE0, _FF00 = ("0000%s-0000-1000-8000-00805f9b34fb" % short for short in ("ffe0", "ff00"))
_JK_MAKERS = frozenset((0x0B65, 0x4B4A))
_JK_MACS = ("C8:47:8C", "C8:47:80", "20:21:11")


def protocol_of(heard: Heard) -> str | None:
    """Which driver reads it, by what it advertises; FFE0 alone is a hundred other things too."""
    name = (heard.name or "").upper()
    is_jk = bool(heard.makers & _JK_MAKERS) or heard.address.startswith(_JK_MACS)
    if is_jk or _FFE0 in heard.services and name.startswith(("JK", "BD")):
        return "jk_ble"
    return "jbd" if _FF00 in heard.services else None


def in_order(heard: Iterable[Heard]) -> list[Heard]:
    """Batteries first, then by strength; who has no name last."""
    return sorted(
        heard,
        key=lambda each: (
            protocol_of(each) is None,
            not each.name,
            -(each.rssi or -127),
            each.address,
        ),
    )


async def scan_for_call(radio: Radio) -> list[dict[str, object]] | str:
    """At most 16 named devices as {addr, name, rssi}, or the sentence for why there are none.

    Calls at the same time share one scan; while a connection is being made the radio is busy.
    Answers within 6 s. Raises LinkError without an adapter.
    """
    if radio.connecting:
        return BUSY
    try:
        async with asyncio.timeout(_ANSWER_S):
            heard = await radio.scan(SCAN_S)
    except TimeoutError:
        return TIMED_OUT
    except LinkError as error:
        if "InProgress" in str(error):
            return BUSY
        raise
    named = [each for each in in_order(heard.values()) if each.name]
    return [{"addr": each.address, "name": each.name, "rssi": each.rssi} for each in named[:MOST]]
