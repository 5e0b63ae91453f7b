"""P6: a JK live frame in three pieces, through the receiver and decoded, beside a hand-written parser.

The hand-written one gets the whole frame at once and does the least a program could: check the sum,
unpack with one struct call, hang the values on a `__slots__` object. The settings frame stays the
same, as it does for ten seconds of a real day. Both run in turns within one process; the median of
the ratios counts.
"""

import struct
import time

from vbms.upstream.jk_pb import Codec
from vbms.wire.crc import crc16_bytes
from vbms.wire.receiver import Receiver

BOUND = 2.2
ROUNDS = 41
CALLS = 400


def _payload(kind: int, fields: tuple[tuple[int, str, int], ...]) -> bytes:
    frame = bytearray(300)
    frame[:5] = bytes((0x55, 0xAA, 0xEB, 0x90, kind))
    for at, letter, value in fields:
        struct.pack_into("<" + letter, frame, at, value)
    frame[299] = sum(frame[:299]) & 0xFF
    return bytes(frame)


def _frames() -> tuple[bytes, bytes]:
    cells = tuple((6 + 2 * i, "H", 3340 + i) for i in range(16))
    live = _payload(
        2,
        cells
        + (
            (70, "I", 0xFFFF),
            (144, "h", 215),
            (150, "I", 53545),
            (158, "i", 8510),
            (162, "h", 196),
            (164, "h", 203),
            (173, "B", 68),
            (174, "I", 191075),
            (178, "I", 280000),
            (182, "I", 62),
            (190, "B", 100),
            (198, "B", 1),
            (199, "B", 1),
            (214, "B", 0xFF),
            (254, "h", 215),
            (256, "h", 195),
            (258, "h", 197),
        ),
    )
    settings = _payload(
        1,
        (
            (10, "I", 2700),
            (18, "I", 3650),
            (38, "I", 3450),
            (50, "I", 100000),
            (62, "I", 150000),
            (114, "I", 16),
            (118, "I", 1),
            (122, "I", 1),
            (130, "I", 280000),
        ),
    )
    live_ack = bytes.fromhex("011016200001")
    settings_ack = bytes.fromhex("0110161e0001")
    return (
        live + live_ack + crc16_bytes(live_ack),
        settings + settings_ack + crc16_bytes(settings_ack),
    )


class Battery:
    """What a hand-written parser would keep."""

    __slots__ = (
        "balance_current",
        "balancing",
        "capacity",
        "cells",
        "charge_fet",
        "current",
        "cycles",
        "discharge_fet",
        "errors",
        "mosfet",
        "remaining",
        "sensors",
        "soc",
        "soh",
        "t1",
        "t2",
        "voltage",
    )


_HAND = struct.Struct("<6x32HI70xh4xI4xihhIhBBIIII3xB7xBB14xB")


def by_hand(frame: bytes) -> Battery:
    if frame[:4] != b"\x55\xaa\xeb\x90" or frame[4] != 2 or sum(frame[:299]) & 0xFF != frame[299]:
        raise ValueError("not a live frame")
    values = _HAND.unpack_from(frame)
    battery = Battery()
    battery.cells = [mv for mv in values[:32] if mv]
    (
        _mask,
        battery.mosfet,
        battery.voltage,
        battery.current,
        battery.t1,
        battery.t2,
        battery.errors,
        battery.balance_current,
        battery.balancing,
        battery.soc,
        battery.remaining,
        battery.capacity,
        battery.cycles,
        _throughput,
        battery.soh,
        battery.charge_fet,
        battery.discharge_fet,
        battery.sensors,
    ) = values[32:]
    return battery


def run() -> list[tuple[str, float, float, bool, str]]:
    """[(name, value, bound, ok, detail)]"""
    live, settings = _frames()
    # Fresh objects each time, as a port gives them: nothing may be recognised by identity but the settings.
    pieces = [live[:128], live[128:256], live[256:]]
    codec = Codec(address=1)
    receiver = Receiver(codec.take)
    feed = receiver.feed
    decode = codec.decode
    assert decode((feed(live)[0], settings, None), 0).voltage_mv == by_hand(live).voltage == 53545
    clock = time.perf_counter_ns
    hand_ns = []
    ours_ns = []
    for _ in range(ROUNDS):
        start = clock()
        for _ in range(CALLS):
            by_hand(live)
        middle = clock()
        for now in range(CALLS):
            for piece in pieces:
                got = feed(piece)
            decode((got[0], settings, None), now)
        end = clock()
        hand_ns.append((middle - start) // CALLS)
        ours_ns.append((end - middle) // CALLS)
    ratios = sorted(ours / hand for ours, hand in zip(ours_ns, hand_ns, strict=True))
    ratio = ratios[len(ratios) // 2]
    hand = sorted(hand_ns)[ROUNDS // 2]
    ours = sorted(ours_ns)[ROUNDS // 2]
    detail = "ours %.2f us, by hand %.2f us, median of %d turns" % (ours / 1e3, hand / 1e3, ROUNDS)
    return [("P6 JK frame, fed and decoded", round(ratio, 3), BOUND, ratio <= BOUND, detail)]


if __name__ == "__main__":
    print(run())
