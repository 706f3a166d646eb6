"""Every metric that is counted where it happens, in Prometheus' conventions: base units, bounded labels, a help text.

What is read from outside at each tick of the clock stands in `monitoring/measured.py`; requests in `http_metrics.py`.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

# They double the series and say nothing that `process_start_time_seconds` does not.
disable_created_metrics()  # type: ignore[no-untyped-call]

SHORT = (0.005, 0.025, 0.1, 0.5, 2.5, 10.0)
"""Bounds in seconds where there are many series: each bound is one more."""
LONG = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
MOMENTS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)

# Jobs and models

jobs_total = Counter(
    "gfedge_jobs_total", "Jobs that ended.", ["kind", "status", "model", "version"]
)
jobs_queued = Gauge("gfedge_jobs_queued", "Jobs that wait to be started.")
jobs_running = Gauge("gfedge_jobs_running", "Jobs that run now.")
job_queue_seconds = Histogram(
    "gfedge_job_queue_seconds",
    "Time from acknowledging a job to starting it.",
    ["kind"],
    buckets=LONG,
)
job_seconds = Histogram(
    "gfedge_job_seconds", "Time from starting a job to its end.", ["kind"], buckets=LONG
)
job_stage_seconds = Histogram(
    "gfedge_job_stage_seconds", "Time of a job's stages.", ["kind", "stage"], buckets=LONG
)
request_preprocess_seconds = Histogram(
    "request_preprocess_seconds",
    "Time to decode the input of a job; KServe's name.",
    ["model_name"],
    buckets=LONG,
)
request_predict_seconds = Histogram(
    "request_predict_seconds",
    "Time from the first to the last graph call of a job; KServe's name.",
    ["model_name"],
    buckets=LONG,
)
request_postprocess_seconds = Histogram(
    "request_postprocess_seconds",
    "Time to encode and store the output of a job; KServe's name.",
    ["model_name"],
    buckets=LONG,
)
pictures_total = Counter("gfedge_pictures_total", "Pictures that jobs made.", ["model", "version"])
batch_size = Histogram(
    "gfedge_batch_size",
    "Pictures or tiles in the graph calls that a job took part in, on average.",
    ["model"],
    buckets=(1, 2, 4, 8, 16, 32, 64),
)
tiles_total = Counter("gfedge_tiles_total", "Tiles that were upscaled.", ["model"])

# HTTP, WebSockets

auth_enabled = Gauge("gfedge_auth_enabled", "Whether requests need a token: 1, or 0.")
event_clients = Gauge("gfedge_event_clients", "WebSocket clients of a live stream.", ["stream"])
event_clients_dropped_total = Counter(
    "gfedge_event_clients_dropped_total", "WebSocket clients that fell behind.", ["stream"]
)

# The database, the process, the history

database_commit_seconds = Histogram(
    "gfedge_database_commit_seconds", "Time of a commit of the database.", buckets=MOMENTS
)
reload_failures_total = Counter(
    "gfedge_reload_failures_total", "Reloads (SIGHUP, /admin/reload) that were refused."
)
database_writes_total = Counter(
    "gfedge_database_writes_total", "Writes that callers asked for; a commit holds many."
)
database_rows_total = Counter("gfedge_database_rows_total", "Rows that were inserted.")
event_loop_lag_seconds = Histogram(
    "gfedge_event_loop_lag_seconds",
    "How much later than asked for the event loop wakes.",
    buckets=MOMENTS,
)
history_series = Gauge("gfedge_history_series", "Series that the history samples.")
history_dropped_series = Gauge(
    "gfedge_history_dropped_series", "Series that are not sampled, because there are too many."
)
history_memory_bytes = Gauge(
    "gfedge_history_memory_bytes", "Memory of the samples of the last 24 hours."
)
history_sample_seconds = Histogram(
    "gfedge_history_sample_seconds", "Time to sample all series once.", buckets=MOMENTS
)
history_missed_total = Counter(
    "gfedge_history_missed_total", "Ticks of the clock at which nothing was sampled."
)
history_unwritten_total = Counter(
    "gfedge_history_unwritten_total",
    "Attempts to write the history that failed and are made again.",
)

# Events of other slices

training_jobs = Gauge(
    "gfedge_training_jobs", "Training jobs that have not ended, by their state.", ["state"]
)
training_events_total = Counter(
    "gfedge_training_events_total", "Events of training runs, by what happened.", ["event"]
)
registry_events_total = Counter(
    "gfedge_registry_events_total", "Events of model versions, by what happened.", ["event"]
)
training_reports_total = Counter(
    "gfedge_training_reports_total", "Reports of trainers with progress or metrics in them."
)
exports_total = Counter("gfedge_exports_total", "Exports, by how they ended.", ["outcome"])

# Rules and alerts, as Prometheus and Alertmanager name them

rule_evaluations_total = Counter(
    "gfedge_rule_evaluations_total", "Rules that were evaluated.", ["rule_group"]
)
rule_evaluation_failures_total = Counter(
    "gfedge_rule_evaluation_failures_total", "Rules that could not be evaluated.", ["rule_group"]
)
rule_evaluation_duration_seconds = Histogram(
    "gfedge_rule_evaluation_duration_seconds", "Time to evaluate a rule.", buckets=MOMENTS
)
rule_group_iterations_missed_total = Counter(
    "gfedge_rule_group_iterations_missed_total",
    "Evaluations of a group that were left out, because the one before still ran.",
    ["rule_group"],
)
rule_group_last_duration_seconds = Gauge(
    "gfedge_rule_group_last_duration_seconds",
    "Time of the latest evaluation of a group.",
    ["rule_group"],
)
rule_group_last_evaluation_timestamp_seconds = Gauge(
    "gfedge_rule_group_last_evaluation_timestamp_seconds",
    "When a group was evaluated last, Unix time.",
    ["rule_group"],
)
rule_group_interval_seconds = Gauge(
    "gfedge_rule_group_interval_seconds", "How often a group is evaluated.", ["rule_group"]
)
rule_group_rules = Gauge("gfedge_rule_group_rules", "Rules of a group.", ["rule_group"])
rules_last_reload_successful = Gauge(
    "gfedge_rules_last_reload_successful",
    "Whether the files of rules and receivers were sound when they were read last: 1, or 0.",
)
alerts = Gauge("gfedge_alerts", "Alerts that are pending or fire, by state.", ["state"])
notifications_total = Counter(
    "gfedge_notifications_total",
    "Attempts to send a message to a receiver of alerts.",
    ["receiver"],
)
notifications_failed_total = Counter(
    "gfedge_notifications_failed_total",
    "Attempts to send a message to a receiver of alerts that failed, and are made again.",
    ["receiver"],
)


def committed(seconds: float, writes: int, rows: int) -> None:
    """Counts one commit of the database."""
    database_commit_seconds.observe(seconds)
    database_writes_total.inc(writes)
    database_rows_total.inc(rows)
