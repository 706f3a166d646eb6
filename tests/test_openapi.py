"""The wire's promises and the document that tells them: examples, error codes, links to the next page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from conftest import JOBS, Api, connected

from gfedge import app, docs, openapi

DOCUMENT = openapi.document(app.routes())
EXPERIMENTS = "/api/v1/ml-platform/experiments"


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def resolved(response: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in response:
        return response
    name = response["$ref"].removeprefix("#/components/responses/")
    found: dict[str, Any] = DOCUMENT["components"]["responses"][name]
    return found


def examples() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, operation in operations():
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for body in bodies:
            for content in body.get("content", {}).values():
                if "example" in content:
                    yield name, content


def label(one: Any) -> str | None:
    return one if isinstance(one, str) else ""


@pytest.mark.parametrize(("name", "content"), list(examples()), ids=label)
def test_every_example_fits_its_schema(name: str, content: dict[str, Any]) -> None:
    schema = {**content["schema"], "components": DOCUMENT["components"]}
    jsonschema_rs.validate(schema, content["example"])


@pytest.mark.parametrize(("name", "operation"), list(operations()), ids=label)
def test_every_operation_has_an_area_examples_and_its_errors(
    name: str, operation: dict[str, Any]
) -> None:
    assert operation["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}
    contents = [operation.get("requestBody", {}), *operation["responses"].values()]
    for body in contents:
        content = body.get("content", {})
        if "application/json" in content and "application/problem+json" not in content:
            assert "example" in content["application/json"] or "openapi" in name
    responses = {status: resolved(one) for status, one in operation["responses"].items()}
    assert "default" in responses
    if "{id}" in name and "/lineage/" not in name:
        assert "_not_found`" in responses["404"]["description"], "say which (Route.fails)"
    for status, response in responses.items():
        if status.startswith(("4", "5")):
            schema = response["content"]["application/problem+json"]["schema"]
            assert all(
                re.fullmatch("[a-z_0-9]+", code) for code in schema["properties"]["code"]["enum"]
            )


async def test_the_examples_of_bodies_are_understood(client: Api) -> None:
    job = await client.generate()
    sha256 = job["outputs"][0]["sha256"]
    for name, operation in operations():
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None:
            continue
        method, path = name.split()
        body = {**content["example"]} | ({"asset": sha256} if "superres" in path else {})
        path = path.replace("{id}", "nobody")
        async with client.http.request(method, path, json=body) as answer:
            problem = await answer.json(content_type=None)
            missing = str(problem.get("code", "")).endswith("_not_found")
            understood = answer.status not in (400, 415, 422) and answer.status < 500
            assert understood or missing, (name, problem)


async def test_a_page_links_to_the_next_one(client: Api) -> None:
    for name in "abc":
        await client.call("POST", EXPERIMENTS, 201, json={"name": name})
    found, url = [], f"{EXPERIMENTS}?limit=2&name=&order=name"
    while url:
        async with client.http.get(url) as answer:
            page = await answer.json()
            found += [one["name"] for one in page["experiments"]]
            link = answer.headers.get("Link", "")
            assert bool(link) == (page["next"] is not None)
            url = link.removesuffix('>; rel="next"').removeprefix("<")
    assert found == ["a", "b", "c"]


async def test_a_filter_may_be_as_long_as_the_document_says(process: Any) -> None:
    longest = "name = '" + "x" * 9_900 + "'"
    async with connected(process().start()) as api:
        assert (await api.get("/api/v1/ml-platform/runs", filter=longest))["runs"] == []


@pytest.mark.parametrize("path", ["/health", "/metrics", JOBS, f"{JOBS}/x", EXPERIMENTS])
async def test_unknown_and_repeated_parameters_are_refused(client: Api, path: str) -> None:
    problem = await client.refused("GET", f"{path}?limt=3", 422, "invalid")
    assert problem["field"] == "limt"
    assert "limt" in problem["detail"]
    problem = await client.refused("GET", f"{path}?limit=3&limit=4", 422, "invalid")
    assert problem["field"] == "limit"
    assert "more than once" in problem["detail"]


@pytest.mark.parametrize(
    ("body", "field", "detail"),
    [
        ({"steps": 3}, "prompt", "prompt: is missing"),
        ({"prompt": "x", "promt": "x"}, "promt", "promt: "),
        ({"prompt": "x", "steps": 0}, "steps", "steps: expected a whole number of at least 1"),
        (
            {"prompt": "x", "palette": ["red"]},
            "palette[0]",
            "palette[0]: expected a colour as #rrggbb",
        ),
    ],
)
async def test_the_field_is_the_json_path(
    client: Api, body: dict[str, Any], field: str, detail: str
) -> None:
    problem = await client.refused("POST", "/api/v1/ai/generate", 422, "invalid", json=body)
    assert problem["field"] == field
    assert detail in problem["detail"]


async def test_the_page_shows_every_operation_and_needs_nothing_else(client: Api) -> None:
    page = (await client.bytes("/docs")).decode()
    targets = set(re.findall(r'id="([^"]+)"', page))
    assert {operation["operationId"] for _, operation in operations()} <= targets
    links = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert {link[1:] for link in links if link.startswith("#") and link != "#"} <= targets
    assert {link for link in links if not link.startswith("#")} == {
        "/docs/style.css",
        "/openapi.json",
        "/ui/icon.svg",
    }
    assert not re.search(r"<script|<style| style=|@import|url\(", page)
    sheet = (await client.bytes("/docs/style.css")).decode()
    assert "http" not in sheet
    assert "prefers-color-scheme" in sheet or "light-dark(" in sheet


def test_what_the_document_says_is_escaped_on_the_page() -> None:
    document = DOCUMENT | {"info": {"version": "<b>1</b>", "description": "`<i>` & more"}}
    page = docs.Reference(document).html()
    assert "<b>1</b>" not in page
    assert "<code>&lt;i&gt;</code> &amp; more" in page


def test_websockets_are_described() -> None:
    operation = DOCUMENT["paths"]["/api/v1/ml-platform/ws/ai-jobs"]["get"]
    assert operation["responses"]["101"]
    socket = operation["x-websocket"]
    assert socket["receive"]["$ref"].endswith("/Envelope")
    assert socket["send"]["$ref"].endswith("/Subscription")
    assert {"snapshot", "job.progress", "job.ended"} <= socket["data"].keys()
    assert "4008" in socket["close"]
