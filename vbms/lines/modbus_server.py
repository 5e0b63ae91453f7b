"""The register map of the bank and its batteries, served over Modbus TCP by pymodbus.

The port listens while the bank may be told, and only then: when its ladder falls silent the port
and every connection are closed in the same step, so not a byte is answered. A battery whose own
ladder is silent answers exception 11, as a gateway does for a device that is gone.
"""

import asyncio
import importlib.util
import logging
import socket
from typing import TYPE_CHECKING, cast

from vbms.aggregate.bank import Bank
from vbms.aggregate.controller import Controller
from vbms.aggregate.virtual import VirtualBattery
from vbms.config import InverterSettings, LinkSettings
from vbms.downstream import modbus_tcp
from vbms.errors import LinkError
from vbms.lines.inverter import InverterLine, Pairs
from vbms.metrics import LinkStats
from vbms.ports import Clock, Link

if TYPE_CHECKING:
    from vbms.links.modbus_listener import Server, Store

log = logging.getLogger("vbms")

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
        if importlib.util.find_spec("pymodbus") is None:
            raise LinkError("Modbus TCP needs more packages: pip install 'vbms[modbus]'")
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
        self.blocks: dict[int, tuple[int, ...]] = {}
        self.counters = {"answered": 0, "refused": 0, "absent": 0}
        self._store: Store | None = None
        self.listening = False
        self._server: Server | None = None
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
            pairs.append((modbus_tcp.FIRST_UNIT + slot, self._part(told, key)))
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
        else:
            for unit in modbus_tcp.BANK_TOO:
                blocks[unit] = blocks[modbus_tcp.BANK]
        self.blocks = blocks
        if self._store is not None:
            self._store.blocks = blocks
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
        try:
            while True:
                self._changed.clear()
                if self.blocks and self._server is None:
                    await self._listen()
                await self._changed.wait()
        finally:
            self._hang_up()

    async def _listen(self) -> None:
        from vbms.links.modbus_listener import Server, Store

        listener = cast(Listener, self.link)
        self._store = Store(self.blocks, self.counters)
        server = Server(listener.host, listener.port, self._store, self._asked)
        if not await server.start():
            raise LinkError(listener.refusal("in use?"))
        if not self.blocks:  # fell silent meanwhile
            server.close()
            return
        self._server = server
        self.listening = True

    def _asked(self) -> None:
        now = self.clock.now_ms()
        if self._asked_ms is None or now - self._asked_ms > _QUIET_MS:
            log.info("%s: somebody reads", self.settings.name)
        self._asked_ms = now

    @property
    def asked_ms(self) -> int | None:
        return self._asked_ms

    @property
    def requests(self) -> int:
        return sum(self.counters.values())

    @property
    def wire_saturated(self) -> list[dict[str, int]]:
        return [self.codec.saturated]

    def link_stats(self, now_ms: int) -> LinkStats:
        counters = self.counters
        return {
            "frames_in": sum(counters.values()),
            "frames_out": counters["answered"],
            "errors": {kind: counters[kind] for kind in ("refused", "absent")},
            "busy_us": 0,
            "up_us": (now_ms - self.since_ms) * 1000,
        }
