"""What the web pages and the metrics need to know, as shapes for type checkers.

Nothing here runs and no board carries it: the PC's program and the firmware each have a site of
their own that fits.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Protocol

    from vbms.aggregate.snapshot import Snapshot
    from vbms.aggregate.virtual import Reason, VirtualBattery

    class UnitRow(Protocol):
        """One enrolled battery, fresh or not. None is unknown."""

        name: str
        profile: str
        protocol: str
        link: str
        address: int | str | None
        slot: int  # its place in the configuration, or the one told
        state: str  # joining fresh hold lost retired disabled
        age_ms: int | None  # since its last good frame
        snapshot: Snapshot | None  # the last admitted one, however old
        capacity_mah: int | None  # what it counts with: its own, else by design and health
        design_mah: int | None
        remaining_mah: int | None
        charge_voltage_mv: int | None
        discharge_voltage_mv: int | None
        charge_limit_ma: int | None  # what it adds to the bank's limit now
        discharge_limit_ma: int | None
        charge_reasons: Sequence[Reason]  # the binding one first
        discharge_reasons: Sequence[Reason]
        counters: Mapping[str, int]  # polls timeouts bad_frames foreign refused implausible

    class Site(Protocol):
        """The whole installation, asked afresh for every page."""

        name: str
        version: str
        token: str | None  # None: none is configured
        loopback: bool  # whether only this machine can connect: then reading is open
        hosts: Sequence[str]  # names, without port, by which a browser may call us

        def bank(self) -> VirtualBattery: ...
        def units(self) -> Sequence[UnitRow]: ...

        def alone(self, name: str) -> VirtualBattery:
            """One unit as a bank of its own."""

        def words(self, battery: VirtualBattery) -> tuple[int, int, int]:
            """Its warning, protection and status words, as the DEYE registers have them."""

        def alarm_rows(self) -> Sequence[tuple[str, int, str | None, str, str]]:
            """(alarm, level 1..3, unit, first, last); wall times in ISO 8601, UTC."""

        def health(self) -> Mapping[str, object]:
            """ok state reason age_s inverters {name: {open, asked_s_ago}} version."""

        def wall_ms(self) -> int:
            """Milliseconds since 1970, or since the start where no clock is set."""

        def up_ms(self) -> int: ...
        def metrics_text(self) -> bytes: ...
