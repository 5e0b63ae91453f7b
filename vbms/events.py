"""What happened lately: the edges, newest first, in memory only.

A line in the log is for whoever keeps logs; this is the same for the page and for programs.
"""

from collections import deque

MOST = 500
LEVELS = {10: "debug", 20: "info", 30: "warning", 40: "error", 50: "error"}

# What an event may be about.
SERVICE = "service"  # start, configuration
BANK = "bank"
UNIT = "unit"
ALARM = "alarm"
LIMIT = "limit"
CHARGE = "charge"
INVERTER = "inverter"
RELAY = "relay"
ACKNOWLEDGE = "acknowledge"
KINDS = (SERVICE, BANK, UNIT, ALARM, LIMIT, CHARGE, INVERTER, RELAY, ACKNOWLEDGE)

Row = tuple[int, str, str, str, "str | None", str]  # number, wall time, kind, level, of, text


class Events:
    """A bounded list; numbers go on counting, so that a reader knows what it has seen."""

    def __init__(self, most: int = MOST) -> None:
        self._rows: deque[Row] = deque(maxlen=most)
        self._count = 0

    def add(self, at: str, kind: str, level: int, of: str | None, text: str) -> None:
        """at: ISO 8601 UTC; level: as logging has it; of: a battery, an inverter, None the site."""
        self._count += 1
        self._rows.append((self._count, at, kind, LEVELS.get(level, "info"), of, text))

    def rows(self) -> list[Row]:
        """Newest first."""
        return list(reversed(self._rows))
