"""The register map of the bank and its batteries, served over Modbus TCP by pymodbus.

The port listens while the bank may be told, and only then: when its ladder falls silent the port
and every connection are closed in the same step, so not a byte is answered. A battery whose own
ladder is silent answers exception 11, as a gateway does for a device that is gone.
"""

import asyncio
import logging
import socket
from functools import partial
from typing import Any, cast

from pymodbus.constants import ExcCodes
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.server import ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import DataType, SimData, SimDevice

from vbms.aggregate.bank import Bank
from vbms.aggregate.controller import Controller
from vbms.aggregate.virtual import VirtualBattery
from vbms.config import InverterSettings, LinkSettings
from vbms.downstream import modbus_tcp
from vbms.errors import LinkError
from vbms.lines.inverter import InverterLine, Pairs
from vbms.links.modbus_client import hush_pymodbus
from vbms.metrics import LinkStats
from vbms.ports import Clock, Link

log = logging.getLogger("vbms")

_MOST_CLIENTS = 32
_QUIET_MS = 60000  # a client that has not asked for so long has stopped


class Listener:
    """Where to listen; `open` makes sure that one could."""

    byte_us = 0

    def __init__(self, name: str, host: str, port: int) -> None:
        self.name = name
        self.host = host
        self.port = port

    async def open(self) -> None:
        """Raises LinkError with what to do."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        probe = socket.socket(family, socket.SOCK_STREAM)
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((self.host, self.port))
        except OSError as error:
            raise LinkError(self.refusal(error.strerror or str(error))) from None
        finally:
            probe.close()

    def refusal(self, reason: str) -> str:
        return (
            f"{self.host}:{self.port} cannot be listened on ({reason}): "
            "is the host: this machine's, is the port: free, and above 1023 or allowed?"
        )

    def close(self) -> None:
        """Nothing is held open here."""


class Registers:
    """What pymodbus asks for values: blocks by unit, replaced whole, so none is of two moments."""

    def __init__(self) -> None:
        self.blocks: dict[int, tuple[int, ...]] = {}
        self.counters = {"answered": 0, "refused": 0, "absent": 0}

    def device_ids(self) -> list[int]:
        return list(self.blocks)

    async def async_getValues(
        self, device_id: int, func_code: int, address: int, count: int = 1
    ) -> list[int] | ExcCodes:
        if device_id in modbus_tcp.BANK_TOO:
            device_id = modbus_tcp.BANK
        block = self.blocks.get(device_id)
        if block is None:
            self.counters["absent"] += 1
            return ExcCodes.GATEWAY_NO_RESPONSE
        if func_code not in (3, 4):
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
        if len(self.server.active_connections) >= _MOST_CLIENTS:
            self.close()

    def callback_data(self, data: bytes, addr: tuple[Any, ...] | None = None) -> int:
        try:
            return super().callback_data(data, addr)
        except Exception:
            self.server.context.counters["refused"] += 1
            self.close()
            return len(data)


class _Server(ModbusTcpServer):
    def callback_new_connection(self) -> ServerRequestHandler:
        return _Handler(  # type: ignore[no-untyped-call]
            self, self.trace_packet, self.trace_pdu, self.trace_connect
        )


async def _refuse(context: Registers, device_id: int, function: int) -> ModbusPDU:
    context.counters["refused"] += 1
    return ExceptionResponse(function, ExcCodes.ILLEGAL_FUNCTION)


def make_link(settings: LinkSettings) -> Link:
    return cast(Link, Listener(settings.name, settings.host or "", settings.tcp_port or 0))


def make(
    settings: InverterSettings, link: Link, clock: Clock, bank: Bank, path: str | None
) -> InverterLine:
    return ModbusServerLine(settings, link, clock, bank, path)


class ModbusServerLine(InverterLine):
    """One port. Anybody may read; there may be several who do."""

    def __init__(
        self, settings: InverterSettings, link: Link, clock: Clock, bank: Bank, path: str | None
    ) -> None:
        super().__init__(settings, link, clock, bank, path)
        self.codec = modbus_tcp.Codec()
        self.registers = Registers()
        self.listening = False
        self._server: ModbusTcpServer | None = None
        self._changed = asyncio.Event()
        self._asked_ms: int | None = None

    def tell(
        self,
        controller: Controller,
        whole: VirtualBattery,
        slots: "list[tuple[int, str]]",
        now_ms: int,
    ) -> None:
        """The bank, and every battery on a ladder of its own; while the bank is silent, nothing."""
        bank = controller.bank
        served = [""] + [key for _, key in slots]
        for key in [key for key in self._ladders if key not in served]:
            del self._ladders[key]
        ladder = self._ladder("", bank)
        self.told = self._part(ladder.step(whole, now_ms, bank.up_ms))
        self.state = ladder.state
        pairs: list[tuple[int, VirtualBattery | None]] = [(modbus_tcp.BANK, self.told)]
        for slot, key in slots:
            unit = bank.units.get(key)
            if unit is None or not unit.profile.enabled:
                continue
            alone = whole if bank.broken else controller.solo(key)
            told = self._ladder(key, bank).step(alone, now_ms, bank.up_ms)
            pairs.append((modbus_tcp.FIRST_UNIT + slot, self._part(told)))
        self.silent = self.told is None
        self.publish(tuple(pairs))

    def publish(self, pairs: Pairs) -> None:
        blocks = {}
        for unit, battery in pairs:
            if battery is not None:
                raw = self.codec.registers(battery)
                blocks[unit] = tuple(raw[at] << 8 | raw[at + 1] for at in range(0, len(raw), 2))
        if modbus_tcp.BANK not in blocks:
            blocks = {}
        self.registers.blocks = blocks
        if not blocks:
            self._hang_up()
        if bool(blocks) != self.listening:
            self._changed.set()

    def _hang_up(self) -> None:
        """At once: no connection, no port."""
        server, self._server = self._server, None
        self.listening = False
        if server is not None:
            server.close()

    async def body(self) -> None:
        """Listen while there is something to tell."""
        hush_pymodbus()
        try:
            while True:
                self._changed.clear()
                if self.registers.blocks and self._server is None:
                    await self._listen()
                await self._changed.wait()
        finally:
            self._hang_up()

    async def _listen(self) -> None:
        listener = cast(Listener, self.link)
        # pymodbus wants some device of its own; what it asks for values is ours.
        device = SimDevice(1, SimData(0, values=0, datatype=DataType.REGISTERS))
        server = _Server(device, address=(listener.host, listener.port), trace_pdu=self._asked)
        server.context = cast(Any, self.registers)
        try:
            await server.serve_forever(background=True)
        except RuntimeError:
            raise LinkError(listener.refusal("in use?")) from None
        if not self.registers.blocks:  # fell silent meanwhile
            server.close()
            return
        self._server = server
        self.listening = True

    def _asked(self, sending: bool, pdu: Any) -> Any:
        if not sending:
            now = self.clock.now_ms()
            if self._asked_ms is None or now - self._asked_ms > _QUIET_MS:
                log.info("%s: somebody reads", self.settings.name)
            self._asked_ms = now
            if pdu.function_code not in (3, 4):
                pdu.datastore_update = partial(_refuse, function=pdu.function_code)
        return pdu

    @property
    def asked_ms(self) -> int | None:
        return self._asked_ms

    @property
    def requests(self) -> int:
        return sum(self.registers.counters.values())

    @property
    def wire_saturated(self) -> list[dict[str, int]]:
        return [self.codec.saturated]

    def link_stats(self, now_ms: int) -> LinkStats:
        counters = self.registers.counters
        return {
            "frames_in": sum(counters.values()),
            "frames_out": counters["answered"],
            "errors": {kind: counters[kind] for kind in ("refused", "absent")},
            "busy_us": 0,
            "up_us": (now_ms - self.since_ms) * 1000,
        }
