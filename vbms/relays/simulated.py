"""A relay that is not there: it only remembers how it stands."""

from vbms.settings.shapes import RelaySettings


class Simulated:
    """`on`: how it stands; None before it was ever switched."""

    def __init__(self) -> None:
        self.on: bool | None = None

    async def put(self, on: bool) -> None:
        self.on = on

    def force_off(self) -> None:
        self.on = False

    def close(self) -> None:
        self.on = False


def make(settings: RelaySettings) -> Simulated:
    return Simulated()
