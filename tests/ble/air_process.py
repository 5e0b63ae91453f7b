"""A simulated adapter as a process of its own: `python -m tests.ble.air_process UNITS SLOTS`.

Prints the bus's address, then does what it is told, a line at a time: `zombie N`, `well N`, `kill`
and `start` (the D-Bus daemon and BlueZ with it), `status` (how many are connected).
"""

import asyncio
import sys

from vbms.simulate.bluez_site import Air
from vbms.simulate.world import World


async def main(units: int, slots: int) -> None:
    air = Air(World(3), slots=slots, advertisers=20)
    air.add([(f"jk-{n}", "jk_ble", f"C8:47:80:00:00:{n:02X}", None, None) for n in range(units)])
    for peripheral in air.peripherals.values():  # as a radio is
        peripheral.connect_s = 0.6
        peripheral.resolve_s = 0.6
    await air.start(enter=False)
    print(air.bus.address, flush=True)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().split():
        if line[0] == "zombie":
            air.peripherals[f"jk-{line[1]}"].radio.add("zombie")
        elif line[0] == "well":
            air.peripherals[f"jk-{line[1]}"].radio.clear()
        elif line[0] == "kill":
            await air.bus.kill()
            await air.bluez.close()
        elif line[0] == "start":
            await air.bus.start()
            await air.bluez.start(air.bus.address)
        held = [name for name, each in air.peripherals.items() if each.connected]
        print(air.bluez.connects, *held, flush=True)
    await air.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
