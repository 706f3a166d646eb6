"""The server: what it is made of, started in order and stopped in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Annotated

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from gfedge import (
    __version__,
    auth,
    docs,
    keys,
    middleware,
    reload,
    wire,
)
from gfedge.access import guard, start
from gfedge.access import routes as access_routes
from gfedge.ai import generating_routes as generating
from gfedge.ai import replay_routes as replay
from gfedge.ai import routes as ai
from gfedge.ai import sheet_routes as sheets
from gfedge.ai import store as job_store
from gfedge.ai.intake import Intake
from gfedge.ai.queue import JobQueue
from gfedge.ai.shadow import Watcher
from gfedge.ai.store import TELLERS as AI_TELLERS
from gfedge.ai.warm import Warm
from gfedge.alerts import routes as alerts
from gfedge.assets import routes as assets
from gfedge.assets.assets import Assets
from gfedge.assets.store import TELLERS as ASSET_TELLERS
from gfedge.backup import routes as backup
from gfedge.backup.backups import BackupFolder
from gfedge.compat import prometheus, prometheus_status
from gfedge.dashboard import routes as dashboard
from gfedge.dashboard.files import Web
from gfedge.db import Database
from gfedge.events import Events
from gfedge.export import routes as export
from gfedge.lineage import routes as lineage
from gfedge.mlflow import routes as mlflow
from gfedge.mlflow.files import UPLOADS
from gfedge.monitoring import routes as monitoring
from gfedge.monitoring.serving import Serving, VersionState
from gfedge.opening import begin, open_database
from gfedge.registry import canary_routes as canaries
from gfedge.registry import promotion_routes as promotions
from gfedge.registry import routes as registry
from gfedge.registry import upload_routes as model_uploads
from gfedge.registry.canary import Shares
from gfedge.registry.files import ModelFiles
from gfedge.registry.lineage import TELLERS as REGISTRY_TELLERS
from gfedge.registry.promotion import Promotions
from gfedge.registry.registry import Registry
from gfedge.registry.versions import version_id
from gfedge.retention import routes as retention
from gfedge.retention.start import collections
from gfedge.settings import Settings
from gfedge.tasks import Tasks
from gfedge.tracking import artifact_routes as artifacts
from gfedge.tracking import dataset_routes as datasets
from gfedge.tracking import logged_model_routes as logged_models
from gfedge.tracking import routes as tracking
from gfedge.tracking.artifacts import ArtifactFiles
from gfedge.tracking.experiments import Experiments
from gfedge.tracking.feed import Feed
from gfedge.tracking.index import RunIndex
from gfedge.tracking.lineage import TELLERS as TRACKING_TELLERS
from gfedge.tracking.multipart import Uploads
from gfedge.tracking.runs import Runs
from gfedge.training import report_routes as reports
from gfedge.training import routes as training
from gfedge.training.lineage import TELLERS as TRAINING_TELLERS
from gfedge.training.opened import Needs, opened
from gfedge.wire import Route

TELLERS = (
    *TRACKING_TELLERS,
    *ASSET_TELLERS,
    *REGISTRY_TELLERS,
    *TRAINING_TELLERS,
    *AI_TELLERS,
)
"""Who tells what of the nodes in the lineage graph."""

SETTLE_SECONDS = 2.0
"""How long deferred rows wait at most, if nobody reads."""

if TYPE_CHECKING:
    from gfedge.inference.types import Engine

WARM = web.AppKey("warm", Warm)
OPENING: web.AppKey[Future[Database]] = web.AppKey("opening", Future)


class Health(msgspec.Struct, kw_only=True, frozen=True):
    """Whether the server serves, and what is ready; without a token, where one is needed, the first alone."""

    status: Annotated[str, Meta(examples=["ok"])]
    version: str | UnsetType = UNSET
    device: str | UnsetType = UNSET
    models: dict[str, str] | UnsetType = UNSET
    jobs: dict[str, int] | UnsetType = UNSET


def routes() -> list[Route]:
    return [
        Route(
            method="GET",
            path="/health",
            handler=health,
            summary="What is ready",
            reply=Health,
            rooted=True,
            scope="open",
        ),
        Route(
            method="GET",
            path="/health",
            handler=health,
            summary="What is ready",
            reply=Health,
            scope="open",
        ),
        *dashboard.routes(),
        *docs.routes(),
        *ai.routes(),
        *generating.routes(),
        *sheets.routes(),
        *replay.routes(),
        *assets.routes(),
        *registry.routes(),
        *model_uploads.routes(),
        *promotions.routes(),
        *canaries.routes(),
        *tracking.routes(),
        *artifacts.routes(),
        *datasets.routes(),
        *logged_models.routes(),
        *backup.routes(),
        *export.routes(),
        *lineage.routes(),
        *monitoring.routes(),
        *alerts.routes(),
        *prometheus.routes(),
        *prometheus_status.routes(),
        *mlflow.calls(),
        *access_routes.routes(),
        *training.routes(),
        *reports.routes(),
        *retention.routes(),
        *reload.routes(),
    ]


async def health(request: web.Request) -> web.Response:
    app = request.app
    failure = app[WARM].failure
    headers = {"Retry-After": "10"} if failure else None
    if not auth.who(request).may("read"):
        brief = Health(status="no jobs can run" if failure else "ok")
        return wire.reply(brief, 503 if failure else 200, headers)
    found = Health(
        status=failure or "ok",
        version=__version__,
        device=app[WARM].device,
        models=app[registry.REGISTRY].states,
        jobs=app[ai.QUEUE].counts,
    )
    return wire.reply(found, 503 if failure else 200, headers)


def make_app(
    settings: Settings, *, opening: Future[Database] | None = None, no_auth: bool = False
) -> web.Application:
    """The application; its parts open when it starts. `no_auth` lets everybody in, wherever it listens.

    `opening` is its database, where that is being opened already.
    """
    app = web.Application(
        middlewares=[middleware.outermost, guard.guard], client_max_size=settings.max_body
    )
    app[guard.NO_AUTH] = no_auth
    app[keys.SETTINGS] = settings
    app[keys.RELOADS], app[keys.SOURCES] = {}, {}
    if opening is not None:
        app[OPENING] = opening
    app[keys.EVENTS] = Events(settings.max_listeners)
    app[lineage.TELLERS] = TELLERS
    app.on_response_prepare.extend((middleware.add_headers, guard.add_headers))
    app.cleanup_ctx.extend(
        (
            *(database, start.access, jobs, training_jobs, collections, history, alerting),
            *(sampling, models, export.exports),
        )
    )
    app.on_shutdown.append(drain)
    wire.mount(app, table := routes())
    app[docs.DOCS] = docs.Docs(table)
    app[dashboard.WEB] = Web()
    return app


async def database(app: web.Application) -> AsyncIterator[None]:
    """The database, and what is held in memory of it."""
    settings = app[keys.SETTINGS]
    opening = app[OPENING] if OPENING in app else begin(open_database, settings)
    db = app[keys.DB] = await asyncio.wrap_future(opening)
    tasks = Tasks()
    tasks.every("settle the database", SETTLE_SECONDS, db.settle)
    try:
        app[assets.ASSETS] = Assets(db, settings.data / "assets", settings.min_free_disk)
        app[assets.ASSETS].open()
        feed = app[tracking.FEED] = Feed(app[keys.EVENTS])
        app[tracking.EXPERIMENTS] = Experiments(db, feed.experiment)
        backups = app[backup.BACKUPS] = BackupFolder(db, settings.data)
        backups.open()
        await app[tracking.EXPERIMENTS].open()
        index = app[tracking.INDEX] = RunIndex(db)
        runs = app[tracking.RUNS] = Runs(db, index, feed)
        await runs.open()
        snapshot = partial(feed.snapshot, app[tracking.EXPERIMENTS], index)
        app[keys.EVENTS].begin_with("experiments", snapshot)
        await index.open()
        files = app[artifacts.FILES] = ArtifactFiles(
            settings.data / "artifacts", settings.max_artifact, settings.min_free_disk
        )
        files.open()
        app[UPLOADS] = Uploads(settings.data / "artifacts" / "uploads", settings.max_artifact)
        app[UPLOADS].open()
        model_files = ModelFiles(
            settings.data / "models", settings.max_model, settings.min_free_disk
        )
        model_files.open()
        app[registry.REGISTRY] = Registry(db, settings.models, model_files)
        app[promotions.PROMOTIONS] = Promotions(app[registry.REGISTRY])
        app[canaries.SHARES] = Shares(app[registry.REGISTRY])
        yield
        await app[canaries.SHARES].close()
        await index.close()
    finally:
        await tasks.stop()
        await db.settle()
        await asyncio.to_thread(db.close)


async def history(app: web.Application) -> AsyncIterator[None]:
    """The clock that is to sample the metrics, what it sampled, and the GPUs."""
    settings, seen = app[keys.SETTINGS], serving(app)
    async with monitoring.opened(app, settings, app[keys.DB], seen):
        yield


async def alerting(app: web.Application) -> AsyncIterator[None]:
    """The rules, which are evaluated after each sampling, and who is told of alerts."""
    async for _ in alerts.opened(app):
        app[prometheus_status.ALERTING] = app[alerts.ALERTS]
        app[keys.RELOADS]["rules and receivers"] = app[alerts.ALERTS].reread
        yield


async def sampling(app: web.Application) -> AsyncIterator[None]:
    """Begins after all that the first answer waits for: its threads would take their turns from it."""
    monitoring.begin(app)
    yield


def serving(app: web.Application) -> Serving:
    """What monitoring looks at of the slices above it. They open later: it looks when it is asked."""

    def versions() -> list[VersionState]:
        known = app[registry.REGISTRY]
        serves = {version_id(folder) for folder in known.serving()}
        return [
            VersionState(
                model=row.name,
                version=row.version,
                kind=row.kind,
                digest=row.digest,
                serves=row.id in serves,
                state=known.states.get(row.id, "files missing"),
                role=known.role(row),
            )
            for row in known.recorded()
            if row.deleted_at is None
        ]

    def engine() -> Engine | None:
        return app[WARM].engine if WARM in app else None

    return Serving(
        versions=versions,
        loaded=lambda: found.loaded() if (found := engine()) is not None else [],
        device=lambda: found.device if (found := engine()) is not None else None,
        jobs=lambda: app[ai.QUEUE].counts,
        failure=lambda: app[WARM].problem,
        workers=lambda: found.workers() if (found := engine()) is not None else [],
        alerts=lambda: app[alerts.ALERTS].summary(),
    )


async def jobs(app: web.Application) -> AsyncIterator[None]:
    """The queue, with what a crash left in it; it begins to run when the engine is there."""
    settings, known = app[keys.SETTINGS], app[registry.REGISTRY]
    queue = app[ai.QUEUE] = JobQueue(
        settings, app[keys.DB], app[assets.ASSETS], app[keys.EVENTS], app[tracking.FEED]
    )
    app[ai.INTAKE] = Intake(settings, known, app[tracking.EXPERIMENTS], app[assets.ASSETS])
    queue.ends.recorded = partial(app[tracking.INDEX].mark, new=True)
    await queue.open()
    app[tracking.RUNS].elsewhere = queue.live_run
    app[artifacts.FILES].made = partial(job_store.made, app[assets.ASSETS].root)
    known.jobs_of = queue.jobs_of
    app[tracking.FEED].elsewhere = queue.live_runs
    yield
    await queue.close()


async def training_jobs(app: web.Application) -> AsyncIterator[None]:
    """Training jobs, with what a stop or a crash interrupted; inference goes first."""
    needs = Needs(
        settings=app[keys.SETTINGS],
        db=app[keys.DB],
        events=app[keys.EVENTS],
        experiments=app[tracking.EXPERIMENTS],
        runs=app[tracking.RUNS],
        files=app[artifacts.FILES],
        registry=app[registry.REGISTRY],
        busy=lambda: app[ai.QUEUE].counts["queued"],
    )
    async with opened(needs) as (app[training.JOBS], app[training.SECRETS]):
        yield


async def models(app: web.Application) -> AsyncIterator[None]:
    """The engine and its models, which load while the server answers already."""
    tasks, warm, known = Tasks(), Warm(), app[registry.REGISTRY]
    app[WARM] = warm
    watcher = Watcher(
        app[keys.DB],
        app[assets.ASSETS],
        known,
        app[canaries.SHARES],
        app[keys.SETTINGS].max_output_pixels,
    )
    app[ai.QUEUE].on_end = watcher.ended
    task = tasks.spawn(
        "warm up", warm.up(app[keys.SETTINGS], known, app[ai.QUEUE], app[assets.ASSETS], watcher)
    )
    yield
    await warm.down(task)
    await watcher.close()


async def drain(app: web.Application) -> None:
    """Running jobs get their grace, and who listens hears how they ended."""
    await app[ai.QUEUE].drain()
    app[keys.EVENTS].close()
    app[training.JOBS].stopping.set()
