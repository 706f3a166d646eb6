"""The tables of the archive: what each holds, as SQL over the database's own (docs/archive.md). Constants.

Columns are VARCHAR (JSON too), BIGINT, DOUBLE, BOOLEAN or TIMESTAMP WITH TIME ZONE, which Parquet readers agree on.
"""

from __future__ import annotations

import msgspec

LAST_TIME = 253_402_300_799
"""The last second of the year 9999: what a client tells beyond it becomes this."""


class Table(msgspec.Struct, kw_only=True, frozen=True):
    """One table of the archive.

    A table with a day has a file for each day, the UTC date of `at`; the others have one file.
    """

    name: str
    about: str
    version: int = 1
    """Raised when its columns change: then every file that the database still has the rows of is written anew."""
    select: str
    """Its columns, and `at` in Unix seconds, which is not written."""
    by_day: bool = True
    watch: str = "t"
    """What shows that a row `t` changed; for what is only ever appended its id, which is cheaper to read."""
    gone: str
    """When a row `o` of the file before is one that the database let go, and not one that changed there."""
    group_rows: int = 100_000
    """Rows of a row group; fewer where a row is large, because a group is held in memory."""
    rollups: bool = False
    """Whether it is made of the history of metrics, which SQL cannot read (`samples`)."""


MACROS = (
    f"create or replace temp macro within(x) as least(greatest(x, 0), {LAST_TIME})",
    "create or replace temp macro instant(x) as to_timestamp(if(x is null, null, within(x)))",
)
"""What the tables' SQL calls besides DuckDB's own functions: Unix seconds within bounds, and as an instant."""
OF_RUN = "not exists (from runs r where r.id = o.run_id)"
OF_ID = "not exists (from now where now.id = o.id)"

