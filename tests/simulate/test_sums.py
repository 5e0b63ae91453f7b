from vbms.simulate.sums import crc16, crc_fits, sum8, with_crc


def test_crc_of_the_documents() -> None:
    assert with_crc(bytes.fromhex("000410000017")).hex() == "000410000017b515"
    assert with_crc(bytes.fromhex("0011")).hex() == "0011c1bc"
    assert with_crc(bytes.fromhex("0f1016200001020000")).hex() == "0f10162000010200009a91"
    assert crc16(b"123456789") == bytes.fromhex("374b")  # the catalogue's check value, low first


def test_one_wrong_bit_is_seen() -> None:
    frame = bytes.fromhex("010312900005809c")
    assert crc_fits(frame)
    for bit in range(len(frame) * 8):
        spoilt = bytearray(frame)
        spoilt[bit // 8] ^= 1 << bit % 8
        assert not crc_fits(bytes(spoilt))
    assert not crc_fits(b"")


def test_sum_of_the_documents() -> None:
    assert sum8(bytes.fromhex("0004010355aa")) == 0x07
    assert sum8(bytes.fromhex("0005018355aa02")) == 0x8A
