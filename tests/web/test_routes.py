"""Who may ask for what, through microdot's own client: no socket, the same dispatch."""

import asyncio
import json
import time

import pytest
from microdot.test_client import TestClient

from tests.web.fake_site import FakeSite, good, lfp
from vbms.web import guard, routes


@pytest.fixture
def site() -> FakeSite:
    site = FakeSite([lfp("a")])
    site.join({"a": good()})
    return site


@pytest.fixture(autouse=True)
def guesses_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "GUESS_S", 0)


def client(site: FakeSite, host: str = "127.0.0.1:8080") -> TestClient:
    return TestClient(routes.make_app(site), host=host)


async def test_every_path_answers(site: FakeSite) -> None:
    web = client(site)
    page = await web.get("/")
    assert page.status_code == 200 and b"<!doctype html>" in page.body
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for path in ("/api/bank", "/api/units", "/healthz", "/rpc/VBMS.GetSummary"):
        answer = await web.get(path)
        assert answer.status_code == 200 and answer.json, path
        assert answer.headers["Content-Type"] == "application/json"
    metrics = await web.get("/metrics")
    assert metrics.body == b"# none here\n"
    assert metrics.headers["Content-Type"].startswith("text/plain; version=0.0.4")


async def test_health_is_503_with_the_same_body_when_nothing_is_fresh(site: FakeSite) -> None:
    site.tick(20)
    answer = await client(site).get("/healthz")
    assert answer.status_code == 503
    body = json.loads(answer.body)
    assert body["ok"] is False and body["state"] == "zero" and body["reason"]
    assert set(body) == {"ok", "state", "reason", "age_s", "inverters", "version"}


async def test_rpc_by_get_and_post_in_any_case(site: FakeSite) -> None:
    web = client(site)
    by_get = await web.get("/rpc/VBMS.GetSummary")
    by_post = await web.post("/rpc/vbms.getsummary", body={})
    assert by_get.body == by_post.body and by_get.json["bms"][0]["pack_voltage"] == 5280
    names = (await web.get("/rpc/RPC.List")).json
    assert names == ["RPC.List", "Sys.GetInfo", "VBMS.GetSummary"]
    info = (await web.get("/rpc/Sys.GetInfo")).json
    assert (info["app"], info["fw_version"], info["uptime"], info["mac"]) == (
        "vbms",
        "0.1.0",
        3,
        None,
    )
    unknown = await web.get("/rpc/Config.Set")
    assert unknown.status_code == 404 and "Config.Set" in unknown.json["error"]


async def test_unknown_paths_and_wrong_methods_are_told_in_json(site: FakeSite) -> None:
    web = client(site)
    for path in ("/nothing", "/api", "/rpc/", "/../etc/passwd", "/ui/index.html"):
        answer = await web.get(path)
        assert answer.status_code == 404 and answer.json["error"], path
    for method, path in (("POST", "/api/bank"), ("DELETE", "/"), ("PUT", "/rpc/RPC.List")):
        answer = await web.request(method, path)
        assert answer.status_code == 405 and answer.json["error"], path
        assert "GET" in answer.headers["Allow"]


async def test_head_has_headers_and_no_body(site: FakeSite) -> None:
    for path in ("/", "/api/bank", "/healthz", "/metrics"):
        answer = await client(site).request("HEAD", path)
        assert answer.status_code == 200 and not answer.body, path


async def test_bodies_are_bounded(site: FakeSite) -> None:
    answer = await client(site).post("/rpc/RPC.List", body=b"x" * (routes.MOST_BODY + 1))
    assert answer.status_code == 413 and "4096" in answer.json["error"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8080", 200),
        ("127.0.0.1", 200),
        ("LOCALHOST:8080", 200),
        ("[::1]:8080", 200),
        ("localhost.", 200),
        ("vbms.local:8080", 200),
        ("evil.example", 403),
        ("evil.example:8080", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("10.1.2.3", 403),
        ("[::2]:8080", 403),
        ("", 403),
    ],
)
async def test_only_our_own_names_are_served(site: FakeSite, host: str, status: int) -> None:
    for path in ("/", "/api/bank", "/metrics", "/rpc/VBMS.GetSummary", "/healthz"):
        answer = await client(site).request("GET", path, headers={"Host": host})
        assert answer.status_code == status, path
        if status == 403:
            assert "web.hosts" in answer.json["error"]


