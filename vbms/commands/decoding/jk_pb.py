"""What the bytes on a JK PB line say, by name, or in words what is wrong with them.

Payloads with or without their acknowledge, the triggers that ask for them, and the Modbus frames
other programs use on the same port: those are checked (CRC) and taken apart, their registers are
not named, for an answer does not say which they are.
"""

from vbms.commands.decoding import Reading, Values, only
from vbms.commands.decoding.jk02 import check_payload, show
from vbms.errors import FrameError
from vbms.upstream import jk02, jk_pb
from vbms.wire.crc import crc16_bytes

_EXCEPTIONS = {1: "function", 2: "address", 3: "value", 4: "checksum"}


def read(data: bytes) -> Reading:
    """The newest payload of each type as one picture, else Modbus frames; and a refusal in words.

    Raises FrameError, its first word saying what is wrong.
    """
    payloads: list[bytes] = []
    frames: list[Values] = []
    ack: Values | None = None
    filler = False  # one 00 may stand behind a payload and behind its acknowledge
    after = False  # the frame before was a payload
    at = 0
    while at < len(data) or not at:
        rest = data[at:]
        if rest[:4] == jk02.HEADER[: len(rest[:4])]:
            check_payload(rest)
            payloads.append(rest[: jk02.SIZE])
            at += jk02.SIZE
            filler = after = True
            continue
        try:
            found, size = _modbus(rest)
        except FrameError as error:
            if filler and rest[0] == 0:
                at += 1
                filler = False
                continue
            if not at:
                raise
            if after and _starts_acknowledge(rest):
                raise FrameError("truncated: %d of 8 bytes acknowledge" % len(rest)) from error
            if str(error).startswith("checksum"):
                raise FrameError("%s of what stands behind the frame" % error) from error
            raise FrameError("length: %d bytes left over (%s)" % (len(rest), error)) from error
        at += size
        if after and size == 8 and found["function"] == 0x10:
            if data[at - 8 : at] != jk_pb.acknowledge(data[at - 8], payloads[-1][4]):
                raise FrameError(
                    "payload: type %02x, but the acknowledge names register %04x"
                    % (payloads[-1][4], found["register"])
                )
            ack = {"ack_address": found["address"], "ack_register": found["register"]}
        else:
            frames.append(found)
        filler = after
        after = False
    if payloads:
        picture = show(payloads)
        picture.update(ack or {})
        return picture, None
    codes = [found["exception"] for found in frames if "exception" in found]
    refusal = None
    if codes:
        refusal = "refused: Modbus exception %s (%s)" % (
            codes[-1],
            _EXCEPTIONS.get(codes[-1], "unknown"),
        )
    return only(frames), refusal


def _starts_acknowledge(data: bytes) -> bool:
    """More than the address has to be there: one stray byte is a stray byte."""
    starts = [jk_pb.acknowledge(data[0], kind)[: len(data)] for kind in (1, 2, 3)]
    return 1 < len(data) < 8 and data in starts


def _modbus(data: bytes) -> tuple[Values, int]:
    """One Modbus frame at the start of `data`, and its size. Raises FrameError."""
    if len(data) < 2:
        raise FrameError("truncated: %d bytes" % len(data))
    function = data[1]
    if function & 0x7F not in (0x03, 0x06, 0x10):
        raise FrameError("marker: no payload, and no Modbus function %02x" % function)
    sizes = _sizes(data)
    for size in sizes:
        if size <= len(data) and crc16_bytes(data[: size - 2]) == data[size - 2 : size]:
            return _named(data[:size]), size
    if len(data) < min(sizes):
        raise FrameError("truncated: %d of %d bytes" % (len(data), min(sizes)))
    if len(data) in sizes or len(data) > max(sizes):
        raise FrameError("checksum: the CRC is wrong")
    raise FrameError("truncated: %d of %d bytes, or a wrong checksum" % (len(data), max(sizes)))


def _sizes(data: bytes) -> tuple[int, ...]:
    """How long a frame that starts like this can be: request or answer is for the CRC to say."""
    function = data[1]
    if function & 0x80:
        return (5,)
    if function == 0x06:
        return (8,)
    if function == 0x03:
        return (8, 5 + data[2]) if len(data) > 2 and data[2] and not data[2] & 1 else (8,)
    return (8, 9 + data[6]) if len(data) > 6 and data[6] and not data[6] & 1 else (8,)


def _named(frame: bytes) -> Values:
    function = frame[1]
    found: Values = {"address": frame[0], "function": function & 0x7F}
    if function & 0x80:
        found["exception"] = frame[2]
        return found
    if function == 0x03 and len(frame) == 5 + frame[2] and len(frame) != 8:
        found["count"] = frame[2] // 2
        found["data"] = frame[3:-2].hex()
        return found
    found["register"] = frame[2] << 8 | frame[3]
    if function == 0x06:
        found["data"] = frame[4:6].hex()
        return found
    found["count"] = frame[4] << 8 | frame[5]
    if len(frame) > 8:
        found["data"] = frame[7:-2].hex()
    return found
