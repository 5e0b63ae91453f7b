"""What the web pages and the metrics need to know, as shapes for type checkers.

Nothing here runs and no board carries it: the PC's program and the firmware each have a site of
their own that fits. Everything is read; all that changes something is a person's word.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from typing import Any, Protocol

    from vbms.aggregate.snapshot import Snapshot
    from vbms.aggregate.virtual import Reason, VirtualBattery

    Call = Callable[[dict[str, Any]], Awaitable[object]]

    class UnitRow(Protocol):
        """One enrolled battery, fresh or not. None is unknown."""

        @property
        def name(self) -> str: ...
        @property
        def profile(self) -> str: ...
        @property
        def protocol(self) -> str: ...
        @property
        def link(self) -> str: ...
        @property
        def address(self) -> int | str | None: ...
        @property
        def slot(self) -> int:
            """Its place in the configuration, or the one told there."""

        @property
        def state(self) -> str:
            """joining fresh hold lost retired disabled mismatch"""

        @property
        def acknowledged(self) -> bool:
            """Retired, and a person has said so: nothing is reserved for it."""

        @property
        def age_ms(self) -> int | None:
            """Since its last good frame."""

        @property
        def snapshot(self) -> Snapshot | None:
            """The last one admitted, however old."""

        @property
        def capacity_mah(self) -> int | None:
            """What it counts with: its own, else by design and health."""

        @property
        def design_mah(self) -> int | None: ...
        @property
        def remaining_mah(self) -> int | None: ...
        @property
        def charge_voltage_mv(self) -> int | None: ...
        @property
        def discharge_voltage_mv(self) -> int | None: ...
        @property
        def charge_limit_ma(self) -> int | None:
            """What it is counted on for now."""

        @property
        def discharge_limit_ma(self) -> int | None: ...
        @property
        def charge_reasons(self) -> Sequence[Reason]:
            """The binding one first."""

        @property
        def discharge_reasons(self) -> Sequence[Reason]: ...
        @property
        def counters(self) -> Mapping[str, int]:
            """polls timeouts bad_frames foreign refused implausible"""

    class RelayRow(Protocol):
        """A charger behind a relay."""

        @property
        def name(self) -> str: ...
        @property
        def of(self) -> str | None:
            """The battery it charges; None: the whole bank."""

        @property
        def output(self) -> str:
            """gpio command simulate"""

        @property
        def state(self) -> str:
            """initial_charge idle charge timeout fault"""

        @property
        def on(self) -> bool | None:
            """How it stands; None: nobody knows."""

        @property
        def why(self) -> str:
            """One of aggregate/relay.py's reasons."""

        @property
        def error(self) -> str | None:
            """Why it cannot be switched."""

        @property
        def on_ms(self) -> int:
            """Of this charge."""

        @property
        def charger_ma(self) -> int: ...
        @property
        def low_permille(self) -> int: ...
        @property
        def timeout_ms(self) -> int: ...

    class Site(Protocol):
        """The whole installation, asked afresh for every page."""

        @property
        def name(self) -> str: ...
        @property
        def version(self) -> str: ...
        @property
        def token(self) -> str | None:
            """None: none is configured."""

        @property
        def loopback(self) -> bool:
            """Whether only this machine can connect: then reading is open."""

        @property
        def hosts(self) -> Sequence[str]:
            """Names, without port, by which a browser may call us."""

        def bank(self) -> VirtualBattery: ...
        def units(self) -> Sequence[UnitRow]: ...

        def alone(self, name: str) -> VirtualBattery:
            """One unit as a bank of its own."""

        def words(self, battery: VirtualBattery) -> tuple[int, int, int]:
            """Its warning, protection and status words, as the DEYE registers have them."""

        def alarm_rows(self) -> Sequence[tuple[str, int, str | None, str, str, str]]:
            """(alarm, level 1..3, unit, first, last, why); wall times in ISO 8601, UTC."""

        def events(self) -> Sequence[tuple[int, str, str, str, str | None, str]]:
            """(number, wall time, kind, level, of what, text), newest first."""

        def acknowledge(self, name: str) -> str | None:
            """A person has seen that a unit is retired; or, by the bank's name, that an inverter
            did not obey. None: done; else why not."""

        def want_full(self) -> None:
            """A person asks for a full charge."""

        def relays(self) -> Sequence[RelayRow]: ...

        def clear_relay(self, name: str) -> str | None:
            """A person ends a charger's time-out. None: done; else why not."""

        def calls(self) -> Sequence[tuple[str, bool, Call]]:
            """(name, whether it changes something, what it does) of further calls by name.

            A call takes its arguments and gives plain data; RefusedError, its code an HTTP status.
            """

        def health(self) -> Mapping[str, object]:
            """ok state reason age_s inverters {name: {open, asked_s_ago}} version."""

        def wall_ms(self) -> int:
            """Milliseconds since 1970, or since the start where no clock is set."""

        def up_ms(self) -> int: ...
        def metrics_text(self) -> bytes: ...
