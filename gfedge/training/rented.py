"""The backend `vastai`: a machine rented for one job, which reports in like any external trainer; destroyed always.

What has to go is found by looking: every machine whose label is ours and whose job has ended is destroyed, at once and at
each look after, until it is no longer listed. So neither a crash nor a failed call leaves a machine that costs money.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import Any

import msgspec

from gfedge import errors
from gfedge.settings import Settings
from gfedge.tasks import Tasks
from gfedge.tracking.types import Source
from gfedge.training import entry_points
from gfedge.training.creation import Plan
from gfedge.training.entry_points import Rented as Machine
from gfedge.training.jobs import TrainingJobs
from gfedge.training.live import Live
from gfedge.training.process import MARK
from gfedge.training.secrets import JobSecrets
from gfedge.training.types import Outcome, Rental, RentalWish, TrainingCreate, TrainingRecord
from gfedge.training.vast import Vast, VastFailed

log = logging.getLogger(__name__)

LOOK_SECONDS = 15.0
TRIES = 5
"""Offers that are tried, where others take them first."""
ONSTART = """\
mkdir -p gfedge-job && cd gfedge-job
auth="X-Job-Secret: $GFEDGE_JOB_SECRET"
(
set -e
curl -fsS -H "$auth" "$GFEDGE_JOB_URL/report.py" -o report.py
{script}
) > log.txt 2>&1 || curl -fsS -H "$auth" -H 'Content-Type: application/json' \\
  -d '{{"status": "failed", "error": "the on-start script failed"}}' "$GFEDGE_JOB_URL/finish"
