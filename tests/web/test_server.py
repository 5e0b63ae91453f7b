"""The listener through real sockets: what a browser, a scanner and a slow or hostile client get."""

import asyncio
import json
import logging
import socket

import pytest

from tests.web.fake_site import FakeSite, good, lfp
from vbms.web import server
from vbms.web.server import WebServer


class Listen:
    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port


@pytest.fixture
async def web():
    site = FakeSite([lfp("a")])
    site.join({"a": good()})
    web = WebServer(site, Listen())
    await web.start()
    yield web
    await web.stop()


async def exchange(port: int, data: bytes, end: bool = False) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    if end:
        writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def get(port: int, path: str, extra: str = "") -> tuple[int, bytes]:
    answer = await exchange(
        port, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{extra}\r\n".encode()
    )
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


async def test_a_plain_request(web: WebServer) -> None:
    status, body = await get(web.port, "/api/bank")
    assert status == 200 and json.loads(body)["soc_percent"] == 60
    status, body = await get(web.port, "/")
    assert status == 200 and body.rstrip().endswith(b"</html>")
    answer = await exchange(web.port, b"GET /nothing HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 404 Not Found\r\n")


async def test_head_sends_no_body(web: WebServer) -> None:
    for path in (b"/", b"/api/bank"):
        answer = await exchange(web.port, b"HEAD " + path + b" HTTP/1.1\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b" 200 OK" in head and body == b"", path


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\xff\xfe\r\n\r\n",
        b"GET / HTTP\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon here\r\n\r\n",
        b"GET /api/bank HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST /login HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"GET /?%zz=%ff HTTP/1.1\r\n\r\n",
        b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 5000 + b"\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",
    ],
)
async def test_no_request_at_all_is_a_quiet_400(
    web: WebServer, data: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = await exchange(web.port, data)
    # A client that still sends may see the connection reset before it reads.
    assert answer == b"" or answer.startswith(b"HTTP/1.0 400 Bad Request\r\n")
    assert len(data) > 10_000 or b'{"error":' in answer
    out, err = capfd.readouterr()
    assert out == err == ""
    assert (await get(web.port, "/healthz"))[0] == 200


async def test_half_a_request_and_a_lost_client_leave_nothing(
    web: WebServer, capfd: pytest.CaptureFixture[str]
) -> None:
    for data in (b"", b"GET", b"POST /login HTTP/1.1\r\nContent-Length: 50\r\n\r\nshort"):
        await exchange(web.port, data, end=True)
    for _ in range(3):
        _, writer = await asyncio.open_connection("127.0.0.1", web.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        writer.transport.abort()
    await asyncio.sleep(0.05)
    assert (await get(web.port, "/healthz"))[0] == 200
    assert capfd.readouterr() == ("", "")
    assert not web._open


async def test_a_slow_client_is_dropped(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "DEADLINE_S", 0.1)
    assert await exchange(web.port, b"GET / HTTP/1.1\r\nHost: ") == b""
    assert not web._open


async def test_connections_are_bounded(web: WebServer) -> None:
    held = [await asyncio.open_connection("127.0.0.1", web.port) for _ in range(server.MOST)]
    await asyncio.sleep(0.05)
    assert len(web._open) == server.MOST
    assert await exchange(web.port, b"GET /healthz HTTP/1.1\r\n\r\n") == b""
    for _, writer in held:
        writer.close()
    await asyncio.sleep(0.05)
    assert (await get(web.port, "/healthz"))[0] == 200


async def test_the_address_itself_is_a_name_of_ours(web: WebServer) -> None:
    """A listener on any address is called by whatever address this machine has."""
    site = FakeSite([lfp("a")])
    everywhere = WebServer(site, Listen("0.0.0.0"))
    await everywhere.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.2", everywhere.port)
        writer.write(b"GET /api/bank HTTP/1.1\r\nHost: 127.0.0.2\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.0 200 ")
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.2", everywhere.port)
        writer.write(b"GET /api/bank HTTP/1.1\r\nHost: 127.0.0.3\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.0 403 Forbidden")
        writer.close()
    finally:
        await everywhere.stop()


async def test_stop_is_quick_with_someone_connected(web: WebServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
    await asyncio.sleep(0.02)
    await asyncio.wait_for(web.stop(), 1)
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", web.port)
    writer.close()


async def test_a_taken_port_is_one_line_and_tried_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "RETRY_S", (0.01,))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        web = WebServer(FakeSite(), Listen(port=port))
        await web.start()
        await asyncio.sleep(0.05)
        (line,) = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
        assert str(port) in line and "in use" in line and "web.listen" in line
    try:
        for _ in range(100):
            await asyncio.sleep(0.01)
            if web._server is not None:
                break
        assert (await get(port, "/healthz"))[0] == 503
    finally:
        await web.stop()
