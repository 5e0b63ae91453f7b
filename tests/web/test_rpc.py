"""Calls by name: over HTTP and over a WebSocket the same, and nothing changed by who may not."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from microdot.test_client import TestClient

from tests.web.fake_site import FakeSite, good, lfp
from vbms.errors import RefusedError
from vbms.web import guard, routes, server
from vbms.web.server import WebServer


@pytest.fixture(autouse=True)
def guesses_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "GUESS_S", 0)


@pytest.fixture
def site() -> FakeSite:
    site = FakeSite([lfp("a")])
    site.join({"a": good()})

    async def add(args: dict[str, Any]) -> object:
        if "x" not in args:
            raise RefusedError("x is missing", 422)
        return {"sum": args["x"] + 1}

    async def change(args: dict[str, Any]) -> object:
        site.cleared.append("changed")
        return True

    site.offered = [("Math.Add", False, add), ("Config.Set", True, change)]
    return site


class Listen:
    host = "127.0.0.1"
    port = 0


class Client:
    """A WebSocket client written from the RFC, with nothing of ours."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int, *headers: str) -> Client | int:
        """The client, or the status of a refusal."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        lines = [
            "GET /rpc HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Upgrade: websocket",
            "Connection: keep-alive, Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            *headers,
        ]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status = int(head.split(" ")[1])
        if status != 101:
            writer.close()
            return status
        # The answer that RFC 6455 gives for this very key.
        assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
        return cls(reader, writer)

    async def send(self, kind: int, data: bytes, masked: bool = True, last: bool = True) -> None:
        head = bytes(((0x80 if last else 0) | kind,))
        size = len(data)
        bit = 0x80 if masked else 0
        if size < 126:
            head += bytes((bit | size,))
        else:
            head += bytes((bit | 126,)) + size.to_bytes(2, "big")
        if masked:
            mask = os.urandom(4)
            head += mask
            data = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
        for at in range(0, len(head + data), 7):  # in small pieces, as a network does
            self.writer.write((head + data)[at : at + 7])
            await asyncio.sleep(0)

    async def read(self) -> tuple[int, bytes]:
        first, size = await self.reader.readexactly(2)
        assert first & 0xF0 == 0x80 and size < 128
        if size == 126:
            size = int.from_bytes(await self.reader.readexactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await self.reader.readexactly(8), "big")
        return first & 15, await self.reader.readexactly(size)

    async def ask(self, **message: Any) -> Any:
        await self.send(1, json.dumps(message).encode())
        kind, data = await self.read()
        assert kind == 1
        return json.loads(data)

    def close(self) -> None:
        self.writer.close()


@pytest.fixture
async def web(site: FakeSite) -> AsyncIterator[WebServer]:
    web = WebServer(site, Listen())
    await web.start()
    yield web
    await web.stop()


async def opened(web: WebServer, *headers: str) -> Client:
    client = await Client.open(web.port, *headers)
    assert isinstance(client, Client)
    return client


async def test_both_ways_give_the_same(site: FakeSite, web: WebServer) -> None:
    http = TestClient(routes.make_app(site), host="127.0.0.1:8080")
    client = await opened(web)
    for number, (method, args) in enumerate(
        [
            ("VBMS.GetSummary", {}),
            ("rpc.list", {}),
            ("Sys.GetInfo", {}),
            ("math.add", {"x": 4}),
        ]
    ):
        by_http = await http.post(f"/rpc/{method}", body=args)
        by_socket = await client.ask(id=number, method=method, args=args)
        assert by_socket == {"id": number, "result": by_http.json}
    assert (await http.get("/rpc/RPC.List")).json == [
        "Config.Set",
        "Math.Add",
        "RPC.List",
        "Sys.GetInfo",
        "VBMS.GetSummary",
    ]
    for method, args, code in (
        ("No.Such", {}, 404),
        ("Math.Add", {}, 422),
        ("Math.Add", [1], 400),
        ("Math.Add", "x", 400),
    ):
        by_http = await http.post(f"/rpc/{method}", body=json.dumps(args).encode())
        said = await client.ask(id="é", method=method, args=args)
        assert by_http.status_code == code == said["error"]["code"]
        assert said == {"id": "é", "error": {"code": code, "message": by_http.json["error"]}}
    client.close()


async def test_what_is_no_call_is_answered_and_the_line_stays(web: WebServer) -> None:
    client = await opened(web)
    for text in (b"nonsense", b"[]", b'{"id":7}', b'{"id":7,"method":4}', b'"x"'):
        await client.send(1, text)
        _, data = await client.read()
        said = json.loads(data)
        assert said["error"]["code"] == 400 and said["id"] in (None, 7)
    await client.send(9, b"ping")
    assert await client.read() == (10, b"ping")
    await client.send(10, b"")
    assert (await client.ask(id=1, method="Math.Add", params={"x": 1}))["result"] == {"sum": 2}
    await client.send(8, b"\x03\xe8bye")
    assert await client.read() == (8, b"\x03\xe8")
    assert await client.reader.read() == b""
    client.close()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ((1, b"{}", False, True), 1002),
        ((1, b"{}", True, False), 1002),
        ((0, b"{}", True, True), 1003),
        ((2, b"{}", True, True), 1003),
        ((1, b"\xff\xfe", True, True), 1007),
        ((0x41, b"{}", True, True), 1002),
    ],
)
async def test_a_frame_that_is_none_of_ours_ends_it(web: WebServer, frame: Any, code: int) -> None:
    client = await opened(web)
    await client.send(*frame)
    assert await client.read() == (8, code.to_bytes(2, "big"))
    client.close()


@pytest.mark.parametrize(
    "head",
    [b"\xfe" + (routes.MOST_BODY + 1).to_bytes(2, "big"), b"\xff" + (1 << 31).to_bytes(8, "big")],
)
async def test_a_message_too_long_is_not_waited_for(web: WebServer, head: bytes) -> None:
    client = await opened(web)
    client.writer.write(b"\x81" + head)
    async with asyncio.timeout(5):
        assert await client.read() == (8, (1009).to_bytes(2, "big"))
    client.close()


async def test_a_client_that_leaves_in_the_middle_is_forgotten(web: WebServer) -> None:
    client = await opened(web)
    client.writer.write(b"\x81\xfe\x00")
    await client.writer.drain()
    client.close()
    for _ in range(200):
        if not web._open:
            return
        await asyncio.sleep(0.01)
    pytest.fail("the connection is still there")


async def test_a_socket_lasts_as_long_as_it_speaks(
    site: FakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "DEADLINE_S", 0.5)
    monkeypatch.setattr(server, "IDLE_S", 0.7)
    web = WebServer(site, Listen())
    await web.start()
    client = await opened(web)
    for number in range(4):
        await asyncio.sleep(0.3)
        assert (await client.ask(id=number, method="RPC.List"))["id"] == number
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await asyncio.wait_for(client.read(), 10)
    client.close()
    await web.stop()


async def test_who_may_open_a_socket(site: FakeSite, web: WebServer) -> None:
    assert await Client.open(web.port, "Origin: https://evil.example") == 403
    (await opened(web, f"Origin: http://127.0.0.1:{web.port}")).close()
    site.loopback, site.token = False, "s3cret"
    assert await Client.open(web.port) == 401
    (await opened(web, "Authorization: Bearer s3cret")).close()
    cookie = guard.session_of("s3cret")
    (await opened(web, f"Cookie: vbms={cookie}")).close()


async def test_without_an_upgrade_it_says_what_it_is(site: FakeSite) -> None:
    for app in (routes.make_app(site), WebServer(site, Listen())._app):
        answer = await TestClient(app, host="127.0.0.1:8080").get("/rpc")
        assert answer.status_code == 400 and "WebSocket" in answer.json["error"]


async def test_what_changes_something_needs_the_token(site: FakeSite, web: WebServer) -> None:
    http = TestClient(routes.make_app(site), host="127.0.0.1:8080")
    assert (await http.post("/rpc/Config.Set", body={})).status_code == 200  # none is set
    assert (await http.get("/rpc/Config.Set")).status_code == 401  # a link must not do it
    site.token = "s3cret"
    site.cleared.clear()
    for headers in ({}, {"Authorization": "Bearer guess"}, {"Cookie": "vbms=guess"}):
        refused = await http.post("/rpc/config.set", headers=dict(headers), body={})
        assert refused.status_code == 401 and "web.token" in refused.json["error"]
    client = await opened(web)
    assert (await client.ask(id=1, method="Config.Set"))["error"]["code"] == 401
    client.close()
    assert site.cleared == []
    client = await opened(web, "Authorization: Bearer s3cret")
    assert (await client.ask(id=1, method="Config.Set"))["result"] is True
    client.close()
    header = {"Authorization": "Bearer s3cret"}
    assert (await http.post("/rpc/Config.Set", headers=header, body={})).json is True


async def test_what_is_nested_without_end_is_no_call(
    site: FakeSite, web: WebServer, caplog: pytest.LogCaptureFixture
) -> None:
    text = "[" * 4000
    client = TestClient(routes.make_app(site))
    answer = await client.post("/rpc/Math.Add", headers={"Host": "localhost"}, body=text)
    assert answer.status_code == 400
    assert answer.json == {"error": "the arguments of Math.Add are a JSON object"}
    socket = await opened(web)
    for message in (
        text,
        '{"id": 7, "method": "Math.Add", "args": %s}' % ("[" * 900 + "]" * 900),
        '{"id": %s, "method": "RPC.List"}' % ("[" * 900 + "]" * 900),
        '{"id": NaN, "method": "RPC.List"}',  # what goes back has to be JSON
    ):
        await socket.send(1, message.encode())
        _, data = await socket.read()
        assert json.loads(data, parse_constant=pytest.fail)["error"]["code"] == 400
    socket.close()
    assert "Traceback" not in caplog.text


def test_the_sample_key_is_the_rfcs() -> None:
    assert base64.b64decode("dGhlIHNhbXBsZSBub25jZQ==") == b"the sample nonce"
