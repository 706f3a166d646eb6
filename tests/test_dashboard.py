"""The dashboard in a real browser, on a real server: what a person does, and what they then see."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import browser
import builders
import pytest
import pytest_asyncio
from browser import Tab, expect
from conftest import PATIENCE, Process, connected, make_models
from PIL import Image
from playwright.async_api import Browser, Download, Page, Route
from test_access import Lan, start_lan
from test_registration import tar_of, upload
from test_training import declare

from gfedge.access.guard import DOOR
from gfedge.evaluation import written

pytestmark = [browser.needed, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("dashboard")
    declare(folder / "data")
    process = Process(folder / "data", make_models(folder / "models"))
    process.start()
    yield process
    process.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with browser.started() as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def tab(server: Process, chromium: Browser) -> AsyncIterator[Tab]:
    async with browser.tab(chromium, server.address) as found:
        yield found


async def test_a_prompt_becomes_a_picture_in_the_gallery(tab: Tab) -> None:
    page = await tab.open()
    await page.get_by_label("Prompt", exact=True).fill("a blue potion")
    await page.get_by_label("Pictures", exact=True).first.fill("2")
    await page.get_by_role("button", name="Generate").click()
    made = page.get_by_role("button", name="a blue potion").locator("img")
    await expect(made).to_have_count(2)
    await made.first.evaluate("(image) => image.decode()")
    assert await made.first.evaluate("(image) => image.naturalWidth") == 32
    assert await tab.serious() == []


DROP = """(bytes) => {
  const files = new DataTransfer();
  files.items.add(new File([new Uint8Array(bytes)], "icon.png", { type: "image/png" }));
  return files;
}"""


async def test_a_dropped_picture_is_enlarged_and_leads_to_the_digest_of_its_model(tab: Tab) -> None:
    page = await tab.open()
    files = await page.evaluate_handle(DROP, list(builders.png_file(16, 16, seed=3)))
    well = page.get_by_text("Drop a PNG, JPEG or WebP here")
    await well.dispatch_event("drop", {"dataTransfer": files})
    await page.get_by_role("button", name="Enlarged ×4").first.click()
    await page.get_by_role("button", name="Before / after").click()
    await expect(page.get_by_role("slider", name="How much of before")).to_be_visible()
    assert await tab.serious() == []
    await page.get_by_role("link", name="Where it comes from").click()
    await page.get_by_role("button", name="Model version superres@1").press("Enter")
    chosen = page.get_by_label("The chosen node")
    async with connected(tab.server) as api:
        version = await api.get("/api/v1/ml-platform/models/superres/versions/1")
    await expect(chosen).to_contain_text(version["digest"])
    assert await tab.serious() == []
    await chosen.get_by_role("link", name="Open").click()
    await expect(page.get_by_role("heading", name="superres@1", exact=True)).to_be_visible()


async def test_a_picture_that_is_made_while_the_gallery_is_read_is_in_it(tab: Tab) -> None:
    read, heard = asyncio.Event(), asyncio.Event()

    async def late(route: Route) -> None:
        answer = await route.fetch()
        read.set()
        await heard.wait()
        await route.fulfill(response=answer)

    def listen(text: str | bytes) -> None:
        if '"job.ended"' in str(text):
            heard.set()

    tab.page.on("websocket", lambda socket: socket.on("framereceived", listen))
    await tab.page.route("**/ai-jobs?status=succeeded*", late, times=1)
    page = await tab.open()
    await expect(page.get_by_text("Connected", exact=True)).to_be_visible()
    await asyncio.wait_for(read.wait(), PATIENCE)
    async with connected(tab.server) as api:
        await api.generate("green ring")
    await expect(page.get_by_role("button", name="green ring").first).to_be_visible()


async def test_every_node_of_a_trace_opens(tab: Tab) -> None:
    async with connected(tab.server) as api:
        job = await api.generate("silver ring")
    sha256 = job["outputs"][0]["sha256"]
    page = await tab.open(f"#/assets/{sha256}")
    nodes = page.locator("svg").get_by_role("button")
    await expect(nodes.filter(has_text="Picture")).to_have_count(1)
    for index in range(await nodes.count()):
        await nodes.nth(index).press("Enter")
        chosen = page.get_by_label("The chosen node")
        await expect(chosen.get_by_role("link", name="Open")).to_be_visible()
    for kind in ("Training run", "Dataset"):
        await nodes.filter(has_text=kind).first.press("Enter")
        await chosen.get_by_role("link", name="Open").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text(f"{kind}: ")
        came = page.get_by_label("Pictures").get_by_role("link", name=f"Picture {sha256[:8]}")
        await expect(came).to_be_visible()
        assert await tab.serious() == []
        await page.go_back()
    place = f"#/experiments/{job['experiment_id']}/runs/{job['run_id']}"  # as MLflow prints it
    await page.goto(f"{tab.server}/{place}")
    artifact = page.get_by_label("Artifacts").get_by_role("img", name="output-01.png")
    await artifact.evaluate("(image) => image.decode()")
    assert await artifact.evaluate("(image) => image.naturalWidth") == 32
    await page.get_by_role("link", name="its job").click()
    await expect(page.get_by_role("heading", name="silver ring", exact=True)).to_be_visible()


async def test_any_picture_that_is_dropped_says_where_it_came_from(tab: Tab) -> None:
    async with connected(tab.server) as api:
        job = await api.generate("gold sword")
        made = await api.bytes(job["outputs"][0]["url"])
    page = await tab.open("#/jobs")
    files = await page.evaluate_handle(DROP, list(made))
    await page.locator("body").dispatch_event("dragenter", {"dataTransfer": files})
    await (
        page.get_by_text("Where does it come from?")
        .locator("..")
        .dispatch_event("drop", {"dataTransfer": files})
    )
    await expect(page.get_by_role("button", name="Job gold sword")).to_be_visible()
    await page.get_by_role("button", name="In words").click()
    await expect(page.get_by_text(f'ran generate "gold sword", seed {job["seed"]}')).to_be_visible()


async def test_a_version_is_promoted_with_its_gates_before_and_after(
    tab: Tab, tmp_path: Path
) -> None:
    async with connected(tab.server) as api:
        model = builders.superres_onnx() + b"\x32\x00"  # one more empty field: another digest
        folder = builders.make_superres_folder(tmp_path, version="2", onnx_bytes=model)
        await upload(api, tar_of(folder))
    page = await tab.open("#/models")
    await expect(page.get_by_label("Dev").get_by_text("superres@2")).to_be_visible()
    assert await tab.serious() == []
    await page.get_by_role("link", name="superres@2").click()
    await page.get_by_role("button", name="Promote…").click()
    await expect(page.get_by_text("All gates are passed.")).to_have_count(1)
    await page.get_by_label("Why").fill("sharper edges")
    assert await tab.serious() == []
    await page.get_by_role("button", name="Promote", exact=True).click()
    await expect(page.get_by_text("superres@2 is in staging")).to_be_visible()
    await expect(page.get_by_text("All gates are passed.")).to_have_count(2)
    await page.keyboard.press("Escape")
    history = page.get_by_label("History", exact=True).get_by_role("row", name="sharper edges")
    await expect(history).to_contain_text("dev → staging")
    beside = page.get_by_label("Side by side")
    await beside.get_by_role("button", name="Run").click()
    await expect(beside.get_by_role("row", name="golden 3").get_by_role("img")).to_have_count(2)
    assert await tab.serious() == []


async def test_versions_show_their_scores_and_whose_judge_gave_them(
    tab: Tab, tmp_path: Path
) -> None:
    async with connected(tab.server) as api:
        for score, judge in ((0.8, "a"), (0.9, "b")):
            model = builders.velocity_onnx() + b"\x32\x01" + judge.encode()  # of another digest
            folder = builders.make_sprite_folder(tmp_path / judge, "scored", "1", model)
            figures = {"judge_score": score, "judge_top1": 0.75, "judge_top1_real": 0.6}
            told = {"judge": f"sha256:{judge * 64}"}
            written.sections(folder / written.MANIFEST, metrics=figures, evaluation=told)
            await upload(api, tar_of(folder))
    page = await tab.open("#/models/scored/1")
    scores = page.get_by_role("group", name="Scores of the versions")
    await expect(scores.get_by_role("row", name="scored@1")).to_contain_text("75 % (60 %)")
    await expect(scores.get_by_role("row", name="scored@2")).to_contain_text("0.9")
    await expect(scores.get_by_role("row", name="scored@2")).to_contain_text("bbbbbbbbbb…")
    await expect(page.get_by_text("Scores of different judges are no comparison.")).to_be_visible()
    assert await tab.serious() == []
    await page.goto(f"{tab.server}/#/models/superres/1")
    await expect(page.get_by_role("heading", name="superres@1", exact=True)).to_be_visible()
    await expect(scores).to_have_count(0)


async def test_words_that_the_model_never_saw_are_named_with_their_nearest(tab: Tab) -> None:
    page = await tab.open()
    prompt = page.get_by_label("Prompt", exact=True)
    await prompt.fill("a red dragin")
    unknown = page.get_by_label("Words that the model does not know or draw")
    await expect(unknown).to_contain_text("never saw dragin; it knows")
    await expect(unknown).to_contain_text("was not found to draw red")
    await unknown.get_by_role("button", name="dragon").click()
    await expect(prompt).to_have_value("a red dragon")
    await expect(unknown).not_to_contain_text("dragin")
    await prompt.fill("a dragon")
    await expect(unknown).to_have_count(0)
    await page.get_by_text("More options").click()
    await page.get_by_label("Not in the picture").fill("swords")
    await expect(unknown).to_contain_text("was not found to draw swords")


async def ask_for_a_slow_one(page: Page) -> None:
    await page.get_by_label("Prompt", exact=True).fill(f"red {builders.SLOW}")
    await page.get_by_label("Pictures", exact=True).first.fill("1")
    await page.get_by_text("More options").click()
    await page.get_by_label("Steps").fill("100")
    await page.get_by_role("button", name="Generate").click()


async def test_a_job_is_cancelled_while_its_previews_come(tab: Tab) -> None:
    page = await tab.open()
    await ask_for_a_slow_one(page)
    under = page.get_by_label("Jobs under way")
    await expect(under.get_by_alt_text("Picture 1, unfinished")).to_be_visible()
    await expect(under.get_by_role("progressbar")).not_to_have_attribute("value", "0")
    await under.get_by_role("button", name="Cancel").click()
    await expect(under).to_have_count(0)
    await page.get_by_role("link", name="Jobs", exact=True).click()
    await page.get_by_label("Status").select_option("cancelled")
    await expect(page.get_by_role("link", name=f"red {builders.SLOW}").first).to_be_visible()
    assert await tab.serious() == []


async def test_chosen_pictures_become_a_sprite_sheet_with_an_atlas(tab: Tab) -> None:
    async with connected(tab.server) as api:
        await api.generate("gold sword", n=3)
    page = await tab.open()
    for index in range(3):
        await page.get_by_label("Choose gold sword for a sprite sheet").nth(index).check()
    downloads: list[Download] = []
    page.on("download", lambda one: downloads.append(one))
    async with page.expect_download(lambda one: one.suggested_filename.endswith(".json")):
        await page.get_by_role("button", name="Sprite sheet + atlas").click()
    files = {one.suggested_filename: await one.path() for one in downloads}
    atlas = json.loads(files["sheet.json"].read_text())
    assert len(atlas["frames"]) == 3
    with Image.open(files["sheet.png"]) as sheet:
        assert {"w": sheet.width, "h": sheet.height} == atlas["meta"]["size"]


async def test_a_long_gallery_holds_in_the_page_only_what_is_seen(tab: Tab) -> None:
    async with connected(tab.server) as api:
        await api.generate("first of many", n=16)
        jobs = [api.generate("green dragon", n=16) for _ in range(9)]
        await asyncio.gather(*jobs)
    page = await tab.open()
    tiles = page.get_by_role("list", name="Pictures").get_by_role("listitem")
    await expect(page.get_by_role("button", name="green dragon").first).to_be_visible()
    seen = await tiles.count()
    assert seen < 120
    for _ in range(3):  # what is below loads as it comes near
        await page.evaluate("scrollTo(0, document.body.scrollHeight)")
        await expect(tiles.first).to_be_visible()
    oldest = page.get_by_role(
        "button", name="first of many"
    ).last  # below it: what other tests made
    await expect(oldest).to_be_in_viewport()
    assert await tiles.count() < 120


async def test_the_curve_of_a_training_job_grows(tab: Tab, server: Process) -> None:
    page = await tab.open("#/training")
    await page.get_by_role("button", name="Start a training…").click()
    await page.get_by_label("What").select_option("line")
    await page.get_by_label("steps").fill("40")
    await page.get_by_label("hold").fill("10")
    assert await tab.serious() == []
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(page.get_by_role("log")).to_contain_text("holding at step 10")
    plot = page.get_by_role("img", name="loss: ")
    half = await plot.get_attribute("aria-label")
    job = page.url.rpartition("/")[2]
    (server.data / "training" / job / "checkpoints" / "go").touch()
    await expect(page.get_by_text("succeeded", exact=True).first).to_be_visible()
    await expect(plot).not_to_have_attribute("aria-label", half or "")
    await expect(page.get_by_text("step 40 of 40")).to_be_visible()
    await expect(page.get_by_role("link", name="weights.json")).to_be_visible()
    assert await tab.serious() == []


async def test_the_page_recovers_when_the_server_was_killed_and_is_back(
    chromium: Browser, tmp_path: Path, models: Path
) -> None:
    process = Process(tmp_path / "data", models)
    process.start()
    context = await chromium.new_context()
    try:
        page = await Tab(await context.new_page(), process.address).open()
        await ask_for_a_slow_one(page)
        under = page.get_by_label("Jobs under way")
        await expect(under.get_by_role("listitem")).to_have_count(1)
        process.kill()
        await expect(page.get_by_text("The server does not answer")).to_be_visible()
        await expect(page.get_by_text("Disconnected")).to_be_visible()
        process.start()
        await expect(page.get_by_text("Connected", exact=True)).to_be_visible()
        await expect(page.get_by_text("The server does not answer")).to_have_count(0)
        made = page.get_by_role("button", name=f"red {builders.SLOW}").locator("img")
        await expect(made).to_have_count(1)
        await expect(under).to_have_count(0)
    finally:
        await context.close()
        process.kill()


async def test_a_page_that_an_older_server_gave_makes_way_for_the_newer_one(tab: Tab) -> None:
    page = await tab.open()
    await expect(page.get_by_text("Connected", exact=True)).to_be_visible()
    await page.route("**/pages/models.js", lambda route: route.fulfill(status=404), times=1)
    await page.get_by_role("link", name="Models").click()
    await expect(page.get_by_role("heading", name="Models")).to_be_visible()
    tab.wrong.clear()  # the 404


async def test_on_a_network_the_setup_link_logs_in(chromium: Browser, tmp_path: Path) -> None:
    client, admin = await start_lan(tmp_path)
    lan = Lan(client, admin)
    server = str(client.make_url("")).rstrip("/")
    async with browser.tab(chromium, server) as tab:
        code = client.app[DOOR].setups.issue(client.app[DOOR].tokens.who(admin))
        page = await tab.open(f"#setup={code}")
        await expect(page.get_by_label("Prompt", exact=True)).to_be_visible()
        await expect(page.get_by_text("Connected", exact=True)).to_be_visible()
        tab.wrong.clear()  # the first answer was 401: the login page itself
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_label("Token")).to_be_visible()
        tab.wrong.clear()
        token, _ = await lan.token("read")
        await page.get_by_label("Token").fill(token)
        await page.get_by_role("button", name="Log in").click()
        await expect(page.get_by_text("Your token may look")).to_be_visible()
    await client.close()
