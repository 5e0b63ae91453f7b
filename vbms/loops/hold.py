"""A link kept open: a port that is missing, in use or pulled out is tried again for ever."""

from vbms.errors import LinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from vbms.ports import Clock, Link, Log

FIRST_WAIT_MS = 1000
LONGEST_WAIT_MS = 30000


async def hold_open(
    link: "Link",
    clock: "Clock",
    body: "Callable[[], Coroutine[None, None, None]]",
    log: "Log",
    on_state: "Callable[[bool], None] | None" = None,
) -> None:
    """Open the link and run body; after a LinkError close it, wait (1 s doubling to 30 s), again.

    One ERROR line per change of what is wrong, one INFO line when it is well again.
    """
    wait = FIRST_WAIT_MS
    tries = 0
    said = ""
    while True:
        try:
            await link.open()
            if tries:
                log.info("%s: open again after %d tries", link.name, tries + 1)
            tries = 0
            said = ""
            if on_state is not None:
                on_state(True)
            opened = clock.now_ms()
            try:
                await body()
            finally:
                if clock.now_ms() - opened > LONGEST_WAIT_MS:
                    wait = FIRST_WAIT_MS  # it had been well: a new fault, not the old one
            return
        except LinkError as error:
            text = str(error)
            if text != said:
                log.error("%s: %s", link.name, text)
                said = text
        link.close()
        if on_state is not None:
            on_state(False)
        tries += 1
        await clock.sleep_ms(wait)
        wait = min(2 * wait, LONGEST_WAIT_MS)
