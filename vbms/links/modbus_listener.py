"""A Modbus TCP server of registers by pymodbus: reads alone, and nothing answered when closed.

Importing pymodbus' server costs what nobody needs who does not serve: only a line that serves
imports this file.
"""

import asyncio
from functools import partial
from typing import Any, cast

from pymodbus.constants import ExcCodes
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.server import ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import DataType, SimData, SimDevice

from vbms.links.modbus_client import hush_pymodbus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_CLIENTS = 32
_READS = (3, 4)


class Store:
    """What pymodbus asks for values: blocks by unit, replaced whole, so none is of two moments."""

    def __init__(self, blocks: "dict[int, tuple[int, ...]]", counters: dict[str, int]) -> None:
        self.blocks = blocks
        self.counters = counters

    def device_ids(self) -> list[int]:
        return list(self.blocks)

    async def async_getValues(
        self, device_id: int, func_code: int, address: int, count: int = 1
    ) -> list[int] | ExcCodes:
        block = self.blocks.get(device_id)
        if block is None:
            self.counters["absent"] += 1
            return ExcCodes.GATEWAY_NO_RESPONSE
        if func_code not in _READS:
            self.counters["refused"] += 1
            return ExcCodes.ILLEGAL_FUNCTION
        if not 0 < count <= len(block) - address:
            self.counters["refused"] += 1
            return ExcCodes.ILLEGAL_ADDRESS
        self.counters["answered"] += 1
        return list(block[address : address + count])

    async def async_setValues(
        self, device_id: int, func_code: int, address: int, values: Any
    ) -> ExcCodes:
        self.counters["refused"] += 1
        return ExcCodes.ILLEGAL_FUNCTION


class _Handler(ServerRequestHandler):
    """One client. What is no request ends its connection; what is no read is refused."""

    def callback_connected(self) -> None:
        super().callback_connected()
        waiting = self.server.waiting
        waiting[self] = None
        if len(waiting) > _MOST_CLIENTS:  # one that lost its power never says so
            next(iter(waiting)).close()

    def callback_disconnected(self, exc: Exception | None) -> None:
        super().callback_disconnected(exc)
        self.server.waiting.pop(self, None)

    def close(self, reconnect: bool = False) -> None:
        """At once: what has not gone out yet never does."""
        self.server.waiting.pop(self, None)
        if self.transport is not None:
            cast(asyncio.Transport, self.transport).abort()
        super().close(reconnect)

    def callback_data(self, data: bytes, addr: tuple[Any, ...] | None = None) -> int:
        waiting = self.server.waiting
        waiting.pop(self, None)
        waiting[self] = None
        if cast(asyncio.Transport, self.transport).get_write_buffer_size():
            self.close()  # it asks and does not read
            return len(data)
        try:
            return super().callback_data(data, addr)
        except Exception:
            self.server.context.counters["refused"] += 1
            self.close()
            return len(data)


class Server(ModbusTcpServer):
    """Listens from `start` on until `close`, which ends every connection in the same step."""

    def __init__(self, host: str, port: int, store: Store, asked: "Callable[[], None]") -> None:
        hush_pymodbus()
        # pymodbus wants some device of its own; what it asks for values is the store's.
        device = SimDevice(1, SimData(0, values=0, datatype=DataType.REGISTERS))
        super().__init__(device, address=(host, port), trace_pdu=self._trace)
        self.context = cast(Any, store)
        self._asked = asked
        self.waiting: dict[_Handler, None] = {}  # clients, the one that was quiet for longest first

    async def start(self) -> bool:
        """False where the port cannot be had."""
        try:
            await self.serve_forever(background=True)
        except RuntimeError:
            return False
        return True

    def _trace(self, sending: bool, pdu: Any) -> Any:
        if not sending:
            self._asked()
            if pdu.function_code not in _READS:
                pdu.datastore_update = partial(_refuse, function=pdu.function_code)
        return pdu

    def callback_new_connection(self) -> ServerRequestHandler:
        return _Handler(  # type: ignore[no-untyped-call]
            self, self.trace_packet, self.trace_pdu, self.trace_connect
        )


async def _refuse(context: Store, device_id: int, function: int) -> ModbusPDU:
    context.counters["refused"] += 1
    return ExceptionResponse(function, ExcCodes.ILLEGAL_FUNCTION)