async def test_a_post_from_another_page_is_refused(site: FakeSite) -> None:
    web = client(site)
    for origin, status in (
        ("https://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1:8080", 200),
        ("https://vbms.local", 200),
    ):
        answer = await web.post("/rpc/RPC.List", headers={"Origin": origin}, body={})
        assert answer.status_code == status, origin


def retired(site: FakeSite) -> FakeSite:
    site.tick(4000)
    assert site.units()[0].state == "retired"
    return site


async def test_a_retired_unit_is_acknowledged_once_it_is_retired(site: FakeSite) -> None:
    web = client(site)
    early = await web.post("/api/units/a/acknowledge")
    assert early.status_code == 409 and "a is not retired" in early.json["error"]
    nobody = await web.post("/api/units/b/acknowledge")
    assert nobody.status_code == 404 and "/api/units" in nobody.json["error"]
    for path in ("/api/units/a%/acknowledge", "/api/units/%ff/acknowledge"):
        assert (await web.post(path)).status_code == 404
    assert (await web.get("/api/units/a/acknowledge")).status_code == 405
    retired(site)
    done = await web.post("/api/units/%61/acknowledge")
    assert done.status_code == 200 and done.json == {"ok": True, "unit": "a"}
    assert (await web.get("/api/units")).json[0]["acknowledged"] is True


async def test_every_change_needs_the_token_where_one_is_set(site: FakeSite) -> None:
    retired(site).token = "s3cret"
    web = client(site)
    for header in ({}, {"Authorization": "Bearer guess"}):
        refused = await web.post("/api/units/a/acknowledge", headers=dict(header))
        assert refused.status_code == 401
    assert (await web.get("/api/units")).json[0]["acknowledged"] is False
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    page = await web.get("/login")
    assert page.status_code == 200 and b'action="/login"' in page.body
    await web.request("POST", "/login", headers=form, body=b"token=s3cret")
    assert (await web.post("/api/units/a/acknowledge")).status_code == 200


async def test_a_person_asks_for_a_full_charge(site: FakeSite) -> None:
    web = client(site)
    assert (await web.get("/api/bank/full_charge")).status_code == 405
    assert (await web.post("/api/bank/full_charge")).json == {"ok": True, "bank": "bank"}
    assert site.cleared == ["full"]
    bank = (await web.get("/api/bank")).json
    assert (bank["charge_phase"], bank["full_charge_request"], bank["silenced"]) == (
        None,
        False,
        False,
    )
    site.virtual.phase = "absorb"
    assert (await web.get("/api/bank")).json["charge_phase"] == "absorb"


async def test_a_page_elsewhere_acknowledges_nothing(site: FakeSite) -> None:
    web = client(retired(site))
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        answer = await web.post("/api/units/a/acknowledge", headers=headers)
        assert answer.status_code == 403
    assert (await web.get("/api/units")).json[0]["acknowledged"] is False


async def test_events_are_told_newest_first_and_as_many_as_asked(site: FakeSite) -> None:
    site.happened = [
        (9 - n, "2026-11-24T01:00:0%dZ" % n, "unit", "info", "a", "x") for n in range(3)
    ]
    web = client(site)
    assert [row["id"] for row in (await web.get("/api/events")).json] == [9, 8, 7]
    (row,) = (await web.get("/api/events?limit=1")).json
    assert row == {
        "id": 9,
        "at": "2026-11-24T01:00:00Z",
        "kind": "unit",
        "level": "info",
        "of": "a",
        "text": "x",
    }
    for wrong in ("0", "-1", "x", ""):
        answer = await web.get("/api/events?limit=" + wrong)
        assert answer.status_code == 400 and "limit" in answer.json["error"]


