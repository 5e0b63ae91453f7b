"""The two checksums on these wires, written from the protocol documents alone.

CRC-16/Modbus: polynomial 0xA001 reflected, start 0xFFFF, no final xor, low byte first.
sum8: the sum of the bytes modulo 256.
"""


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ 0xA001 if byte & 1 else byte >> 1
    return byte


_TABLE = tuple(_remainder(byte) for byte in range(256))


def crc16(data: bytes) -> bytes:
    """The two bytes that follow data on the wire."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    return bytes((crc & 0xFF, crc >> 8))


def with_crc(data: bytes) -> bytes:
    return data + crc16(data)


def crc_fits(frame: bytes) -> bool:
    return len(frame) > 2 and crc16(frame[:-2]) == frame[-2:]


def sum8(data: bytes) -> int:
    return sum(data) & 0xFF
