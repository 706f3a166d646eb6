-- Experiments and their runs. No keys and no indexes: the single writer knows what is unique (docs/decisions).
create table experiments (
    id varchar not null,
    name varchar not null,
    kind varchar not null,
    description varchar not null,
    tags json not null,
    created_at double not null
);

create table runs (
    id varchar not null,
    experiment_id varchar not null,
    name varchar not null,
    kind varchar not null,
    status varchar not null,        -- finished, failed, killed
    created_at double not null,
    started_at double,
    ended_at double
);

create table params (
    run_id varchar not null,
    key varchar not null,
    value varchar not null
);

create table metrics (
    run_id varchar not null,
    key varchar not null,
    value double not null,
    step bigint not null,
    logged_at double not null
);
