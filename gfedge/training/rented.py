"""The backend `vastai`: a machine rented for one job, which reports in like any external trainer; destroyed always.

What has to go is found by looking: every machine whose label is ours and whose job has ended is destroyed, at once and at
each look after, until it is no longer listed. So neither a crash nor a failed call leaves a machine that costs money.
"""

from __future__ import annotations

import asyncio
import contextlib
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

Failure = tuple[str, str]
"""Code and words of why a job is given up."""
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
        self._failing: set[str] = set()
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
        """Goes on with its machine, as soon as Vast.ai says which there are."""
        live.hear()
        self._mind(live)
        if live.record.cancel_requested_at is not None:
            return await self.cancel(live)
        self._tasks.spawn(f"take up {live.id}", self._take_up(live))
        return None

    async def _take_up(self, live: Live) -> None:
        """Finds its machine by the label; where there is none, rents one if it never had any."""
        while not live.ended.is_set():
            try:
                machines = {machine["label"]: machine for machine in await self._machines()}
            except VastFailed as failure:
                log.warning("training job %s cannot be taken up, again soon: %s", live.id, failure)
                await asyncio.sleep(LOOK_SECONDS)
                continue
            machine = machines.get(self._label(live.id))
            if machine is not None:
                await self._adopt(live, machine)
            elif live.record.state == "queued" or _never_had_one(live.record):
                self.submit(live)
            else:
                await self._jobs.fail(live, "machine_gone", "its machine is gone")
            return

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
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._look_now.wait()

    async def _look(self) -> int:
        """One look; gives how many machines there were.

        A machine that must go is destroyed first and its job ended beside: a full disk may hold that up, and costs nothing.
        """
        now = time.time()
        doomed = await self._too_dear(now)
        machines = {machine["label"]: machine for machine in await self._machines()}
        kept = set()
        for live in self._jobs.active("vastai"):
            label = self._label(live.id)
            failure = doomed.get(live.id) or self._silent(live, machines.get(label), now)
            if failure is None:
                kept.add(label)
            elif live.id not in self._failing:
                self._failing.add(live.id)
                self._tasks.spawn(f"fail {live.id}", self._jobs.fail(live, *failure))
        for label, machine in machines.items():
            if label not in kept:
                await self._destroy(label.removeprefix(self._prefix), machine)
        await self._charge(now)
        return len(machines)

    async def _too_dear(self, now: float) -> dict[str, Failure]:
        """The jobs that cost more than they may, or than all may together."""
        costs = {
            live: (live.record.rental, charged(live.record.rental, now).spent_dollars)
            for live in self._jobs.active("vastai")
            if live.record.rental is not None
        }
        total, most = await self._jobs.spent(), self._settings.vast_max_dollars
        total += sum(cost - rental.spent_dollars for rental, cost in costs.values())
        found: dict[str, Failure] = {}
        for live, (rental, cost) in costs.items():
            if cost >= rental.max_dollars:
                detail = f"it cost {cost:.2f} dollars, of {rental.max_dollars:g} that it may"
                hint = "(setting vast_max_dollars_per_job, or rental.max_dollars)"
                found[live.id] = ("spend_limit", f"{detail} {hint}")
            elif total >= most:
                detail = f"all jobs together cost {total:.2f} dollars, of {most:g}"
                found[live.id] = ("spend_limit", f"{detail} (setting vast_max_dollars)")
        return found

    def _silent(self, live: Live, machine: dict[str, Any] | None, now: float) -> Failure | None:
        """Why a job must be given up: its machine is gone, silent, or never began."""
        rental, state = live.record.rental, live.record.state
        if live.id in self._renting or rental is None or rental.rented_at is None:
            return None
        since, status = now - rental.rented_at, (machine or {}).get("actual_status")
        if machine is None:  # a new one may not be listed yet
            return ("machine_gone", "its machine is gone") if since > 4 * LOOK_SECONDS else None
        if status in ("exited", "offline"):
            said = machine.get("status_msg") or "no reason given"
            return "machine_gone", f"its machine is {status}: {said:.300}"
        if state == "starting" and since > (longest := self._settings.vast_start_seconds):
            detail = f"its trainer did not report within {longest:g} s of renting its machine, whose status is {status}"
            return "machine_silent", f"{detail} (setting vast_start_seconds)"
        if state == "running" and live.silent_seconds > (
            longest := self._settings.train_lost_after
        ):
            return "machine_silent", f"nothing was heard of its trainer for {longest:g} s"
        return None

    async def _charge(self, now: float) -> None:
        """Writes down what each machine cost so far."""
        for live in self._jobs.active("vastai"):
            if live.record.rental is not None and live.record.rental.rented_at is not None:
                await self._jobs.change(live, quiet=True, rental=charged(live.record.rental, now))

    async def _destroy(self, job_id: str, machine: dict[str, Any]) -> None:
        try:
            await self._vast.destroy(int(machine["id"]))
        except VastFailed as failure:
            log.error("machine %s cannot be destroyed, again soon: %s", machine["id"], failure)
            return
        log.info("the rented machine %s of training job %s is destroyed", machine["id"], job_id)
        try:
            found = await self._jobs.find(job_id)
            rental = found.record.rental if isinstance(found, Live) else found.rental
            if rental is None or rental.destroyed_at is not None:
                return
            now = time.time()
            rental = msgspec.structs.replace(charged(rental, now), destroyed_at=now)
            if isinstance(found, Live):
                await self._record(found, rental)
            else:
                await self._jobs.amend(found, rental)
        except errors.ApiError as failure:
            log.warning("that machine %s is gone is not recorded: %s", machine["id"], failure)

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
