-- Jobs as they were acknowledged and jobs as they ended; both append-only. A submission without an end is run again
-- after a restart. What is queued or running is held in memory meanwhile. `record` is the whole of it as JSON; the
-- columns beside it are what listings ask for. Few columns, because DuckDB's price of a row is that of its columns.
create table submissions (
    id varchar not null,
    record json not null
);

create table jobs (
    id varchar not null,
    kind varchar not null,
    status varchar not null,         -- succeeded, failed, cancelled
    model_name varchar,
    run_id varchar not null,
    idempotency_key varchar,
    created_at double not null,
    record json not null
);
