"""Everything that `vbms doctor` looks at, in the order in which it says so."""

import json
import os
import platform
import shutil
import socket
import sys
import time
import urllib.error
import urllib.request
from importlib import metadata
from urllib.parse import urlsplit

from vbms.config import LinkSettings, Settings
from vbms.doctor import FAILED, INFO, OK, WARNING, Finding
from vbms.doctor.machine import Machine
from vbms.doctor.serial_ports import adapters, check_port
from vbms.lines import kinds
from vbms.upstream import registry as upstream
from vbms.view import version

CORE = ("click", "microdot", "prometheus-client", "pydantic", "pyserial", "PyYAML")
EXTRAS = {
    "ble": ("bleak", "bleak-retry-connector"),
    "can": ("python-can",),
    "mqtt": ("aiomqtt",),
    "modbus": ("pymodbus",),
    "i2c": ("smbus2",),
    "gpio": ("gpiod",),
}
_BUILT_S = 1_760_000_000  # no clock that is right says less
_SLOW_S = 2.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_LITTLE_DISK = 50_000_000
_LITTLE_MEMORY_KB = 60_000


def everything(machine: Machine, settings: Settings | None) -> list[Finding]:
    """`settings`: None where the configuration is not sound; the machine is looked at anyway."""
    found = [*versions(), *clock(machine), *resources(machine), *adapters(machine)]
    if settings is not None:
        found += packages_for(settings)
        for link in settings.links.values():
            found += check_link(machine, link)
        found += outputs(machine, settings)
        found += state(settings)
        found += service(settings)
    return found


def versions() -> list[Finding]:
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    found = [
        Finding(INFO, "vbms", version()),
        Finding(INFO, "Python", f"{platform.python_version()}, {sys.executable}"),
        Finding(INFO, "system", system),
    ]
    here = [f"{name} {number}" for name in CORE if (number := installed(name))]
    found.append(Finding(INFO, "packages", ", ".join(here)))
    for name in CORE:
        if installed(name) is None:
            found.append(Finding(FAILED, "packages", f"{name} is missing", "pip install vbms"))
    return found


def installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def packages_for(settings: Settings) -> list[Finding]:
    """The extras that this configuration needs."""
    wanted: dict[str, str] = {}
    for battery in settings.batteries:
        kind = settings.links[battery.link].kind
        line = kinds.named(upstream.load(battery.protocol), kind, battery.address)
        if line.endswith(".registers"):
            wanted["modbus"] = battery.protocol
    for link in settings.links.values():
        if link.kind in EXTRAS:
            wanted[link.kind] = f"link {link.name}"
    if settings.mqtt is not None:
        wanted["mqtt"] = "mqtt:"
    for relay in settings.relays:
        if relay.output == "gpio":
            wanted["gpio"] = f"relay {relay.name}"
    found = []
    for extra, by in wanted.items():
        missing = [name for name in EXTRAS[extra] if installed(name) is None]
        if missing:
            text = f"{' and '.join(missing)} is missing, needed by {by}"
            found.append(Finding(FAILED, "packages", text, f"pip install 'vbms[{extra}]'"))
        else:
            here = ", ".join(f"{name} {installed(name)}" for name in EXTRAS[extra])
            found.append(Finding(OK, "packages", f"{here} for {by}"))
    return found


def clock(machine: Machine) -> list[Finding]:
    now = time.time()
    text = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(now))
    if now < _BUILT_S:
        advice = "timedatectl set-ntp true, or a battery for the clock; logs and history suffer"
        return [Finding(WARNING, "clock", f"{text} cannot be right", advice)]
    if machine.exists("/run/systemd/timesync") or machine.exists("/run/systemd/system"):
        if machine.exists("/run/systemd/timesync/synchronized"):
            return [Finding(OK, "clock", f"{text}, synchronised")]
        text += ", not known to be synchronised"
    return [Finding(INFO, "clock", text)]


def resources(machine: Machine) -> list[Finding]:
    found = []
    for line in (machine.read("/proc/meminfo") or "").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable" and rest.split()[0].isdigit():
            free_kb = int(rest.split()[0])
            state = WARNING if free_kb < _LITTLE_MEMORY_KB else OK
            found.append(Finding(state, "memory", f"{free_kb // 1024} MB free"))
    load = (machine.read("/proc/loadavg") or "").split()
    if load:
        cores = os.cpu_count() or 1
        busy = float(load[0]) > 2 * cores
        text = f"load {load[0]} on {cores} cores"
        advice = "an inverter waits some 200 ms for an answer" if busy else ""
        found.append(Finding(WARNING if busy else OK, "processor", text, advice))
    return found


def check_link(machine: Machine, link: LinkSettings) -> list[Finding]:
    subject = f"link {link.name}"
    if link.kind == "serial":
        return check_port(machine, link.name, link.port or "")
    if link.kind == "tcp":
        return _resolves(subject, link.host or "", link.tcp_port or 0)
    if link.kind == "mqtt":
        return _broker(subject, link.url or "")
    if link.kind == "ble":
        return _bluetooth(machine, subject, link.adapter or "hci0")
    if link.kind == "can":
        return _can(machine, link)
    return [Finding(INFO, subject, f"kind {link.kind}, nothing to look at")]


