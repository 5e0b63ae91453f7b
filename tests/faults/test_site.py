"""What the inverter sees: known values, and a bad day."""

from __future__ import annotations

import asyncio
import random

from .site import NAME_0, READ_0, Plant, crc16, read_request

WARNING, PROTECTION, STATUS, LIMIT = 5, 6, 7, 12


async def test_known_values_in_every_register() -> None:
    """3 BYD PRO (49.0 Ah today, 50 A) and 2 JK PB (196 Ah, 90 A): worked out by hand."""
    async with Plant() as plant:
        assert await plant.registers() is None  # nothing before the data are complete
        await plant.until(plant.answered)
        registers = await plant.registers()
        assert registers is not None and registers[LIMIT] < 24750  # it begins low and rises

        async def risen() -> bool:
            now = await plant.registers()
            return now is not None and now[LIMIT] == 24750

        await plant.until(risen)
        registers = await plant.registers()
        assert registers == [
            5304,  # (3 x 52.992 + 2 x 53.120) / 5 = 53.0432 V
            2900,  # 3 x 3 + 2 x 10 A
            36260,  # 147 Ah x 60 % + 392 Ah x 70 %
            222,  # (3 x 87 + 2 x 47.5) / 16 sensors
            200,
            0,
            0,
            0x1D00,  # charging, both enabled, limited below the units' own 330 A
            672,  # (147 x 600 + 392 x 700) / 539
            980,  # 539 / 550 Ah
            53900,
            63,  # (150 x 100 + 400 x 50) / 550
            24750,  # a JK carries 196 of 539 Ah: 90 A x 539 / 196
            3320,
            3312,
            0,
            245,
            210,
            300,
            0,
            5520,
            55000,
            0,
        ]
        assert await plant.ask(NAME_0) == _identity(0, "VBMS", "VB000000000000000001")
        for address in range(1, 16):
            assert await plant.registers(address, 0.3) is None


def _identity(address: int, model: str, serial: str) -> bytes:
    text = model.encode() + b"*\x10\x11*\x20\x21*" + serial.encode() + b"*"
    frame = bytes((address, 0x11, len(text))) + text
    return frame + crc16(frame)


async def test_units_at_their_own_addresses() -> None:
    async with Plant(byd=12, jk=3, present="units") as plant:

        async def all_there() -> bool:
            return all([await plant.registers(address) for address in range(15)])

        await plant.until(all_there, 30)
        assert await plant.registers(15) is None
        byd = await plant.registers(3)
        jk = await plant.registers(14)
        # 12 x 50 + 3 x 90 = 870 A is more than an inverter can add up: all times 655.34 / 870.
        assert byd is not None and (byd[1], byd[8], byd[10], byd[LIMIT]) == (300, 600, 4900, 3766)
        assert jk is not None and (jk[1], jk[8], jk[10], jk[LIMIT]) == (1000, 700, 19600, 6779)
        request = bytes((3, 0x11))
        name = await plant.ask(request + crc16(request))
        assert name == _identity(3, "BYD PRO 2.5", "0" * 20)


async def test_one_unit_muted_then_all_then_back() -> None:
    async with Plant() as plant:
        await plant.until(plant.answered)
        before = await plant.registers()
        assert before is not None
        plant.devices["byd-2"].faults.add("silence")

        async def lower() -> bool:
            registers = await plant.registers()
            assert registers is not None and registers[8] > 600 and registers[0] > 5000
            return registers[LIMIT] < before[LIMIT]

        await plant.until(lower, 4)
        for device in plant.devices.values():
            device.faults.add("silence")

        async def zero() -> bool:
            registers = await plant.registers()
            assert registers is not None and registers[8] > 600 and registers[0] > 5000
            return registers[LIMIT] == 0

        assert await plant.until(zero, 4) > 0.6
        registers = await plant.registers()
        assert registers is not None and not registers[STATUS] & 0x0C00

        async def silent() -> bool:
            return await plant.registers() is None

        waited = await plant.until(silent, 5)  # the last question waited a second for nothing
        assert 1.0 < waited < 4.0
        for device in plant.devices.values():
            device.faults.clear()
        await plant.until(plant.answered, 60)


