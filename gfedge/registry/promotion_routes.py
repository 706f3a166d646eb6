"""Promotion, rollback and the policy of a model over HTTP."""

from __future__ import annotations

from aiohttp import web
from msgspec.structs import asdict, replace

from gfedge import auth, errors
from gfedge.registry import labels
from gfedge.registry.policy import Policy, PolicyBody, PromoteBody, RollbackBody
from gfedge.registry.promotion import Promotions
from gfedge.registry.references import split
from gfedge.registry.routes import MODELS, author, opened
from gfedge.registry.types import Promotion
from gfedge.wire import Route

PROMOTIONS = web.AppKey("promotions", Promotions)


def routes() -> list[Route]:
    model = f"{MODELS}/{{name}}"
    return [
        Route(
            method="POST",
            path=f"{model}/promote",
            handler=promote_model,
            fails={
                403: ("not_admin",),
                404: ("model_not_found",),
                409: (
                    "no_next_stage",
                    "already_there",
                    "version_in_use",
                    "changed_meanwhile",
                    "load_failed",
                    "files_missing",
                    "gate_failed",
                    "not_run_here",
                ),
            },
            summary="Move a version to a stage if its gates hold; into prod it is swapped without a failed request",
            body=PromoteBody,
            reply=Promotion,
            scope="admin",
        ),
        Route(
            method="POST",
            path=f"{model}/rollback",
            handler=rollback_model,
            fails={
                404: ("model_not_found",),
                409: ("no_previous_version", "changed_meanwhile", "load_failed", "files_missing"),
            },
            summary="Put the version that was in prod before there again",
            body=RollbackBody,
            reply=Promotion,
            scope="admin",
        ),
        Route(
            method="GET",
            path=f"{model}/policy",
            handler=get_policy,
            fails={404: ("model_not_found",)},
            summary="What a version must show before it comes to a stage",
            reply=Policy,
        ),
        Route(
            method="PUT",
            path=f"{model}/policy",
            handler=put_policy,
            fails={404: ("model_not_found",)},
            summary="Declare what a version must show; what is left out is as by default",
            body=PolicyBody,
            reply=Policy,
            scope="admin",
        ),
    ]


async def promote_model(request: web.Request, body: PromoteBody) -> Promotion:
    await opened(request)
    name, label = split(request.match_info["name"])
    if label and body.version not in ("", label):
        raise errors.Invalid(
            f"version: the path says {label!r} and the body {body.version!r}", field="version"
        )
    if not label and not body.version:
        raise errors.Invalid("version: say which one, as `3` or `latest`", field="version")
    wanted = replace(body, version=label or body.version)
    admin = auth.who(request).may("admin")
    by = author(request, body.by)
    return await request.app[PROMOTIONS].promote(name, wanted, by, admin=admin)


async def rollback_model(request: web.Request, body: RollbackBody) -> Promotion:
    name = await model_name(request)
    by = author(request, body.by)
    return await request.app[PROMOTIONS].rollback(name, body.reason, by, {})


async def get_policy(request: web.Request) -> Policy:
    name = await model_name(request)
    return (await opened(request)).policy(name)


async def put_policy(request: web.Request, body: PolicyBody) -> Policy:
    name = await model_name(request)
    registry = await opened(request)
    fields = asdict(body)
    reason, by = fields.pop("reason"), author(request, fields.pop("by"))
    policy, before = Policy(**fields), registry.policy(name)
    change = labels.change_of_model(name, "policy", by, reason, {"before": before, "after": policy})
    await registry.commit([], replace(registry.settings(name), policy=policy), change)
    return policy


async def model_name(request: web.Request) -> str:
    registry, (name, _) = await opened(request), split(request.match_info["name"])
    if not registry.versions(name):
        raise errors.NotFound(f"no model {name!r} is here", code="model_not_found")
    return name
