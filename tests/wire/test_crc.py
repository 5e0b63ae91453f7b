"""Checksums against somebody else's."""

from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU

from vbms.wire.crc import crc16_bytes, crc16_modbus, sum8


def test_known_values() -> None:
    assert crc16_modbus(b"123456789") == 0x4B37
    assert crc16_modbus(b"") == 0xFFFF
    assert crc16_bytes(bytes.fromhex("011016200001020000")) == bytes.fromhex("d6f1")
    assert sum8(b"") == 0
    assert sum8(b"\xff" * 300) == 300 * 255 % 256


@given(st.binary(max_size=300))
def test_crc_agrees_with_pymodbus(data: bytes) -> None:
    assert int.from_bytes(crc16_bytes(data), "big") == FramerRTU.compute_CRC(data)
    assert crc16_modbus(memoryview(data)) == crc16_modbus(bytearray(data)) == crc16_modbus(data)


@given(st.binary(max_size=300), st.integers(0, 255))
def test_sum8_sees_every_changed_byte(data: bytes, byte: int) -> None:
    assert sum8(data + bytes([byte])) == (sum8(data) + byte) % 256
