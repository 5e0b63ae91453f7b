"""A relay on a pin of this computer, through the kernel's GPIO lines and libgpiod's binding.

The line is asked for as an output that is off, so it is off before anything else happens. When the
program dies the kernel takes the line back and most chips leave it as it was: off comes with the
next start, or with a pull resistor and a chip that returns to input.
"""

import contextlib
from typing import Any

from vbms.errors import LinkError
from vbms.settings.shapes import RelaySettings


class Gpio:
    """One line of one chip; asked for again whenever it was lost."""

    def __init__(self, chip: str, line: "int | str", active_low: bool) -> None:
        self._chip = chip if "/" in chip else f"/dev/{chip}"
        self._line = line
        self._active_low = active_low
        self._request: Any = None
        self._values: Any = None

    async def put(self, on: bool) -> None:
        try:
            self._open()
            values = self._values
            self._request.set_value(self._line, values.ACTIVE if on else values.INACTIVE)
        except OSError as error:
            self._drop()
            raise LinkError(f"{self._where()}: {error.strerror or error}") from None
        except ValueError as error:  # no line of that name, no such chip
            self._drop()
            raise LinkError(f"{self._where()}: {error}") from None

    def force_off(self) -> None:
        if self._request is not None:
            try:
                self._request.set_value(self._line, self._values.INACTIVE)
            except (OSError, ValueError) as error:
                raise LinkError(f"{self._where()}: {error}") from None

    def close(self) -> None:
        with contextlib.suppress(LinkError):
            self.force_off()
        self._drop()

    def _open(self) -> None:
        if self._request is not None:
            return
        try:
            import gpiod
            from gpiod.line import Direction, Value
        except ImportError:
            raise LinkError("gpiod is not installed: pip install 'vbms[gpio]'") from None
        self._values = Value
        settings = gpiod.LineSettings(
            direction=Direction.OUTPUT, active_low=self._active_low, output_value=Value.INACTIVE
        )
        self._request = gpiod.request_lines(
            self._chip, consumer="vbms", config={self._line: settings}
        )

    def _drop(self) -> None:
        request, self._request = self._request, None
        if request is not None:
            with contextlib.suppress(OSError, ValueError):
                request.release()

    def _where(self) -> str:
        return f"{self._chip} line {self._line}"


def make(settings: RelaySettings) -> Gpio:
    return Gpio(settings.chip or "", settings.line or 0, settings.active_low)
