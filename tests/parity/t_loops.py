"""Poller, responder and hold_open against scripted lines and a scripted clock, on both.

The same faults at the same microsecond must lead to the same requests, answers, counters and log.
"""

import struct

from kit import Chance, Digest, fields, text

from vbms.aggregate.snapshot import FIELDS
from vbms.aggregate.virtual import VirtualBattery
from vbms.downstream import deye_rs485
from vbms.errors import LinkError
from vbms.loops.hold import hold_open
from vbms.loops.poller import PolledUnit, Poller
from vbms.loops.responder import Responder
from vbms.upstream import byd_pro, jk_pb
from vbms.wire.crc import crc16_bytes, sum8

chance = Chance(41)
polled = Digest("poller")
answered = Digest("responder")


class Clock:
    def __init__(self):
        self.us = (1 << 30) * 1000 - 20000000  # now_ms() passes 2**30 on the way

    def now_ms(self):
        return self.us // 1000

    def now_us(self):
        return self.us

    async def sleep_ms(self, ms):
        self.us += ms * 1000

    async def sleep_us(self, us):
        self.us += us


class Log:
    def __init__(self, digest):
        self.digest = digest

    def debug(self, words, *values):
        self.digest.line(words % values)

    info = warning = error = debug


class TheEnd(Exception):
    """The script is over."""


