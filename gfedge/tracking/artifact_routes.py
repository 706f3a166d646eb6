"""Artifacts of runs over HTTP: streamed in, listed by folder, streamed out."""

from __future__ import annotations

import base64
import binascii
import mimetypes
import re
import time
from collections.abc import AsyncIterator, Callable
from urllib.parse import quote

from aiohttp import hdrs, web

from gfedge import content, errors, keys
from gfedge.tracking import artifacts, paths
from gfedge.tracking.artifact_types import (
    ArtifactEntry,
    ArtifactQuery,
    ArtifactRow,
    Artifacts,
    ArtifactsGone,
)
from gfedge.tracking.artifacts import ArtifactFiles, Made
from gfedge.tracking.routes import RUNS
from gfedge.tracking.types import Run, RunRecord
from gfedge.wire import Route, reply

FILES = web.AppKey("artifact_files", ArtifactFiles)
CHUNK = 256 << 10
ANY = "application/octet-stream"
FORM = "application/x-www-form-urlencoded"
JOBS = "ai-"
"""What the kind of a job's run begins with."""
_by_name = mimetypes.MimeTypes()
"""Python's own table: that of the machine would make one file two things."""
_media_type = re.compile(
    r"[\w!#$&^.+\-]{1,100}/[\w!#$&^.+\-]{1,100}(?:; ?[\w\-]+=[\w\-.+]{1,100}){0,3}", re.ASCII
)
_token = re.compile(r"[\w!#$&+.^`|~-]+", re.ASCII)
_sha256 = re.compile(r"(?:^|[ ,])sha-256=:([A-Za-z0-9+/=]+):")


def routes() -> list[Route]:
    at = "/ml-platform/runs/{id}/artifacts"
    one = f"{at}/{{path}}"
    return [
        Route(
            method="GET",
            path=at,
            handler=list_artifacts,
            fails={404: ("run_not_found",), 422: ("bad_artifact_path",)},
            summary="What is in a folder of a run's artifacts; of a job's run, its pictures too",
            query=ArtifactQuery,
            reply=Artifacts,
        ),
        Route(
            method="PUT",
            path=one,
            tail=True,
            handler=put_artifact,
            also=(201,),
            headers={"Content-Digest": "`sha-256=:BASE64:` of the bytes, which is checked."},
            fails={
                404: ("run_not_found",),
                409: ("run_deleted", "artifact_exists", "artifact_of_job"),
                422: ("bad_artifact_path", "digest_mismatch"),
            },
            summary="Store a file of a run; the body is its bytes, `Content-Digest: sha-256=:…:` is checked",
            accepts=(ANY,),
            reply=ArtifactRow,
            streams=True,
        ),
        Route(
            method="GET",
            path=one,
            tail=True,
            handler=get_artifact,
            also=(206, 304),
            fails={
                404: ("run_not_found", "artifact_not_found"),
                **content.REFUSED,
                422: ("bad_artifact_path",),
            },
            summary="The bytes of a file of a run, with ETag, Repr-Digest and ranges",
            produces=(ANY,),
        ),
        Route(
            method="DELETE",
            path=one,
            tail=True,
            handler=delete_artifact,
            fails={
                404: ("run_not_found", "artifact_not_found"),
                409: ("run_deleted", "artifact_of_job"),
                422: ("bad_artifact_path",),
            },
            summary="Take away a file of a run, or a folder with all that is in it",
            reply=ArtifactsGone,
        ),
    ]


async def list_artifacts(request: web.Request, query: ArtifactQuery) -> Artifacts:
    run_id, folder = request.match_info["id"], paths.folder(query.path)
    found = await entries(request, run_id, folder, query)
    page = found[: query.limit]
    following = page[-1].name if len(found) > len(page) else None
    return Artifacts(run_id=run_id, path=folder, artifacts=page, next=following)


async def entries(
    request: web.Request, run_id: str, folder: str, query: ArtifactQuery
) -> list[ArtifactEntry]:
    """What is in a folder of a run, by name, and one entry more than asked for."""
    run = await request.app[RUNS].find(run_id)
    found = await request.app[keys.DB].read(artifacts.list_artifacts, run_id, folder, query)
    return found if folder else artifacts.listed_with(found, await _made(request, run), query)


async def put_artifact(request: web.Request) -> web.Response:
    return await store(request, request.match_info["id"])