def far(site: FakeSite, token: str | None = "s3cret") -> TestClient:
    """The same site, listening for the whole network."""
    site.loopback = False
    site.token = token
    return client(site, "vbms.local:8080")


PATHS = ("/api/bank", "/api/units", "/metrics", "/healthz", "/rpc/VBMS.GetSummary")


@pytest.mark.parametrize("path", PATHS)
async def test_a_network_needs_the_token(site: FakeSite, path: str) -> None:
    web = far(site)
    for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic s3cret"}):
        answer = await web.get(path, headers=dict(header))
        assert answer.status_code == 401 and "web.token" in answer.json["error"]
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    answer = await web.get(path, headers={"Authorization": "bearer s3cret"})
    assert answer.status_code == 200


async def test_without_a_configured_token_a_network_gets_nothing(site: FakeSite) -> None:
    web = far(site, token=None)
    for header in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}):
        answer = await web.get("/api/bank", headers=dict(header))
        assert answer.status_code == 401 and "web.token" in answer.json["error"]


async def test_loopback_reads_without_a_token_even_when_one_is_set(site: FakeSite) -> None:
    site.token = "s3cret"
    assert (await client(site).get("/api/bank")).status_code == 200


async def test_the_login_form_gives_a_cookie_that_is_not_the_token(site: FakeSite) -> None:
    web = far(site)
    page = await web.get("/")
    assert page.status_code == 401 and b'<form method="post" action="/login">' in page.body
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for body in (b"token=guess", b"token=", b"token", b"", b"token=%ff%zz"):
        wrong = await web.request("POST", "/login", headers=dict(form), body=body)
        assert wrong.status_code == 401 and "Set-Cookie" not in wrong.headers, body
    right = await web.request("POST", "/login", headers=dict(form), body=b"token=s3cret")
    assert right.status_code == 303 and right.headers["Location"] == "/"
    (cookie,) = right.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "s3cret" not in cookie
    assert list(web.cookies) == ["vbms"]  # microdot's client keeps it as a browser does
    assert (await web.get("/")).status_code == 200
    assert (await web.get("/api/bank")).status_code == 200
    site.token = "changed"
    assert (await web.get("/api/bank")).status_code == 401
    assert b"sign in again" in (await web.get("/")).body


async def test_a_wrong_token_costs_time(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[int] = []

    async def sleep(seconds: int) -> None:
        slept.append(seconds)

    monkeypatch.setattr(guard, "GUESS_S", 1)
    monkeypatch.setattr(guard.asyncio, "sleep", sleep)
    web = far(site)
    await web.get("/api/bank", headers={"Authorization": "Bearer wrong"})
    assert slept == [1]
    await web.get("/api/bank")
    await web.get("/api/bank", headers={"Authorization": "Bearer s3cret"})
    assert slept == [1]


async def test_an_error_of_ours_is_a_500_in_json(
    site: FakeSite, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> bytes:
        raise RuntimeError("broken on purpose")

    site.metrics_text = broken  # type: ignore[method-assign]
    answer = await client(site).get("/metrics")
    assert answer.status_code == 500 and answer.json["error"]
    assert "broken on purpose" in capsys.readouterr().err


async def test_all_handlers_run_on_the_loop(site: FakeSite) -> None:
    """microdot gives plain functions to a thread, where the site would change under their feet."""
    for _, _, handler, _, _ in routes.make_app(site).url_map:
        assert asyncio.iscoroutinefunction(handler)


async def test_fifteen_units_cost_little() -> None:
    """What the page asks each second, for the largest bank; a bound with room for a busy machine."""
    names = ["u%02d" % n for n in range(15)]
    site = FakeSite([lfp(name) for name in names])
    site.join({name: good() for name in names})
    rows = site.units()
    site.units = lambda: rows  # type: ignore[method-assign]
    web = client(site)
    await web.get("/api/units")
    best = 1.0
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(5):
            await web.get("/api/units")
            await web.get("/api/bank")
        best = min(best, (time.perf_counter() - start) / 5)
    print("units and bank: %.2f ms" % (best * 1000))
    assert best < 0.05
