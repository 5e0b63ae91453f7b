"""Every recorded byte string through every codec, whole, in pieces and damaged, on both.

`cases.txt` holds one JSON object a line, written by test_parity.py:
    {"bytes": hex, "addresses": [...]}                      a stream, for every protocol
    {"request": hex, "battery": {field: value, ...}}        what an inverter asks of a battery
"""

import binascii
import json

from kit import Chance, Digest, fields, text

from vbms.aggregate.snapshot import FIELDS
from vbms.aggregate.virtual import VirtualBattery
from vbms.downstream import registry as downstream
from vbms.errors import FrameError, RefusedError
from vbms.upstream import registry as upstream
from vbms.upstream.jk02 import Reader

chance = Chance(3)
cases = open("cases.txt")
digests = {name: Digest(name) for name in list(upstream.DRIVERS) + list(downstream.DRIVERS)}
digests["jk02"] = Digest("jk02")
seen = {}  # (protocol, address) -> the newest frame of each slot
payloads = {}  # the newest payload of each type


def pieces(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


def frames_of(take, chunks):
    """All frames, and how many bytes are kept waiting in the end."""
    buffer = b""
    found = []
    for chunk in chunks:
        buffer += chunk
        while buffer:
            used, frame = take(buffer)
            if not used:
                break
            if frame is not None:
                found.append(frame)
            buffer = buffer[used:]
    return found


def any_chunking(take, data, sizes=(1, 7, 100)):
    found = frames_of(take, [data])
    for size in sizes:
        if frames_of(take, pieces(data, size)) != found:
            raise ValueError("other chunks, other frames: " + text(data))
    return found


def decoded(call, *values):
    """A snapshot's fields, or which refusal it was; anything else stops the test."""
    try:
        return fields(call(*values), FIELDS)
    except FrameError:
        return "FrameError"
    except RefusedError as error:
        return "RefusedError %d" % error.code


def heard(protocol, address, data, sizes):
    """What a poller would make of these bytes."""
    driver = upstream.load(protocol)
    named = "address" in [option.name for option in driver.OPTIONS]
    codec = driver.Codec(address=address) if named else driver.Codec()
    if hasattr(codec, "reads"):
        registers(protocol, codec, data)
        return
    slots = seen.setdefault((protocol, address), [None] * len(codec.requests()))
    digest = digests[protocol]
    for frame in any_chunking(codec.take, data, sizes):
        slot = codec.slot(frame)
        digest.line(text((frame, slot)))
        alone = [None] * len(slots)
        if slot is not None:
            slots[slot] = frame
            alone[slot] = frame
        else:
            alone[0] = frame
        digest.line(decoded(codec.decode, alone, 1000))
        digest.line(decoded(codec.decode, slots, 2000))
    digest.line(decoded(codec.decode, [data] + slots[1:], 3000))


def registers(protocol, codec, data):
    """Blocks of registers, cut out of these bytes."""
    digest = digests[protocol]
    frames = []
    at = 0
    for _, _, _, count in codec.reads()[:6]:
        frames.append(data[at : at + 2 * count])
        at += count  # a block begins in the middle of the one before
        digest.line(decoded(codec.decode, frames, 1000))
    digest.line(decoded(codec.decode, [data], 2000))


def payload(data):
    """A JK payload without its acknowledge, in both layouts, with what came before it."""
    payloads[data[4]] = data
    for cells in (32, 24):
        reader = Reader(cells)
        words = decoded(reader.snapshot, data, payloads.get(1), payloads.get(3), 7)
        digests["jk02"].line(words)


def asked(protocol, data, batteries):
    """What an inverter would hear."""
    driver = downstream.load(protocol)
    digest = digests[protocol]
    if not hasattr(driver.Codec, "take"):
        codec = driver.Codec()
        for battery in batteries:
            tell = codec.messages if hasattr(codec, "messages") else codec.registers
            digest.line(text(tell(battery)))
        return
    first = getattr(driver, "FIRST_ADDRESS", 0)
    codec = driver.Codec(address=data[0] if data and first <= data[0] < 15 else first)
    for frame in any_chunking(codec.take, data) + [data]:
        digest.line(text((frame, codec.asks(frame))))
        for battery in batteries:
            answer = codec.answer(frame, battery) if len(frame) > 3 else None
            digest.line(text(answer))
            if answer is not None:
                digest.line(text(codec.read(frame + answer)))
        try:
            digest.line(text(codec.read(frame)))
        except FrameError:
            digest.line("FrameError")
        except RefusedError as error:
            digest.line("RefusedError %d" % error.code)
    digest.line(text(codec.saturated))


def damaged(data):
    """One bit flipped, the end cut off, something before it."""
    if not data:
        return (data,)
    at = chance.below(len(data))
    flipped = data[:at] + bytes((data[at] ^ 1 << chance.below(8),)) + data[at + 1 :]
    noise = bytes([chance.below(256) for _ in range(chance.below(12))])
    return (flipped, data[: chance.below(len(data))], noise + data + data)


def one_case():
    line = cases.readline()
    if not line.strip():
        raise ValueError("fewer cases than the first line promised")
    case = json.loads(line)
    batteries = ()
    if "request" in case:
        data = binascii.unhexlify(case["request"])
        batteries = (VirtualBattery(**case["battery"]), VirtualBattery())
    else:
        data = binascii.unhexlify(case["bytes"])
        for number, version in enumerate((data,) + damaged(data)):
            for address in case["addresses"]:
                for protocol in sorted(upstream.DRIVERS):
                    heard(protocol, address, version, (100,) if number else (1, 7))
            if len(version) == 300:
                payload(version)
    for protocol in sorted(downstream.DRIVERS):
        asked(protocol, data, batteries)


def the_end():
    if cases.read().strip():
        raise ValueError("more cases than the first line promised")
    for name in sorted(digests):
        digests[name].close()


TESTS = [one_case] * int(cases.readline()) + [the_end]