def _resolves(subject: str, host: str, port: int) -> list[Finding]:
    """The name alone: many gateways serve one client, and that may be vbms."""
    try:
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0]
    except OSError as error:
        return [Finding(FAILED, subject, f"host {host} is not known ({error})", "correct host:")]
    return [Finding(OK, subject, f"{host} is {address}; not connected to, it may serve one only")]


def _broker(subject: str, url: str) -> list[Finding]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
    try:
        socket.create_connection((host, port), _SLOW_S).close()
    except OSError as error:
        text = f"broker {host}:{port} cannot be reached ({error})"
        return [Finding(FAILED, subject, text, "is it on, is url: right?")]
    return [Finding(OK, subject, f"broker {host}:{port} is there")]


def _bluetooth(machine: Machine, subject: str, adapter: str) -> list[Finding]:
    there = machine.names("/sys/class/bluetooth")
    if adapter not in there:
        text = f"there is no adapter {adapter}"
        advice = f"there are: {', '.join(there)}" if there else "plug one in, or enable it"
        return [Finding(FAILED, subject, text, advice)]
    for name in machine.names(f"/sys/class/bluetooth/{adapter}"):
        folder = f"/sys/class/bluetooth/{adapter}/{name}"
        if name.startswith("rfkill"):
            blocked = [machine.read(f"{folder}/{kind}") for kind in ("soft", "hard")]
            if "1" in blocked:
                text = f"{adapter} is switched off"
                return [Finding(FAILED, subject, text, "rfkill unblock bluetooth")]
    if not machine.exists("/run/dbus/system_bus_socket"):
        text = "there is no D-Bus, and so no BlueZ"
        return [Finding(FAILED, subject, text, "apt-get install bluez dbus")]
    return [Finding(OK, subject, f"{adapter} is there")]


def _can(machine: Machine, link: LinkSettings) -> list[Finding]:
    channel, subject = link.channel or "", f"link {link.name}"
    if channel.startswith("/"):
        return check_port(machine, link.name, channel)
    if link.interface != "socketcan":
        return [Finding(INFO, subject, f"{link.interface} {channel}, not looked at")]
    state = machine.read(f"/sys/class/net/{channel}/operstate")
    up = f"ip link set {channel} up type can bitrate {link.bitrate}"
    if state is None:
        there = [
            name
            for name in machine.names("/sys/class/net")
            if machine.read(f"/sys/class/net/{name}/type") == "280"
        ]
        text = f"there is no CAN interface {channel}"
        advice = f"there are: {', '.join(there)}" if there else "plug the adapter in"
        return [Finding(FAILED, subject, text, advice)]
    if state == "down":
        return [Finding(FAILED, subject, f"{channel} is down", up)]
    return [Finding(OK, subject, f"{channel} is {state}")]


def outputs(machine: Machine, settings: Settings) -> list[Finding]:
    found = []
    if settings.mqtt is not None:
        found += _broker("mqtt", settings.mqtt.url)
    for relay in settings.relays:
        if relay.output != "gpio":
            continue
        chip = relay.chip or "/dev/gpiochip0"
        subject = f"relay {relay.name}"
        if not machine.exists(chip):
            found.append(Finding(FAILED, subject, f"{chip} does not exist", "correct chip:"))
        elif not machine.may_use(chip):
            advice = f"sudo usermod -aG {machine.group_of(chip)} $USER"
            found.append(Finding(FAILED, subject, f"no permission for {chip}", advice))
        else:
            found.append(Finding(OK, subject, f"{chip} may be used"))
    return found


def state(settings: Settings) -> list[Finding]:
    folder = settings.state_dir
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not os.access(there, os.W_OK):
        text = f"{folder} cannot be written"
        return [Finding(FAILED, "state_dir", text, "correct state_dir: or its owner")]
    free = shutil.disk_usage(there).free
    if free < _LITTLE_DISK:
        return [Finding(WARNING, "state_dir", f"{folder}: {free // 1_000_000} MB free")]
    return [Finding(OK, "state_dir", f"{folder}: may be written, {free // 1_000_000} MB free")]


def service(settings: Settings) -> list[Finding]:
    """What a vbms that runs with this configuration says of itself."""
    answer = ask(settings, "/healthz")
    if answer is None:
        return [Finding(INFO, "service", f"nothing answers on {base_url(settings)}")]
    try:
        health = json.loads(answer)
        text = f"version {health['version']}, state {health['state']}"
        reason = health.get("reason") or ""
        good = health["ok"] is True
    except (ValueError, KeyError, TypeError):
        text = f"something else answers on {base_url(settings)}"
        return [Finding(WARNING, "service", text, "another listen: in web")]
    return [Finding(OK if good else WARNING, "service", text, reason)]


def base_url(settings: Settings) -> str:
    host = _EVERYWHERE.get(settings.web.host, settings.web.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.web.port}"


def ask(settings: Settings, path: str) -> str | None:
    """What the running service says there; None where none does."""
    request = urllib.request.Request(base_url(settings) + path)
    if settings.web.token is not None:
        request.add_header("Authorization", f"Bearer {settings.web.token}")
    try:
        with urllib.request.urlopen(request, timeout=_SLOW_S) as answer:
            return str(answer.read(2_000_000).decode("utf-8", "replace"))
    except urllib.error.HTTPError as error:
        return error.read(100_000).decode("utf-8", "replace") if error.code == 503 else None
    except (OSError, ValueError):
        return None
