"""Backups and verification over HTTP, for administrators."""

from __future__ import annotations

import asyncio

from aiohttp import web

from gfedge import keys
from gfedge.backup.backups import BackupFolder
from gfedge.backup.schema import schema
from gfedge.backup.types import Backup, BackupRequest, Backups, Schema, Verification
from gfedge.backup.verify import verify
from gfedge.wire import Route

BACKUPS = web.AppKey("backups", BackupFolder)


def routes() -> list[Route]:
    return [
        Route(
            method="GET",
            path="/admin/backups",
            handler=list_backups,
            summary="Backups that are there, newest first",
            reply=Backups,
            scope="admin",
        ),
        Route(
            method="POST",
            path="/admin/backups",
            handler=make_backup,
            fails={409: ("backup_exists",)},
            summary="Back up the database and every file that it names, while serving",
            body=BackupRequest,
            reply=Backup,
            status=201,
            scope="admin",
        ),
        Route(
            method="DELETE",
            path="/admin/backups/{name}",
            handler=remove_backup,
            fails={404: ("backup_not_found",)},
            summary="Delete a backup",
            reply=Backup,
            scope="admin",
        ),
        Route(
            method="POST",
            path="/admin/verify",
            handler=verify_data,
            summary="Read every block of the database and every file that it names",
            reply=Verification,
            scope="admin",
        ),
        Route(
            method="GET",
            path="/admin/schema",
            handler=get_schema,
            summary="The migrations that made the database's tables, and the room for a copy of it",
            reply=Schema,
            scope="admin",
        ),
    ]


async def list_backups(request: web.Request) -> Backups:
    return Backups(backups=await asyncio.to_thread(request.app[BACKUPS].list))


async def make_backup(request: web.Request, body: BackupRequest) -> Backup:
    return await request.app[BACKUPS].make(body.name)


async def remove_backup(request: web.Request) -> Backup:
    return await asyncio.to_thread(request.app[BACKUPS].remove, request.match_info["name"])


async def get_schema(request: web.Request) -> Schema:
    return await schema(request.app[keys.DB])


async def verify_data(request: web.Request) -> Verification:
    settings = request.app[keys.SETTINGS]
    models = (settings.models, settings.data / "models")
    return await verify(request.app[keys.DB], settings.data, models)
