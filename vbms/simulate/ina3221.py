"""An I2C bus with INA3221 sensors on it, in the place of smbus2's SMBus.

    bus = SimulatedBus({0x40: Ina3221(taps_v=(4.0, 8.1, 12.3), amps=(0.3, 0.6, 0.9))})
    I2cBus("cells", 1, opener=lambda number: bus)

Source: TI SBOS576B, tables of registers: 13 bits with a sign, three bits up; 40 uV and 8 mV a step.
"""

import errno
from collections.abc import Mapping, Sequence
from typing import Any


class Ina3221:
    """One sensor and what it measures; `words` sets registers to what they hold, whatever that."""

    def __init__(
        self,
        taps_v: Sequence[float] = (4.0, 8.0, 12.0),
        amps: Sequence[float] = (0.0, 0.0, 0.0),
        shunt_ohm: float = 0.1,
    ) -> None:
        self.taps_v = list(taps_v)
        self.amps = list(amps)
        self.shunt_ohm = shunt_ohm
        self.words: dict[int, int] = {0xFE: 0x5449, 0xFF: 0x3220, 0x00: 0x7127}

    def register(self, number: int) -> int:
        if number in self.words:
            return self.words[number]
        channel, is_bus = divmod(number - 1, 2)
        if not 0 <= channel < 3:
            return 0
        if is_bus:
            steps = round(self.taps_v[channel] / 0.008)
        else:
            steps = round(self.amps[channel] * self.shunt_ohm / 40e-6)
        return (max(-4096, min(4095, steps)) << 3) & 0xFFFF


class SimulatedBus:
    """What answers at which address; `fails`: the next so many transfers do not get through."""

    def __init__(self, chips: Mapping[int, Ina3221]) -> None:
        self.chips = dict(chips)
        self.fails = 0
        self.gone = False
        self.transfers = 0
        self.opened = 0

    def open(self, _number: int) -> "SimulatedBus":
        """For `opener`."""
        if self.gone:
            raise FileNotFoundError(errno.ENOENT, "no such bus")
        self.opened += 1
        return self

    def close(self) -> None: ...

    def i2c_rdwr(self, *messages: Any) -> None:
        """One combined transfer: the register's number is written, then its value is read."""
        self.transfers += 1
        if self.gone:
            raise OSError(errno.ENODEV, "the bus is gone")
        if self.fails:
            self.fails -= 1
            raise OSError(errno.EREMOTEIO, "no acknowledge")
        pointer = 0
        for message in messages:
            chip = self.chips.get(message.addr)
            if chip is None:
                raise OSError(errno.ENXIO, "nobody at this address")
            if message.flags & 1:
                for at, byte in enumerate(chip.register(pointer).to_bytes(2, "big")):
                    message.buf[at] = byte
            else:
                (pointer,) = list(message)
