"""Which battery is told at which address, and how a bank is cut that one address cannot hold.

    bank     address 0. A bank of more than 655.34 Ah becomes shards by itself (not with shards=1)
    shards   addresses 0..k-1, each the same bank with 1/k of its Ah, its current and its limits
    units    one battery an address

An inverter adds up what its addresses tell, and its own sum of charge limits has 16 bits as well,
so over all addresses that sum stays within 655.34 A: where it would not, all are scaled down alike.
"""

from vbms.aggregate.virtual import VirtualBattery
from vbms.errors import ConfigError
from vbms.integers import ceil_div, toward_zero

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Pairs = tuple[tuple[int, VirtualBattery | None], ...]

BANK = "bank"
SHARDS = "shards"
UNITS = "units"
MODES = (BANK, SHARDS, UNITS)

MOST = 15  # addresses
TOP_MAH = 655340  # what one address can tell
TOP_MA = 327670
SUM_MA = 655340  # of the charge limits of all addresses


WHOLE = 100_000  # what shares are parts of


class Shard(VirtualBattery):
    """One of k equal parts of a bank. `whole` is that bank: its bits are told at each address."""

    whole: VirtualBattery

    def __init__(self, whole: VirtualBattery):
        for name in VirtualBattery.__slots__:
            setattr(self, name, getattr(whole, name))
        self.whole = whole


def present_bank(battery: VirtualBattery) -> "Pairs":
    """The bank as one battery at address 0."""
    return present_shards(battery, 1)


def present_shards(battery: VirtualBattery, k: int) -> "Pairs":
    """The bank as k batteries in parallel: limits and Ah floor, current and power toward zero."""
    whole = battery
    if battery.charge_limit_ma > SUM_MA:
        whole = battery.copy(charge_limit_ma=SUM_MA)
    pairs = []
    for number in range(k):
        part = Shard(whole)
        part.model = "VBMS"
        part.serial = "VB%018d" % (number + 1)
        if k > 1:
            for name in ("capacity_mah", "design_mah", "remaining_mah"):
                value = getattr(whole, name)
                if value is not None:
                    setattr(part, name, value // k)
            for name in ("current_ma", "power_mw"):
                value = getattr(whole, name)
                if value is not None:
                    setattr(part, name, toward_zero(value, k))
            part.charge_limit_ma = whole.charge_limit_ma // k
            part.discharge_limit_ma = whole.discharge_limit_ma // k
            part.own_charge_ma = whole.own_charge_ma // k
        pairs.append((number, part))
    return tuple(pairs)


def present_units(
    units: "Sequence[tuple[int, VirtualBattery | None]]", most_ma: int = SUM_MA
) -> "Pairs":
    """Each battery at its own address; charge limits scaled down where their sum is too much."""
    total = 0
    for _, battery in units:
        if battery is not None:
            total += battery.charge_limit_ma
    if total <= most_ma:
        return tuple(units)
    pairs: list[tuple[int, VirtualBattery | None]] = []
    for address, battery in units:
        if battery is not None:
            limit = battery.charge_limit_ma * most_ma // total
            battery = battery.copy(charge_limit_ma=limit)
        pairs.append((address, battery))
    return tuple(pairs)


def part_of(battery: VirtualBattery, share: int) -> VirtualBattery:
    """What an inverter is told that shares the bank with others, in parts per hundred thousand.

    Limits and Ah floor, current and power go toward zero: all parts together are never more than
    the whole, also for an inverter that works out limits of its own from Ah. Else it is the bank.
    """
    if share >= WHOLE:
        return battery
    part = battery.copy(
        charge_limit_ma=battery.charge_limit_ma * share // WHOLE,
        discharge_limit_ma=battery.discharge_limit_ma * share // WHOLE,
        own_charge_ma=battery.own_charge_ma * share // WHOLE,
    )
    for name in ("capacity_mah", "design_mah", "remaining_mah"):
        value = getattr(battery, name)
        if value is not None:
            setattr(part, name, value * share // WHOLE)
    for name in ("current_ma", "power_mw"):
        value = getattr(battery, name)
        if value is not None:
            setattr(part, name, toward_zero(value * share, WHOLE))
    return part


def overflows(battery: VirtualBattery) -> bool:
    """Whether one address cannot tell this bank's capacity."""
    return max(battery.capacity_mah or 0, battery.design_mah or 0) > TOP_MAH


def shards_needed(battery: VirtualBattery, cap_ma: int | None) -> int:
    """The fewest shards that can tell the bank's Ah, and currents up to its caps; at most 15."""
    most_mah = max(battery.capacity_mah or 0, battery.design_mah or 0)
    k = max(1, ceil_div(most_mah, TOP_MAH))
    if cap_ma is not None:
        k = max(k, ceil_div(cap_ma, TOP_MA))
    return min(MOST, k)


class Presenter:
    """Remembers how many shards there are: more may come, but none goes before a restart.

    cap_ma is the larger of the currents that the bank may ever be charged and discharged with, None
    if nobody states one. `notice` is a sentence for the log, set when the number of shards changes.
    """

    def __init__(self, mode: str = BANK, shards: int | None = None, cap_ma: int | None = None):
        if mode not in MODES:
            raise ConfigError("present: %s (bank, units or shards)" % mode)
        if shards is not None and not 1 <= shards <= MOST:
            raise ConfigError("shards: %d (1 to %d)" % (shards, MOST))
        self.mode = mode
        self.shards = shards
        self.cap_ma = cap_ma
        self.charge_cap_ma: int | None = None  # of the bank, for all of its units together
        self.k = shards if mode == SHARDS and shards else 1
        self.notice: str | None = None
        self.saturated: dict[str, int] = {}

    def present(
        self,
        battery: VirtualBattery | None,
        units: "Sequence[tuple[int, VirtualBattery | None]]" = (),
    ) -> "Pairs":
        """What is told at each address now; None: silence there.

        battery is the bank, None while it is not to be told; units are (address, battery or None),
        used for `units` only.
        """
        if self.mode == UNITS:
            cap = self.charge_cap_ma
            pairs = present_units(units, SUM_MA if cap is None else min(cap, SUM_MA))
            if pairs != tuple(units):
                self._count()
            return pairs
        if battery is None:
            return tuple([(address, None) for address in range(self.k)])
        self._grow(battery)
        if battery.charge_limit_ma > SUM_MA:
            self._count()
        return present_shards(battery, self.k)

    def _grow(self, battery: VirtualBattery) -> None:
        if self.shards == 1 or (self.mode == BANK and self.k == 1 and not overflows(battery)):
            return
        k = self.shards or shards_needed(battery, self.cap_ma)
        if k > self.k:
            self.k = k
            self.notice = "%s: told as %d equal batteries at addresses 0 to %d" % (
                battery.name,
                k,
                k - 1,
            )

    def _count(self) -> None:
        self.saturated["charge_limit_ma"] = self.saturated.get("charge_limit_ma", 0) + 1


class Undivided(Presenter):
    """For a protocol whose fields hold any bank: the whole of it, told once."""

    def present(
        self,
        battery: VirtualBattery | None,
        units: "Sequence[tuple[int, VirtualBattery | None]]" = (),
    ) -> "Pairs":
        return ((0, battery),)
