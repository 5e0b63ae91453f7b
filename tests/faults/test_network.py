"""A broker that takes a connection and says nothing, pages that are asked for and never read: the
inverter's line never waits for any of them."""

import asyncio
import time

from tests.faults.site import Plant
from vbms.web.server import WebServer


async def test_a_mute_broker_and_readers_that_do_not_read_delay_no_answer() -> None:
    taken: list[asyncio.StreamWriter] = []

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(writer)

    broker = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = broker.sockets[0].getsockname()[1]
    extra = f"mqtt: {{url: 'mqtt://127.0.0.1:{port}', topic: vbms}}\nweb: {{listen: 127.0.0.1:0}}"
    plant = Plant(byd=2, jk=0, extra=extra)
    pages: list[asyncio.StreamWriter] = []
    try:
        async with plant:
            assert plant.site is not None
            await plant.until(plant.answered, 20)
            web = WebServer(plant.site.view, plant.site.settings.web)
            await web.start()
            for _ in range(8):
                _, page = await asyncio.open_connection("127.0.0.1", web.port)
                pages.append(page)
            for _ in range(100):
                if taken:
                    break
                await asyncio.sleep(0.1)
            assert taken
            broker.close()  # nobody else gets through, and this one hears nothing
            times = []
            for _ in range(12):
                for page in pages:
                    page.write(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 5)
                began = time.monotonic()
                assert await plant.registers() is not None
                times.append(time.monotonic() - began)
            # 8 and 51 bytes at 9600 take 61 ms.
            assert sorted(times)[6] < 0.25, times
            assert plant.site.virtual.n_fresh == 2
            await web.stop()
    finally:
        broker.close()
        for writer in [*taken, *pages]:
            writer.close()
