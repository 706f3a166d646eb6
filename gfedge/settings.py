"""Every setting of the server, with its help; environment variables are `GFEDGE_<NAME>`, flags win over them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, get_type_hints

import msgspec
from msgspec import Meta


class SettingsError(ValueError):
    """A setting that cannot be used; the text names it and says what is accepted."""


def default_models() -> Path:
    """The bundled models: the folder `models/` beside the package."""
    return Path(__file__).resolve().parent.parent / "models"


class Settings(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How one server runs. Sizes are bytes, durations are seconds."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 picks one.")] = 8000
    public_url: Annotated[
        str,
        Meta(description="Address that clients use, written into pictures; empty means host:port."),
    ] = ""
    data: Annotated[Path, Meta(description="Folder for everything that the server writes.")] = Path(
        "~/.local/share/gfedge"
    )
    models: Annotated[
        Path, Meta(description="Folder with the models: <name>/<version>/model.toml.")
    ] = default_models()
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        Meta(description="Where models run; auto takes the GPU if it can."),
    ] = "auto"
    workers: Annotated[
        int,
        Meta(ge=0, le=256, description="Threads that run models on the CPU; 0 means one per core."),
    ] = 0
    tile: Annotated[
        int, Meta(ge=32, le=2048, description="Side of an upscaling tile, in pixels.")
    ] = 256
    model_memory: Annotated[
        int, Meta(ge=1 << 20, description="Budget for loaded models; the least recently used goes.")
    ] = 2 << 30
    gpu_memory: Annotated[int, Meta(ge=0, description="Limit of the CUDA arena; 0 means none.")] = 0
    cudnn_search: Annotated[
        Literal["HEURISTIC", "EXHAUSTIVE", "DEFAULT"],
        Meta(description="How cuDNN picks its algorithms."),
    ] = "HEURISTIC"
    max_queue: Annotated[
        int, Meta(ge=1, le=100_000, description="Jobs that may wait; past it the answer is 429.")
    ] = 256
    max_running: Annotated[int, Meta(ge=1, le=1024, description="Jobs that run side by side.")] = 16
    max_body: Annotated[int, Meta(ge=1 << 10, description="Largest request body.")] = 32 << 20
    max_pixels: Annotated[int, Meta(ge=1, description="Largest input picture, width x height.")] = (
        16 << 20
    )
    max_output_pixels: Annotated[
        int, Meta(ge=1, description="Largest output picture, width x height.")
    ] = 256 << 20
    max_images: Annotated[int, Meta(ge=1, le=1024, description="Largest n of one request.")] = 16
    max_steps: Annotated[int, Meta(ge=1, le=1000, description="Most sampling steps.")] = 100
    max_prompt: Annotated[int, Meta(ge=1, description="Longest prompt, in characters.")] = 500
    max_wait: Annotated[
        float, Meta(ge=0, le=3600, description="Longest `Prefer: wait`; longer ones are cut to it.")
    ] = 300.0
    min_free_disk: Annotated[
        int, Meta(ge=0, description="Free space below which new work is refused with 507.")
    ] = 64 << 20
    shutdown_grace: Annotated[
        float, Meta(ge=0, le=600, description="Time that running work gets at SIGTERM.")
    ] = 10.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="What is logged.")
    ] = "info"

    @classmethod
    def load(
        cls, flags: Mapping[str, str] | None = None, environ: Mapping[str, str] = os.environ
    ) -> Settings:
        """Settings from defaults, then `GFEDGE_*`, then flags; raises SettingsError."""
        given = {
            name: environ[variable]
            for name in cls.__struct_fields__
            if (variable := f"GFEDGE_{name.upper()}") in environ
        }
        given.update(flags or {})
        try:
            found = msgspec.convert(given, cls, strict=False, dec_hook=_path)
        except msgspec.ValidationError as error:
            text, _, name = str(error).partition(" - at `$.")
            raise SettingsError(
                f"setting {name.rstrip('`')}: {text}; `gfedge serve --help` says what it takes"
            ) from None
        data, models = found.data.expanduser().absolute(), found.models.expanduser().absolute()
        return msgspec.structs.replace(found, data=data, models=models)

    @property
    def address(self) -> str:
        """The address that clients use, without a slash at the end."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def _path(kind: type, value: object) -> Path:
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    raise ValueError(f"expected a path, got {value!r}")


def table() -> list[tuple[str, str, str]]:
    """(name, default, help) of every setting, for help texts and the documentation."""
    defaults, hints = Settings(), get_type_hints(Settings, include_extras=True)
    return [
        (name, str(getattr(defaults, name)), str(hints[name].__metadata__[0].description))
        for name in Settings.__struct_fields__
    ]
