"""Last resorts with BlueZ: an adapter's power off and on, and links of a life before this one."""

import asyncio
import contextlib

from vbms.links.ble_radio import reason

_OFF_S = 1.0
_LIMIT_S = 8.0


async def reset(adapter: str) -> str | None:
    """Switch the adapter off and on. None: done; else why it could not be."""
    try:
        from dbus_fast import BusType, Message, MessageType, Variant
        from dbus_fast.aio import MessageBus
    except ImportError:
        return "only BlueZ's can be"
    try:
        async with asyncio.timeout(_LIMIT_S):
            bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
            try:
                for on in (False, True):
                    reply = await bus.call(
                        Message(
                            destination="org.bluez",
                            path=f"/org/bluez/{adapter}",
                            interface="org.freedesktop.DBus.Properties",
                            member="Set",
                            signature="ssv",
                            body=["org.bluez.Adapter1", "Powered", Variant("b", on)],
                        )
                    )
                    if reply is None or reply.message_type is MessageType.ERROR:
                        return str(reply.body[0] if reply and reply.body else "no answer")
                    await asyncio.sleep(_OFF_S)
            finally:
                bus.disconnect()
    except Exception as error:
        return reason(error)
    return None


async def free(address: str) -> None:
    """End a link that an earlier life of this program left: such a device does not advertise."""
    with contextlib.suppress(Exception):
        from bleak_retry_connector import close_stale_connections_by_address

        async with asyncio.timeout(_LIMIT_S):
            await close_stale_connections_by_address(address)
