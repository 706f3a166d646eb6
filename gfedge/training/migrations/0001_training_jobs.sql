-- One row a job, updated when its state changes: there are few, and what changes often lives in memory.
create table training_jobs (
    id varchar not null,
    state varchar not null,
    backend varchar not null,
    entry_point varchar not null,
    experiment_id varchar not null,
    run_id varchar not null,
    idempotency_key varchar,
    spent_dollars double not null,
    created_at double not null,
    record json not null
);
