"""Every setting of the server, with its help; `configuration` reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gfedge.outside import own_address
from gfedge.sources import absolute

LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")
SECRETS = frozenset({"grafana_api_key", "vast_key"})
"""Never shown."""


def default_models() -> Path:
    """The bundled models: inside the package where it is installed, beside it in the repository."""
    package = Path(__file__).resolve().parent
    inside = package / "models"
    return inside if inside.is_dir() else package.parent / "models"


class Settings(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How one server runs. Sizes are bytes, durations are seconds."""

    host: Annotated[
        str,
        Meta(pattern=r"\A[^\s\x00]+\Z", description="Address to listen on.", examples=["0.0.0.0"]),  # noqa: S104
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 picks one.")] = 8000
    public_url: Annotated[
        str,
        Meta(
            description="Address that clients use, written into pictures; empty means host:port.",
            examples=["https://edge.lan:8000"],
        ),
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
    database_memory: Annotated[
        int,
        Meta(
            ge=64 << 20,
            description="Memory that the database may hold: what it wrote and read lately, and its work; the oldest goes.",
        ),
    ] = 512 << 20
    gpu_memory: Annotated[int, Meta(ge=0, description="Limit of the CUDA arena; 0 means none.")] = 0
    cuda_dir: Annotated[
        str, Meta(description="Folder where CUDA 13 and cuDNN 9 are sought before the system's.")
    ] = ""
    cudnn_search: Annotated[
        Literal["HEURISTIC", "EXHAUSTIVE", "DEFAULT"],
        Meta(description="How cuDNN picks its algorithms."),
    ] = "HEURISTIC"
    allowed_host: Annotated[
        str,
        Meta(
            pattern=r"\A[A-Za-z0-9.:_\[\], -]*\Z",
            description="More names that clients may reach this server by, with commas between.",
            examples=["edge.lan,10.0.0.7"],
        ),
    ] = ""
    cors_origin: Annotated[
        str,
        Meta(
            pattern=r"\A(https?://[^/,*\s]+(, *https?://[^/,*\s]+)*)?\Z",
            description="Exact origins whose pages may use this server, with commas between.",
            examples=["http://app.lan:5173,https://studio.lan"],
        ),
    ] = ""
    frame_ancestors: Annotated[
        str,
        Meta(
            pattern=r"\A('none'|'self'|(https?://[^/,;*\s'\"]+ ?)+)\Z",
            description="Pages that may show this server's in a frame: 'none', 'self', or origins.",
            examples=["https://grafana.lan"],
        ),
    ] = "'none'"
    admin_token_file: Annotated[
        str,
        Meta(
            description="File with the first admin token of a server on a network; made where it is missing.",
        ),
    ] = ""
    tls_cert: Annotated[
        str, Meta(description="Certificate to serve TLS with, as `gfedge tls init` makes it (PEM).")
    ] = ""
    tls_key: Annotated[str, Meta(description="Private key of the certificate (PEM).")] = ""
    max_connections: Annotated[
        int, Meta(ge=8, le=100_000, description="Connections at once; past it idle ones make room.")
    ] = 1024
    max_connections_per_address: Annotated[
        int, Meta(ge=4, le=100_000, description="Connections at once from one address.")
    ] = 512
    idle_timeout: Annotated[
        float,
        Meta(gt=0, le=3600, description="Time to wait for a request, or for the rest of its head."),
    ] = 12.0
    body_timeout: Annotated[
        float,
        Meta(gt=0, le=3600, description="Time in which a body must have gone on by 1 KiB/s."),
    ] = 10.0
    engine: Annotated[
        Literal["in-process", "isolated", "ray"],
        Meta(description="Where graphs run: here, in a supervised process, or on a Ray cluster."),
    ] = "in-process"
    isolate_inference: Annotated[
        bool, Meta(description="The same as engine = isolated, where engine says nothing else.")
    ] = False
    ray_address: Annotated[
        str,
        Meta(
            pattern=r"\A(auto|local|[A-Za-z0-9._\[\]:-]+:[0-9]{1,5})\Z",
            description="The Ray cluster: auto (this machine's), local (one is started), or its head.",
            examples=["10.0.0.7:6379"],
        ),
    ] = "auto"
    ray_actors: Annotated[
        int, Meta(ge=0, le=256, description="Workers on each node where no node has a GPU; 0: one.")
    ] = 0
    cpu_fallback: Annotated[
        bool, Meta(description="Go on with the CPU when the GPU is lost; else jobs fail.")
    ] = False
    run_seconds: Annotated[
        float,
        Meta(
            gt=0,
            le=3600,
            description="Longest run of a graph (a step, a tile); then its job fails.",
        ),
    ] = 120.0
    max_queue: Annotated[
        int, Meta(ge=1, le=100_000, description="Jobs that may wait; past it the answer is 429.")
    ] = 256
    max_queued_megapixels: Annotated[
        int,
        Meta(
            ge=1,
            description="Work that may wait, in megapixels x steps; past it the answer is 429.",
        ),
    ] = 4096
    max_memory: Annotated[
        int,
        Meta(ge=0, description="Resident memory past which no new work is taken; 0: 70 % of all."),
    ] = 0
    max_running: Annotated[int, Meta(ge=1, le=1024, description="Jobs that run side by side.")] = 16
    max_job_memory: Annotated[
        int,
        Meta(
            ge=1 << 20,
            description="Memory that the pictures of running jobs may take together; a larger job runs alone.",
        ),
    ] = 2 << 30
    max_body: Annotated[int, Meta(ge=1 << 10, description="Largest request body.")] = 32 << 20
    max_artifact: Annotated[
        int, Meta(ge=1, description="Largest file that a run may upload; it is streamed.")
    ] = 8 << 30
    max_model: Annotated[
        int, Meta(ge=1, description="Largest model that may be registered, unpacked.")
    ] = 4 << 30
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
    max_listeners: Annotated[
        int, Meta(ge=1, description="WebSocket clients at once; past it the answer is 503.")
    ] = 1000
    min_free_disk: Annotated[
        int, Meta(ge=0, description="Free space below which new work is refused with 507.")
    ] = 64 << 20
    accept_loss: Annotated[
        bool,
        Meta(description="Start though committed work is missing from a damaged database."),
    ] = False
    metrics_interval: Annotated[
        float, Meta(ge=1, le=60, description="Seconds between samples of the metrics.")
    ] = 5.0
    max_series: Annotated[
        int, Meta(ge=100, le=100_000, description="Series that are sampled; others are counted.")
    ] = 10_000
    history_days: Annotated[
        float, Meta(ge=1, le=3650, description="Days for which the history of metrics is kept.")
    ] = 30.0
    history_size: Annotated[
        int,
        Meta(
            ge=1 << 20,
            description="Size of the stored history; past it the oldest samples go before their rollups.",
        ),
    ] = 512 << 20
    metrics_compat: Annotated[
        Literal["none", "dcgm", "triton", "dcgm,triton"],
        Meta(description="Whose names GPU and model metrics have besides; also METRICS_COMPAT."),
    ] = "none"
    prometheus_url: Annotated[
        str,
        Meta(
            description="A Prometheus that `source=external` asks; also PROMETHEUS_URL.",
            examples=["http://127.0.0.1:9090"],
        ),
    ] = ""
    grafana_url: Annotated[
        str,
        Meta(
            description="A Grafana whose dashboards are listed; also GRAFANA_URL.",
            examples=["http://127.0.0.1:3000"],
        ),
    ] = ""
    grafana_api_key: Annotated[
        str,
        Meta(
            description="Service account token of that Grafana, never shown; also GRAFANA_API_KEY."
        ),
    ] = ""
    shipped_rules: Annotated[
        bool, Meta(description="Evaluate the alerting rules that come with gfedge.")
    ] = True
    rule_files: Annotated[
        str,
        Meta(
            description="More rule files in Prometheus' format, with commas between; patterns too.",
            examples=["/etc/gfedge/rules/*.yml"],
        ),
    ] = ""
    receivers_file: Annotated[
        str,
        Meta(description="File that names who is told of alerts (docs/alerts.md); empty: nobody."),
    ] = ""
    keep_job_days: Annotated[
        float,
        Meta(ge=0, le=36_500, description="Age past which collections remove jobs; 0 keeps all."),
    ] = 0.0
    keep_jobs: Annotated[
        int, Meta(ge=0, description="Jobs that collections leave, the newest; 0 keeps all.")
    ] = 0
    keep_job_bytes: Annotated[
        int,
        Meta(ge=0, description="Pictures of jobs that collections leave, the newest; 0 keeps all."),
    ] = 0
    restore_days: Annotated[
        float,
        Meta(
            ge=0, le=36_500, description="Days that deleted runs and experiments can be restored."
        ),
    ] = 30.0
    gc_hours: Annotated[
        float,
        Meta(ge=0, le=8760, description="Hours between collections; 0 leaves them to `gfedge gc`."),
    ] = 0.0
    export_dir: Annotated[
        str, Meta(description="Folder of the archive; empty: `exports` in the data folder.")
    ] = ""
    export_hours: Annotated[
        float, Meta(ge=0, le=8760, description="Hours between exports; 0 exports when asked.")
    ] = 0.0
    export_keep_days: Annotated[
        float, Meta(ge=0, le=36_500, description="Days that the archive keeps; 0 keeps all.")
    ] = 0.0
    shutdown_grace: Annotated[
        float, Meta(ge=0, le=600, description="Time that running work gets at SIGTERM.")
    ] = 10.0
    train_python: Annotated[
        str,
        Meta(
            description="Python that runs shipped trainers (it needs torch); empty: the server's."
        ),
    ] = ""
    train_max_running: Annotated[
        int, Meta(ge=1, le=64, description="Training jobs of this machine that run side by side.")
    ] = 1
    train_pause_queue: Annotated[
        int,
        Meta(ge=0, description="AI jobs that wait at which local training pauses; 0 means never."),
    ] = 4
    train_nice: Annotated[
        int, Meta(ge=0, le=19, description="Niceness of local training; 19 is the least CPU.")
    ] = 10
    train_grace: Annotated[
        float, Meta(ge=0, le=600, description="Time a trainer gets between SIGTERM and SIGKILL.")
    ] = 10.0
    train_max_seconds: Annotated[
        float, Meta(ge=0, description="Time local training may run, pauses left out; 0: no limit.")
    ] = 0.0
    train_memory: Annotated[
        int, Meta(ge=0, description="Memory local training may use, all processes; 0: no limit.")
    ] = 0
    train_gpu_memory: Annotated[
        int, Meta(ge=0, description="GPU memory budget that trainers are told; 0 means none.")
    ] = 0
    train_max_log: Annotated[
        int, Meta(ge=1 << 12, description="Largest log of a training job; the older half goes.")
    ] = 16 << 20
    train_lost_after: Annotated[
        float,
        Meta(gt=0, le=86_400, description="Silence after which an external trainer is lost."),
    ] = 60.0
    vast_key: Annotated[
        str, Meta(description="API key of Vast.ai, to rent machines for training; empty: none.")
    ] = ""
    vast_url: Annotated[
        str, Meta(description="Address of Vast.ai's API.", examples=["https://console.vast.ai"])
    ] = "https://console.vast.ai"
    vast_python: Annotated[
        str,
        Meta(description="Python that has the vastai SDK (`make vastai`); empty: the server's."),
    ] = ""
    vast_max_dollars_per_job: Annotated[
        float, Meta(ge=0, description="What one rented training job may cost; it is stopped there.")
    ] = 5.0
    vast_max_dollars: Annotated[
        float, Meta(ge=0, description="What all rented training jobs together may ever cost.")
    ] = 20.0
    vast_start_seconds: Annotated[
        float, Meta(gt=0, description="Time a rented machine gets until its trainer reports.")
    ] = 1200.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="What is logged.")
    ] = "info"
    log_format: Annotated[
        Literal["text", "json"], Meta(description="Lines to read, or a JSON object a line.")
    ] = "text"

    @property
    def local(self) -> bool:
        """Whether the server listens for this machine alone; then it asks for no token."""
        return self.host in LOCAL_HOSTS

    @property
    def exports(self) -> Path:
        return absolute(Path(self.export_dir)) if self.export_dir else self.data / "exports"

    def listed(self, name: Literal["allowed_host", "cors_origin", "rule_files"]) -> tuple[str, ...]:
        """The parts of a setting that has commas in it."""
        text: str = getattr(self, name)
        return tuple(part.strip() for part in text.split(",") if part.strip())

    @property
    def address(self) -> str:
        """The address that clients use, without a slash at the end."""
        if self.public_url:
            return self.public_url.rstrip("/")
        name = own_address(self.host) if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104
        host = f"[{name}]" if ":" in name else name
        return f"{'https' if self.tls_cert else 'http'}://{host}:{self.port}"
