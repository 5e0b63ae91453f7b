"""The link to a serial-to-Ethernet gateway, against sockets on this machine."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from vbms.errors import LinkError
from vbms.links.tcp_line import TcpLine


class Gateway:
    """Accepts one client; `reader` and `writer` are the serial side."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def __init__(self) -> None:
        self.port = 0
        self.served = asyncio.Event()

    async def start(self, host: str) -> asyncio.Server:
        server = await asyncio.start_server(self.serve, host, 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.served.set()


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    found = Gateway()
    server = await found.start("127.0.0.1")
    yield found
    server.close()
    if found.served.is_set():
        found.writer.close()


async def test_bytes_both_ways(gateway: Gateway) -> None:
    line = TcpLine("bus", "127.0.0.1", gateway.port, 9600)
    assert line.byte_us == 1042
    await line.open()
    await line.write(b"ask")
    await gateway.served.wait()
    assert await gateway.reader.readexactly(3) == b"ask"
    gateway.writer.write(b"answer")
    assert await line.read(1000) == b"answer"
    assert await line.read(5) == b"" and await line.read(0) == b""
    line.close()
    assert await gateway.reader.read() == b""


async def test_a_name_with_several_addresses(gateway: Gateway) -> None:
    """`localhost` is ::1 first on many machines, and most gateways know IPv4 alone."""
    loop = asyncio.get_running_loop()
    rows = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", 1)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", gateway.port)),
    ]

    async def two(*args: object, **kw: object) -> list[object]:
        return list(rows)

    loop.getaddrinfo = two  # type: ignore[method-assign,assignment]
    line = TcpLine("bus", "gateway", gateway.port)
    assert line.byte_us == 0
    await line.open()
    await gateway.served.wait()
    line.close()


async def test_gateway_goes_away(gateway: Gateway) -> None:
    line = TcpLine("bus", "127.0.0.1", gateway.port)
    await line.open()
    await gateway.served.wait()
    gateway.writer.close()
    with pytest.raises(LinkError, match=r"127.0.0.1:\d+ is gone: is the gateway on"):
        await line.read(2000)
    line.close()


async def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(
        LinkError, match=r"cannot be reached \(.*refused.*\): check host: and port:"
    ):
        await TcpLine("bus", "127.0.0.1", port).open()


async def test_no_such_host() -> None:
    with pytest.raises(LinkError, match="host nowhere.invalid is not known"):
        await TcpLine("bus", "nowhere.invalid", 502).open()


async def test_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*args: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("vbms.links.tcp_line._CONNECT_S", 0.05)
    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", never)
    with pytest.raises(LinkError, match="does not answer: is the gateway on"):
        await TcpLine("bus", "127.0.0.1", 1).open()


async def test_dead_peers_are_noticed(gateway: Gateway) -> None:
    """Without these a gateway that lost its power would look like batteries that are silent."""
    line = TcpLine("bus", "127.0.0.1", gateway.port)
    await line.open()
    sock = line._socket
    assert sock is not None
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10000
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    line.close()
