"""The registry against a model of its rules: whatever is done in whatever order, both are in the same state."""

from __future__ import annotations

import asyncio
from typing import Any

from conftest import Api, Serving
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from test_promotion import SUPERRES, UNGATED, nearest, put_policy, register, up

NEXT = {"dev": "staging", "staging": "prod"}
versions = st.sampled_from("123")
stages = st.sampled_from([None, "dev", "staging", "prod", "archived"])
aliases = st.sampled_from(["winter", "best", "old"])


class Rules(RuleBasedStateMachine):
    """Stages, the order of the versions in prod, aliases and history, as the rules say they are."""

    api: Api
    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        model = self.get()
        self.stages = {v["version"]: v["stage"] for v in model["versions"]}
        self.aliases: dict[str, str] = dict(model["aliases"])
        self.history = self.get("/history")["changes"]
        self.trail: list[str] = []
        for change in reversed(self.history):
            if change["action"] == "rolled_back":
                self.back_to(change["version"])
            elif change["to_stage"] == "prod":
                self.trail.append(change["version"])

    # What can be done

    @rule(version=versions, stage=stages)
    def promote(self, version: str, stage: str | None) -> None:
        present, target = self.stages[version], stage or NEXT.get(self.stages[version])
        refused = target is None or target == present or present == "prod"
        body = {"version": version, **({"stage": stage} if stage else {}), "reason": "a rule"}
        self.call("POST", "/promote", 409 if refused else 200, body)
        if refused:
            return
        assert target is not None
        if target == "prod":
            self.archive_prod()
            self.trail.append(version)
        self.stages[version] = target
        self.told("promoted", version)

    @rule()
    def roll_back(self) -> None:
        before = [version for version in self.trail[:-1] if self.stages[version] != "prod"]
        self.call("POST", "/rollback", 200 if before else 409, {"reason": "a rule"})
        if before:
            self.archive_prod()
            self.stages[before[-1]] = "prod"
            self.back_to(before[-1])
            self.told("rolled_back", before[-1])

    @rule(version=versions, names=st.lists(aliases, unique=True))
    def name(self, version: str, names: list[str]) -> None:
        """An alias is one version's: who is given it takes it from another."""
        self.call("PATCH", f"/versions/{version}", 200, {"aliases": names})
        kept = {a: v for a, v in self.aliases.items() if v != version and a not in names}
        self.aliases = kept | dict.fromkeys(names, version)

    @rule(version=versions, name=st.sampled_from(["prod", "latest", "2", "a b"]))
    def name_badly(self, version: str, name: str) -> None:
        self.call("PATCH", f"/versions/{version}", 422, {"aliases": [name]})

    # What holds

    @invariant()
    def stages_and_aliases(self) -> None:
        model = self.get()
        assert {v["version"]: v["stage"] for v in model["versions"]} == self.stages
        assert list(self.stages.values()).count("prod") == 1
        assert model["aliases"] == self.aliases
        assert self.stages[model["serving"].partition("@")[2]] == "prod"

    @invariant()
    def history_only_grows(self) -> None:
        found = self.get("/history")["changes"]
        assert found[len(found) - len(self.history) :] == self.history
        self.history = found

    # Inside

    def archive_prod(self) -> None:
        self.stages |= {v: "archived" for v, stage in self.stages.items() if stage == "prod"}

    def back_to(self, version: str) -> None:
        while self.trail[-1] != version:
            self.trail.pop()

    def told(self, action: str, version: str) -> None:
        last = self.get("/history")["changes"][0]
        assert (last["action"], last["version"], last["reason"]) == (action, version, "a rule")
        assert last["to_stage"] == self.stages[version]

    def get(self, path: str = "") -> Any:
        return self.wait(self.api.get(SUPERRES + path))

    def call(self, method: str, path: str, status: int, body: dict[str, Any]) -> Any:
        return self.wait(self.api.call(method, SUPERRES + path, status, json=body))

    def wait(self, answer: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(answer, self.loop).result(60)


async def test_the_registry_keeps_to_its_rules(serving: Serving) -> None:
    Rules.api, Rules.loop = await up(serving), asyncio.get_running_loop()
    await put_policy(Rules.api, staging={"golden": False}, prod=UNGATED)
    for shade in (0.9, 0.8):
        await register(Rules.api, nearest(shade))
    few = settings(
        max_examples=8,
        stateful_step_count=20,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    await asyncio.to_thread(run_state_machine_as_test, Rules, settings=few)
