"""The engine: exact tiles, step-level batches, cancelling, failures that stay alone, models that come and go."""

from __future__ import annotations

import itertools
import platform
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import builders
import numpy as np
import pytest

from gfedge.inference.denoise import GenerateJob, Sample, to_pixels, velocity
from gfedge.inference.device import identity_graph, onnxruntime
from gfedge.inference.engine import Engine
from gfedge.inference.folder import read_folder
from gfedge.inference.sessions import (
    Sessions,
    is_out_of_memory,
    open_model,
    reason,
    session_options,
)
from gfedge.inference.superres import bleed, grid, reduced
from gfedge.inference.tiles import TileLane
from gfedge.inference.types import (
    Cancel,
    Cancelled,
    Device,
    EngineError,
    EngineOptions,
    GenerateRequest,
    ModelFolder,
    Pixels,
    Result,
    UpscaleRequest,
)
from gfedge.inference.words import Vocabulary


def quiet(done: int, total: int) -> None:
    """A progress that nobody watches."""


@pytest.fixture
def engine_of() -> Iterator[Callable[..., Engine]]:
    engines: list[Engine] = []

    def start(**options: object) -> Engine:
        engine = Engine(EngineOptions(**{"device": "cpu", "workers": 2, **options}))  # type: ignore[arg-type]
        engines.append(engine)
        engine.start()
        return engine

    yield start
    for engine in engines:
        engine.close()


@pytest.fixture
def superres(tmp_path: Path) -> ModelFolder:
    return read_folder(builders.make_superres_folder(tmp_path))


@pytest.fixture
def sprite(tmp_path: Path) -> ModelFolder:
    return read_folder(builders.make_sprite_folder(tmp_path))


def upscale(engine: Engine, model: ModelFolder | None, image: Pixels, **options: object) -> Pixels:
    request = UpscaleRequest(**options)  # type: ignore[arg-type]
    return engine.upscale(model, image, request, quiet, Cancel()).result(30).images[0]


def generating(
    engine: Engine, model: ModelFolder, prompt: str, **options: object
) -> Future[Result]:
    request = GenerateRequest(prompt=prompt, **options)  # type: ignore[arg-type]
    return engine.generate(model, request, quiet, Cancel())


# superres


def whole_picture(
    net: Callable[[np.ndarray], np.ndarray], image: Pixels, *, tileable: bool
) -> Pixels:
    """The recipe at x4 on the whole picture at once, written out plainly."""
    pad, mode = (builders.RADIUS, "wrap") if tileable else (4, "edge")
    alpha = image[..., 3]
    rgb = image[..., :3].astype(np.float64) * (alpha > 0)[..., None]
    seen = (alpha > 0).astype(np.float64)
    around = [(dy, dx) for dy in range(3) for dx in range(3)]
    for _ in range(16):
        border = "wrap" if tileable else "constant"
        p, q = np.pad(rgb, ((1, 1), (1, 1), (0, 0)), border), np.pad(seen, 1, border)  # type: ignore[call-overload]
        height, width = seen.shape
        total = sum(p[y : y + height, x : x + width] for y, x in around)
        count = sum(q[y : y + height, x : x + width] for y, x in around)
        new = (seen == 0) & (count > 0)
        rgb[new], seen[new] = total[new] / count[new][:, None], 1
    made = []
    for plane in (rgb, np.repeat(alpha[..., None], 3, axis=2)):
        padded = np.pad(plane / 255, ((pad, pad), (pad, pad), (0, 0)), mode)  # type: ignore[call-overload]
        out = net(padded.transpose(2, 0, 1)[None].astype(np.float32))[0]
        made.append(out[:, 4 * pad : -4 * pad, 4 * pad : -4 * pad])
    opacity = made[1].mean(0, keepdims=True) if alpha.min() < 255 else np.ones_like(made[0][:1])
    return np.rint(np.concatenate([made[0], opacity]) * 255).astype(np.uint8).transpose(1, 2, 0)


