"""Values with a form of their own: names, paths, speeds, addresses to listen on."""

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from vbms.options import INT, TEXT, Option
from vbms.settings.text import Listing, Mapping, Node, Resolved, Scalar
from vbms.settings.values import Wrong, allowed, wrong

BAUDS = (
    *(1200, 2400, 4800, 9600, 14400, 19200, 28800, 38400, 57600, 76800, 115200, 230400, 250000),
    *(460800, 500000, 576000, 921600, 1000000),
)
_NAME = re.compile(r"[^\W_][\w.-]{0,39}")
_PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}", re.ASCII)
_LINE = re.compile(r"[A-Za-z_][A-Za-z0-9_.+-]{0,31}")
_HOST = re.compile(r"[A-Za-z0-9_.:%-]{1,253}")


def is_name(text: str) -> bool:
    """Fit for a label, a path and a log line."""
    return _NAME.fullmatch(text) is not None


def is_profile_name(text: str) -> bool:
    """A file's name without its ending, and no way out of the folder."""
    return _PROFILE.fullmatch(text) is not None


def is_loopback(host: str) -> bool:
    """Only programs on this machine reach it."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def split_listen(text: str) -> tuple[str, int] | None:
    """HOST:PORT or [IPv6]:PORT; None if it is neither."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        return None
    if not colon or not _HOST.fullmatch(host):
        return None
    if not port.isascii() or not port.isdigit() or len(port) > 5 or int(port) > 65535:
        return None
    return host, int(port)


def _read_name(option: Option, node: Scalar) -> str:
    if not is_name(node.text):
        raise wrong(option, node, "is no name")
    return node.text


def _read_profile_name(option: Option, node: Scalar) -> str:
    if not is_profile_name(node.text):
        raise wrong(option, node, "is no profile's name")
    return node.text


def _read_path(option: Option, node: Scalar) -> str:
    if not node.text.strip() or not node.text.isprintable():
        raise wrong(option, node, "is no path")
    return node.text


def _read_device(option: Option, node: Scalar) -> str:
    if not node.text.startswith("/") or not node.text.isprintable():
        raise wrong(option, node, "is no device")
    return node.text


def _read_label(option: Option, node: Scalar) -> str:
    if not node.text.isprintable() or not 1 <= len(node.text.strip()) <= 60:
        raise wrong(option, node, "is no title")
    return node.text.strip()


def _read_baud(option: Option, node: Scalar) -> int:
    if node.quoted or node.text not in [str(baud) for baud in BAUDS]:
        raise wrong(option, node, "is no speed of a serial port")
    return int(node.text)


def _read_listen(option: Option, node: Scalar) -> tuple[str, int]:
    found = split_listen(node.text)
    if found is None:
        raise wrong(option, node, "is no address to listen on")
    return found


def _read_host(option: Option, node: Scalar) -> str:
    if not _HOST.fullmatch(node.text):
        raise wrong(option, node, "is no host")
    return node.text


def _read_broker(option: Option, node: Scalar) -> str:
    try:
        parts = urlsplit(node.text)
        fine = parts.scheme in ("mqtt", "mqtts") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or not node.text.isascii() or not node.text.isprintable() or " " in node.text:
        # Not quoted: it may hold a password.
        raise Wrong(("", node.line, "is no broker's address", allowed(option)))
    return node.text


def _read_topic(option: Option, node: Scalar) -> str:
    if not 1 <= len(node.text) <= 200 or set("+#\0") & set(node.text):
        raise wrong(option, node, "is no topic")
    return node.text


def _read_gpio_line(option: Option, node: Scalar) -> int | str:
    text = node.text
    if not node.quoted and text.isascii() and text.isdigit() and len(text) <= 4:
        return int(text)
    if not _LINE.fullmatch(text):
        raise wrong(option, node, "is no GPIO line")
    return text


def read_argv(option: Option, node: Node) -> tuple[str, ...]:
    """A program and its arguments, each a word of its own: no shell divides or expands anything."""
    if isinstance(node, Scalar) and not node.is_null:
        raise Wrong(("", node.line, f"is {node.shown()}, one text", ARGV))
    if not isinstance(node, Listing) or not node.items:
        raise Wrong(("", node.line, "names no program", ARGV))
    words: list[str] = []
    for at, item in enumerate(node.items):
        if isinstance(item, (Listing, Mapping)) or item.is_null:
            raise Wrong((f"[{at}]", item.line, "is no text", ARGV))
        if isinstance(item, Resolved) and not item.known:
            raise Wrong()
        if "\0" in item.text or (at == 0 and not item.text.strip()):
            raise Wrong((f"[{at}]", item.line, "is no word of a command", ARGV))
        words.append(item.text)
    return tuple(words)


Form = tuple[str, Callable[[Option, Scalar], object], str]  # kind, reader, what it takes in words

NAME: Form = (TEXT, _read_name, "1..40 letters, digits, - _ or . without spaces")
PROFILE: Form = (TEXT, _read_profile_name, "a file in profiles/, its name without .yaml")
LABEL: Form = (TEXT, _read_label, "1..60 printable characters")
PATH: Form = (TEXT, _read_path, "a path")
DEVICE: Form = (TEXT, _read_device, "a path such as /dev/ttyUSB0, best one in /dev/serial/by-id/")
BAUD: Form = (INT, _read_baud, ", ".join(str(baud) for baud in BAUDS))
LISTEN: Form = (TEXT, _read_listen, "ADDRESS:PORT such as 127.0.0.1:8080, port 0..65535")
HOST: Form = (TEXT, _read_host, "a name or an IP address, the port apart")
TOPIC: Form = (TEXT, _read_topic, "1..200 characters without + and #")
GPIO_LINE: Form = (TEXT, _read_gpio_line, "a number from 0, or the line's name")
ARGV = "a list: the program and its arguments, such as [/usr/bin/gpioset, -c, gpiochip0]"
BROKER: Form = (TEXT, _read_broker, "mqtt://HOST[:PORT] or mqtts://HOST[:PORT]")