"""


class Rented:
    """Rents, watches what it costs, and destroys."""

    def __init__(self, settings: Settings, jobs: TrainingJobs, secrets: JobSecrets) -> None:
        self._settings = settings
        self._jobs = jobs
        self._secrets = secrets
        self._vast = Vast(settings)
        self._tasks = Tasks()
        self._renting: set[str] = set()
        self._look_now = asyncio.Event()
        self._prefix = f"gfedge-{secrets.server}-"

    def open(self) -> None:
        """Looks after machines, where there is a key; what an earlier server left is destroyed first."""
        if self._settings.vast_key:
            self._tasks.spawn("look after rented machines", self._look_again_and_again())

    async def close(self) -> None:
        await self._tasks.stop()

    # What a backend does

    async def plan(self, wanted: TrainingCreate) -> Plan:
        await self._vast.check()
        entry = await asyncio.to_thread(entry_points.find, self._settings, wanted.entry_point)
        if entry.rented is None:
            raise errors.Invalid(
                f"entry_point: {wanted.entry_point!r} declares no `rented` table: take backend local",
                code="wrong_backend",
                field="entry_point",
            )
        if (left := self._settings.vast_max_dollars - await self._jobs.spent()) <= 0:
            raise errors.Conflict(
                f"all of the {self._settings.vast_max_dollars:g} dollars that may be spent are spent "
                f"({-left:.2f} more): raise the setting vast_max_dollars",
                code="spend_limit",
            )
        params = await asyncio.to_thread(entry_points.checked, entry, wanted.params)
        return Plan(params=params, source=Source(entry_point=wanted.entry_point))

    def submit(self, live: Live) -> None:
        self._renting.add(live.id)
        self._mind(live)
        self._tasks.spawn(f"rent for {live.id}", self._rent_for(live))

    async def recover(self, live: Live) -> None:
        """Goes on with its machine, found by the label; where there is none, rents one if it never had any."""
        live.heard_at = time.time()
        self._mind(live)
        if live.record.cancel_requested_at is not None:
            return await self.cancel(live)
        machine = {m["label"]: m for m in await self._machines()}.get(self._label(live.id))
        if machine is not None:
            return await self._adopt(live, machine)
        if live.record.state == "queued" or _never_had_one(live.record):
            return self.submit(live)
        return await self._jobs.fail(live, "machine_gone", "its machine is gone")

    async def cancel(self, live: Live) -> None:
        await self._jobs.settle(live, Outcome(status="cancelled"))

    # Renting

    def _mind(self, live: Live) -> None:
        self._tasks.spawn(f"mind the machine of {live.id}", self._look_at_its_end(live))

    async def _look_at_its_end(self, live: Live) -> None:
        await live.ended.wait()
        self._look_now.set()

    async def _rent_for(self, live: Live) -> None:
        try:
            entry = await asyncio.to_thread(
                entry_points.find, self._settings, live.record.entry_point
            )
            if entry.rented is None:
                raise VastFailed("its entry point declares no `rented` table any more")
            await self._rent(live, entry.rented)
        except errors.ApiError as failure:
            await self._jobs.fail(live, "not_rented", str(failure))
        finally:
            self._renting.discard(live.id)
            self._look_now.set()

    async def _rent(self, live: Live, machine: Machine) -> None:
        wish = live.record.rental_wish or RentalWish()
        price = min(machine.max_dollars_per_hour, wish.max_dollars_per_hour or 1e9)
        memory = max(machine.gpu_memory_gb, wish.gpu_memory_gb)
        most = min(self._settings.vast_max_dollars_per_job, wish.max_dollars or 1e9)
        rental = Rental(label=self._label(live.id), max_dollars=most)
        await self._jobs.change(
            live, state="starting", reason="looking for a machine", rental=rental
        )
        offers = await self._vast.offers(memory, price, machine.disk_gb)
        if not offers:
            raise VastFailed(
                f"Vast.ai offers no machine with {memory:g} GB of GPU memory for at most {price:g} dollars an hour: "
                "ask for less memory or allow a higher price"
            )
        for offer in offers[:TRIES]:
            if live.ended.is_set():
                return
            try:
                instance = await self._vast.create(int(offer["id"]), **self._order(live, machine))
            except VastFailed as failure:
                log.warning("training job %s: %s", live.id, failure)
                last = failure
                continue
            rental = msgspec.structs.replace(
                rental,
                instance_id=instance,
                gpu=str(offer.get("gpu_name") or ""),
                dollars_per_hour=float(offer.get("dph_total") or price),
                rented_at=time.time(),
            )
            await self._record(live, rental, reason="the machine starts")
            return
        raise last

    def _order(self, live: Live, machine: Machine) -> dict[str, Any]:
        url = f"{self._settings.address}/api/v1/ml-platform/training-jobs/{live.id}"
        return {
            "image": machine.image,
            "disk": machine.disk_gb,
            "label": self._label(live.id),
            "onstart_cmd": ONSTART.format(script=machine.onstart),
            "env": {
                **machine.env,
                MARK: live.id,
                "GFEDGE_JOB_URL": url,
                "GFEDGE_JOB_SECRET": self._secrets.of(live.id),
                "GFEDGE_JOB_PARAMS": json.dumps(live.record.params),
            },
        }

    async def _adopt(self, live: Live, machine: dict[str, Any]) -> None:
        rental = live.record.rental or Rental(label=machine["label"], max_dollars=0)
        began = rental.rented_at or float(machine.get("start_date") or live.record.created_at)
        rental = msgspec.structs.replace(
            rental,
            instance_id=int(machine["id"]),
            gpu=str(machine.get("gpu_name") or ""),
            dollars_per_hour=float(machine.get("dph_total") or rental.dollars_per_hour),
            rented_at=began,
        )
        await self._record(live, rental)

    async def _record(self, live: Live, rental: Rental, **more: Any) -> None:
        """Writes down what is known of a machine, also where the job ended meanwhile."""
        if live.record.ended_at is None:
            await self._jobs.change(live, rental=rental, **more)
        if live.record.ended_at is not None:
            await self._jobs.amend(live, rental)

    # Looking after

    async def _look_again_and_again(self) -> None:
        while True:
            self._look_now.clear()
            pause: float | None = LOOK_SECONDS
            try:
                if not await self._look() and not self._jobs.active("vastai"):
                    pause = None  # nothing costs anything until somebody asks for a machine
            except errors.ApiError as failure:
                log.error("rented machines cannot be looked after, again soon: %s", failure)
            except Exception:
                log.exception("looking after rented machines failed")
            try:
                await asyncio.wait_for(self._look_now.wait(), pause)
            except TimeoutError:
                continue

    async def _look(self) -> int:
        """First what needs nobody's answer, the money; then the machines. Gives how many of them there were."""
        now = time.time()
        for live in self._jobs.active("vastai"):
            if live.record.rental is not None and live.record.rental.rented_at is not None:
                await self._charge(live, now)
        await self._stop_what_costs_too_much()
        machines = {machine["label"]: machine for machine in await self._machines()}
        for live in self._jobs.active("vastai"):
            await self._check(live, machines.get(self._label(live.id)), now)
        ours = {self._label(live.id) for live in self._jobs.active("vastai")}
        for label, machine in machines.items():
            if label not in ours:
                await self._destroy(label.removeprefix(self._prefix), machine)
        return len(machines)

    async def _charge(self, live: Live, now: float) -> None:
        rental = live.record.rental
        assert rental is not None
        await self._jobs.change(live, quiet=True, rental=charged(rental, now))

    async def _stop_what_costs_too_much(self) -> None:
        total, most = await self._jobs.spent(), self._settings.vast_max_dollars
        for live in self._jobs.active("vastai"):
            rental = live.record.rental
            if rental is None:
                continue
            if rental.spent_dollars >= rental.max_dollars:
                await self._jobs.fail(
                    live,
                    "spend_limit",
                    f"it cost {rental.spent_dollars:.2f} dollars, of {rental.max_dollars:g} that it may (setting "
                    "vast_max_dollars_per_job, or rental.max_dollars)",
                )
            elif total >= most:
                await self._jobs.fail(
                    live,
                    "spend_limit",
                    f"all jobs together cost {total:.2f} dollars, of {most:g} (setting vast_max_dollars)",
                )

    async def _check(self, live: Live, machine: dict[str, Any] | None, now: float) -> None:
        """Gives up a job whose machine is gone, silent, or never began."""
        if live.id in self._renting or live.record.rental is None:
            return
        rental, state = live.record.rental, live.record.state
        began = rental.rented_at or now
        if machine is None:
            if now - began > LOOK_SECONDS:  # it may not be listed yet
                await self._jobs.fail(live, "machine_gone", "its machine is gone")
        elif machine.get("actual_status") in ("exited", "offline"):
            status = f"{machine['actual_status']}: {machine.get('status_msg') or 'no reason given'}"
            await self._jobs.fail(live, "machine_gone", f"its machine is {status:.300}")
        elif state == "starting" and now - began > self._settings.vast_start_seconds:
            await self._jobs.fail(
                live,
                "machine_silent",
                f"its trainer did not report within {self._settings.vast_start_seconds:g} s of renting the machine "
                f"(status {machine.get('actual_status')}; setting vast_start_seconds)",
            )
        elif state == "running" and now - (live.heard_at or now) > self._settings.train_lost_after:
            await self._jobs.fail(
                live,
                "machine_silent",
                f"nothing was heard of its trainer for {self._settings.train_lost_after:g} s",
            )

    async def _destroy(self, job_id: str, machine: dict[str, Any]) -> None:
        await self._vast.destroy(int(machine["id"]))
        log.info("the rented machine %s of training job %s is destroyed", machine["id"], job_id)
        try:
            record = await self._jobs.find(job_id)
        except errors.NotFound:
            return
        if isinstance(record, Live) or record.rental is None:
            return
        if record.rental.destroyed_at is None:
            rental = charged(record.rental, time.time())
            await self._jobs.amend(
                record, msgspec.structs.replace(rental, destroyed_at=time.time())
            )

    async def _machines(self) -> list[dict[str, Any]]:
        """The machines that this server rented."""
        return [
            m
            for m in await self._vast.instances()
            if str(m.get("label") or "").startswith(self._prefix)
        ]

    def _label(self, job_id: str) -> str:
        return self._prefix + job_id


def charged(rental: Rental, now: float) -> Rental:
    """What a machine cost so far, by the price of its hour."""
    if rental.rented_at is None or rental.destroyed_at is not None:
        return rental
    spent = rental.dollars_per_hour * max(0.0, now - rental.rented_at) / 3600
    return msgspec.structs.replace(rental, spent_dollars=max(rental.spent_dollars, spent))


def _never_had_one(record: TrainingRecord) -> bool:
    return record.rental is None or record.rental.instance_id is None
