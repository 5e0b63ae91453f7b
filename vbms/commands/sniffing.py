"""What the bytes on a line are, for `vbms sniff`: requests and answers of every known protocol."""

from collections.abc import Iterable

from vbms.commands.decode import read
from vbms.downstream import registry as downstream
from vbms.errors import FrameError
from vbms.options import INT
from vbms.upstream import registry as upstream
from vbms.wire.receiver import Receiver

_SHOWN = (
    ("voltage_mv", "V", 1000, 2),
    ("current_ma", "A", 1000, 2),
    ("soc_permille", "%", 10, 1),
    ("capacity_mah", "Ah", 1000, 1),
    ("function", "", 1, 0),
    ("start", "", 1, 0),
    ("count", "", 1, 0),
)
_MOST_ADDRESSES = 256


class Explainer:
    """Bytes as they come, words for every frame in them."""

    def __init__(self, protocols: Iterable[str]) -> None:
        self._requests: dict[bytes, str] = {}
        self._receivers: list[tuple[str, Receiver]] = []
        for protocol in protocols:
            if protocol in upstream.DRIVERS:
                if not hasattr(upstream.load(protocol).Codec, "take"):
                    continue  # registers that pymodbus reads
                self._know_requests(protocol)
                codec = upstream.load(protocol).Codec()
            else:
                codec = downstream.load(protocol).Codec()
            self._receivers.append((protocol, Receiver(codec.take, 4096)))
        self._tail = b""

    def _know_requests(self, protocol: str) -> None:
        driver = upstream.load(protocol)
        option = next((row for row in driver.OPTIONS if row.name == "address"), None)
        places: list[dict[str, int]] = [{}]
        if option is not None and option.kind == INT:
            low, high = option.low or 0, option.high or 0
            places = [{"address": at} for at in range(low, min(high, low + _MOST_ADDRESSES) + 1)]
        for place in places:
            for slot, (_, request) in enumerate(driver.Codec(**place).requests()):
                if request:
                    where = f" address {place['address']}" if place else ""
                    what = "" if slot == 0 else f" (slot {slot})"
                    self._requests[request] = f"{protocol}{where}: asked{what}"

    def feed(self, data: bytes) -> list[str]:
        """What these bytes complete, in words."""
        found = []
        buffer = self._tail + data
        for request, text in self._requests.items():
            at = buffer.find(request)
            if at >= 0 and at + len(request) > len(self._tail):
                found.append(text)
        longest = max((len(request) for request in self._requests), default=1)
        self._tail = buffer[-(longest - 1) :] if longest > 1 else b""
        for protocol, receiver in self._receivers:
            for frame in receiver.feed(data):
                found.append(f"{protocol}{_said(protocol, frame)}")
        return found

    def silence(self) -> None:
        """Nobody goes on with what was begun."""
        self._tail = b""
        for _, receiver in self._receivers:
            receiver.clear()


def _said(protocol: str, frame: bytes) -> str:
    try:
        values, refusal = read(protocol, frame)
    except FrameError as error:
        return f": {error}"
    if isinstance(values, list):
        values = values[-1] if values else {}
    where = values.get("address", values.get("ack_address"))
    words = [] if refusal is None else [refusal]
    for name, unit, size, places in _SHOWN:
        value = values.get(name)
        if isinstance(value, int):
            number = f"{value / size:.{places}f}" if size > 1 else f"{name} {value}"
            words.append(f"{number} {unit}".strip())
    return ("" if where is None else f" address {where}") + ": " + (", ".join(words) or "a frame")


def known() -> list[str]:
    """Every protocol that speaks in frames of bytes on a line."""
    found = [name for name in upstream.DRIVERS if _on_a_line(upstream.load(name))]
    return found + [name for name in downstream.DRIVERS if _on_a_line(downstream.load(name))]


def _on_a_line(driver: object) -> bool:
    return "serial" in getattr(driver, "LINKS", ("serial",)) and not hasattr(driver, "LINE")