async def test_noise_on_the_inverters_line_is_never_answered_wrongly() -> None:
    async with Plant(byd=1, jk=0) as plant:
        await plant.until(plant.answered)
        rng = random.Random(3)
        for _ in range(40):
            junk = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 40)))
            spoilt = bytearray(READ_0)
            spoilt[rng.randrange(8)] ^= 1 << rng.randrange(8)
            for wrong in (junk, bytes(spoilt), READ_0[: rng.randrange(1, 8)]):
                answer = await plant.ask(wrong, 0.05)
                assert answer == b"" or crc16(wrong[-8:-2]) == wrong[-2:]
            await plant.quiet(0.25)
            assert (await plant.ask(READ_0, 2))[:3] == bytes((0, 4, 46))


async def test_a_request_behind_noise_in_one_piece_is_answered() -> None:
    async with Plant(byd=1, jk=0) as plant:
        await plant.until(plant.answered)
        neighbour = bytes((5, 4, 46)) + bytes(46)
        neighbour += crc16(neighbour)
        for before in (b"\x00", b"\xff\x00\x04", neighbour, READ_0[:5]):
            answer = await plant.ask(before + READ_0, 0.4)
            assert answer[:3] == bytes((0, 4, 46)), before.hex()
        assert (await plant.ask(read_request(0) + NAME_0, 0.4))[:2] == b"\x00\x11"


async def test_bad_frames_change_no_value() -> None:
    """Every fault a BYD can have on the wire; the bank never takes a number from it."""
    async with Plant(byd=2, jk=2) as plant:
        await plant.until(plant.answered)
        site = plant.site
        assert site is not None
        for fault in ("flip", "cut", "wrong_address", "refuse", "half_frame", "overlap", "late"):
            for name in ("byd-1", "jk-1"):
                plant.devices[name].faults.add(fault)
            for _ in range(6):
                registers = await plant.registers()
                if registers is not None:
                    assert (registers[13], registers[14]) == (3320, 3312)
                    assert 600 <= registers[8] <= 700
                await asyncio.sleep(0.1)
            for device in plant.devices.values():
                device.faults.clear()


async def test_line_unplugged_and_back_inverter_still_answered() -> None:
    async with Plant(byd=1, jk=1) as plant:
        await plant.until(plant.answered)
        plant.lines["byd"].unplug()
        for _ in range(15):
            assert await plant.registers(wait_s=2) is not None
            await asyncio.sleep(0.05)
        site = plant.site
        assert site is not None and not site.lines["byd"].is_open
        plant.lines["byd"].plug()

        async def well() -> bool:
            return site.state() == "normal"

        await plant.until(well, 15)


async def test_reload_misses_no_poll(tmp_path) -> None:  # type: ignore[no-untyped-def]
    async with Plant(byd=2, jk=0) as plant:
        await plant.until(plant.answered)
        site = plant.site
        assert site is not None
        path = tmp_path / "vbms.yaml"
        path.write_text(plant.yaml.replace("steady_s: 0.5", "max_charge_a: 30, steady_s: 0.5"))
        task = asyncio.create_task(site.reload(path))
        for _ in range(10):
            assert await plant.registers(wait_s=2) is not None
        assert await task
        registers = await plant.registers()
        assert registers is not None and registers[LIMIT] == 3000
        changed = plant.yaml.replace("silent_after_s: 2", "silent_after_s: 3, invert_current: true")
        path.write_text(changed.replace("steady_s: 0.5", "max_charge_a: 30, steady_s: 60"))
        assert await site.reload(path)
        registers = await plant.registers(wait_s=2)  # the port opens anew, the ladder goes on
        assert registers is not None and registers[1] == 0x10000 - 600
        path.write_text(plant.yaml.replace("present: bank", "present: wrong"))
        assert not await site.reload(path)
        registers = await plant.registers()
        assert registers is not None and registers[LIMIT] == 3000
