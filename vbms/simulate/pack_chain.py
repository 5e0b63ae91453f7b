"""A chain of cell modules, 9600 8N1: a packet goes through all of them and comes back.

    address << 1 | request | register << 1 | write | value u16 BE | crc8      (v2: an id before it)

Source: the packMonitor entry, "Packet codec", "Module behaviour" and "Enumeration".
"""

from vbms.simulate.bms import Settings
from vbms.simulate.device import Answers, Device
from vbms.simulate.pack import Pack

_HOP_S = 0.0005  # a module's own time, behind the packet's
_VOLTAGE = {"v1": 3, "v2": 2}
_TEMPERATURE = 4


def settings() -> Settings:
    """Bare cells: nothing acts on anything."""
    return Settings(charge_a=100.0, discharge_a=100.0)


class Module:
    """One cell's: it measures, answers for its own address and passes on all else.

    `dead`: nothing comes out of it. `mute`: its answers get lost, the rest passes.
    """

    def __init__(self, chain: "PackChain", place: int) -> None:
        self._chain = chain
        self._place = place
        self.address = 0  # not numbered yet
        self.dead = False
        self.mute = False

    def passes(self, packet: bytes) -> bytes | None:
        """What leaves towards the next module; None: nothing."""
        if self.dead or _crc(packet[:-1]) != packet[-1]:
            return None
        at = len(packet) - 5
        to, asks = packet[at] >> 1, packet[at] & 1
        register, writes = packet[at + 1] >> 1, packet[at + 1] & 1
        value = packet[at + 2] << 8 | packet[at + 3]
        if to == 0 and asks and writes and register == 1:
            self.address = value
            return _made(packet[:at], packet[at : at + 2], value + 1)
        if to != self.address or not asks or not to:
            return packet
        if self.mute:
            return None
        return _made(packet[:at], bytes((to << 1, register << 1)), self._reads(register))

    def _reads(self, register: int) -> int:
        reading = self._chain.reading()
        if register == _VOLTAGE[self._chain.dialect]:
            return round(reading.cells_v[self._place] * 1000)
        if register == _TEMPERATURE and self._chain.dialect == "v1":
            return round(reading.temps_c[self._place % len(reading.temps_c)])
        return 0


class PackChain(Device):
    """All modules of one battery; it has no address, so it is alone on its line."""

    FAULTS = Device.FAULTS - {"wrong_address", "refuse", "overlap"}
    byte_s = 10 / 9600

    def __init__(self, pack: Pack, address: int = 0, dialect: str = "v1") -> None:
        super().__init__(pack, address)
        self.dialect = dialect
        self._size = 6 if dialect == "v2" else 5
        self.modules = [Module(self, place) for place in range(len(pack.reading.cells_v))]

    def _find(self) -> bytes | None:
        """The first whole packet: modules know no other mark than where one begins."""
        if len(self._heard) < self._size:
            return None
        packet, self._heard = self._heard[: self._size], self._heard[self._size :]
        return packet

    def _answer(self, request: bytes) -> Answers:
        packet = request
        for module in self.modules:
            passed = module.passes(packet)
            if passed is None:
                return []
            packet = passed
        self.delay_s = (len(self.modules) - 1) * self._size * self.byte_s
        self.delay_s += len(self.modules) * _HOP_S
        return self._spoil(packet, packet, packet)

    def _is_booting(self, now_s: float) -> bool:
        """Modules that start anew have no number."""
        booting = super()._is_booting(now_s)
        if booting:
            for module in self.modules:
                module.address = 0
        return booting


def _made(name: bytes, head: bytes, value: int) -> bytes:
    body = name + head + value.to_bytes(2, "big")
    return body + bytes((_crc(body),))


def _crc(data: bytes) -> int:
    """As a long division: eight zero bits behind the message, remainder of x^8 + x^2 + x + 1."""
    number = int.from_bytes(data, "big") << 8
    for bit in range(number.bit_length() - 1, 7, -1):
        if number >> bit & 1:
            number ^= 0x107 << bit - 8
    return number
