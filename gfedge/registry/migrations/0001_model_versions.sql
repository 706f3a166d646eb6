-- Model versions. The columns from `stage` on are labels and may change; the others say what a version is and never do.
create table model_versions (
    id varchar not null,             -- sprite@1
    name varchar not null,
    version varchar not null,
    kind varchar not null,
    digest varchar not null,
    title varchar not null,
    licence varchar not null,
    source varchar not null,
    bytes bigint not null,
    bundled boolean not null,        -- its files lie in the folder of the setting `models`
    signature json not null,
    metrics json not null,
    training json not null,          -- the training run and the dataset behind it, from model.toml
    dataset json not null,
    source_run varchar not null,     -- ids of what made it here, or empty
    training_job varchar not null,
    dataset_id varchar not null,
    author varchar not null,
    note varchar not null,
    registered_at double not null,
    stage varchar not null,          -- dev, staging, prod (one per name), archived
    description varchar not null,
    aliases json not null,
    tags json not null,
    deleted_at double
);

-- What was changed on models: who, when, from, to, why, and the figures that decided. Append-only.
create table model_changes (
    id varchar not null,
    name varchar not null,
    version varchar not null,
    action varchar not null,
    from_stage varchar not null,
    to_stage varchar not null,
    replaced varchar not null,       -- the version that was in prod before
    "by" varchar not null,
    reason varchar not null,
    forced boolean not null,
    gates json not null,
    details json not null,
    changed_at double not null
);
