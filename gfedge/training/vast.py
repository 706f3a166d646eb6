"""Vast.ai through its SDK, which runs in a process of its own: it pins other versions of what the server uses."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from gfedge import errors, outside
from gfedge.settings import Settings

SCRIPT = Path(__file__).with_name("vast_call.py")
CALL_SECONDS = 150.0
INHERITED = (
    *("PATH", "HOME", "LANG", "SYSTEMROOT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
)


class VastFailed(errors.Unavailable):
    """Vast.ai, or the SDK, could not do it."""

    code = "vastai_failed"


class Vast:
    """The calls that renting needs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._python = settings.vast_python or (
            "python3" if getattr(sys, "frozen", False) else sys.executable
        )

    async def check(self) -> None:
        """Raises VastFailed where there is no key, no address to report to, no SDK, or the key is not taken."""
        if not self._settings.vast_key:
            raise VastFailed(
                "machines are rented with a key of Vast.ai: put it into the setting vast_key (GFEDGE_VAST_KEY) and "
                "start the server again",
                code="vastai_not_configured",
            )
        if not self._settings.public_url:
            raise VastFailed(
                "a rented machine reports to this server: say at which public address in the setting public_url "
                "(GFEDGE_PUBLIC_URL)",
                code="public_url_needed",
            )
        await self.instances()

    async def offers(
        self, gpu_memory_gb: float, dollars_per_hour: float, disk_gb: float
    ) -> list[dict[str, Any]]:
        """Machines with one GPU of at least so much memory, at most so dear, the cheapest first."""
        query = {
            "num_gpus": {"eq": 1},
            "gpu_ram": {"gte": gpu_memory_gb * 1000},
            "dph_total": {"lte": dollars_per_hour},
            "disk_space": {"gte": disk_gb},
        }
        found: list[dict[str, Any]] = await self._call("offers", query=query, disk_gb=disk_gb)
        return found

    async def create(self, offer: int, **about: Any) -> int:
        """Rents a machine; gives its id."""
        made = await self._call("create", offer=offer, **about)
        if not made.get("success") or not isinstance(made.get("new_contract"), int):
            raise VastFailed(f"Vast.ai did not rent out offer {offer}: {str(made)[:300]}")
        return int(made["new_contract"])

    async def instances(self) -> list[dict[str, Any]]:
        """All machines of the account."""
        found: list[dict[str, Any]] = await self._call("instances")
        return found

    async def destroy(self, instance: int) -> None:
        await self._call("destroy", instance=instance)

    async def _call(self, call: str, **arguments: Any) -> Any:
        wanted = {
            "call": call,
            "key": self._settings.vast_key,
            "url": self._settings.vast_url.rstrip("/"),
            "arguments": arguments,
        }
        answer = await self._run(json.dumps(wanted).encode())
        if "missing" in answer:
            raise VastFailed(
                f"{self._python} has no vastai SDK ({answer['missing']}): `make vastai` puts it into a folder of its "
                "own, whose Python the setting vast_python (GFEDGE_VAST_PYTHON) names",
                code="vastai_sdk_missing",
            )
        if "found" not in answer:
            raise VastFailed(f"Vast.ai: {answer.get('error')} {answer.get('said') or ''}".strip())
        return answer["found"]

    async def _run(self, request: bytes) -> dict[str, Any]:
        """The key goes in by stdin: arguments and environments can be seen by others."""
        environ = outside.environment()
        try:
            child = await asyncio.create_subprocess_exec(
                *(self._python, "-I", str(SCRIPT)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={name: environ[name] for name in INHERITED if name in environ},
            )
        except OSError as error:
            raise VastFailed(
                f"{self._python} does not start ({error.strerror}): check the setting vast_python",
                code="vastai_sdk_missing",
            ) from None
        try:
            async with asyncio.timeout(CALL_SECONDS):
                said, complained = await child.communicate(request)
        except TimeoutError:
            raise VastFailed(f"Vast.ai did not answer within {CALL_SECONDS:g} s") from None
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        try:
            answer: dict[str, Any] = json.loads(said)
        except ValueError:
            last = complained.decode(errors="replace").strip().rpartition("\n")[2]
            raise VastFailed(f"the vastai SDK failed: {last:.300}") from None
        return answer
