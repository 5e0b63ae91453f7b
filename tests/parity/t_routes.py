"""The web's answers, on both: a random bank asked over the real routes, byte for byte."""

from kit import Chance, Digest, text

from vbms.aggregate import alarms
from vbms.aggregate.bank import Bank
from vbms.aggregate.limits import CHARGE, DISCHARGE
from vbms.aggregate.profile import BankProfile, UnitProfile
from vbms.aggregate.snapshot import Snapshot
from vbms.web.routes import make_app

chance = Chance(77)
digest = Digest("routes")

PATHS = (
    "GET /api/bank",
    "GET /api/units",
    "GET /healthz",
    "GET /rpc/VBMS.GetSummary",
    "POST /rpc/vbms.getsummary",
    "GET /rpc/Sys.GetInfo",
    "GET /rpc/RPC.List",
    "GET /rpc/No.Such",
    "GET /metrics",
    "GET /nowhere",
    "POST /api/bank",
    "GET /api/events",
    "GET /api/events?limit=1",
    "GET /api/events?limit=x",
    "POST /api/units/u1/acknowledge",
    "POST /api/units/%75%31/acknowledge",
    "POST /api/units/%zz/acknowledge",
    "POST /api/units/%ff/acknowledge",
    "GET /api/units/u1/acknowledge",
    "GET /login",
    "GET /api/relays",
    "POST /api/bank/full_charge",
    "GET /rpc",
    "POST /api/relays/garage/clear",
    "POST /api/relays/shed/clear",
)


class Row:
    def __init__(self, bank, name, slot):
        unit = bank.units[name]
        alone = bank.solo(name)
        self.name = name
        self.profile = self.protocol = "byd_pro"
        self.link = "bms"
        self.address = slot + 1
        self.slot = slot
        self.state = unit.state
        self.acknowledged = unit.key in bank.acknowledged()
        self.age_ms = unit.age_ms
        self.snapshot = unit.snapshot
        self.capacity_mah = unit.weight_mah
        self.design_mah = unit.design_mah
        self.remaining_mah = alone.remaining_mah
        self.charge_voltage_mv = alone.cvl_mv
        self.discharge_voltage_mv = alone.dvl_mv
        self.charge_limit_ma = unit.told_ma[CHARGE]
        self.discharge_limit_ma = unit.told_ma[DISCHARGE]
        self.charge_reasons = alone.charge_reasons
        self.discharge_reasons = alone.discharge_reasons
        self.counters = {"polls": 100, "timeouts": 2, "bad_frames": 1}


class Charger:
    name = "garage"
    of = None
    output = "gpio"
    state = "idle"
    on = False
    why = "resting"
    error = 'a "word"'
    on_ms = 1234567
    charger_ma = 12500
    low_permille = 800
    timeout_ms = 12600000


