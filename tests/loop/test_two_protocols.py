"""One inverter that asks in binary DEYE and in ASCII Pylontech on the same pair."""

from __future__ import annotations

import random

import pytest

from tests.downstream.batteries import healthy
from tests.downstream.far_end import Row, ask, ask_who
from tests.downstream.modules import group, module
from tests.loop.scripted import PromptLine, ScriptedLine, Stage
from vbms.downstream import deye_rs485, pylontech_rs485

LIMITS = b"~200246630000FDA9\r"
ANALOG = b"~200246610000FDAB\r"
VERSION = b"~0002464F0000FD9A\r"
OF_LIMITS = b"~20024600D012D7A0B3B003E805DCC0F989\r"


@pytest.fixture(autouse=True, params=[ScriptedLine, PromptLine], ids=["plain", "prompt"])
def lines(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stage, "lines", request.param)


class Both(Stage):
    def __init__(self) -> None:
        self.deye = deye_rs485.Codec()
        self.pylontech = pylontech_rs485.Codec()
        super().__init__([self.deye, self.pylontech])
        self.responder.publish([(self.deye, healthy()), (self.pylontech, group(module()))])


async def test_each_is_answered_in_its_own() -> None:
    s = Both()
    heard = await s.play(ask(0), LIMITS, ask(0), ANALOG, VERSION, ask_who(0), LIMITS)
    assert len(heard) == 7
    assert Row(heard[0], 0).soc_pm == Row(heard[2], 0).soc_pm == 500
    assert heard[1] == heard[6] == OF_LIMITS
    assert heard[3].startswith(b"~200246008062CF80")
    assert heard[4] == b"~200246000000FDB2\r"
    # Nothing of it is noise, or a damaged request.
    s.counted(answered=7)
    assert s.responder.heard(s.deye)[1] == 3
    assert s.responder.heard(s.pylontech)[1] == 4


@pytest.mark.parametrize("apart_ms", [0, 1, 20, 149])
async def test_one_right_behind_the_other(apart_ms: int) -> None:
    """Asked at once only the newer one is; a little later each on its own."""
    s = Both()
    heard = await s.play((0, ask(0)), (apart_ms, LIMITS), (apart_ms + 1000, ask(0)))
    assert heard[-2:][0] == OF_LIMITS
    assert Row(heard[-1], 0).soc_pm == 500
    assert len(heard) == (3 if apart_ms else 2)


async def test_one_may_be_silent_while_the_other_is_told() -> None:
    s = Both()
    s.responder.publish([(s.deye, None), (s.pylontech, group(module()))])
    assert await s.play(ask(0), LIMITS, ask(0)) == [OF_LIMITS]
    s.counted(answered=1, stale=2)
    s.responder.publish([(s.deye, healthy())])
    assert len(await s.play(LIMITS, ask(0))) == 1


async def test_a_damaged_frame_of_one_spares_the_other() -> None:
    s = Both()
    damaged = LIMITS[:8] + b"\x04" + LIMITS[9:]
    heard = await s.play(damaged, ask(0), ask(0)[:5], LIMITS)
    assert Row(heard[0], 0).soc_pm == 500
    assert heard[1:] == [OF_LIMITS]
    assert s.responder.counters["noise_bytes"] >= len(damaged)


async def test_noise_in_between_is_counted_once() -> None:
    rng = random.Random(5)
    s = Both()
    sent = 0
    for _ in range(40):
        noise = bytes(rng.randrange(0x80, 0xFF) for _ in range(rng.randrange(1, 12)))
        sent += len(noise)
        request = rng.choice([ask(0), LIMITS])
        assert len(await s.play((0, noise), (5, request))) == 1
    assert s.responder.counters["noise_bytes"] == sent
    assert s.responder.counters["answered"] == 40
