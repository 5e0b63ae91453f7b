"""Serial ports: there, allowed, free, named so that they stay, and quick enough."""

from vbms.doctor import FAILED, INFO, OK, WARNING, Finding
from vbms.doctor.machine import Machine

BY_ID = "/dev/serial/by-id"
_PREFIXES = ("ttyUSB", "ttyACM", "ttyAMA", "ttySC", "ttyXR")


def adapters(machine: Machine) -> list[Finding]:
    """Every adapter there is, whether configured or not."""
    stable = stable_names(machine)
    found = []
    for name in machine.names("/dev"):
        if name.startswith(_PREFIXES):
            path = f"/dev/{name}"
            driver = machine.driver_of(name) or "unknown driver"
            found.append(Finding(INFO, path, ", ".join([driver, *stable.get(path, ())])))
    return found or [Finding(INFO, "serial adapters", "there is none")]


def stable_names(machine: Machine) -> dict[str, list[str]]:
    """Names in by-id/ by the port they lead to."""
    found: dict[str, list[str]] = {}
    for name in machine.names(BY_ID):
        found.setdefault(machine.real(f"{BY_ID}/{name}"), []).append(f"{BY_ID}/{name}")
    return found


def check_port(machine: Machine, link: str, port: str) -> list[Finding]:
    """One port that the configuration names."""
    subject = f"link {link}"
    if not machine.exists(port):
        there = [name for names in stable_names(machine).values() for name in names]
        advice = "plug the adapter in, or correct its path"
        if there:
            advice += f" (there are: {', '.join(there)})"
        return [Finding(FAILED, subject, f"{port} does not exist", advice)]
    if not machine.is_device(port):
        return [Finding(FAILED, subject, f"{port} is no serial port", "correct its path")]
    found = []
    if not machine.may_use(port):
        group = machine.group_of(port)
        advice = f"sudo usermod -aG {group} $USER, then log in again (a service: restart it)"
        found.append(Finding(FAILED, subject, f"no permission for {port}", advice))
    users = machine.users_of(port)
    if users:
        mine = all(user.startswith("vbms") for user in users)
        state = INFO if mine else WARNING
        advice = "" if mine else "stop it, or only one of the two gets the answers"
        found.append(Finding(state, subject, f"{port} is open in {', '.join(users)}", advice))
    found += _name(machine, subject, port)
    found += _speed(machine, subject, machine.real(port).removeprefix("/dev/"))
    return found or [Finding(OK, subject, f"{port} is there and may be used")]


def _name(machine: Machine, subject: str, port: str) -> list[Finding]:
    if not port.startswith("/dev/ttyUSB") and not port.startswith("/dev/ttyACM"):
        return []
    names = stable_names(machine).get(machine.real(port), [])
    advice = f"port: {names[0]}" if names else "a udev rule with SYMLINK+= for this USB socket"
    text = f"{port} may be another adapter after a restart"
    return [Finding(WARNING, subject, text, advice)]


def _speed(machine: Machine, subject: str, tty: str) -> list[Finding]:
    driver = machine.driver_of(tty) or ""
    found = []
    latency = machine.read(f"/sys/bus/usb-serial/devices/{tty}/latency_timer")
    if latency is not None and latency.isdigit() and int(latency) > 1:
        path = f"/sys/bus/usb-serial/devices/{tty}/latency_timer"
        text = f"the FTDI adapter keeps bytes back for up to {latency} ms"
        advice = f"vbms asks for low latency when it opens the port; else: echo 1 > {path}"
        found.append(Finding(WARNING, subject, text, advice))
    if driver.startswith("ch34"):
        text = "a CH341 adapter: bytes may come up to 50 ms late, old ones after opening"
        advice = "an FTDI adapter for the inverter's line"
        found.append(Finding(WARNING, subject, text, advice))
    model = machine.read("/proc/device-tree/model") or ""
    if "Raspberry Pi" in model and driver in ("serial8250", "bcm2835-aux-uart"):
        text = "the Raspberry Pi's mini-UART: its speed follows the processor's clock"
        advice = "the PL011 port: dtoverlay=disable-bt, then /dev/ttyAMA0"
        found.append(Finding(WARNING, subject, text, advice))
    return found
