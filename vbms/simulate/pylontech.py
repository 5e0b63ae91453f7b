"""An inverter with the setting "Pylontech" on its RS485 port: asks, checks, obeys.

    system      61, 62, 63 at the masters 02 and 12 each round, as DEYE, Sunsynk and SRNE do
    voltronic   4F at 02, 52, 42, 32, 22, 12 until one answers; then 42 FF, 42 02, 92 02 each round

At start 60, 51, 96 and 93 are asked once. What breaks a rule of the Pylontech RS485 page (its
section 9) becomes a violation. With a world it also is the inverter there.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Collection, Sequence

from vbms.simulate import pylontech_checks as checks
from vbms.simulate.asker import Asker
from vbms.simulate.drive import Drive, Permit
from vbms.simulate.pylontech_checks import Battery, frame, info_of
from vbms.simulate.pylontech_wrong import WRONG
from vbms.simulate.world import World

log = logging.getLogger(__name__)

COLUMNS = ("Addr", "Volt", "Curr", "SOC", "SOH", "Temp", "Charge", "Discharge", "Status", "Alarm")
PROFILES = ("system", "voltronic")
_SEARCH = (0x02, 0x52, 0x42, 0x32, 0x22, 0x12)
_DRIVE_S = 0.5
_OWN_STOP_SOC = 10.0  # the inverter's own settings stop a discharge here, whatever the battery says


class Pylontech(Asker):
    """Asks over `port`: a path, or a descriptor that is open, raw and non-blocking.

    `wrong` names bad requests to mix in (pylontech_wrong.WRONG), one after each round. `expect`:
    the masters that must answer, all others must not (None: whoever answers). `wire=False`: a bare
    pty, whose bytes take no time. `lost_s`: after so long without an answer the battery is lost.
    `lag_s`: how old the limits are that it obeys.
    """

    COLUMNS = COLUMNS

    def __init__(
        self,
        port: str | int,
        *,
        baud: int = 9600,
        profile: str = "system",
        masters: Sequence[int] = (0x02, 0x12),
        round_s: float = 1.0,
        timeout_s: float = 0.5,
        pause_s: float = 0.020,
        lost_s: float = 30.0,
        lag_s: float = 1.0,
        limit_scale: int = 10,
        wire: bool = True,
        wrong: Collection[str] = (),
        expect: Collection[int] | None = None,
        world: World | None = None,
    ) -> None:
        super().__init__("pylontech", port, baud, timeout_s, pause_s, wire)
        self.profile = profile
        self.masters = tuple(masters)
        self.round_s = round_s
        self.lost_s = lost_s
        self.limit_scale = limit_scale
        self.wrong = tuple(wrong)
        self.expect = expect
        self.world = world
        self.drive = Drive(lag_s)
        self.mute = False  # stop asking: what an inverter that is switched off does
        self.batteries: dict[int, Battery] = {}
        self.rounds = 0
        self.lost = False
        self._found: int | None = None  # what the search has found
        self._introduced: set[int] = set()
        self._missed: Counter[int] = Counter()
        self._heard_s: float | None = None
        self._wrong_turn = 0

    # ---- for people

    def table(self) -> list[tuple[str, ...]]:
        rows = []
        for address, battery in sorted(self.batteries.items()):
            analog, limits, alarms = battery.analog, battery.limits, battery.alarms
            row = [f"{address:02X}"]
            if analog is not None:
                row += [f"{analog.voltage_v:.2f}V", f"{analog.current_a:.2f}A", f"{analog.soc}%"]
                row += [f"{analog.soh}%", f"{analog.temps_c[0]:.1f}C"]
            elif battery.units:
                unit = battery.units[0]
                share = unit.remaining_ah / unit.total_ah if unit.total_ah else 0.0
                row += [f"{unit.voltage_v:.2f}V", f"{unit.current_a:.1f}A", f"{share:.0%}"]
                row += ["-", f"{max(unit.temps_c[1:] or [0]):.1f}C"]
            else:
                row += ["-"] * 5
            if limits is not None:
                row += [f"{limits.charge_v:.1f}V {limits.charge_a:.1f}A"]
                row += [f"{limits.discharge_v:.1f}V {limits.discharge_a:.1f}A"]
                row += [f"{limits.status:02X}"]
            else:
                row += ["-"] * 3
            row.append("-" if alarms is None else "/".join(f"{byte:02X}" for byte in alarms))
            rows.append(tuple(row))
        return rows

    def summary(self) -> str:
        """One line for the foot of the table."""
        alarm = "battery communication lost" if self.lost else "no alarm"
        return (
            f"round {self.rounds}: {len(self.batteries)} batteries answer, {self.answers} answers, "
            f"{self.broken.total()} violations, {alarm}"
        )

    def allowed(self) -> Permit:
        """What those who answer add up to; nothing while nobody does."""
        charge_a = discharge_a = charge_v = discharge_v = 0.0
        for battery in self.batteries.values():
            limits = battery.limits
            if self.lost or limits is None:
                continue
            _, _, first, second = battery.alarms or (0, 0, 0, 0)
            stop, stop_2 = checks.CHARGE_PROTECTIONS
            if limits.may_charge and not (first & stop or second & stop_2):
                charge_a += limits.charge_a
                charge_v = min(charge_v or limits.charge_v, limits.charge_v)
            stop, stop_2 = checks.DISCHARGE_PROTECTIONS
            soc = battery.analog.soc if battery.analog is not None else 100
            stopped = bool(first & stop or second & stop_2) or soc <= _OWN_STOP_SOC
            if limits.may_discharge and not stopped:
                discharge_a += limits.discharge_a
                discharge_v = max(discharge_v, limits.discharge_v)
        return Permit(charge_a, charge_v, discharge_a, discharge_v)

    # ---- asking

    async def run(self, rounds: int = 0) -> None:
        """Poll for this many rounds, 0: for ever. LinkError when the port is missing or gone."""
        loop = asyncio.get_running_loop()
        self._open()
        if self._heard_s is None:
            self._heard_s = time.monotonic()
        driver = loop.create_task(self._drive()) if self.world is not None else None
        last = self.rounds + rounds
        try:
            while rounds == 0 or self.rounds < last:
                began_s = time.monotonic()
                if not self.mute:
                    await self._round()
                    self.rounds += 1
                await self._quiet(max(self.pause_s, began_s + self.round_s - time.monotonic()))
                self._watch()
        finally:
            if driver is not None:
                driver.cancel()
            if self.world is not None:
                self.world.demand_a = self.drive.current_a = 0.0
            self._close()

    async def _round(self) -> None:
        if self.profile == "voltronic":
            await self._search_round()
        else:
            for master in self.masters:
                await self._system_round(master)
        if self.wrong:
            await self.ask_wrongly(self.wrong[self._wrong_turn % len(self.wrong)])
            self._wrong_turn += 1

    async def _system_round(self, master: int) -> None:
        analog = await self._ask(master, 0x61)
        if analog is None:
            self._miss(master)
            return
        battery = self._here(master)
        found = checks.read_analog(analog)
        if found is None:
            self._break(master, "layout", f"0x61 with {len(analog)} bytes")
        else:
            self._judge(master, checks.check_analog(found))
            battery.analog = found
        alarms = await self._ask(master, 0x62, must=True)
        if alarms is not None and len(alarms) == 4:
            battery.alarms = (alarms[0], alarms[1], alarms[2], alarms[3])
            spare = alarms[1] & 0x0F or alarms[2] & 1 or alarms[3] & 0x97
            if spare:
                self._break(master, "bits", f"bits without a meaning: {alarms.hex()}")
        elif alarms is not None:
            self._break(master, "layout", f"0x62 with {len(alarms)} bytes")
        limits = await self._ask(master, 0x63, must=True)
        if limits is not None:
            self._enter_limits(master, checks.read_limits(limits, self.limit_scale))
        await self._units(master, battery)
        if master not in self._introduced:
            self._introduced.add(master)
            await self._introduce(master, battery)
        self._watch()

    async def _search_round(self) -> None:
        if self._found is None:
            for address in _SEARCH:
                if await self._ask(address, 0x4F, version=0x00) is not None:
                    self._found = address
                    break
                self._miss(address)
            if self._found is None:
                return
        address = self._found
        battery = self._here(address)
        heard = await self._units(address, battery)
        limits = await self._ask(address, 0x92, f"{address:02X}", must=heard)
        if limits is not None:
            if limits[0] != address:
                self._break(address, "module", f"0x92 of module {limits[0]}")
            self._enter_limits(address, checks.read_unit_limits(limits))
        elif not heard:
            self._miss(address)
            if address not in self.batteries:
                self._found = None
        self._watch()

    async def _units(self, address: int, battery: Battery) -> bool:
        """0x42 of all modules, and of the master's own; whether anything was answered."""
        every = await self._ask(address, 0x42, "FF")
        if every is None:
            return False
        units = checks.read_units(every, one=False)
        if units is None:
            self._break(address, "layout", f"0x42 of all: {every.hex()}")
            return True
        battery.units = units
        for unit in units:
            self._judge(address, checks.check_unit(unit))
        if battery.analog is not None:
            self._judge(address, checks.check_agree(battery.analog, units))
        own = await self._ask(address, 0x42, f"{address:02X}")
        if own is not None and (checks.read_units(own, one=True) is None or own[1] != address):
            self._break(address, "layout", f"0x42 of module {address:02X}: {own.hex()}")
        return True

    async def _introduce(self, address: int, battery: Battery) -> None:
        """Who are you: 60, 51, 96, 93, once."""
        basic = await self._ask(address, 0x60, must=True)
        if basic is not None:
            if len(basic) < 33 or len(basic) != 33 + 16 * basic[32]:
                self._break(address, "layout", f"0x60 with {len(basic)} bytes")
            rest = basic[33:]
            battery.serials = [_text(rest[at : at + 16]) for at in range(0, len(rest), 16)]
        maker = await self._ask(address, 0x51, must=True)
        if maker is not None:
            battery.maker = _text(maker[12:])
            if len(maker) != 32:
                self._break(address, "layout", f"0x51 with {len(maker)} bytes")
        for command, size in ((0x96, 6), (0x93, 17)):
            info = await self._ask(address, command, f"{address:02X}")
            if info is not None and (len(info) != size or info[0] != address):
                self._break(address, "layout", f"0x{command:02X}: {info.hex()}")

    async def _ask(
        self, address: int, command: int, info: str = "", *, version: int = 0x20, must: bool = False
    ) -> bytes | None:
        """INFO of a good answer; `must`: silence is a violation."""
        answer = await self.exchange(frame(version, address, command, info))
        if not answer:
            if must:
                self._break(address, "missing", f"0x{command:02X} was not answered")
            return None
        if self.expect is not None and address not in self.expect:
            self._break(address, "unexpected", "an address without a battery answers")
        findings = checks.check_frame(address, answer)
        self._judge(address, findings)
        if findings:
            return None
        self._heard_s = time.monotonic()
        if address in self.batteries:
            self.batteries[address].seen_s = self._heard_s
        return info_of(answer)

    async def ask_wrongly(self, name: str) -> None:
        """One of the bad requests, and what must follow from a battery at 02."""
        wrong = WRONG[name]
        sent_s = self._write(wrong.data)
        answer = await self._collect(sent_s)
        here = 0x02 in self.batteries
        if wrong.good:
            if answer:
                self._judge(2, checks.check_frame(2, answer))
            elif here:
                self._break(2, "missing", f"{name}: the good request in it was not answered")
        elif wrong.code is None:
            if answer:
                self._break(2, "answered", f"{name} must meet silence, not {answer!r}")
        elif answer:
            kinds = [kind for kind, _ in checks.check_frame(2, answer)]
            if kinds != ["rtn"] or answer[7:9] != wrong.code.encode() or len(answer) != 18:
                self._break(2, "answered", f"{name}: {answer!r} instead of RTN {wrong.code}")
        elif here:
            self._break(2, "missing", f"{name}: no return code {wrong.code}")
        await self._quiet(max(self.pause_s, wrong.rest_s))

    # ---- judging

    def _here(self, address: int) -> Battery:
        self._missed[address] = 0
        if address not in self.batteries:
            self.batteries[address] = Battery(seen_s=time.monotonic())
            log.info("pylontech: address %02X answers", address)
        return self.batteries[address]

    def _miss(self, address: int) -> None:
        self._missed[address] += 1
        if self.expect is not None and address in self.expect and self._missed[address] == 2:
            self._break(address, "missing", "no answer in two rounds")
        if self._missed[address] == 3 and address in self.batteries:
            del self.batteries[address]
            self._introduced.discard(address)
            log.info("pylontech: address %02X stopped answering", address)

    def _enter_limits(self, address: int, limits: checks.Limits | None) -> None:
        if limits is None:
            self._break(address, "layout", "limits of another length")
            return
        self._judge(address, checks.check_limits(limits))
        self.batteries[address].limits = limits

    def _judge(self, address: int, findings: checks.Findings) -> None:
        for kind, text in findings:
            self._break(address, kind, text)

    def _watch(self) -> None:
        silent = self._heard_s is not None and time.monotonic() - self._heard_s > self.lost_s
        if silent != self.lost:
            level = logging.ERROR if silent else logging.INFO
            log.log(level, "pylontech: battery communication %s", "lost" if silent else "is back")
        self.lost = silent

    async def _drive(self) -> None:
        while self.world is not None:
            self.drive.follow(self.world, self.allowed(), time.monotonic(), _DRIVE_S)
            await asyncio.sleep(_DRIVE_S)


def _text(raw: bytes) -> str:
    return raw.decode("ascii", "replace").rstrip("\0- ")