@pytest.mark.parametrize("tileable", [False, True])
@pytest.mark.parametrize("kind", ["opaque", "alpha", "dots"])
@pytest.mark.parametrize("size", [(1, 1), (7, 40), (64, 50)])
def test_tiles_put_together_are_the_untiled_picture(
    engine_of: Callable[..., Engine],
    superres: ModelFolder,
    size: tuple[int, int],
    kind: str,
    tileable: bool,
) -> None:
    image = builders.dots(*size) if kind == "dots" else builders.noise(*size, alpha=kind == "alpha")
    for scale in (2, 3, 4, 8):
        whole = upscale(engine_of(tile=512), superres, image, scale=scale, tileable=tileable)
        assert whole.shape == (size[0] * scale, size[1] * scale, 4)
        for tile in (8, 21):
            tiled = upscale(engine_of(tile=tile), superres, image, scale=scale, tileable=tileable)
            assert np.array_equal(tiled, whole)


@pytest.mark.parametrize("tileable", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
def test_the_recipe_is_the_plain_one(
    engine_of: Callable[..., Engine], superres: ModelFolder, alpha: bool, tileable: bool
) -> None:
    session = onnxruntime().InferenceSession(
        builders.superres_onnx(), session_options(), providers=["CPUExecutionProvider"]
    )
    image = builders.noise(45, 60, alpha=alpha)
    image[:30, :30, 3] = 0 if alpha else 255
    plain = whole_picture(lambda x: session.run(None, {"image": x})[0], image, tileable=tileable)
    made = upscale(engine_of(tile=16), superres, image, tileable=tileable)
    assert np.abs(made.astype(int) - plain).max() <= 1  # the plain one bleeds in float64


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_a_tileable_texture_still_tiles(
    engine_of: Callable[..., Engine], superres: ModelFolder, scale: int
) -> None:
    texture = builders.noise(24, 30, alpha=True)
    engine = engine_of(tile=16)
    rolled = upscale(
        engine, superres, np.roll(texture, (5, 17), (0, 1)), scale=scale, tileable=True
    )
    straight = upscale(engine, superres, texture, scale=scale, tileable=True)
    assert np.array_equal(rolled, np.roll(straight, (5 * scale, 17 * scale), (0, 1)))


def test_windows_have_one_size_and_stay_in_the_padded_picture() -> None:
    tiles = grid(100, 23, 32, 18, 4)
    assert {(tile.window_height, tile.window_width) for tile in tiles} == {(25 + 36, 31)}
    assert sum(tile.height * tile.width for tile in tiles) == 100 * 23
    assert min(tile.window_top for tile in tiles) == -4
    assert max(tile.window_top + tile.window_height for tile in tiles) == 104


def test_colours_spread_sixteen_pixels_under_nothing() -> None:
    image = np.zeros((1, 30, 4), np.uint8)
    image[0, 0] = (200, 100, 50, 255)
    image[0, 5:, :3] = 77
    spread = bleed(image)
    assert (spread[:, 0, :17] == np.array([[200], [100], [50]])).all()
    assert (spread[:, 0, 17:] == 0).all()


def test_scales_two_and_three_are_area_means_of_scale_four() -> None:
    values = np.random.default_rng(0).random((3, 16, 24), dtype=np.float32)
    halves = values.reshape(3, 8, 2, 12, 2).mean((2, 4))
    assert np.allclose(reduced(values, 2), halves, atol=1e-6)
    fine = values.repeat(3, axis=1).repeat(3, axis=2)
    thirds = fine.reshape(3, 12, 4, 18, 4).mean((2, 4))
    assert np.allclose(reduced(values, 3), thirds, atol=1e-6)


def test_alpha_is_left_alone_only_if_the_whole_picture_is_opaque(
    engine_of: Callable[..., Engine], superres: ModelFolder
) -> None:
    image = builders.noise(40, 40)
    assert (upscale(engine_of(tile=8), superres, image)[..., 3] == 255).all()
    for there, elsewhere in (((0, 0), slice(-8, None)), ((-1, -1), slice(8))):
        image[..., 3] = 255
        image[*there, 3] = 254
        corner = upscale(engine_of(tile=8), superres, image)[elsewhere, elsewhere, 3]
        assert (corner != 255).any()  # this net changes a flat grey, and must be asked everywhere


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_pixel_mode_repeats_pixels_and_needs_no_model(
    engine_of: Callable[..., Engine], scale: int
) -> None:
    image = builders.noise(300, 9, alpha=True)
    made = upscale(engine_of(), None, image, scale=scale, mode="pixel")
    assert np.array_equal(made, image.repeat(scale, 0).repeat(scale, 1))


def test_large_outputs_are_begun_one_per_worker_in_order_of_arrival(
    engine_of: Callable[..., Engine], superres: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gfedge.inference.tiles.SMALL_BYTES", 0)
    engine, begun, open_passes = Engine(EngineOptions(device="cpu", workers=2, tile=8)), [], []

    def upscaled(number: int) -> Future[Result]:
        def progress(done: int, total: int) -> None:
            lanes = [lane for lane in engine.lanes.values() if isinstance(lane, TileLane)]
            open_passes.append(sum(job.current is not None for job in lanes[0].jobs))
            if number not in begun:
                begun.append(number)

        image = builders.noise(40, 40, seed=number, alpha=number % 2 > 0)
        return engine.upscale(superres, image, UpscaleRequest(scale=8), progress, Cancel())

    futures = [upscaled(number) for number in range(6)]
    engine.start()
    images = [future.result(30).images[0] for future in futures]
    engine.close()
    assert max(open_passes) == 2
    assert set(begun[:2]) == {0, 1}
    assert max(abs(place - number) for place, number in enumerate(begun)) <= 1
    alone = upscale(
        engine_of(tile=8), superres, builders.noise(40, 40, seed=5, alpha=True), scale=8
    )
    assert np.array_equal(images[5], alone)


def test_a_small_picture_does_not_wait_for_a_large_one_nor_a_cancel_for_its_turn(
    engine_of: Callable[..., Engine], superres: ModelFolder
) -> None:
    engine, running, told = engine_of(workers=1, tile=8), threading.Event(), []
    cancels = [Cancel(), Cancel()]
    large, waiting = (
        engine.upscale(superres, builders.noise(1100, 1000), UpscaleRequest(), progress, cancel)
        for progress, cancel in zip(
            (lambda done, total: running.set(), lambda *step: told.append(step)),
            cancels,
            strict=True,
        )
    )
    assert running.wait(30)
    upscale(engine, superres, builders.noise(20, 20))
    cancels[1].cancel()
    with pytest.raises(Cancelled):
        waiting.result(30)
    assert not told
    assert not large.done()
    cancels[0].cancel()
    with pytest.raises(Cancelled):
        large.result(30)


def test_a_gpu_batches_tiles_of_several_jobs_and_gives_the_same_pictures(
    engine_of: Callable[..., Engine], superres: ModelFolder, sprite: ModelFolder
) -> None:
    # ONNX Runtime falls back to the CPU here, so the GPU's way of working is shown without one.
    gpu = Engine(EngineOptions(tile=16))
    futures = [
        gpu.upscale(
            superres, builders.noise(40, 40, seed=i, alpha=i > 1), UpscaleRequest(), quiet, Cancel()
        )
        for i in range(4)
    ]
    gpu._begin(Device(provider="CUDAExecutionProvider", note=""))
    engine = engine_of(tile=16)
    for i, future in enumerate(futures):
        image = builders.noise(40, 40, seed=i, alpha=i > 1)
        assert np.array_equal(future.result(30).images[0], upscale(engine, superres, image))
    assert futures[-1].result().batch_size > 1
    assert generating(gpu, sprite, "red dragon", n=4).result(30).batch_size == 4
    gpu.close()


def test_a_gpu_batch_that_fails_is_tried_again_job_by_job(tmp_path: Path) -> None:
    net = builders.superres_onnx(white_fails=True)
    model = read_folder(builders.make_superres_folder(tmp_path, onnx_bytes=net))
    gpu = Engine(EngineOptions(tile=16))
    bad = builders.noise(40, 40)
    bad[3, 3] = 255
    futures = [
        gpu.upscale(model, image, UpscaleRequest(), quiet, Cancel())
        for image in (builders.noise(40, 40), bad, builders.noise(40, 40))
    ]
    gpu._begin(Device(provider="CUDAExecutionProvider", note=""))
    assert "Gather" in str(futures[1].exception(30))
    assert futures[0].result(30).images[0].shape == futures[2].result(30).images[0].shape
    gpu.close()


def test_memory_is_bounded_whatever_the_width(
    engine_of: Callable[..., Engine], superres: ModelFolder
) -> None:
    engine = engine_of(tile=64)
    upscale(engine, superres, builders.noise(8, 8))

    def beyond_its_output(width: int) -> int:
        image = builders.noise(64, width)
        image[0, 0, 3] = 0
        tracemalloc.start()
        out = upscale(engine, superres, image)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak - out.nbytes

    narrow, wide = beyond_its_output(1024), beyond_its_output(8192)
    assert wide < 16 << 20
    assert wide < narrow + (2 << 20)


def test_a_tile_is_halved_when_memory_runs_out(
    engine_of: Callable[..., Engine], superres: ModelFolder, tmp_path: Path
) -> None:
    hungry = read_folder(
        builders.make_superres_folder(
            tmp_path, "hungry", onnx_bytes=builders.superres_onnx(hungry=True)
        )
    )
    image = builders.noise(100, 30, alpha=True)
    made = upscale(engine_of(tile=64), hungry, image)
    assert np.array_equal(made, upscale(engine_of(tile=64), superres, image))


def test_no_memory_even_for_the_smallest_tile_is_said_so(
    engine_of: Callable[..., Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gfedge.inference.tiles.LEAST_TILE", 64)
    net = builders.superres_onnx(hungry=True)
    hungry = read_folder(builders.make_superres_folder(tmp_path, onnx_bytes=net))
    with pytest.raises(EngineError, match=r"^superres/1 failed: out of memory$"):
        upscale(engine_of(tile=64), hungry, builders.noise(64, 64))


def test_a_picture_that_breaks_the_graph_fails_alone(
    engine_of: Callable[..., Engine], tmp_path: Path
) -> None:
    net = builders.superres_onnx(white_fails=True)
    model = read_folder(builders.make_superres_folder(tmp_path, onnx_bytes=net))
    engine = engine_of(tile=8)
    good, bad = builders.noise(20, 20), builders.noise(20, 20)
    bad[3, 3] = 255
    futures = [
        engine.upscale(model, p, UpscaleRequest(), quiet, Cancel()) for p in (bad, good, bad, good)
    ]
    for future in futures[::2]:
        assert "Gather" in str(future.exception(30))
    for future in futures[1::2]:
        assert future.result(30).images[0].shape == (80, 80, 4)


# generate


def reference_sprite(request: GenerateRequest, index: int) -> Pixels:
    """One image by a plain sampler, two equal rows a call."""
    session = onnxruntime().InferenceSession(
        builders.velocity_onnx(), session_options(), providers=["CPUExecutionProvider"]
    )
    vocabulary = Vocabulary(
        **{key: value for key, value in builders.VOCABULARY.items() if key != "format"}  # type: ignore[arg-type]
    )
    texts = [vocabulary.encode(text) for text in (request.prompt, request.negative_prompt)]
    stream = np.random.Generator(np.random.Philox(request.seed + index))
    x = stream.standard_normal((4, 32, 32), dtype=np.float32)
    times = np.linspace(1, 0, request.steps + 1, dtype=np.float32)
    for now, then in itertools.pairwise(times):
        feed = {
            "x": np.stack([x, x]),
            "t": np.array([now, now]),
            "words": np.stack([text.words for text in texts]),
            "subwords": np.stack([text.subwords for text in texts]),
        }
        c, u = session.run(None, feed)[0]
        x = x + (then - now) * (u + np.float32(request.guidance_scale) * (c - u))
    return to_pixels(x)


def test_sampling_is_euler_with_guidance(
    engine_of: Callable[..., Engine], sprite: ModelFolder
) -> None:
    request = GenerateRequest(
        prompt="red dragon", negative_prompt="book", seed=5, n=3, steps=7, guidance_scale=3.5
    )
    images = engine_of().generate(sprite, request, quiet, Cancel()).result(30).images
    for i, image in enumerate(images):
        assert image.shape == (32, 32, 4)
        assert image.dtype == np.uint8
        assert np.array_equal(image, reference_sprite(request, i))
    assert not np.array_equal(images[0], images[1])


def test_pixels_are_straight_and_hard_edged() -> None:
    x = np.zeros((4, 1, 3), np.float32)
    x[:, 0, 0] = (0.6, -1, -0.2, 0.6)  # premultiplied: alpha 0.8, red 0.8 of 0.8
    x[:, 0, 1] = (0.5, 0.5, 0.5, -0.1)  # alpha under one half
    x[:, 0, 2] = (3, -3, 1, 3)
    assert to_pixels(x).tolist() == [[[255, 0, 128, 255], [0, 0, 0, 0], [255, 0, 255, 255]]]


@pytest.mark.parametrize("guidance", [1.0, 2.5])
@pytest.mark.parametrize("workers", [1, 2])
def test_an_image_is_the_same_alone_and_in_any_company(
    engine_of: Callable[..., Engine], sprite: ModelFolder, guidance: float, workers: int
) -> None:
    engine = engine_of(workers=workers)
    company = [
        generating(engine, sprite, word, seed=100 + i, n=n, steps=3 + i, guidance_scale=1.5 * i)
        for i, (word, n) in enumerate([("book", 2), ("blue potion", 5), ("sword", 1)])
    ]
    options = {"steps": 6, "guidance_scale": guidance}
    together = generating(engine, sprite, "green dragon", seed=40, n=6, **options).result(30).images
    for i, image in enumerate(together):
        alone = generating(engine_of(), sprite, "green dragon", seed=40 + i, **options)
        assert np.array_equal(alone.result(30).images[0], image)
    for future in company:
        future.result(30)


def test_velocities_do_not_depend_on_the_batch_by_one_bit(sprite: ModelFolder) -> None:
    options = EngineOptions(device="cpu")
    model = open_model(sprite, options, Device(provider="CPUExecutionProvider", note=""))
    requests = [
        GenerateRequest(prompt=f"{one} {two} zorp", seed=i, guidance_scale=1 + i % 5 // 4)
        for i, (one, two) in enumerate(itertools.permutations(builders.WORDS[1:-1], 2))
    ]
    jobs = [GenerateJob(request, quiet, Cancel(), None) for request in requests]
    batch = [Sample(job, 0) for job in jobs]
    for i, sample in enumerate(batch):
        sample.query = sample.asked(builders.SIZE)._replace(time=np.float32(1 - i % 20 / 20))
    together = velocity(model, batch)
    for i, sample in enumerate(batch):
        assert np.array_equal(velocity(model, [sample])[0], together[i])
        assert np.array_equal(velocity(model, batch[i : i + 3]), together[i : i + 3])


def test_a_negative_prompt_takes_the_empty_half(
    engine_of: Callable[..., Engine], sprite: ModelFolder
) -> None:
    engine = engine_of()

    def image(**options: object) -> bytes:
        return generating(engine, sprite, "red dragon", **options).result(30).images[0].tobytes()

    plain = image(guidance_scale=1.0)
    assert image(guidance_scale=4.0, negative_prompt="red dragon") == plain
    assert image(guidance_scale=1.0, negative_prompt="book") == plain
    assert len({plain, image(), image(negative_prompt="book")}) == 3


def test_a_late_short_request_overtakes_an_early_long_one(
    engine_of: Callable[..., Engine], sprite: ModelFolder
) -> None:
    engine = engine_of(workers=1)
    running, cancel = threading.Event(), Cancel()
    request = GenerateRequest(prompt="dragon", steps=100_000)
    long = engine.generate(sprite, request, lambda done, total: running.set(), cancel)
    assert running.wait(30)
    short = generating(engine, sprite, "potion", steps=5).result(30)
    assert not long.done()
    assert short.batch_size == 2
    cancel.cancel()
    with pytest.raises(Cancelled):
        long.result(30)


def test_more_images_than_a_batch_holds_wait_their_turn(
    engine_of: Callable[..., Engine], sprite: ModelFolder
) -> None:
    engine = engine_of(max_batch=2, workers=1)
    result = generating(engine, sprite, "dragon", n=5, steps=4).result(30)
    assert 1 < result.batch_size <= 2
    wide = generating(engine_of(), sprite, "dragon", n=5, steps=4).result(30)
    for narrow_image, wide_image in zip(result.images, wide.images, strict=True):
        assert np.array_equal(narrow_image, wide_image)


def test_a_prompt_that_breaks_the_graph_fails_alone(
    engine_of: Callable[..., Engine], sprite: ModelFolder
) -> None:
    for workers in (1, 2):
        engine = engine_of(workers=workers)
        good = generating(engine, sprite, "red dragon", n=3)
        bad = generating(engine, sprite, f"red {builders.CURSE}", n=2)
        other = generating(engine, sprite, "book", n=2)
        assert "Gather" in str(bad.exception(30))
        assert len(good.result(30).images) == 3
        assert len(other.result(30).images) == 2


def test_previews_and_unknown_words(engine_of: Callable[..., Engine], sprite: ModelFolder) -> None:
    seen: list[tuple[int, Pixels]] = []
    request = GenerateRequest(prompt="red zorp, elixir of dragons", steps=3, guidance_scale=2)
    result = (
        engine_of()
        .generate(sprite, request, quiet, Cancel(), lambda i, make: seen.append((i, make())))
        .result(30)
    )
    assert result.unknown_words == ("zorp",)
    assert [i for i, _ in seen] == [0, 0, 0]
    assert np.array_equal(seen[-1][1], result.images[0])


@pytest.mark.parametrize(
    ("prompt", "dropped"),
    [
        ("a red dragon", ()),
        ("one two six ten red blue green dragon sword potion book", ("two", "six", "ten")),
        ("the 7 of a 7", ("the", "7", "of", "a")),
        ("", ()),
    ],
)
def test_words_without_effect_are_told(
    engine_of: Callable[..., Engine], sprite: ModelFolder, prompt: str, dropped: tuple[str, ...]
) -> None:
    result = generating(engine_of(), sprite, prompt, steps=1).result(30)
    assert result.dropped_words == dropped


# cancelling, progress, models that come and go


def test_a_cancelled_job_stops_within_a_step_or_tile(
    engine_of: Callable[..., Engine], sprite: ModelFolder, superres: ModelFolder
) -> None:
    engine = engine_of(tile=8)
    for start in (
        lambda p, c: engine.generate(sprite, GenerateRequest(prompt="red", steps=50_000), p, c),
        lambda p, c: engine.upscale(superres, builders.noise(800, 800), UpscaleRequest(), p, c),
    ):
        cancel, told = Cancel(), []

        def progress(
            done: int, total: int, told: list[int] = told, cancel: Cancel = cancel
        ) -> None:
            told.append(done)
            if done == 3:
                cancel.cancel()

        with pytest.raises(Cancelled):
            start(progress, cancel).result(30)
        assert told[-1] <= 3 + engine.options.workers
    assert len(generating(engine, sprite, "book").result(30).images) == 1


def test_a_job_cancelled_before_it_runs_never_does(
    engine_of: Callable[..., Engine], sprite: ModelFolder
) -> None:
    cancel, told = Cancel(), []
    cancel.cancel()
    future = engine_of().generate(
        sprite, GenerateRequest(prompt="red"), lambda *step: told.append(step), cancel
    )
    with pytest.raises(Cancelled):
        future.result(30)
    assert not told


def test_cancelling_the_future_is_cancelling_the_job(
    engine_of: Callable[..., Engine], sprite: ModelFolder
) -> None:
    engine, running = engine_of(workers=1), threading.Event()
    request = GenerateRequest(prompt="red", steps=100_000)
    future = engine.generate(sprite, request, lambda done, total: running.set(), Cancel())
    assert running.wait(30)
    assert future.cancel()
    assert generating(engine, sprite, "book").result(30).batch_size < 2


def test_progress_counts_steps_and_the_tiles_of_all_passes(
    engine_of: Callable[..., Engine], sprite: ModelFolder, superres: ModelFolder
) -> None:
    engine = engine_of(tile=16)
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        told.append((done, total))
        raise RuntimeError("a watcher that stumbles must not stop the engine")

    engine.generate(sprite, GenerateRequest(prompt="red", n=2, steps=3), progress, Cancel()).result(
        30
    )
    assert told[-1] == (6, 6)
    told.clear()
    image = builders.noise(32, 16)
    result = engine.upscale(superres, image, UpscaleRequest(scale=8), progress, Cancel()).result(30)
    assert told[-1] == (2 + 32, 2 + 32)
    assert told == sorted(told)
    assert result.tiles == 34


def test_the_least_recently_used_model_makes_room(
    engine_of: Callable[..., Engine], tmp_path: Path
) -> None:
    models = [read_folder(builders.make_superres_folder(tmp_path, name)) for name in "abc"]
    engine = engine_of(workers=1, memory_bytes=models[0].bytes * 5)
    a, b, c = models
    for model in (a, b):
        assert engine.load(model).result(30) > 0
    upscale(engine, a, builders.noise(4, 4))
    assert [model.name for model in engine.loaded()] == ["a", "b"]
    engine.load(c).result(30)
    assert [model.name for model in engine.loaded()] == ["a", "c"]
    upscale(engine, b, builders.noise(4, 4))
    assert [model.name for model in engine.loaded()] == ["c", "b"]


def test_memory_is_given_back_at_rest_and_the_models_go_on(
    engine_of: Callable[..., Engine],
    sprite: ModelFolder,
    superres: ModelFolder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shrunk = threading.Event()
    real = Sessions.shrink

    def shrink(sessions: Sessions) -> None:
        real(sessions)
        shrunk.set()

    monkeypatch.setattr(Sessions, "shrink", shrink)
    monkeypatch.setattr("gfedge.inference.engine.REST_SECONDS", 0.01)
    engine, image = engine_of(), builders.noise(30, 30)
    before = upscale(engine, superres, image)
    generating(engine, sprite, "red").result(30)
    assert shrunk.wait(30)
    assert not caplog.records
    assert np.array_equal(upscale(engine, superres, image), before)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library decides itself")
def test_freed_memory_goes_back_to_the_system() -> None:
    """Blocks that lie under one that is kept, which glibc would hold on to."""
    code = """
from gfedge.inference.sessions import give_back
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
blocks = [bytes(b"x" * 100_000) for _ in range(600)]
kept = blocks[-1]
before = resident()
del blocks
give_back()
print(before - resident())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert int(done.stdout) > 50 << 20


def test_a_file_changed_after_it_was_read_is_not_loaded(
    engine_of: Callable[..., Engine], superres: ModelFolder
) -> None:
    (superres.path / "model.onnx").write_bytes(builders.superres_onnx(white_fails=True))
    engine = engine_of()
    with pytest.raises(
        EngineError, match=r"superres/1 cannot be loaded: model\.onnx does not match"
    ):
        engine.load(superres).result(30)
    with pytest.raises(EngineError, match="restore the file"):
        upscale(engine, superres, builders.noise(4, 4))
    (superres.path / "model.onnx").write_bytes(builders.superres_onnx())
    assert upscale(engine, superres, builders.noise(4, 4)).shape == (16, 16, 4)


def test_a_graph_that_is_not_what_its_folder_says_is_not_loaded(
    engine_of: Callable[..., Engine], tmp_path: Path
) -> None:
    wrong = read_folder(
        builders.make_superres_folder(tmp_path, onnx_bytes=builders.velocity_onnx())
    )
    with pytest.raises(
        EngineError, match="the graph's inputs are subwords, t, words, x; a superres"
    ):
        engine_of().load(wrong).result(30)
    same = builders.make_superres_folder(tmp_path, "same", onnx_bytes=identity_graph())
    (same / "model.toml").write_text((same / "model.toml").read_text().replace('"image"', '"x"'))
    with pytest.raises(EngineError, match="same/1 cannot be loaded"):
        engine_of().load(read_folder(same)).result(30)


def test_a_closed_engine_cancels_its_jobs_and_takes_no_more(
    engine_of: Callable[..., Engine], sprite: ModelFolder
) -> None:
    engine, running = engine_of(), threading.Event()
    request = GenerateRequest(prompt="red", steps=100_000)
    future = engine.generate(sprite, request, lambda done, total: running.set(), Cancel())
    assert running.wait(30)
    engine.close()
    with pytest.raises(Cancelled):
        future.result(30)
    with pytest.raises(EngineError, match="closed"):
        generating(engine, sprite, "red").result(30)
    with pytest.raises(EngineError, match="closed"):
        engine.load(sprite).result(30)
    assert engine.loaded() == []


def test_requests_that_make_no_sense_are_refused_at_once(
    engine_of: Callable[..., Engine], sprite: ModelFolder, superres: ModelFolder
) -> None:
    engine = engine_of()
    for options in ({"n": 0}, {"steps": 0}, {"seed": -1}):
        with pytest.raises(ValueError, match="at least 1"):
            generating(engine, sprite, "red", **options)
    with pytest.raises(ValueError, match="superres model"):
        upscale(engine, sprite, builders.noise(4, 4))
    with pytest.raises(ValueError, match="superres model"):
        generating(engine, superres, "red")
    with pytest.raises(ValueError, match="at least one pixel"):
        upscale(engine, superres, np.zeros((0, 4, 4), np.uint8))


def test_the_start_is_calm(sprite: ModelFolder, capfd: pytest.CaptureFixture[str]) -> None:
    engine = Engine(EngineOptions())
    engine.start()
    generating(engine, sprite, "red").result(60)
    assert "running on" in engine.device.note
    engine.close()
    assert capfd.readouterr() == ("", "")


def test_out_of_memory_is_told_from_other_failures() -> None:
    assert is_out_of_memory(RuntimeError("bfc_arena.cc:376 Available memory of 0 is smaller"))
    assert is_out_of_memory(RuntimeError("CUDA failure 2: out of memory"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("indices element out of data bounds"))


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (
            "[ONNXRuntimeError] : 1 : FAIL : /onnxruntime_src/model.cc:256 Model(onnx::A&&, B*) Unsupported IR\n",
            "Unsupported IR",
        ),
        (
            "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid dimensions for input: x\n index: 1",
            "Got invalid dimensions for input: x",
        ),
        ("Required inputs (['x']) are missing", "Required inputs (['x']) are missing"),
        ("", "ValueError"),
    ],
)
def test_what_onnx_runtime_raises_is_told_without_its_source(raised: str, said: str) -> None:
    assert reason(ValueError(raised)) == said
