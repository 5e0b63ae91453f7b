"""A bug report in one file: findings, configuration, what the service says, logs; secrets removed.

Whatever is a secret somewhere (secrets.yaml, web.token, passwords, `!env` values, the name and
password in an address) is *** everywhere in the bundle, also where it comes by chance.
"""

import io
import json
import os
import re
import subprocess
import tarfile
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

from vbms.config import Settings
from vbms.doctor import Finding
from vbms.doctor.checks import ask

MASK = "***"
_PAGES = ("/healthz", "/api/bank", "/api/units", "/api/relays", "/api/events", "/metrics")
_NAMED = re.compile(
    r"""(?P<key>["']?\b\w*(?:token|password|passwd|passcode|secret)\w*["']?\s*[:=]\s*)"""
    r"""(?P<value>"[^"\n]*"|'[^'\n]*'|[^\s,}\]#]+)""",
    re.IGNORECASE,
)
_IN_URL = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^\s/@\"']+@")
_LOG_LINES = "500"
_SHORTEST = 3  # a secret of fewer characters would blank out half the bundle
_MOST_BYTES = 2_000_000


def write(
    path: Path, config: Path, settings: Settings | None, findings: Iterable[Finding]
) -> list[str]:
    """The names of what is in it. Raises OSError."""
    mask = Mask(secrets_of(config, settings))
    rows = [finding.row() for finding in findings]
    files = {"doctor.json": json.dumps(rows, indent=1)}
    files["packages.txt"] = packages()
    text = _text(config)
    if text is not None:
        files[config.name] = text
    for profile in sorted((config.parent / "profiles").rglob("*.yaml")):
        files[f"profiles/{profile.parent.name}/{profile.name}"] = _text(profile) or ""
    if settings is not None:
        state = _text(settings.state_dir / "state.json")
        if state is not None:
            files["state.json"] = state
        for page in _PAGES:
            answer = ask(settings, page)
            if answer is not None:
                files[f"service{page.replace('/api', '')}.txt"] = answer
    log = journal()
    if log:
        files["log.txt"] = log
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            data = mask(content).encode()
            entry = tarfile.TarInfo(f"vbms-bundle/{name}")
            entry.size = len(data)
            entry.mtime = int(time.time())
            entry.mode = 0o600
            tar.addfile(entry, io.BytesIO(data))
    os.chmod(path, 0o600)
    return list(files)


class Mask:
    """Text in, the same without secrets out."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {each for each in secrets if len(each) >= _SHORTEST}
        self._known = sorted(known, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._known:
            for form in {secret, json.dumps(secret)[1:-1]}:
                text = text.replace(form, MASK)
        text = _IN_URL.sub(lambda found: f"{found['scheme']}{MASK}@", text)
        return _NAMED.sub(_blank, text)


def _blank(found: "re.Match[str]") -> str:
    value = found["value"]
    if value.startswith("!") or value in ("null", "true", "false", MASK, f'"{MASK}"'):
        return found[0]  # a secret's name, or none at all
    quote = value[0] if value[0] in "\"'" else ""
    return f"{found['key']}{quote}{MASK}{quote}"


def secrets_of(config: Path, settings: Settings | None) -> set[str]:
    """Every value that must not be shown, from wherever it comes."""
    found: set[str] = set()
    try:
        kept = yaml.safe_load((config.parent / "secrets.yaml").read_text("utf-8"))
        if isinstance(kept, dict):
            found |= {str(value) for value in kept.values() if value is not None}
    except (OSError, ValueError, yaml.YAMLError):
        pass
    for name in re.findall(r"!env\s+[\"']?(\w+)", _text(config) or ""):
        if os.environ.get(name):
            found.add(os.environ[name])
    if settings is None:
        return found
    values = [settings.web.token]
    urls = []
    for place in (settings.mqtt, *settings.links.values()):
        if place is not None:
            values += [place.password]
            urls.append(place.url or "")
    for url in urls:
        parts = urlsplit(url)
        values += [parts.password, unquote(parts.password or "")]
    return found | {value for value in values if value}


def packages() -> str:
    """What is installed, one a line."""
    names = {(each.metadata["Name"] or "?", each.version) for each in metadata.distributions()}
    return "\n".join(f"{name} {number}" for name, number in sorted(names)) + "\n"


def journal() -> str:
    """The service's last lines under systemd; nothing where there is none."""
    command = ("journalctl", "-u", "vbms", "-n", _LOG_LINES, "--no-pager", "-o", "short-iso")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout[-_MOST_BYTES:] if done.returncode == 0 else ""


def _text(path: Path) -> str | None:
    try:
        with open(path, "rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
