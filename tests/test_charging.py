"""What of the charge is written down when, and what a clock says about it at the next start."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.aggregate.story import Life
from vbms import charging
from vbms.charging import Charging
from vbms.state import State, StateFile

NOW = 1_790_000_000


def started(path: Path) -> tuple[Life, Charging, State]:
    life = Life("a")
    kept = State(StateFile(path))
    return life, Charging(life.controller, kept), kept


async def test_an_edge_is_written_at_once_and_the_rest_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    life, keeper, kept = started(path)
    life.run(80)

    async def second(**said: object) -> dict[str, object]:
        life.run(1, a=said)
        keeper.keep(life.now)
        kept.tick(life.now)
        if kept._writing is not None:
            await kept._writing
        return StateFile(path).load()["charge"]

    assert (await second())["latches"] == {}
    for _ in range(4):
        found = await second(high=3581)
    assert found["latches"] == {"a": 1}  # in that second, though ten had not passed
    life.run(300)
    keeper.keep(life.now)
    before = life.controller.steering.charge.since_full_ms
    life.run(5)
    keeper.keep(life.now, last=True)
    await kept.close()
    written = StateFile(path).load()["charge"]["since_full_ms"]
    assert isinstance(written, int) and written > before


@pytest.mark.parametrize(
    ("now", "full"), [(NOW + 60, True), (NOW - 60, False), (None, False), (NOW + 90_000, False)]
)
def test_full_goes_on_only_where_the_clock_says_how_long_ago_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: int | None, full: bool
) -> None:
    path = tmp_path / "state.json"
    section = {
        "at": NOW,
        "full": True,
        "full_soc": 980,
        "latches": {"a": 1},
        "zeros": [[1, 0], [0, 0]],
    }
    StateFile(path).save({"charge": section})
    monkeypatch.setattr(charging, "wall_s", lambda: now)
    life, keeper, _ = started(path)
    keeper.recall()
    assert life.controller.bank.units["a"].latches.held == 1
    life.run(12, a={"soc_permille": 970})
    assert life.controller.steering.charge.full is full
