"""Calls the vastai SDK in an interpreter that has it: a JSON request on stdin, a JSON answer on stdout.

The server runs this file by its path, because the SDK pins other versions of what the server uses. It imports nothing of gfedge.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from typing import Any


def main() -> None:
    """One call."""
    wanted = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):  # whatever the SDK prints is no answer
        answer = answered(wanted)
    json.dump(answer, sys.stdout)


def answered(wanted: dict[str, Any]) -> dict[str, Any]:
    # Its serverless half is optional to itself, is not used here, and takes two thirds of the time to import.
    sys.modules["vastai.serverless"] = None  # type: ignore[assignment]
    try:
        from vastai import VastAI
    except ImportError as error:
        return {"missing": str(error)}
    client = VastAI(api_key=wanted["key"], server_url=wanted["url"], quiet=True)
    try:
        return {"found": CALLS[wanted["call"]](client, **wanted["arguments"])}
    except Exception as error:  # whatever the SDK raises is the answer
        response = getattr(error, "response", None)
        return {
            "error": f"{type(error).__name__}: {error}"[:500],
            "status": getattr(response, "status_code", None),
            "said": getattr(response, "text", "")[:500],
        }


def offers(client: Any, query: dict[str, Any], disk_gb: float) -> Any:
    """On-demand offers, the cheapest first."""
    return client.search_offers(query=query, order="dph_total", limit=20, storage=disk_gb)


def create(client: Any, offer: int, **about: Any) -> Any:
    return client.create_instance(id=offer, cancel_unavail=True, **about)


def instances(client: Any) -> Any:
    """All of the account; the pages are read here, because the SDK's own loop fails on a machine that has no start yet."""
    found: list[Any] = []
    params: dict[str, Any] = {
        "select_filters": {},
        "order_by": [{"col": "id", "dir": "asc"}],
        "limit": 25,
    }
    while True:
        page = client.show_instances_v1(params)
        found += page.get("instances") or []
        if not page.get("next_token"):
            return found
        params["after_token"] = page["next_token"]


def destroy(client: Any, instance: int) -> Any:
    return client.destroy_instance(id=instance)


CALLS: dict[str, Callable[..., Any]] = {
    "offers": offers,
    "create": create,
    "instances": instances,
    "destroy": destroy,
}

if __name__ == "__main__":
    main()
