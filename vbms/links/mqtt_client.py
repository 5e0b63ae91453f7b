"""A connection to an MQTT broker, as a link: a message is a line `TOPIC PAYLOAD`.

aiomqtt loads when it is opened. A task of its own keeps the connection and takes every message at
once; the last ones wait here for `read`, so a reader that is late loses the oldest, never memory.
Retained messages are what somebody said at some time: they are counted, and not given to `read`.
"""

import asyncio
import contextlib
import secrets
import typing
from collections import deque
from collections.abc import Callable, Sequence
from urllib.parse import unquote, urlsplit

from vbms.errors import LinkError

if typing.TYPE_CHECKING:
    import aiomqtt

MOST_WAITING = 256  # messages nobody has read
LONGEST = 8192  # bytes of a message; longer ones are dropped and counted
KEEPALIVE_S = 15
_CONNECT_S = 5.0
_PUBLISH_S = 5.0


class Will:
    """What the broker says for us, retained, when the connection is lost."""

    def __init__(self, topic: str, payload: bytes) -> None:
        self.topic = topic
        self.payload = payload


class MqttClient:
    """The methods of a link, and `subscribe` and `publish`. Nothing is sent by itself."""

    def __init__(
        self,
        name: str,
        url: str,
        username: str | None = None,
        password: str | None = None,
        will: Will | None = None,
    ) -> None:
        parts = urlsplit(url)
        self.name = name
        self.byte_us = 0
        self.secure = parts.scheme == "mqtts"
        self.host = parts.hostname or "localhost"
        self.port = parts.port or (8883 if self.secure else 1883)
        self.username = username or (unquote(parts.username) if parts.username else None)
        self.password = password or (unquote(parts.password) if parts.password else None)
        self.will = will
        self.where = f"{self.host}:{self.port}"
        self.counts = {"retained": 0, "oversized": 0, "dropped": 0}
        self.trace: Callable[[bool, bytes], None] | None = None  # (sent, bytes), for a recording
        self._waiting: deque[bytes] = deque(maxlen=MOST_WAITING)
        self._wake = asyncio.Event()
        self._client: aiomqtt.Client | None = None
        self._session: asyncio.Task[None] | None = None
        self._broken: LinkError | None = None

    async def open(self) -> None:
        """Raises LinkError with one sentence that says what to do."""
        self.close()
        try:
            import aiomqtt  # noqa: F401
        except ImportError:
            raise LinkError("MQTT needs one more package: pip install 'vbms[mqtt]'") from None
        self._waiting.clear()
        self._broken = None
        self._wake = asyncio.Event()
        opened = asyncio.get_running_loop().create_future()
        self._session = asyncio.create_task(self._keep(opened), name=f"mqtt {self.where}")
        await opened

    async def _keep(self, opened: "asyncio.Future[None]") -> None:
        import aiomqtt

        tls = None
        if self.secure:
            import ssl

            tls = ssl.create_default_context()
        will = None
        if self.will is not None:
            will = aiomqtt.Will(self.will.topic, self.will.payload, qos=1, retain=True)
        wake = self._wake
        try:
            async with aiomqtt.Client(
                self.host,
                self.port,
                username=self.username,
                password=self.password,
                identifier=f"vbms-{secrets.token_hex(6)}",
                will=will,
                timeout=_CONNECT_S,
                keepalive=KEEPALIVE_S,
                tls_context=tls,
            ) as client:
                self._client = client
                if not opened.done():
                    opened.set_result(None)
                async for message in client.messages:
                    self._hear(message)
            error = LinkError(f"broker {self.where} ended the connection")
        except (aiomqtt.MqttError, OSError, ValueError) as trouble:
            error = LinkError(self._advice(trouble, opened.done()))
        except asyncio.CancelledError:
            if not opened.done():
                opened.cancel()
            raise
        if self._wake is wake:  # not opened anew meanwhile
            self._broken = error
            self._client = None
            wake.set()
        if not opened.done():
            opened.set_exception(error)

    def _advice(self, trouble: Exception, was_open: bool) -> str:
        text = str(trouble)
        if was_open:
            return f"broker {self.where} is gone ({text})"
        if "authori" in text.lower() or "password" in text.lower():
            return f"broker {self.where} refuses: check username and password"
        return f"broker {self.where} cannot be reached ({text}): check url, is the broker on?"

    def _hear(self, message: "aiomqtt.Message") -> None:
        payload = message.payload
        if not isinstance(payload, bytes | bytearray):
            payload = str("" if payload is None else payload).encode()
        if message.retain:
            self.counts["retained"] += 1
            return
        if len(payload) > LONGEST:
            self.counts["oversized"] += 1
            return
        line = message.topic.value.encode() + b" " + payload.replace(b"\n", b" ") + b"\n"
        if len(self._waiting) == MOST_WAITING:
            self.counts["dropped"] += 1
        self._waiting.append(line)
        if self.trace is not None:
            self.trace(False, line)
        self._wake.set()

    def close(self) -> None:
        """Let go; the connection ends in the background."""
        self._client = None
        if self._session is not None:
            self._session.cancel()
            self._session = None

    async def read(self, timeout_ms: int) -> bytes:
        """The next message as a line; b"" when none came in time."""
        if not self._waiting:
            self._raise_if_gone()
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_ms / 1000):
                    await self._wake.wait()
        if self._waiting:
            return self._waiting.popleft()
        self._raise_if_gone()
        return b""

    async def write(self, data: bytes) -> None:
        """`TOPIC PAYLOAD`, published once, not retained."""
        topic, _, payload = data.rstrip(b"\n").partition(b" ")
        await self.publish(topic.decode(), payload)

    async def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        """Raises LinkError when the broker is gone or does not take it."""
        await self._call("publish", topic, payload, retain=retain, timeout=_PUBLISH_S)
        if self.trace is not None:
            self.trace(True, topic.encode() + b" " + payload + b"\n")

    async def subscribe(self, topics: Sequence[str]) -> None:
        if topics:
            await self._call("subscribe", [(topic, 0) for topic in topics], timeout=_PUBLISH_S)

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        if topics:
            await self._call("unsubscribe", list(topics), timeout=_PUBLISH_S)

    async def _call(self, method: str, *values: object, **named: object) -> None:
        import aiomqtt

        client = self._client
        if client is None:
            self._raise_if_gone()
            raise LinkError(f"broker {self.where} is not connected")
        try:
            await getattr(client, method)(*values, **named)
        except (aiomqtt.MqttError, OSError) as trouble:
            raise LinkError(self._advice(trouble, True)) from None

    def _raise_if_gone(self) -> None:
        if self._broken is not None:
            raise self._broken