EXPERIMENTS = Table(
    name="experiments",
    about="Experiments",
    select="""
        select 0 as "at", id, name, kind, description, tags::varchar as tags, headline::varchar as headline,
               instant(created_at) as created_at, instant(updated_at) as updated_at, instant(deleted_at) as deleted_at
        from experiments
    """,
    by_day=False,
    gone=OF_ID,
)
RUNS = Table(
    name="runs",
    about="Runs, those of AI jobs too, by the day they were made",
    select="""
        select within(created_at) as "at", id, experiment_id, name, kind, status, parent_id, user_id,
               source->>'$.commit' as "commit", source->>'$.entry_point' as entry_point,
               source->>'$.repository' as repository, instant(created_at) as created_at,
               instant(started_at) as started_at, instant(ended_at) as ended_at,
               instant(deleted_at) as deleted_at
        from runs
    """,
    gone=OF_ID,
)
PARAMS = Table(
    name="params",
    about="Parameters of runs, by the day of the run",
    select="""
        select within(r.created_at) as "at", p.run_id, p.key, p.value from params p join runs r on r.id = p.run_id
    """,
    watch="struct_pack(t.run_id, t.key)",
    gone=OF_RUN,
)
METRICS = Table(
    name="metrics",
    about="Points of runs' metrics, by the day of the run",
    select="""
        select within(r.created_at) as "at", m.run_id, m.key, m.step, m.value, instant(m.logged_at) as logged_at
        from metrics m join runs r on r.id = m.run_id
    """,
    watch="struct_pack(t.run_id, t.key, t.step)",
    gone=OF_RUN,
)
TAGS = Table(
    name="tags",
    about="Tags of runs, by the day of the run",
    select="""
        select within(r.created_at) as "at", g.run_id, g.key, g.value from tags g join runs r on r.id = g.run_id
    """,
    gone=OF_RUN,
)
RUN_DATASETS = Table(
    name="run_datasets",
    about="Which runs read which datasets, by the day of the run",
    select="""
        select within(r.created_at) as "at", i.run_id, i.dataset_id, i.context, i.tags::varchar as tags,
               instant(i.linked_at) as linked_at
        from run_inputs i join runs r on r.id = i.run_id
    """,
    gone=OF_RUN,
)
ARTIFACTS = Table(
    name="artifacts",
    about="Files of runs: names, digests and sizes, not their bytes; by the day of the run",
    select="""
        select within(r.created_at) as "at", a.run_id, a.path, a.sha256, a.media_type, a.bytes,
               instant(a.created_at) as created_at
        from artifacts a join runs r on r.id = a.run_id
    """,
    gone=OF_RUN,
)
DATASETS = Table(
    name="datasets",
    about="Datasets that runs read",
    select="""
        select 0 as "at", id, name, digest, source_type, source, "schema"::varchar as "schema",
               profile::varchar as profile, instant(created_at) as created_at
        from datasets
    """,
    by_day=False,
    gone=OF_ID,
)
LOGGED_MODELS = Table(
    name="logged_models",
    about="Models as runs logged them",
    select="""
        select 0 as "at", id, experiment_id, name, model_type, status, run_id, params::varchar as params,
               tags::varchar as tags, instant(created_at) as created_at, instant(updated_at) as updated_at,
               instant(deleted_at) as deleted_at
        from logged_models
    """,
    by_day=False,
    gone=OF_ID,
)
JOBS = Table(
    name="jobs",
    about="AI jobs that ended, by the day they were asked for",
    select="""
        select within(created_at) as "at", id, kind, status, run_id, record->>'$.experiment_id' as experiment_id,
               record->>'$.model.name' as model_name, record->>'$.model.version' as model_version,
               record->>'$.model.digest' as model_digest, record->>'$.params.prompt' as prompt,
               (record->>'$.seed')::bigint as seed, record->>'$.requester' as requester,
               record->>'$.error.code' as error_code, record->>'$.error.detail' as error_detail,
               json_array_length(record, '$.outputs')::bigint as outputs,
               (record->>'$.timings.queue_seconds')::double as queue_seconds,
               (record->>'$.timings.inference_seconds')::double as inference_seconds,
               (record->>'$.timings.total_seconds')::double as total_seconds,
               instant(created_at) as created_at, instant((record->>'$.started_at')::double) as started_at,
               instant((record->>'$.finished_at')::double) as finished_at, record::varchar as record
        from jobs
    """,
    watch="t.id",
    gone=OF_ID,
    group_rows=5_000,
)
TRAINING_JOBS = Table(
    name="training_jobs",
    about="Training jobs, by the day they were asked for",
    select="""
        select within(created_at) as "at", id, state, backend, entry_point, experiment_id, run_id, spent_dollars,
               instant(created_at) as created_at, instant((record->>'$.started_at')::double) as started_at,
               instant((record->>'$.ended_at')::double) as ended_at, record->>'$.error' as error
        from training_jobs
    """,
    gone=OF_ID,
    group_rows=5_000,
)
ASSETS = Table(
    name="assets",
    about="Pictures: digests, sizes and types, not their bytes; by the day they were made",
    select="""
        select within(created_at) as "at", sha256, pixels_sha256, media_type, width::bigint as width,
               height::bigint as height, bytes, instant(created_at) as created_at
        from assets
    """,
    watch="t.sha256",
    gone="not exists (from now where now.sha256 = o.sha256)",
)
MODEL_VERSIONS = Table(
    name="model_versions",
    about="Registered model versions: stage, digest, figures",
    select="""
        select 0 as "at", id, name, version, kind, stage, digest, bytes, title, description, licence, source, uri,
               author, note, bundled, aliases::varchar as aliases, tags::varchar as tags,
               signature::varchar as signature, metrics::varchar as metrics, source_run as run_id, training_job,
               dataset_id, instant(registered_at) as registered_at, instant(deleted_at) as deleted_at
        from model_versions
    """,
    by_day=False,
    gone=OF_ID,
)
MODELS = Table(
    name="models",
    about="Registered models: policy, canary and shadow",
    select="""
        select 0 as "at", name, description, tags::varchar as tags, policy::varchar as policy,
               canary::varchar as canary, shadow::varchar as shadow, instant(created_at) as created_at,
               instant(updated_at) as updated_at
        from registered_models
    """,
    by_day=False,
    gone="not exists (from now where now.name = o.name)",
)
PROMOTIONS = Table(
    name="promotions",
    about="What was changed on models: promotions, rollbacks, labels; who, when and why",
    select="""
        select 0 as "at", id, name, version, action, from_stage, to_stage, replaced, "by", reason, forced,
               gates::varchar as gates, details::varchar as details, instant(changed_at) as changed_at
        from model_changes
    """,
    by_day=False,
    gone=OF_ID,
)
SHADOW_COMPARISONS = Table(
    name="shadow_comparisons",
    about="What versions in shadow made of jobs, by day",
    select="""
        select within(compared_at) as "at", id, name, version, baseline, job_id, status, same_pixels, psnr, ssim, seconds,
               baseline_seconds, instant(compared_at) as compared_at
        from shadow_comparisons
    """,
    watch="t.id",
    gone=OF_ID,
)
EDGES = Table(
    name="lineage_edges",
    about="What came from what, by the day it was noted: an edge points from the earlier thing to the later one",
    select="""
        select within(made_at) as "at", source_kind, source_id, target_kind, target_id, relation,
               instant(made_at) as made_at
        from edges
    """,
    watch="struct_pack(t.source_id, t.target_id, t.relation)",
    gone="""
        not exists (
            from now where now.source_id = o.source_id and now.target_id = o.target_id and now.relation = o.relation
                       and now.source_kind = o.source_kind and now.target_kind = o.target_kind
        )
    """,
)
NODES = Table(
    name="lineage_nodes",
    about="The things that a day's edges touch; a node stands under each of its days",
    select="""
        with ends as (
            select source_kind as kind, source_id as id, made_at from edges
            union all select target_kind, target_id, made_at from edges
        )
        select within(min(made_at)) as "at", kind, id, count(*) as edges,
               instant(min(made_at)) as first_at, instant(max(made_at)) as last_at
        from ends group by floor(within(made_at) / 86400), kind, id
    """,
    gone="not exists (from now where now.id = o.id and now.kind = o.kind)",
)
ALERTS = Table(
    name="alerts",
    about="Alerts that fired, by the day they began",
    select="""
        select within(active_at) as "at", id, rule_group, name, severity, state, value, labels::varchar as labels,
               annotations::varchar as annotations, instant(active_at) as active_at, instant(fired_at) as fired_at,
               instant(resolved_at) as resolved_at, instant(acknowledged_at) as acknowledged_at, acknowledged_by,
               comment
        from alerts where fired_at is not null
    """,
    gone=OF_ID,
)
SAMPLES = Table(
    name="metric_samples",
    about="The server's own metrics every 5 minutes: the last value, of gauges the least, greatest and average too; by day",
    select="""
        select t.at as "at", s.labels->>'$.__name__' as name, s.labels::varchar as labels, s.kind, t.aggregate,
               t.value, to_timestamp(t.at) as sampled_at
        from rollup_samples t join metric_series s on s.id = t.series
    """,
    gone="o.sampled_at < (select min(now.sampled_at) from now)",
    rollups=True,
)

TABLES = (
    *(EDGES, NODES, SHADOW_COMPARISONS, PROMOTIONS, MODELS, MODEL_VERSIONS),
    *(JOBS, TRAINING_JOBS, ASSETS, ARTIFACTS, RUN_DATASETS, LOGGED_MODELS),
    *(METRICS, PARAMS, TAGS, RUNS, DATASETS, EXPERIMENTS, ALERTS, SAMPLES),
)
"""In the order of their export: what names a thing before the thing, so that what a row names is there as a rule."""
NAMES = tuple(sorted(table.name for table in TABLES))
