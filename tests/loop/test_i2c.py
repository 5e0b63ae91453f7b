"""Sampling sensors on a simulated bus: rates, a bus that fails, one that is too slow, one that goes."""

from __future__ import annotations

import asyncio
import logging

import pytest

from vbms.aggregate.snapshot import Snapshot
from vbms.errors import LinkError
from vbms.links.i2c_bus import I2cBus
from vbms.loops.i2c import Sampler, Sensor
from vbms.simulate.ina3221 import Ina3221, SimulatedBus
from vbms.upstream.ina3221 import Codec

pytest.importorskip("smbus2", reason="smbus2 is missing: pip install 'vbms[i2c]'")
log = logging.getLogger("test.i2c")


class Clock:
    """Time passes when somebody waits, and by `cost_us` with each transfer's end."""

    def __init__(self) -> None:
        self.us = 1_000_000
        self.stop_us = 0

    def now_ms(self) -> int:
        return self.us // 1000

    def now_us(self) -> int:
        return self.us

    async def sleep_ms(self, ms: int) -> None:
        await self.sleep_us(ms * 1000)

    async def sleep_us(self, us: int) -> None:
        self.us += us
        await asyncio.sleep(0)
        if self.us >= self.stop_us:
            raise LinkError("the test is over")


class Run:
    """Sensors on a bus; `got` is what was delivered and when."""

    def __init__(self, *sensors: Sensor, chips: dict[int, Ina3221] | None = None) -> None:
        self.clock = Clock()
        self.chips = chips or {0x40: Ina3221((4.0, 8.104, 12.304), (0.3, 0.6, 0.9))}
        self.simulated = SimulatedBus(self.chips)
        self.bus = I2cBus("cells", 1, self.simulated.open)
        self.got: list[tuple[int, str, Snapshot]] = []
        self.cost_us = 3000
        self.sampler = Sampler(self.bus, self.clock, sensors, self._deliver, log)
        transfer = self.simulated.i2c_rdwr

        def costly(*messages: object) -> None:
            self.clock.us += self.cost_us // 6
            if self.clock.us >= self.clock.stop_us > 0:
                raise LinkError("the test is over")
            transfer(*messages)

        self.simulated.i2c_rdwr = costly  # type: ignore[method-assign]

    def _deliver(self, key: str, snap: Snapshot) -> None:
        self.got.append((self.clock.us, key, snap))

    def run(self, seconds: float, expect: str = "the test is over") -> list[Snapshot]:
        before = len(self.got)
        self.clock.stop_us = self.clock.us + round(seconds * 1e6)

        async def until_over() -> None:
            await self.bus.open()
            with pytest.raises(LinkError, match=expect):
                await self.sampler.run()

        asyncio.run(until_over())
        return [snap for _, _, snap in self.got[before:]]


def sensor(address: int = 0x40, rate_hz: int = 1) -> Sensor:
    return Sensor(f"ina-{address:x}", Codec(address=address, rate_hz=rate_hz))


def test_ten_hertz_for_a_minute() -> None:
    run = Run(sensor(rate_hz=10))
    snaps = run.run(60)
    assert 599 <= len(snaps) <= 601
    assert snaps[-1].cells_mv == (4000, 4104, 4200) and snaps[-1].current_ma == 600


def test_two_sensors_at_their_own_rates() -> None:
    chips = {0x40: Ina3221(), 0x41: Ina3221((3.9, 7.8, 11.7))}
    run = Run(sensor(0x40, 5), sensor(0x41, 1), chips=chips)
    run.run(20)
    counts = {
        key: len([1 for _, name, _ in run.got if name == key]) for key in ("ina-40", "ina-41")
    }
    assert 98 <= counts["ina-40"] <= 102 and 19 <= counts["ina-41"] <= 21


def test_a_bus_that_fails_twice_is_good_the_third_time(caplog) -> None:
    run = Run(sensor())
    run.simulated.fails = 2
    snaps = run.run(10)
    assert len(snaps) >= 7
    assert caplog.records == []


def test_a_stuck_bus_is_recovered_and_tried_ever_more_rarely(caplog) -> None:
    caplog.set_level(logging.INFO)
    run = Run(sensor())
    run.run(3)
    opened = run.simulated.opened
    run.simulated.fails = 6
    snaps = run.run(60)
    assert run.simulated.opened == opened + 1 + 4
    assert len(snaps) > 5
    said = [record.message for record in caplog.records]
    assert said == ["ina-40: no answer at 0x40 (Remote I/O error)", "ina-40: answers well again"]


def test_a_sensor_that_is_not_there_takes_no_other_s_time() -> None:
    run = Run(sensor(0x40, 10), sensor(0x43, 10))
    run.run(60)
    assert 590 <= len(run.got) <= 601


def test_another_chip_at_its_address_is_named(caplog) -> None:
    run = Run(sensor())
    run.chips[0x40].words[0xFF] = 0x2260
    assert run.run(20) == []
    warned = [record.message for record in caplog.records]
    assert warned == ["ina-40: marker: identity 5449 2260, an INA3221 says 5449 3220"]
    run.chips[0x40].words[0xFF] = 0x3220
    assert run.run(20)


def test_a_slow_bus_is_one_warning(caplog) -> None:
    caplog.set_level(logging.INFO)
    run = Run(sensor(rate_hz=10))
    run.cost_us = 150_000
    run.run(20)
    run.cost_us = 3000
    run.run(5)
    said = [record.message for record in caplog.records]
    assert len(said) == 2
    assert said[0].endswith("10 Hz leave 100 ms: lower rate_hz")
    assert said[1].startswith("ina-40: in time again, after 1")


def test_a_bus_that_goes_is_the_link_s_matter() -> None:
    run = Run(sensor())
    run.simulated.gone = True

    async def opened() -> None:
        with pytest.raises(LinkError, match="is I2C switched on"):
            await run.bus.open()

    asyncio.run(opened())
    run.simulated.gone = False
    run.run(2)

    async def gone() -> None:
        await run.bus.open()
        run.simulated.gone = True
        with pytest.raises(LinkError, match="is gone"):
            await run.sampler.run()

    run.clock.stop_us = run.clock.us + 10_000_000
    asyncio.run(gone())
