-- Jobs as they were acknowledged and jobs as they ended; both append-only. A submission without an end is run again
-- after a restart. What is queued or running is held in memory meanwhile.
create table submissions (
    id varchar not null,
    kind varchar not null,
    params json not null,
    seed bigint,
    model json,                      -- name, version, digest
    upscaler json,                   -- the same of the model that enlarges a generated picture
    inputs json not null,            -- sha256 of each input asset
    experiment_id varchar not null,
    run_id varchar not null,
    requester varchar not null,
    idempotency_key varchar,
    request_digest varchar not null,
    created_at double not null
);

create table jobs (
    id varchar not null,
    kind varchar not null,
    status varchar not null,         -- succeeded, failed, cancelled
    model_name varchar,
    params json not null,
    seed bigint,
    model json,
    upscaler json,
    inputs json not null,
    experiment_id varchar not null,
    run_id varchar not null,
    requester varchar not null,
    idempotency_key varchar,
    request_digest varchar not null,
    created_at double not null,
    started_at double,
    finished_at double not null,
    timings json not null,
    progress json not null,          -- how far it came
    outputs json not null,
    unknown_words json not null,
    dropped_words json not null,
    error json
);
