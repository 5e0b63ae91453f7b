"""The page tells the truth: its numbers, its dashes, its banners; and it talks to nobody else."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.browser.driver import Browser, browser
from tests.web.fake_site import FakeSite, good, lfp
from vbms.web import guard
from vbms.web.server import WebServer

DASH = "–"
pytestmark = pytest.mark.asyncio(loop_scope="module")  # one browser for all


class Listen:
    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chrome(
    node: str, chromium: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Browser]:
    async with browser(node, chromium, tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@pytest_asyncio.fixture(loop_scope="module")
async def page(chrome: Browser) -> Browser:
    """An empty page without a past."""
    await chrome.do("fresh")
    return chrome


def full_bank() -> FakeSite:
    site = FakeSite([lfp("byd-1"), lfp("byd-2")])
    site.join(
        {
            "byd-1": good(
                cells_mv=[3300] * 13 + [3442] + [3300] * 2, voltage_mv=52942, current_ma=20000
            ),
            "byd-2": good(
                cells_mv=[3290] + [3300] * 15, voltage_mv=52790, current_ma=18500, model="<b>x</b>"
            ),
        }
    )
    return site


async def start(site: FakeSite, page: Browser) -> WebServer:
    web = WebServer(site, Listen())
    await web.start()
    assert await page.do("open", url=f"http://127.0.0.1:{web.port}/") == 200
    await page.wait("bank !== null && document.querySelectorAll('.unit').length === units.length")
    return web


async def assert_calm(page: Browser, port: int) -> None:
    """No complaint in the console and not one request to anybody else."""
    seen = await page.do("seen")
    assert seen["errors"] == []
    ours = f"http://127.0.0.1:{port}/"
    assert [url for url in seen["requests"] if not url.startswith((ours, "data:"))] == []
    assert {f"{ours}api/bank", f"{ours}api/units"} <= set(seen["requests"])


async def test_numbers_follow_the_bank(page: Browser) -> None:
    site = full_bank()
    web = await start(site, page)
    try:
        assert await page.text("#soc") == "60" and await page.text("#soc-rest") == ".0 %"
        assert await page.text("#charge") == "59.4 of 99.0 Ah"
        assert await page.text("#verb") == "Charging"
        assert await page.text("#power") == "2.04 kW"
        assert await page.text("#voltage") == "52.87 V"
        assert await page.text("#current") == "+38.5 A"
        assert await page.text("#charge-limit b") == "49.6 A"
        assert await page.text("#charge-limit .why") == "byd-1: cell 14 at 3.442 V"
        assert await page.text("#discharge b") == "100.0 A"
        assert await page.text("#cells") == "3.290 to 3.442 V"
        assert await page.text("#cells-at") == "152 mV, highest byd-1 cell 14"
        assert await page.text("#count") == "2 of 2 fresh"
        assert await page.text("#inverters") == "deye\n\nasked 1 s ago"
        assert await page.text("#state") == "all well"
        assert await page.run("banner.hidden && alarms.hidden") is True
        # Each unit's cells: one bar each, the extremes marked, and in words for who cannot see them.
        assert (
            await page.run("document.querySelectorAll('[data-unit=byd-1] .cells i').length") == 16
        )
        marked = "[...document.querySelectorAll('[data-unit=byd-%d] .cells i')].map((bar) => bar.className).indexOf('%s')"
        assert await page.run(marked % (1, "max")) == 13
        assert await page.run(marked % (2, "min")) == 0
        label = await page.run("document.querySelector('[data-unit=byd-2] .cells').ariaLabel")
        assert label.startswith("16 cells, lowest 3.290 V (cell 1), highest 3.300 V (cell 2)")
        # Text from the wire stays text.
        assert "<b>x</b>" in await page.text("[data-unit=byd-2] .sub")

        # A new second: the page follows by itself, and what a person opened stays open.
        await page.run("document.querySelector('[data-unit=byd-1] details').open = true")
        for name, cells in (("byd-1", 3310), ("byd-2", 3305)):
            site.feed(name, good(current_ma=-30000, cells_mv=[cells] * 16, soc_permille=595))
        site.tick()
        await page.wait("verb.innerText === 'Discharging' && soc.innerText === '59'")
        assert await page.text("#current") == "−60.0 A"
        assert await page.run("document.querySelector('[data-unit=byd-1] details').open") is True
        assert (await page.text("[data-unit=byd-1] ol li:last-child")).split() == ["16", "3.310"]
        await assert_calm(page, web.port)
    finally:
        await web.stop()


async def test_unknown_is_a_dash_and_never_a_zero(page: Browser) -> None:
    site = FakeSite([lfp("byd-1")])
    site.tick()
    web = await start(site, page)
    try:
        for where in ("#soc", "#charge", "#verb", "#power", "#voltage", "#current", "#cells"):
            assert await page.text(where) == DASH, where
        for where in ("#temps", "#cvl", "#soh"):
            assert await page.text(where) == DASH, where
        assert (await page.text("[data-unit=byd-1] .nums")).split() == [DASH] * 4
        assert await page.run("document.querySelector('[data-unit=byd-1] .cells').hidden") is True
        assert "unknown" in await page.run("ring.ariaLabel")
        # The only zeros are the limits, which are known to be none, and the count of the living.
        assert await page.text("#charge-limit b") == "0 A"
        assert await page.text("#charge-limit .why") == "no battery answers"
        assert await page.text("#count") == "0 of 1 fresh"
        assert await page.text("#banner-head") == "No battery answers"
        assert "not heard yet" in await page.text("[data-unit=byd-1] .pill")

        # Cells and current of half a reading: the rest is shown, the holes are dashes.
        row = site.units()[0]
        row.state, row.snapshot = "fresh", good(cells_mv=[3300, None, 3310], current_ma=None)
        site.units = lambda: [row]  # type: ignore[method-assign]
        await page.wait("document.querySelectorAll('.cells i').length === 3")
        assert await page.run("document.querySelectorAll('.cells i')[1].className") == "none"
        assert (await page.text("[data-unit=byd-1] .nums")).split()[3] == DASH
        await assert_calm(page, web.port)
    finally:
        await web.stop()


async def test_trouble_is_said_in_words(page: Browser) -> None:
    site = full_bank()
    for _ in range(15):
        site.feed("byd-1", good(note="a note", warnings=1 << 7))
        site.tick()
    web = await start(site, page)
    try:
        assert await page.text("#state") == "some silent"
        assert await page.text("#banner-head") == "byd-2 does not answer"
        assert await page.text("[data-unit=byd-2] .pill") == "silent 16 s"
        assert await page.text("[data-unit=byd-1] .note") == "a note"
        told = await page.text("#alarms")
        assert "byd-1: charge undertemperature" in told and "a battery does not answer" in told
        site.tick(20)  # nobody is left
        await page.wait("banner.className.includes('bad')")
        assert await page.text("#banner-head") == "No battery answers"
        assert "neither charge nor discharge" in await page.text("#banner-text")
        assert await page.text("#power") == DASH
        await assert_calm(page, web.port)
    finally:
        await web.stop()


async def test_a_person_takes_a_retired_battery_out_with_two_clicks(page: Browser) -> None:
    site = full_bank()
    for _ in range(370):
        site.feed("byd-1", good())
        site.tick(5)
    web = await start(site, page)
    button = "#alarms li:not([hidden]) button:not([hidden])"
    try:
        assert await page.text("#banner-head") == "byd-2 does not answer"
        await page.wait(f"document.querySelectorAll('{button}').length === 1")
        assert await page.text(button) == "It is gone: reserve nothing for it"
        await page.do("click", on=button)
        assert (await page.text(button)).startswith("Really?")
        assert site._bank.acknowledged() == []
        await page.do("click", on=button)
        await page.wait("units.length && units[1].acknowledged === true")
        assert site._bank.acknowledged() == ["byd-2"]
        site.feed("byd-1", good())
        site.tick()
        await page.wait("banner.hidden && alarms.hidden")
        assert (await page.text("[data-unit=byd-2] .pill")).startswith("taken out")
        await assert_calm(page, web.port)
    finally:
        await web.stop()


async def test_a_change_without_the_token_asks_for_it(page: Browser) -> None:
    site = full_bank()
    site.token = "s3cret"
    site.chargers = [Charger()]
    web = await start(site, page)
    try:
        await page.wait("document.querySelector('#relays button')?.checkVisibility()")
        await page.do("click", on="#relays button")
        await page.wait("document.querySelector('#token') !== null")
        assert site.cleared == []
        await page.do("type", into="#token", text="s3cret")
        await page.do("key", key="Enter")
        await page.wait("document.querySelector('#relays button')?.checkVisibility()")
        await page.do("click", on="#relays button")
        await page.wait("document.querySelector('#relays .said').innerText !== ''")
        assert site.cleared == ["shed"]
        assert await page.text("#relays .said") == "shed is idle"
    finally:
        await web.stop()


class Charger:
    """A charger that gave up."""

    name = "shed"
    of = "byd-1"
    output = "command"
    state = "timeout"
    on = False
    why = "too_long"
    error: str | None = None
    on_ms = 12_600_000
    charger_ma = 20_000
    low_permille = 800
    timeout_ms = 12_600_000


async def test_chargers_and_what_happened(page: Browser) -> None:
    site = full_bank()
    at = "2026-11-24T01:00:00Z"
    site.chargers = [Charger()]
    site.happened = [(n, at, "unit", "warning", "<i>a</i>", f"text {n}") for n in range(9, 0, -1)]
    web = await start(site, page)
    try:
        told = await page.text("#relays")
        assert "shed (byd-1)" in told and "gave up: on for 210 min without getting full" in told
        assert (await page.text("#relays .pill"), await page.text("#relays button")) == (
            "off",
            "Try again",
        )
        assert await page.run("document.querySelectorAll('#events > ul > li').length") == 6
        assert "<i>a</i>: text 9" in await page.text("#events")
        await page.run("document.querySelector('#events details').open = true")
        assert "text 1" in await page.text("#events details")
        await assert_calm(page, web.port)
    finally:
        await web.stop()


async def test_the_phase_of_the_charge_and_what_a_person_may_ask(page: Browser) -> None:
    site = full_bank()
    web = await start(site, page)
    try:
        assert await page.run("document.querySelector('#fill-up').hidden") is True
        site.virtual.phase = "float"
        site.virtual.silenced = True
        site.extra_alarms = [("disobey", 2, "bank", "2026-11-24T01:00:00Z", "", "why")]
        await page.wait("document.querySelector('#fill-up').checkVisibility()")
        assert "full, kept there" in await page.text("#dvl")
        await page.do("click", on="#fill-up")
        await page.wait("document.querySelector('#alarms button').checkVisibility()")
        assert "takes more than it may" in await page.text("#alarms")
        await page.do("click", on="#alarms button")
        await page.wait("document.querySelector('#alarms .said').innerText !== ''")
        assert site.cleared == ["full"]
        await page.wait("document.querySelector('#alarms .said').innerText.includes('not retired')")
    finally:
        await web.stop()


async def test_an_alarm_is_not_called_all_well(page: Browser) -> None:
    site = full_bank()
    for name in ("byd-1", "byd-2"):
        site.feed(name, good(warnings=1))
    site.tick()
    web = await start(site, page)
    try:
        assert site.virtual.state == "normal"
        assert await page.text("#state") == "running, with alarms"
    finally:
        await web.stop()


async def test_old_values_say_so_and_recover(page: Browser) -> None:
    site = full_bank()
    web = await start(site, page)
    await assert_calm(page, web.port)  # from here on a lost connection is in the console
    port = web.port
    await web.stop()
    await page.wait("!banner.hidden", 15)
    assert await page.text("#banner-head") == "vbms does not answer"
    assert "not known" in await page.text("#banner-text")
    assert await page.text("#state") == "not connected"
    assert await page.run("document.body.classList.contains('old')") is True
    assert await page.run("Number(getComputedStyle(document.querySelector('main')).opacity) < 1")
    assert await page.text("#soc") == "60"  # what was known stays readable
    pill = int((await page.text("[data-unit=byd-1] .pill")).split()[0])
    assert pill > 5, "the ages of what is shown go on"
    web = WebServer(site, Listen(port=port))
    await web.start()
    try:
        await page.wait("banner.hidden && !document.body.classList.contains('old')")
        assert await page.text("#state") == "all well"
    finally:
        await web.stop()


async def test_a_page_that_fails_does_not_look_alive(page: Browser) -> None:
    web = await start(full_bank(), page)
    try:
        await page.run("drawBank = () => { throw new Error('on purpose'); }")
        await page.wait("!banner.hidden")
        assert await page.text("#banner-head") == "This page has failed"
        assert await page.run("document.body.classList.contains('old')") is True
    finally:
        await web.stop()


async def test_fits_every_screen(page: Browser) -> None:
    site = full_bank()
    site.feed("byd-1", good(temps_mc=[-25100 - n for n in range(8)]))
    site.tick()
    gone, on, lost = Charger(), Charger(), Charger()
    on.on, on.state, lost.on, lost.state = True, "charge", None, "fault"  # type: ignore[assignment]
    site.chargers = [gone, on, lost]
    site.happened = [
        (n, "2026-11-24T01:00:00Z", "unit", level, "byd-1", "a_long_word" * 9)
        for n, level in enumerate(("info", "warning", "error"), 1)
    ]
    site.extra_alarms = [("unit_retired", 1, "byd-1", "2026-11-24T01:00:00Z", "", "why")]
    web = await start(site, page)
    try:
        await page.wait("document.querySelectorAll('#events li').length === 3")
        await page.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        for wide in (320, 390, 768, 1280):
            for scheme in ("light", "dark"):
                await page.do("look", width=wide, height=800, scheme=scheme)
                assert await page.run("document.documentElement.scrollWidth") <= wide
                # What is read against what: text on cards keeps a contrast of 4.5 to 1.
                assert await page.run(CONTRAST) >= 4.5, scheme
        # By keyboard alone.
        await page.run("document.querySelectorAll('details').forEach((d) => { d.open = false; })")
        await page.run("document.activeElement.blur()")
        await page.do("key", key="Tab")
        assert await page.run("document.activeElement.tagName") == "SUMMARY"
        await page.do("key", key="Enter")
        assert await page.run("document.activeElement.parentElement.open") is True
    finally:
        await web.stop()


CONTRAST = """(() => {
  const parse = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = (text) => parse(text).map((v) => v / 255)
    .map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [.2126, .7152, .0722][n], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (!colour.endsWith(", 0)") && colour !== "transparent") return colour;
    }
  };
  let worst = 21;
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !node.checkVisibility() || ["SCRIPT", "STYLE"].includes(node.tagName)) continue;
    const [a, b] = [light(getComputedStyle(node).color), light(behind(node))];
    worst = Math.min(worst, (Math.max(a, b) + .05) / (Math.min(a, b) + .05));
  }
  return worst;
})()"""


async def test_login(page: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "GUESS_S", 0)
    site = full_bank()
    site.loopback, site.token = False, "s3cret"
    web = WebServer(site, Listen())
    await web.start()
    try:
        assert await page.do("open", url=f"http://127.0.0.1:{web.port}/") == 401
        for token, there in (("guess", "#token"), ("s3cret", "#soc")):
            await page.do("type", into="#token", text=token)
            await page.do("key", key="Enter")
            if token == "guess":
                await page.wait(
                    "document.querySelector('[role=status]')?.innerText.includes('not the')"
                )
            await page.wait(f"document.querySelector('{there}') !== null")
        await page.wait("document.querySelector('#soc')?.innerText === '60'")
        cookies = await page.run("document.cookie")
        assert cookies == ""  # out of reach for any script
        site.token = "changed"
        await page.wait("document.querySelector('#token') !== null")  # and it says so at once
    finally:
        await web.stop()
