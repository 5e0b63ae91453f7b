"""A link kept open: a port that is missing, in use or pulled out is tried again for ever."""

from vbms.errors import LinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from logging import Logger

    from vbms.ports import Clock, Link

FIRST_WAIT_MS = 1000
LONGEST_WAIT_MS = 30000


async def hold_open(
    link: "Link",
    clock: "Clock",
    body: "Callable[[], Coroutine[None, None, None]]",
    log: "Logger",
    on_state: "Callable[[bool], None] | None" = None,
) -> None:
    """Open the link and run body; after a LinkError close it, wait (1 s doubling to 30 s), again.

    One ERROR line per change of what is wrong, one INFO line when it is well again. The wait starts
    at 1 s anew only after the line had been well for longer than the longest wait, so an adapter
    that comes and goes is not tried in a frenzy. Ends when body does, the link closed.
    """
    wait = FIRST_WAIT_MS
    tries = 0
    said = ""
    while True:
        opened = None
        try:
            await link.open()
            opened = clock.now_ms()
            if tries:
                log.info("%s: open again after %d tries", link.name, tries + 1)
            tries = 0
            said = ""
            if on_state is not None:
                on_state(True)
            await body()
            return
        except LinkError as error:
            text = str(error)
            if text != said:
                log.error("%s: %s", link.name, text)
                said = text
        finally:
            link.close()
            if on_state is not None:
                on_state(False)
        if opened is not None and clock.now_ms() - opened > LONGEST_WAIT_MS:
            wait = FIRST_WAIT_MS
        tries += 1
        await clock.sleep_ms(wait)
        wait = min(2 * wait, LONGEST_WAIT_MS)