async def store(
    request: web.Request, run_id: str, alive: Callable[[], None] = lambda: None
) -> web.Response:
    """The run must be there before the first byte is taken; the name is given after the last one is on the disk.

    `alive` is called for each piece that arrives.
    """
    path = paths.checked(request.match_info["path"])
    kind = media_type(request, path)
    async with request.app[RUNS].written(run_id) as live:
        await check_not_made(request, live.record, path)
    sha256, size = await request.app[FILES].write(
        chunks(request, alive), request.content_length or 0, _announced(request)
    )
    row = ArtifactRow(
        run_id=run_id, path=path, sha256=sha256, media_type=kind, bytes=size, created_at=time.time()
    )
    async with request.app[RUNS].written(run_id):
        new = await request.app[keys.DB].write(artifacts.put_artifact, row)
    headers = {"Location": quote(f"/api/v1/ml-platform/runs/{run_id}/artifacts/{path}")}
    return reply(row, 201 if new else 200, headers)


async def get_artifact(request: web.Request) -> web.StreamResponse:
    return await fetch(request, request.match_info["id"], request.match_info["path"])


async def fetch(request: web.Request, run_id: str, path: str) -> web.StreamResponse:
    """The bytes of a file."""
    path = paths.checked(path)
    row, file = await _find(request, run_id, path)
    if not file.is_file():
        raise _missing(run_id, path)
    digest = base64.b64encode(bytes.fromhex(row.sha256)).decode()
    headers = {
        hdrs.CONTENT_TYPE: row.media_type,
        # Whatever it is, it is not shown as a page of this server.
        hdrs.CONTENT_DISPOSITION: disposition(path.rpartition("/")[2]),
        hdrs.CACHE_CONTROL: "no-cache",
        "Repr-Digest": f"sha-256=:{digest}:",
    }
    return content.answer(request, file, row.sha256, headers)


async def _find(request: web.Request, run_id: str, path: str) -> Made:
    row = await request.app[keys.DB].read(artifacts.find_artifact, run_id, path)
    if row is not None:
        return Made(row, request.app[FILES].path_of(row.sha256))
    run = await request.app[RUNS].find(run_id)
    for made in await _made(request, run):
        if made.row.path == path:
            return made
    raise _missing(run_id, path)


async def _made(request: web.Request, run: Run | RunRecord) -> list[Made]:
    """What the job of a run made; nothing where it is no job's."""
    if not run.kind.startswith(JOBS):
        return []
    return await request.app[keys.DB].read(request.app[FILES].made, run.id)


async def check_not_made(request: web.Request, run: Run | RunRecord, path: str) -> None:
    """Refuses to replace or to remove what a job made: its record is whole for as long as it is there."""
    if any(made.row.path == path for made in await _made(request, run)):
        raise errors.Conflict(
            f"{path!r} is a picture that the job of this run made, and goes with the job: use another name",
            code="artifact_of_job",
        )


async def delete_artifact(request: web.Request) -> ArtifactsGone:
    run_id, path = request.match_info["id"], paths.checked(request.match_info["path"])
    async with request.app[RUNS].written(run_id) as live:
        await check_not_made(request, live.record, path)
        count = await request.app[keys.DB].write(artifacts.delete_artifact, run_id, path)
    if not count:
        raise _missing(run_id, path)
    return ArtifactsGone(files=count)


def disposition(name: str) -> str:
    """A download under its name: as it is where a header can hold it, and encoded (RFC 6266) where not."""
    if _token.fullmatch(name):
        return f"attachment; filename={name}"
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}"


# Inside


async def chunks(
    request: web.Request, alive: Callable[[], None] = lambda: None
) -> AsyncIterator[bytes]:
    """The body as it comes; an upload that breaks off ends in an error, never in a shorter file."""
    async for chunk in request.content.iter_chunked(CHUNK):
        alive()
        yield chunk


def media_type(request: web.Request, path: str) -> str:
    """The media type as it was sent; where that says nothing, or what curl says untold, what the name says, else bytes."""
    kind = request.headers.get(hdrs.CONTENT_TYPE, ANY)
    if _media_type.fullmatch(kind) and not kind.startswith((FORM, ANY)):
        return kind
    known, packed = _by_name.guess_type(f"/{path}", strict=False)
    return known if known and not packed else ANY


def _announced(request: web.Request) -> str:
    """The sha256 in `Content-Digest` (RFC 9530), as hexadecimal digits; empty where there is none."""
    found = _sha256.search(request.headers.get("Content-Digest", ""))
    if found is None:
        return ""
    try:
        digest = base64.b64decode(found.group(1), validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise errors.Invalid(
            "Content-Digest: it is no sha-256", code="digest_mismatch", field="Content-Digest"
        )
    return digest.hex()


def _missing(run_id: str, path: str) -> errors.NotFound:
    return errors.NotFound(f"run {run_id} has no artifact {path!r}", code="artifact_not_found")
