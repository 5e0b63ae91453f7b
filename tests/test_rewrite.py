"""vbms.yaml changed by calls: what was not named stays, secrets stay, one error changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from microdot.test_client import TestClient

from tests.commands.test_ack import Clock
from vbms.app import Site
from vbms.config import load
from vbms.errors import RefusedError
from vbms.rewrite import Draft
from vbms.web.routes import make_app

YAML = """\
# a comment
site: {name: home}
links:
  a: {kind: simulate, baud: 9600}
batteries:
  - {name: one, profile: byd_pro_2_5, link: a, address: 1, serial: "0012"}
  - name: two
    profile: byd_pro_2_5
    link: a
    address: 2
web: {listen: 127.0.0.1:8080, token: !secret web_token}
mqtt: {url: mqtt://broker, password: !secret web_token}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "secrets.yaml").write_text("web_token: s3cret\n")
    path = tmp_path / "vbms.yaml"
    path.write_text(YAML)
    return path


def changed(path: Path, patch: dict[str, Any]) -> Any:
    draft = Draft.make(path, None, patch)
    draft.save()
    return load(path)


def test_a_change_changes_that_and_nothing_else(path: Path) -> None:
    before = load(path)
    after = changed(path, {"bank": {"max_charge_a": 150.5}, "site": {"name": "away"}})
    assert after.bank.max_charge_ma == 150_500 and after.site_name == "away"
    for name in ("links", "batteries", "web", "mqtt", "inverters", "relays"):
        assert getattr(after, name) == getattr(before, name), name
    text = path.read_text()
    assert "token: !secret 'web_token'" in text and "s3cret" not in text
    assert '{name: one, profile: byd_pro_2_5, link: a, address: 1, serial: "0012"}' in text
    (kept,) = path.parent.glob("vbms.yaml.2*")
    assert kept.read_text() == YAML


def test_null_takes_out_and_a_list_replaces(path: Path) -> None:
    rows = [{"name": "three", "profile": "byd_pro_2_5", "link": "a", "address": 3}]
    after = changed(path, {"mqtt": None, "batteries": rows})
    assert after.mqtt is None and [each.name for each in after.batteries] == ["three"]


def test_what_was_shown_can_be_sent_back(path: Path) -> None:
    before = load(path)
    shown = json.loads(json.dumps(before.masked()))
    assert shown["web"]["token"] == "***" and "s3cret" not in json.dumps(shown)
    assert changed(path, shown) == before


def test_what_was_written_in_another_way_can_be_sent_back(path: Path) -> None:
    text = YAML.replace("address: 2", "address: 0x02")
    path.write_text(text.replace("url: mqtt://broker", 'url: "mqtt://me:s3cret@broker"'))
    before = load(path)
    shown = json.loads(json.dumps(before.masked()))
    assert shown["mqtt"]["url"] == "mqtt://***@broker"
    assert changed(path, shown) == before and "me:s3cret@" in path.read_text()


def test_stars_in_a_list_are_those_of_the_same_name(path: Path) -> None:
    path.write_text(YAML.replace('"0012"', "!secret web_token"))
    shown = json.loads(json.dumps(load(path).masked()))
    assert shown["batteries"][0]["serial"] == "***"
    shown["batteries"].reverse()
    after = changed(path, {"batteries": shown["batteries"]})
    assert [(each.name, each.unit.serial) for each in after.batteries] == [
        ("two", None),
        ("one", "s3cret"),
    ]


@pytest.mark.parametrize(
    ("patch", "says"),
    [
        ({"bank": {"max_charge_a": -1}}, "bank.max_charge_a: -1 is out of range"),
        ({"bnak": {}}, "bnak: unknown key (nearest known: bank"),
        ({"batteries": []}, "batteries: is missing"),
        ({"web": "x"}, "web: is the value x"),
        ({"web": {"listen": "0.0.0.0:80", "token": None}}, "web.token is not set"),
        ({"history": {"path": "***"}}, "history.path: *** keeps what is there, and nothing is"),
        ({"site": {"name": "a\nb"}}, "site.name"),
        ({"batteries": [{"name": "two", "serial": "***"}]}, "*** keeps what is there"),
    ],
)
def test_one_error_and_nothing_changes(path: Path, patch: dict[str, Any], says: str) -> None:
    with pytest.raises(RefusedError) as error:
        Draft.make(path, None, patch)
    assert says in str(error.value)
    assert path.read_text() == YAML and len(list(path.parent.iterdir())) == 2


def test_a_file_changed_by_an_editor_meanwhile_is_not_overwritten(path: Path) -> None:
    draft = Draft.make(path, None, {"site": {"name": "a"}})
    path.write_text(YAML + "bank: {max_charge_a: 7}\n")
    with pytest.raises(RefusedError, match="changed by somebody else"):
        draft.save()
    again = Draft.make(path, draft, {"site": {"name": "b"}})
    again.save()
    settings = load(path)
    assert settings.bank.max_charge_ma == 7000 and settings.site_name == "b"


def test_a_tree_without_end_is_refused(path: Path) -> None:
    deep: dict[str, Any] = {}
    at = deep
    for _ in range(200):
        at["site"] = {}
        at = at["site"]
    with pytest.raises(RefusedError, match="too deep"):
        Draft.make(path, None, deep)


async def test_over_http(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(load(path), Clock())
    reloads: list[Path] = []

    async def reload(where: Path) -> bool:
        reloads.append(where)
        return True

    monkeypatch.setattr(site, "reload", reload)
    web = TestClient(make_app(site.view), host="127.0.0.1:8080")
    token = {"Authorization": "Bearer s3cret"}

    async def call(method: str, **args: Any) -> Any:
        return await web.post(f"/rpc/{method}", headers=dict(token), body=args)

    assert (await web.get("/rpc/Config.Get")).json["mqtt"]["password"] == "***"
    assert (await call("Config.Save")).status_code == 409
    assert (await call("Config.Set")).status_code == 400
    bad = await call("Config.Set", config={"bank": {"max_charge_a": "much"}}, save=True)
    assert bad.status_code == 400 and "bank.max_charge_a: much is no number" in bad.json["error"]
    fine = await call("Config.Set", config={"bank": {"max_charge_a": 50}})
    assert fine.json == {"saved": False} and path.read_text() == YAML
    await call("Config.Set", config={"bank": {"max_discharge_a": 60}})
    assert (await web.get("/rpc/Config.Get")).json["bank"] == {
        "max_charge_a": 50,
        "max_discharge_a": 60,
    }
    assert (await call("Config.Save")).json == {"saved": True, "reloaded": True}
    assert reloads == [path] and load(path).bank.max_discharge_ma == 60_000
    assert (await call("Sys.Reboot")).status_code == 501
    (row,) = site.journal.events.rows()
    assert "configuration changed over the network" in row[5]

    path.write_text(YAML.replace(", token: !secret web_token", ""))
    open_site = Site(load(path), Clock())
    web = TestClient(make_app(open_site.view), host="127.0.0.1:8080")
    refused = await web.post("/rpc/Config.Set", body={"config": {}})
    assert refused.status_code == 403 and "web.token" in refused.json["error"]
