"""Calls by name that only the PC's program answers: a scan, the configuration."""

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from vbms import events
from vbms.errors import LinkError, RefusedError
from vbms.rewrite import Draft

if TYPE_CHECKING:
    from vbms.app import Site
    from vbms.links.ble_radio import Radio

Args = dict[str, object]
Call = Callable[[Args], Awaitable[object]]

_NOT_HERE = 501
_CONFLICT = 409


class Calls:
    """What VBMS.ScanBLE, Config.Get, Config.Set, Config.Save and Sys.Reboot do here."""

    def __init__(self, site: "Site") -> None:
        self._site = site
        self._draft: Draft | None = None
        self._radio: Radio | None = None

    def rows(self) -> list[tuple[str, bool, Call]]:
        """(name, whether it changes something, call)."""
        return [
            ("VBMS.ScanBLE", False, self._scan),
            ("Config.Get", False, self._get),
            ("Config.Set", True, self._set),
            ("Config.Save", True, self._save),
            ("Sys.Reboot", True, self._reboot),
        ]

    async def _scan(self, args: Args) -> object:
        """{timestamp, ble: [{addr, name, rssi}]} or {timestamp, error}."""
        from vbms.lines.ble import BleLine
        from vbms.links.ble_found import scan_for_call
        from vbms.links.ble_radio import Radio

        for line in self._site.lines.values():
            if isinstance(line, BleLine):  # it knows when the adapter is busy
                self._radio = line.radio
        if self._radio is None:
            links = self._site.settings.links.values()
            adapters = [link.adapter for link in links if link.kind == "ble"]
            self._radio = Radio(adapters[0] if adapters else None)
        stamp = self._site.view.wall_ms() // 1000
        try:
            found = await scan_for_call(self._radio)
        except LinkError as error:
            return {"timestamp": stamp, "error": str(error)}
        if isinstance(found, str):
            return {"timestamp": stamp, "error": found}
        return {"timestamp": stamp, "ble": found}

    async def _get(self, args: Args) -> object:
        """vbms.yaml as it stands, or as it was set and not saved yet; each secret as ***."""
        return self._draft.shown if self._draft is not None else self._site.settings.masked()

    async def _set(self, args: Args) -> object:
        """Change some keys. Everything is checked first; one error, and nothing changes."""
        self._allow()
        patch = args.get("config")
        if not isinstance(patch, dict):
            raise RefusedError('Config.Set wants {"config": {...}, "save": true}')
        self._draft = Draft.make(self._site.settings.path, self._draft, patch)
        if args.get("save") is True:
            return await self._save({})
        return {"saved": False}

    async def _save(self, args: Args) -> object:
        """Write what was set, and go on with it."""
        self._allow()
        if self._draft is None:
            raise RefusedError("nothing was set", _CONFLICT)
        draft, self._draft = self._draft, None
        kept = draft.save()
        text = f"configuration changed over the network, the old one is {kept}"
        self._site.journal.say(logging.WARNING, events.SERVICE, None, text)
        return {"saved": True, "reloaded": await self._site.reload(self._site.settings.path)}

    async def _reboot(self, args: Args) -> object:
        text = "this computer is not restarted from here; a saved configuration needs no restart"
        raise RefusedError(text, _NOT_HERE)

    def _allow(self) -> None:
        """A configuration can name commands to run: nobody changes it without having proved who."""
        if self._site.settings.web.token is None:
            raise RefusedError("the configuration is changed only where web.token is set", 403)