class Line:
    """Bytes arrive when the clock says so; `answers` reacts to what is written."""

    byte_us = 1042

    def __init__(self, clock, digest, ends_us, opens):
        self.name = "line"
        self.clock = clock
        self.digest = digest
        self.coming = []  # (when in us, bytes)
        self.lasts_us = ends_us
        self.ends_us = 0
        self.opens = opens

    async def open(self):
        self.digest.line("open")
        if not self.opens:
            raise TheEnd()
        self.opens -= 1
        if chance.below(2):
            raise LinkError("no such port")
        self.ends_us = self.clock.us + self.lasts_us

    def close(self):
        self.coming = []
        self.digest.line("close")

    def answers(self, data):
        pass

    def arrives(self, after_us, data):
        self.coming.append((self.clock.us + after_us, data))
        self.coming.sort(key=lambda item: item[0])

    async def write(self, data):
        self.digest.line(text((self.clock.us // 1000, data)))
        self.clock.us += len(data) * self.byte_us
        self.answers(data)

    async def read(self, timeout_ms):
        until = self.clock.us + timeout_ms * 1000
        if self.clock.us > self.ends_us:
            raise LinkError("unplugged")
        if self.coming and self.coming[0][0] <= until:
            when, data = self.coming.pop(0)
            self.clock.us = max(self.clock.us, when)
            return data
        self.clock.us = until
        return b""


def byd_frame(address):
    """A status of 16 cells."""
    level = chance.between(3200, 3350)
    cells = [level + chance.below(9) for _ in range(16)]
    payload = struct.pack("<ii16h", sum(cells), sum(cells), *cells)
    payload += struct.pack("<i8h", chance.between(-40000, 40000), 21, 22, 23, 24, 25, 0, 0, 0)
    payload += struct.pack("<IIIII", 0, chance.below(2) << chance.below(32), 0, 0, chance.below(4))
    payload += struct.pack("<HHIII", 0, chance.below(101), 100, 127, 9650)
    body = b"\x00\x65\x01\x83\x55\xaa\x00" + payload
    return bytes((address,)) + body + bytes((sum8(body),))


def jk_frame(request):
    """A payload of the kind that is asked for, and its acknowledge."""
    kind = {0x1E: 1, 0x20: 2, 0x1C: 3}[request[3]]
    payload = bytearray(299)
    payload[:6] = b"\x55\xaa\xeb\x90" + bytes((kind, 0))
    if kind == 2:
        level = chance.between(3200, 3350)
        for cell in range(16):
            struct.pack_into("<H", payload, 6 + 2 * cell, level + chance.below(9))
        struct.pack_into("<I", payload, 70, 0xFFFF)
        struct.pack_into("<Ii", payload, 150, 16 * level, 0)
        struct.pack_into("<i", payload, 158, chance.between(-90000, 90000))
        payload[173] = chance.below(101)
        struct.pack_into("<II", payload, 174, 140000, 280000)
        payload[198:200] = b"\x01\x01"
    elif kind == 1:
        struct.pack_into("<I", payload, 114, 16)
        struct.pack_into("<III", payload, 118, 1, 1, 1)
    else:
        payload[6:14] = b"JK_PB2A1"
        payload[86:94] = b"12345678"
    whole = bytes(payload)
    return whole + bytes((sum8(whole),)) + request[:6] + crc16_bytes(request[:6])


class Batteries(Line):
    """Three BYD and two JK on one line, and everything that can go wrong between."""

    def answers(self, data):
        fault = chance.below(14)
        if fault == 0 or (data[0] == 3 and self.clock.us % 60000000 < 30000000):
            return
        frame = byd_frame(data[0]) if len(data) == 8 else jk_frame(data)
        after = chance.between(2000, 60000)
        if fault == 1:
            self.arrives(0, data)  # echo
        elif fault == 2:
            at = chance.below(len(frame))
            frame = frame[:at] + bytes((frame[at] ^ 4,)) + frame[at + 1 :]
        elif fault == 3:
            frame = frame[: chance.below(len(frame))]
        elif fault == 4:
            after += 300000
        elif fault == 5:
            frame = byd_frame(9)
        elif fault == 6:
            frame = bytes([chance.below(256) for _ in range(5)]) + frame
        elif fault == 7:
            frame = bytes((data[0],)) + b"\x00\x05\x01\x83\x55\xaa\x02\x8a"  # refused
        cut = chance.below(len(frame) + 1)
        if cut:
            self.arrives(after, frame[:cut])
        if frame[cut:]:
            self.arrives(after + chance.between(1000, 40000), frame[cut:])


class Inverter(Line):
    """Asks in all the ways that were ever seen, and some that were not."""

    def __init__(self, clock, digest, ends_us, opens, change):
        super().__init__(clock, digest, ends_us, opens)
        self.change = change

    async def read(self, timeout_ms):
        if not self.coming:
            if chance.below(4) == 0:
                self.change()
            at = chance.between(10000, 300000)
            for piece in self.asks():
                if piece:
                    self.arrives(at, piece)
                at += chance.one_of((900, 5000, 60000, 200000))
        return await super().read(timeout_ms)

    def asks(self):
        body = bytes((chance.below(17),))
        if chance.below(3):
            body += b"\x04\x10\x00\x00\x17"
        elif chance.below(2):
            body += bytes((4, 0x10, chance.below(40), 0, chance.below(140)))
        else:
            body += b"\x11"
        request = body + crc16_bytes(body)
        kind = chance.below(8)
        if kind == 0:
            return (request[:3], request[3:])
        if kind == 1:
            return (request + request,)
        if kind == 2:
            return (request[:-1] + bytes((request[-1] ^ 1,)),)
        if kind == 3:
            foreign = b"\x07\x04\x02\x01\x02"
            return (foreign + crc16_bytes(foreign) + request,)
        if kind == 4:
            return (bytes([chance.below(256) for _ in range(chance.below(40))]), request)
        if kind == 5:
            return (request[: 1 + chance.below(7)],)
        if kind == 6:
            return (b"~20024642E00202FD33\r" + request,)
        return (request,)


async def a_line_of_batteries():
    clock = Clock()
    line = Batteries(clock, polled, 25000000, 6)
    units = [
        PolledUnit("byd-%d" % n, byd_pro.Codec(address=n), 3646, 150, 150, 50, 1000)
        for n in (1, 2, 3)
    ]
    units += [
        PolledUnit("jk-%d" % n, jk_pb.Codec(address=n), 20000, 500, 1000, 100, 700) for n in (4, 5)
    ]

    def deliver(key, snap):
        polled.line(key + " " + fields(snap, FIELDS))

    poller = Poller(line, clock, units, deliver, Log(polled))

    async def body():
        await poller.run()

    try:
        await hold_open(line, clock, body, Log(polled), lambda state: polled.line(text(state)))
    except TheEnd:
        pass
    for unit in units:
        polled.line(text(unit.counters))
    polled.line(text((poller.round_ms(), poller.stats["frames_in"], poller.stats["stray_bytes"])))


async def a_line_of_an_inverter():
    clock = Clock()
    codecs = [deye_rs485.Codec(address=n) for n in range(3)]

    def change():
        pairs = []
        for codec in codecs:
            battery = VirtualBattery(
                voltage_mv=chance.between(48000, 57000),
                current_ma=chance.between(-90000, 90000),
                soc_permille=chance.below(1001),
                capacity_mah=200000,
                temp_mean_mc=21000,
                temp_max_mc=22000,
                temp_min_mc=20000,
                cell_max_mv=3401,
                cell_min_mv=3399,
                cvl_mv=chance.maybe(55200, 9),
                charge_limit_ma=chance.below(200000),
            )
            pairs.append((codec, chance.maybe(battery, 5)))
        responder.publish(pairs[: chance.between(1, 3)])

    line = Inverter(clock, answered, 60000000, 6, change)
    responder = Responder(line, clock, codecs, chance.one_of((0, 4000)), Log(answered))
    responder.observe = lambda us: answered.line(text(us))

    async def body():
        await responder.run()

    try:
        await hold_open(line, clock, body, Log(answered))
    except TheEnd:
        pass
    answered.line(text(responder.counters))


def the_end():
    polled.close()
    answered.close()


TESTS = [a_line_of_batteries, a_line_of_an_inverter, a_line_of_an_inverter, the_end]
