"""Registers of devices read through pymodbus: RTU on a serial port, RTU or Modbus TCP over TCP.

pymodbus is told not to retry and not to reconnect by itself: the line owns both. What it logs is
counted here and goes nowhere else, since each miss is an ERROR to it.
"""

import asyncio
import logging
import os
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from vbms.endings import end
from vbms.errors import FrameError, LinkError, RefusedError, SilentError

if TYPE_CHECKING:
    from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

    Client = AsyncModbusSerialClient | AsyncModbusTcpClient

RTU, TCP = "rtu", "tcp"
_CONNECT_S = 3.0
_ANSWER_BYTES = 5  # address, function, length, CRC: beside the registers
_REQUEST_BYTES = 8


class _Counted(logging.Handler):
    """Takes what a library says, and remembers how often and what was last."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        self.last = record.getMessage()


said = _Counted()


def hush_pymodbus() -> None:
    """Its log ends here, counted in `said`."""
    logger = logging.getLogger("pymodbus")
    if said not in logger.handlers:
        logger.addHandler(said)
        logger.propagate = False
        logger.setLevel(logging.WARNING)


class ModbusLink:
    """One line with a pymodbus client; one request at a time.

    `framing` is RTU or TCP and counts from the next `open`. `port` is a serial port, or `host` and
    `tcp_port` a device or a gateway.
    """

    def __init__(
        self,
        name: str,
        *,
        port: str | None = None,
        host: str | None = None,
        tcp_port: int = 502,
        baud: int | None = None,
    ) -> None:
        self.name = name
        self.port = port
        self.host = host
        self.tcp_port = tcp_port
        self.baud = baud or 9600
        self.byte_us = -(-10_000_000 // self.baud) if port or baud else 0
        self.framing = RTU
        self.stats = {"frames_in": 0, "frames_out": 0, "timeout": 0, "bad_frame": 0, "busy_us": 0}
        self.trace: Any = None  # (sent, bytes), for the log or a recording
        self._client: Client | None = None
        self._heard = 0  # bytes since the last request
        self._spoilt = False  # they made no answer

    @property
    def connected(self) -> bool:
        return self._client is not None and self._client.connected

    async def open(self) -> None:
        """Raises LinkError with one sentence that says what to do."""
        self.close()
        try:
            from pymodbus import FramerType
            from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
        except ImportError:
            raise LinkError("registers need more packages: pip install 'vbms[modbus]'") from None
        hush_pymodbus()
        client: Client
        if self.port is not None:
            if not os.path.exists(self.port):
                raise LinkError(f"{self.port} is not there: is the adapter plugged in?")
            if not os.access(self.port, os.R_OK | os.W_OK):
                raise LinkError(f"{self.port}: no permission; is the user in the group dialout?")
            client = AsyncModbusSerialClient(
                self.port,
                framer=FramerType.RTU,
                baudrate=self.baud,
                timeout=_CONNECT_S,
                retries=0,
                reconnect_delay=0,
                trace_packet=self._trace,
            )
        else:
            client = AsyncModbusTcpClient(
                self.host or "",
                port=self.tcp_port,
                framer=FramerType.RTU if self.framing == RTU else FramerType.SOCKET,
                timeout=_CONNECT_S,
                retries=0,
                reconnect_delay=0,
                trace_packet=self._trace,
            )
        _guard(client, self)
        said.last = ""
        if not await client.connect():
            client.close()
            where = self.port or f"{self.host}:{self.tcp_port}"
            reason = said.last.removeprefix("Failed to connect ").strip()
            hint = f" ({reason})" if reason and "Repeating" not in reason else ""
            advice = "is it in use?" if self.port else "is it on, does it serve somebody else?"
            raise LinkError(f"{where} cannot be reached{hint}: {advice}")
        self._client = client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    async def read(
        self, address: int, function: int, start: int, count: int, timeout_ms: int
    ) -> bytes:
        """Registers, high byte first. Raises SilentError, FrameError, RefusedError or LinkError."""
        client = self._there()
        if function == 4:
            asked = client.read_input_registers(start, count=count, device_id=address)
        else:
            asked = client.read_holding_registers(start, count=count, device_id=address)
        answer = await self._exchange(asked, timeout_ms, _ANSWER_BYTES + 2 * count)
        words = getattr(answer, "registers", None)
        if answer.function_code != function or words is None or len(words) != count:
            self.stats["bad_frame"] += 1
            raise FrameError("payload: the answer to another request")
        return b"".join([value.to_bytes(2, "big") for value in words])

    async def write(self, address: int, start: int, values: Sequence[int], timeout_ms: int) -> None:
        """Several registers by function 0x10; raises as `read` does."""
        asked = self._there().write_registers(start, list(values), device_id=address)
        await self._exchange(asked, timeout_ms, _REQUEST_BYTES + 1 + 2 * len(values))

    def _there(self) -> "Client":
        if self._client is None or not self._client.connected:
            raise LinkError(f"{self.port or self.host}: the connection is gone")
        return self._client

    async def _exchange(self, asked: Any, timeout_ms: int, size: int) -> Any:
        from pymodbus import ModbusException

        wire_us = (size + _REQUEST_BYTES) * self.byte_us
        self.stats["frames_out"] += 1
        self.stats["busy_us"] += wire_us
        self._heard = 0
        self._spoilt = False
        try:
            answer = await _within((timeout_ms * 1000 + wire_us) / 1_000_000, asked)
        except (TimeoutError, ModbusException) as error:
            if not self.connected:
                raise LinkError(f"{self.port or self.host}: the connection is gone") from None
            if self._heard or self._spoilt:
                self.stats["bad_frame"] += 1
                raise FrameError("checksum: %d bytes that are no answer" % self._heard) from None
            self.stats["timeout"] += 1
            raise SilentError(str(error) or "no answer") from None
        self.stats["frames_in"] += 1
        if answer.isError():
            code = getattr(answer, "exception_code", 0)
            raise RefusedError("Modbus exception %d" % code, code)
        return answer

    def _trace(self, sending: bool, data: bytes) -> bytes:
        if self.trace is not None:
            self.trace(sending, data)
        return data


async def _within(seconds: float, asked: Coroutine[Any, Any, Any]) -> Any:
    """In a task of its own: a cancellation that pymodbus loses is not lost to us."""
    task = asyncio.create_task(asked)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        await end(task)


def _guard(client: "Client", link: ModbusLink) -> None:
    """What pymodbus cannot decode raises out of its transport; here it is a bad frame.

    What is longer than any frame it drops unseen; here all bytes are counted.
    """
    inner = client.ctx.callback_data
    arrives = client.ctx.datagram_received

    def callback_data(data: bytes, addr: Any = None) -> int:
        try:
            return inner(data, addr)
        except Exception:
            link._spoilt = True
            return len(data)

    def datagram_received(data: bytes, addr: Any) -> None:
        link._heard += len(data)
        arrives(data, addr)

    client.ctx.datagram_received = datagram_received  # type: ignore[method-assign]
    client.ctx.callback_data = callback_data  # type: ignore[method-assign]
