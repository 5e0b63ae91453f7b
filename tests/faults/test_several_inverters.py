"""Several inverters on a whole site: two protocols on one pair, shares, one that blocks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import time
from pathlib import Path

from tests.faults.site import Plant

LIMITS = b"~200246630000FDA9\r"
MODULE_3 = b"~20044692E00204FD2A\r"


async def ascii_answer(plant: Plant, request: bytes, wait_s: float = 2.0) -> bytes:
    """An ASCII exchange on the inverter's own pair."""

    def exchange() -> bytes:
        fd = plant._fd
        while select.select([fd], [], [], 0)[0]:
            os.read(fd, 4096)
        os.write(fd, request)
        heard = b""
        end = time.monotonic() + wait_s
        while not heard.endswith(b"\r") and (left := end - time.monotonic()) > 0:
            if select.select([fd], [], [], left)[0]:
                heard += os.read(fd, 4096)
        return heard

    return await asyncio.to_thread(exchange)


def limit_a(answer: bytes, at: int = 21) -> float:
    return int(answer[at : at + 4], 16) / 10


async def test_one_inverter_asks_in_two_protocols_on_a_paced_pair() -> None:
    plant = Plant(byd=1, jk=1)
    plant.yaml = plant.yaml.replace(
        "bank: {",
        "  - {name: ascii, profile: pylontech_rs485, link: inv, silent_after_s: 2}\nbank: {",
    )
    async with plant:
        assert plant.site is not None
        await plant.until(plant.answered, 20)
        for _ in range(6):
            registers = await plant.registers()
            assert registers is not None
            answer = await ascii_answer(plant, LIMITS)
            assert answer.startswith(b"~20024600D012"), answer
            later = await plant.registers()
            # Told alike, each in its own terms: 10 mA here, 0.1 A there. It rises at first.
            assert later is not None
            assert registers[12] / 100 - 0.1 <= limit_a(answer) <= later[12] / 100
            module = await ascii_answer(plant, b"~20034692E00203FD2C\r")
            assert module.startswith(b"~20034600B01403"), module
        assert await ascii_answer(plant, MODULE_3, 0.4) == b""  # there is no third battery
        lines = plant.site.inverters
        assert lines["deye"].link is lines["ascii"].link
        assert lines["deye"].requests >= 6 and lines["ascii"].requests >= 12
        assert lines["ascii"].link_stats(0)["errors"]["noise_bytes"] == 0
        # No fresh data: limits 0, then not a byte in either.
        for device in plant.devices.values():
            device.faults.add("silence")
        zero = b""
        while (answer := await ascii_answer(plant, LIMITS, 1.0)) != b"":
            zero = answer
        assert zero[21:31] == b"0000000000", zero
        assert await ascii_answer(plant, b"~0002464F0000FD9A\r", 0.4) == b""
        assert await ascii_answer(plant, b"~20024642E002FFFD09\r", 0.4) == b""
        await plant.until(lambda: asyncio.sleep(0, lines["deye"].silent), 5)
        assert await plant.registers(wait_s=0.4) is None


async def test_two_inverters_share_and_a_blocked_one_delays_nobody() -> None:
    """The second inverter's port takes nothing and its far end never reads."""
    master, slave = os.openpty()
    plant = Plant(byd=1, jk=0)
    plant.yaml = plant.yaml.replace(
        "batteries:",
        f"  second: {{kind: serial, port: {os.ttyname(slave)}, baud: 9600}}\nbatteries:",
    ).replace(
        "bank: {",
        "  - {name: other, profile: pylontech_rs485, link: second, share: 25, turnaround_ms: 0}\nbank: {",
    )
    os.set_blocking(master, False)
    try:
        async with plant:
            assert plant.site is not None
            await plant.until(plant.answered, 20)
            # Asked again and again, its answers pile up unread until the port is full.
            blocked = False
            other = plant.site.inverters["other"]
            for _ in range(3000):
                with contextlib.suppress(BlockingIOError):
                    os.write(master, b"~20024642E002FFFD09\r")
                await asyncio.sleep(0.003)
                blocked = blocked or not other.is_open
                if blocked:
                    break
            assert blocked
            times = []
            for _ in range(8):
                began = time.monotonic()
                assert await plant.registers() is not None
                times.append(time.monotonic() - began)
            # 8 and 51 bytes at 9600 take 61 ms.
            assert sorted(times)[4] < 0.25, times
            told = [plant.site.inverters[name].told for name in ("deye", "other")]
            parts = [battery.charge_limit_ma for battery in told if battery is not None]
            whole = plant.site.virtual.charge_limit_ma
            assert parts == [whole * 75_000 // 100_000, whole * 25_000 // 100_000]
            assert parts[1] > 0
    finally:
        os.close(master)
        os.close(slave)


async def test_a_protocol_comes_to_a_pair_and_goes_again(tmp_path: Path) -> None:
    """The other one's ladder goes on: it is answered again at once."""
    plant = Plant(byd=1, jk=0)
    alone = plant.yaml
    both = alone.replace(
        "bank: {",
        "  - {name: ascii, profile: pylontech_rs485, link: inv, silent_after_s: 2}\nbank: {",
    )
    path = tmp_path / "vbms.yaml"
    async with plant:
        assert plant.site is not None
        await plant.until(plant.answered, 20)
        path.write_text(both, encoding="utf-8")
        assert await plant.site.reload(path)
        await plant.until(plant.answered, 3)

        async def in_ascii() -> bool:
            return (await ascii_answer(plant, LIMITS, 0.5)).startswith(b"~20024600D012")

        await plant.until(in_ascii, 10)
        assert await plant.answered()
        path.write_text(alone, encoding="utf-8")
        assert await plant.site.reload(path)
        await plant.until(plant.answered, 3)
        assert await ascii_answer(plant, LIMITS, 0.3) == b""
        assert list(plant.site.inverters) == ["deye"]