class Site:
    name = 'a "home"'
    version = "0.1.0"
    loopback = True
    hosts = ("vbms.local",)

    def __init__(self):
        self.token = None
        self.now_ms = 0
        self.made = Bank(
            BankProfile("bank"),
            [
                UnitProfile(
                    "u%d" % number,
                    cells=16,
                    capacity_mah=50000,
                    max_charge_ma=50000,
                    max_discharge_ma=50000,
                    mosfet_present=False,
                )
                for number in range(3)
            ],
        )
        self.last = self.made.tick(0)

    def run(self):
        self.now_ms += chance.one_of((1000, 1000, 1000, 30000))
        for number in range(3):
            if chance.below(5):
                cells = [3300 + chance.below(90) for _ in range(16)]
                snap = Snapshot(
                    taken_ms=self.now_ms,
                    voltage_mv=sum(cells),
                    current_ma=chance.between(-50000, 50000),
                    soc_permille=600 + chance.below(30),
                    soh_permille=chance.maybe(985, 3),
                    cells_mv=cells,
                    temps_mc=[-400 + chance.below(900), 24000 - chance.below(50)],
                    ambient_mc=chance.maybe(chance.between(-2000, 2000), 3),
                    cycles_count=12,
                    charge_ok=True,
                    discharge_ok=True,
                    model='B*2 "x"',
                    warnings=chance.below(1 << 17),
                )
                self.made.accept("u%d" % number, snap, self.now_ms)
        self.last = self.made.tick(self.now_ms)

    def bank(self):
        return self.last

    def units(self):
        return [Row(self.made, "u%d" % number, number) for number in range(3)]

    def alone(self, name):
        return self.made.solo(name)

    def words(self, battery):
        return battery.warnings & 65535, battery.protections & 65535, 3072

    def alarm_rows(self):
        at = "2026-11-24T01:00:00Z"
        return [
            (alarms.named(bit)[0], level, unit, at, at, "why")
            for bit, level, unit in self.last.alarms
        ]

    def health(self):
        return {
            "ok": self.last.state in ("normal", "partial"),
            "state": self.last.state,
            "reason": None,
            "age_s": None if self.last.age_ms is None else self.last.age_ms // 1000,
            "inverters": {"deye": {"open": True, "asked_s_ago": None}},
            "version": self.version,
        }

    def events(self):
        return [
            (2, "2026-11-24T01:00:01Z", "unit", "info", "u0", 'on"line'),
            (1, "x", "bank", "warning", None, ""),
        ]

    def acknowledge(self, name):
        return None if self.made.acknowledge(name) else name + " is not retired"

    def calls(self):
        return ()

    def want_full(self):
        pass

    def relays(self):
        return [Charger()]

    def clear_relay(self, name):
        return "it is idle"

    def wall_ms(self):
        return 1790000000000 + self.now_ms

    def up_ms(self):
        return self.now_ms

    def metrics_text(self):
        return b"# none here\n"


class Reader:
    def __init__(self, data):
        self.data = data

    async def readline(self):
        at = self.data.find(b"\n") + 1
        line, self.data = self.data[:at], self.data[at:]
        return line

    async def readexactly(self, size):
        found, self.data = self.data[:size], self.data[size:]
        return found


class Writer:
    def __init__(self):
        self.data = b""

    def get_extra_info(self, name):
        return ("127.0.0.1", 40000)

    async def awrite(self, data):
        self.data += data if isinstance(data, bytes) else data.encode()

    async def aclose(self):
        pass

    def close(self):
        pass


site = Site()
app = make_app(site)


async def ask(request):
    writer = Writer()
    await app.handle_request(Reader(request), writer)
    head, body = writer.data.split(b"\r\n\r\n", 1)
    lines = head.decode().split("\r\n")
    # A PC's json escapes what is not ASCII, a board's writes it as it is: JSON allows both.
    digest.line(text((lines[0], body.decode().replace("\\u00b0", "\u00b0"))))
    digest.line(text(sorted([line for line in lines[1:] if line[:15] != "Content-Length:"])))


async def every_path():
    site.run()
    for path in PATHS:
        await ask(("%s HTTP/1.1\r\nHost: localhost:8080\r\n\r\n" % path).encode())


async def who_may_ask():
    get = "GET /api/bank HTTP/1.1\r\nHost: %s\r\n%s\r\n"
    site.loopback = False
    site.token = "secret"
    for host in ("vbms.local", "evil.example"):
        for header in ("", "Authorization: Bearer secret\r\n"):
            await ask((get % (host, header)).encode())
    site.loopback = True
    post = "POST /api/units/u1/acknowledge HTTP/1.1\r\nHost: localhost\r\n%s\r\n"
    for header in ("", "Authorization: Bearer secret\r\n"):
        await ask((post % header).encode())
    await ask(b"nonsense\r\n\r\n")


def the_end():
    digest.close()


TESTS = [every_path] * 12 + [who_may_ask, the_end]
