"""Checksums that more than one protocol uses."""

from array import array

TYPE_CHECKING = False
if TYPE_CHECKING:
    Buffer = bytes | bytearray | memoryview


def _crc16_table() -> "array[int]":
    table = array("H")
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return table


_TABLE = _crc16_table()


def crc16_modbus(data: "Buffer") -> int:
    """CRC-16/Modbus: polynomial 0xA001 reflected, start 0xFFFF, no final xor."""
    table = _TABLE
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc


def crc16_bytes(data: "Buffer") -> bytes:
    """The same as it goes on a Modbus wire: low byte first."""
    crc = crc16_modbus(data)
    return bytes((crc & 0xFF, crc >> 8))


def sum8(data: "Buffer") -> int:
    """Sum of all bytes, modulo 256."""
    return sum(data) & 0xFF
