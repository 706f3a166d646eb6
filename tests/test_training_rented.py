"""Rented machines: the real vastai SDK, in its own environment, against a local server that speaks Vast.ai's API.

`make vastai` makes that environment; without it these tests are skipped, but for those of what is answered without it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from conftest import Api, Serving, eventually
from test_training import JOBS, until

from gfedge.training import rented
from gfedge.training.rented import charged
from gfedge.training.types import Rental

PYTHON = Path(__file__).parent.parent / ".venv-vastai" / "bin" / "python"
needs_sdk = pytest.mark.skipif(
    not PYTHON.exists(), reason="the vastai SDK is not here: `make vastai` installs it"
)
KEY = "the-key"
TOML = """
[entry_points.far]
title = "On a rented machine"
[entry_points.far.params]
steps = { type = "int", default = 3 }
[entry_points.far.rented]
image = "pytorch/pytorch:latest"
onstart = "pip install numpy\\npython train.py"
env = { STUDIO = "ours" }
disk_gb = 30
gpu_memory_gb = 8
max_dollars_per_hour = 0.4
"""


class Vast:
    """Vast.ai as its reference describes it: offers, machines, and what was asked."""

    def __init__(self) -> None:
        self.offers = [
            {"id": 11, "gpu_name": "RTX 3060", "gpu_ram": 12288, "dph_total": 0.12, "num_gpus": 1},
            {"id": 12, "gpu_name": "RTX 4090", "gpu_ram": 24564, "dph_total": 0.36, "num_gpus": 1},
        ]
        self.taken: set[int] = set()
        self.machines: dict[int, dict[str, Any]] = {}
        self.destroyed: list[int] = []
        self.searches: list[dict[str, Any]] = []
        self.orders: list[dict[str, Any]] = []
        self.failures = 0
        self.next_id = 100

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self.door])
        app.router.add_post("/api/v0/bundles/", self.search)
        app.router.add_put("/api/v0/asks/{id}/", self.create)
        app.router.add_get("/api/v1/instances/", self.list)
        app.router.add_delete("/api/v0/instances/{id}/", self.destroy)
        return app

    @web.middleware
    async def door(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return web.json_response({"success": False, "error": "auth_error"}, status=401)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def search(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.searches.append(asked)
        found = [
            one
            for one in self.offers
            if one["gpu_ram"] >= asked["gpu_ram"]["gte"]
            and one["dph_total"] <= asked["dph_total"]["lte"]
        ]
        return web.json_response({"offers": sorted(found, key=lambda one: one["dph_total"])})

    async def create(self, request: web.Request) -> web.Response:
        offer = int(request.match_info["id"])
        if offer in self.taken:
            gone = {"success": False, "error": "no_such_ask", "msg": "the offer is not available"}
            return web.json_response(gone, status=404)
        asked = await request.json()
        self.orders.append(asked)
        self.next_id += 1
        self.put(self.next_id, asked["label"], offer)
        return web.json_response({"success": True, "new_contract": self.next_id})

    def put(self, number: int, label: str, offer: int = 11) -> None:
        found = next(one for one in self.offers if one["id"] == offer)
        self.machines[number] = {
            "id": number,
            "label": label,
            "actual_status": "loading",
            "extra_env": [],
            "start_date": None,
            "dph_total": found["dph_total"],
            "gpu_name": found["gpu_name"],
        }

    async def list(self, request: web.Request) -> web.Response:
        after = int(request.query.get("after_token", "0"))
        numbers = [one for one in sorted(self.machines) if one > after]
        page, more = numbers[:2], len(numbers) > 2  # small pages, so that the second one is needed
        found = [self.machines[one] for one in page]
        return web.json_response(
            {"instances": found, "next_token": str(page[-1]) if more else None}
        )

    async def destroy(self, request: web.Request) -> web.Response:
        number = int(request.match_info["id"])
        if self.failures:
            self.failures -= 1
            return web.json_response({"success": False, "msg": "try again"}, status=500)
        if self.machines.pop(number, None) is None:
            return web.json_response({"success": False, "error": "no_such_instance"}, status=404)
        self.destroyed.append(number)
        return web.json_response({"success": True})


@pytest.fixture
async def vast() -> AsyncIterator[Vast]:
    made = Vast()
    server = TestServer(made.app())
    await server.start_server()
    made.url = str(server.make_url("/"))  # type: ignore[attr-defined]
    yield made
    await server.close()


Renting = Callable[..., Awaitable[Api]]


@pytest.fixture
def renting(
    serving: Serving, vast: Vast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Renting:
    monkeypatch.setattr(rented, "LOOK_SECONDS", 0.2)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "training.toml").write_text(TOML)

    async def start(**settings: Any) -> Api:
        given = {"vast_key": KEY, "vast_url": vast.url, "vast_python": str(PYTHON)}  # type: ignore[attr-defined]
        given["public_url"] = "http://edge.example:8000"
        return await serving(**{**given, "allowed_host": "edge.example", **settings})

    return start


async def rent(api: Api, **more: Any) -> Any:
    body = {"backend": "vastai", "entry_point": "far", **more}
    return await api.call("POST", JOBS, 202, json=body)


def secret_of(order: dict[str, Any]) -> dict[str, str]:
    return {"X-Job-Secret": order["env"]["GFEDGE_JOB_SECRET"]}


# -- without it ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "code", "names"),
    [
        ({"vast_key": ""}, "vastai_not_configured", "GFEDGE_VAST_KEY"),
        ({"public_url": ""}, "public_url_needed", "GFEDGE_PUBLIC_URL"),
        ({"vast_python": ""}, "vastai_sdk_missing", "make vastai"),
        ({"vast_python": "/nowhere/python"}, "vastai_sdk_missing", "vast_python"),
    ],
)
async def test_what_is_missing_is_named(
    renting: Renting, settings: dict[str, str], code: str, names: str
) -> None:
    api = await renting(**settings)
    body = {"backend": "vastai", "entry_point": "far"}
    problem = await api.refused("POST", JOBS, 503, code, json=body)
    assert names in problem["detail"]
    assert KEY not in problem["detail"]


def test_a_machine_costs_by_the_hour_until_it_is_destroyed() -> None:
    rental = Rental(label="x", max_dollars=5, dollars_per_hour=0.5, rented_at=1000.0)
    assert charged(rental, 1000 + 7200).spent_dollars == 1.0
    done = msgspec.structs.replace(rental, spent_dollars=0.25, destroyed_at=1500.0)
    assert charged(done, 9000).spent_dollars == 0.25


# -- with the SDK -------------------------------------------------------------------------------


@needs_sdk
async def test_a_machine_is_rented_reports_and_is_destroyed(renting: Renting, vast: Vast) -> None:
    api = await renting()
    vast.taken.add(11)
    made = await rent(api, params={"steps": 7}, rental={"gpu_memory_gb": 10})
    job = await eventually(
        lambda: api.get(f"{JOBS}/{made['id']}"), lambda job: (job["rental"] or {}).get("rented_at")
    )
    assert (job["state"], job["rental"]["gpu"]) == ("starting", "RTX 4090")
    assert vast.searches[0]["gpu_ram"] == {"gte": 10_000}
    assert vast.searches[0]["dph_total"] == {"lte": 0.4}
    assert vast.searches[0]["rentable"] == {"eq": True}
    (order,) = vast.orders
    assert (order["image"], order["disk"], order["env"]["STUDIO"]) == (
        "pytorch/pytorch:latest",
        30,
        "ours",
    )
    assert order["env"]["GFEDGE_JOB_URL"] == f"http://edge.example:8000{job['url']}"
    assert json.loads(order["env"]["GFEDGE_JOB_PARAMS"]) == {"steps": 7}
    assert "pip install numpy\npython train.py" in order["onstart"]
    assert order["env"]["GFEDGE_JOB_SECRET"] not in order["onstart"]
    headers = secret_of(order)
    await api.call("POST", f"{job['url']}/report", json={"log": ["hello"]}, headers=headers)
    assert (await api.get(job["url"]))["state"] == "running"
    done = {"json": {"status": "succeeded"}, "headers": headers}
    await api.call("POST", f"{job['url']}/finish", **done)
    ended = await eventually(
        lambda: api.get(job["url"]), lambda job: job["rental"]["destroyed_at"] is not None
    )
    assert ended["state"] == "succeeded"
    assert 0 < ended["rental"]["spent_dollars"] < 0.1
    assert vast.destroyed == [101]


@needs_sdk
async def test_no_offer_fails_the_job_with_what_to_do(renting: Renting, vast: Vast) -> None:
    api = await renting()
    job = await until(api, (await rent(api, rental={"gpu_memory_gb": 80}))["id"])
    assert (job["state"], job["error"]["code"]) == ("failed", "not_rented")
    assert "80 GB" in job["error"]["detail"]
    assert not vast.orders


@needs_sdk
async def test_a_wrong_key_is_said_at_once(renting: Renting, vast: Vast) -> None:
    api = await renting(vast_key="another")
    body = {"backend": "vastai", "entry_point": "far"}
    problem = await api.refused("POST", JOBS, 503, "vastai_failed", json=body)
    assert "401" in problem["detail"]


@needs_sdk
async def test_cancel_destroys_though_the_first_tries_fail(renting: Renting, vast: Vast) -> None:
    api = await renting()
    job = await rent(api)
    await eventually(lambda: asyncio.sleep(0, vast.machines), bool)
    vast.failures = 2
    assert (await api.call("DELETE", job["url"]))["state"] == "cancelled"
    await eventually(lambda: asyncio.sleep(0, vast.destroyed), bool)
    assert not vast.machines


@needs_sdk
@pytest.mark.parametrize("of", ["job", "all"])
async def test_the_spend_limit_stops_and_destroys(renting: Renting, vast: Vast, of: str) -> None:
    setting = {"job": "vast_max_dollars_per_job", "all": "vast_max_dollars"}[of]
    api = await renting(**{setting: 1e-9})
    job = await until(api, (await rent(api))["id"])
    assert (job["state"], job["error"]["code"]) == ("failed", "spend_limit")
    assert setting in job["error"]["detail"]
    await eventually(lambda: asyncio.sleep(0, vast.destroyed), bool)
    if of == "all":
        await eventually(lambda: api.get(job["url"]), lambda job: job["rental"]["destroyed_at"])
        body = {"backend": "vastai", "entry_point": "far"}
        await api.refused("POST", JOBS, 409, "spend_limit", json=body)


@needs_sdk
async def test_silence_and_dead_machines_end_the_job(renting: Renting, vast: Vast) -> None:
    api = await renting(train_lost_after=0.5, vast_start_seconds=600)
    silent, dead = await rent(api), await rent(api)
    await eventually(lambda: asyncio.sleep(0, len(vast.machines)), lambda count: count == 2)
    orders = {order["env"]["GFEDGE_JOB_ID"]: order for order in vast.orders}
    headers = secret_of(orders[silent["id"]])
    await api.call("POST", f"{silent['url']}/heartbeat", headers=headers)
    (machine,) = [m for m in vast.machines.values() if m["label"].endswith(dead["id"])]
    machine["actual_status"] = "exited"
    codes = [(await until(api, job["id"]))["error"]["code"] for job in (silent, dead)]
    assert codes == ["machine_silent", "machine_gone"]
    await eventually(lambda: asyncio.sleep(0, vast.machines), lambda left: not left)


@needs_sdk
async def test_a_trainer_that_never_reports_is_given_up(renting: Renting, vast: Vast) -> None:
    api = await renting(vast_start_seconds=0.3)
    job = await until(api, (await rent(api))["id"])
    assert job["error"]["code"] == "machine_silent"
    await eventually(lambda: asyncio.sleep(0, vast.destroyed), bool)


@needs_sdk
async def test_a_restart_goes_on_with_its_machine_and_destroys_leftovers(
    renting: Renting, vast: Vast
) -> None:
    api = await renting()
    job = await rent(api)
    await eventually(lambda: asyncio.sleep(0, vast.machines), bool)
    (label,) = [machine["label"] for machine in vast.machines.values()]
    headers = secret_of(vast.orders[0])
    await api.call("POST", f"{job['url']}/heartbeat", headers=headers)
    vast.put(7, label.replace(job["id"], "01a20000-0000-7000-8000-000000000000"))
    vast.put(8, "somebody else's")
    vast.put(9, "gfedge-another-server")
    api = await renting()
    await eventually(lambda: asyncio.sleep(0, vast.destroyed), bool)
    assert vast.destroyed == [7]
    await api.call("POST", f"{job['url']}/heartbeat", headers=headers)
    assert (await api.get(job["url"]))["state"] == "running"
    await api.call("DELETE", job["url"])
    await eventually(lambda: asyncio.sleep(0, vast.destroyed), lambda gone: gone == [7, 101])
    assert sorted(vast.machines) == [8, 9]
