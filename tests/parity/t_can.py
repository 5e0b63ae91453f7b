"""CAN codecs and the broadcaster with chance batteries and a scripted bus, on both."""

from kit import Chance, Digest, text

from vbms.aggregate.virtual import VirtualBattery
from vbms.downstream import byd_can, pylontech_can, pylontech_hv_can
from vbms.downstream.can_frames import FLAVOURS
from vbms.errors import FrameError, LinkError
from vbms.loops.broadcaster import Broadcaster

chance = Chance(53)
told = Digest("can_told")
heard = Digest("can_heard")

WIDE = (1000, 60000, 600000, 90000000)


def value(low, high):
    if chance.below(12) == 0:
        return None
    if chance.below(6) == 0:
        wide = chance.one_of(WIDE)
        return chance.between(-wide, wide)
    return chance.between(low, high)


def battery():
    charge = chance.one_of((0, 99, 100, chance.below(400000), 5000000))
    discharge = chance.one_of((0, 99, 100, chance.below(400000), 5000000))
    return VirtualBattery(
        voltage_mv=value(48000, 57000),
        current_ma=value(-300000, 300000),
        soc_permille=chance.maybe(chance.below(1001), 15),
        soh_permille=chance.maybe(chance.below(1001), 4),
        capacity_mah=chance.maybe(chance.below(9000000), 9),
        design_mah=chance.maybe(200000, 4),
        remaining_mah=chance.maybe(100000, 4),
        cell_max_mv=value(3200, 3650),
        cell_max_owner=chance.maybe(("garage-north", chance.below(16)), 4),
        cell_min_mv=value(2800, 3300),
        cell_min_owner=chance.maybe(("jk-1", chance.below(16)), 4),
        temp_max_mc=value(-20000, 60000),
        temp_min_mc=value(-20000, 60000),
        temp_mean_mc=value(-20000, 60000),
        cycles_count=chance.maybe(chance.below(9000), 4),
        dvl_mv=value(41000, 48000),
        cvl_mv=value(48000, 58000),
        charge_limit_ma=charge,
        discharge_limit_ma=discharge,
        charge_enabled=charge > 0 and chance.below(8) > 0,
        discharge_enabled=discharge > 0 and chance.below(8) > 0,
        force_charge=chance.below(5) == 0,
        full_charge_request=chance.below(5) == 0,
        n_total=chance.below(20),
        n_fresh=chance.below(20),
        warnings=chance.below(1 << 27),
        protections=chance.below(1 << 27) if chance.below(2) else 0,
        criticals=chance.below(1 << 27) if chance.below(4) == 0 else 0,
    )


def codecs():
    found = [pylontech_can.Codec(flavour=name) for name in sorted(FLAVOURS)]
    found.append(pylontech_can.Codec(invert_current=True, maker="a name\u00e4"))
    found.append(pylontech_hv_can.Codec())
    found.append(pylontech_hv_can.Codec(equipment=3, byte_order="big", current="signed"))
    found.append(byd_can.Codec(soc_follows_limits=True))
    return found


def messages():
    for codec in codecs():
        for _ in range(60):
            for can_id, data in codec.messages(battery()):
                told.line(text((can_id, data)) + text(codec.read((can_id, data))))
        told.line(text(codec.saturated))


def any_frames():
    for codec in codecs():
        for _ in range(60):
            can_id = chance.one_of((0x351, 0x35A, 0x35C, 0x305, 0x300, 0x151, 0x4200, 0x4250))
            data = bytes([chance.below(256) for _ in range(chance.below(10))])
            try:
                told.line(text(codec.read((can_id, data))))
            except FrameError as error:
                told.line(str(error))
            told.line(text(codec.heard(can_id, data, chance.below(2) == 0)))


class Clock:
    def __init__(self):
        self.us = (1 << 30) * 1000 - 20000000  # now_ms() passes 2**30 on the way

    def now_ms(self):
        return self.us // 1000

    def now_us(self):
        return self.us


class Log:
    def info(self, words, *values):
        heard.line(words % values)

    warning = info


class Bus:
    """Frames come by chance; sets are taken when they are due."""

    name = "can"

    def __init__(self, clock):
        self.clock = clock
        self.jobs = []
        self.until = clock.us + 400000000
        self.change = None

    def send(self, due_us, frames):
        self.jobs.append((due_us, frames))

    async def heard(self, timeout_ms):
        if self.clock.us > self.until:
            raise LinkError("the script ends")
        self.clock.us += timeout_ms * 1000 - chance.below(400)
        for due_us, frames in self.jobs:
            for can_id, data in frames():
                heard.line(text((due_us // 1000, can_id, data)))
        self.jobs = []
        kind = chance.below(9)
        if kind == 0:
            self.change()
        if kind == 1:
            self.clock.us += chance.below(5000000)
        if kind > 6:
            can_id = chance.one_of((0x305, 0x300, 0x151, 0x091, 0x4200, 0x123))
            data = bytes((chance.below(3),)) + bytes(7)
            return ((can_id, data, can_id == 0x4200),)
        return ()


async def broadcasts():
    required = pylontech_can.Codec(heartbeat="required", heartbeat_s=10000)
    for codec in codecs() + [required]:
        clock = Clock()
        bus = Bus(clock)
        broadcaster = Broadcaster(bus, clock, codec, Log())

        def change(broadcaster=broadcaster):
            heard.line(text(broadcaster.publish(chance.maybe(battery(), 5))))

        bus.change = change
        change()
        try:
            await broadcaster.run()
        except LinkError:
            pass
        heard.line(text(broadcaster.counters) + text(broadcaster.paused))


def the_end():
    told.close()
    heard.close()


TESTS = [messages, any_frames, broadcasts, the_end]
