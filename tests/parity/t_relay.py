"""Weeks of a charger behind a relay: the same decisions on both."""

from kit import Chance, Digest, fields, text

from vbms.aggregate.relay import Relay, RelayProfile
from vbms.aggregate.virtual import VirtualBattery

chance = Chance(41)
digest = Digest("relay")
profile = RelayProfile(10000, timeout_ms=3600000, retry_ms=40000000)
relay = Relay(profile)
now_ms = (1 << 30) - 400000
seen = []


def one_hour():
    global now_ms, relay
    soc = chance.between(700, 1000)
    state = chance.one_of(("normal", "normal", "normal", "partial", "zero", "error", "starting"))
    for _ in range(chance.between(1, 12)):
        now_ms += chance.one_of((1000, 1000, 30000, 61000, 900000))
        battery = VirtualBattery(
            soc_permille=chance.maybe(soc, 30),
            charge_limit_ma=chance.one_of((50000, 50000, 50000, 9999, 0)),
            cell_max_mv=chance.maybe(chance.between(3300, 3500), 20),
            state=state,
            age_ms=chance.maybe(500, 30),
            criticals=chance.one_of((0, 0, 0, 0, 0, 0, 0, 0, 0, 4096)),
        )
        relay.broken = chance.below(30) == 0
        relay.step(battery, now_ms)
        digest.line(fields(relay, ("on", "state", "phase", "why", "on_ms", "filled")))
        if relay.state not in seen:
            seen.append(relay.state)
    if chance.below(20) == 0:
        digest.line(text(relay.clear()))
    if chance.below(10) == 0:
        kept = relay.kept()
        digest.line(text(kept))
        relay = Relay(profile)
        relay.resume(kept)


def the_end():
    if len(seen) < 5:
        raise ValueError("only these states were seen: " + text(seen))
    digest.close()


TESTS = [one_hour] * 200 + [the_end]
