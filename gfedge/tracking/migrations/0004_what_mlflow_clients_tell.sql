-- What MLflow's clients tell of experiments and runs besides, and models as they log them.
alter table experiments add column updated_at double;
alter table experiments add column artifact_location varchar default '';
alter table runs add column user_id varchar default '';
alter table run_index add column user_id varchar default '';
alter table run_inputs add column tags json;

create table logged_models (
    id varchar not null,
    experiment_id varchar not null,
    name varchar not null,
    model_type varchar not null,
    status varchar not null,         -- pending, ready, upload_failed
    run_id varchar not null,         -- that made it, or empty
    params json not null,
    tags json not null,
    created_at double not null,
    updated_at double not null,
    deleted_at double
);

create table run_models (
    run_id varchar not null,
    model_id varchar not null,
    direction varchar not null,      -- input, output
    step bigint not null,
    linked_at double not null
);

-- Points of metrics that are of a logged model too; they stand among those of the run as well.
create table model_metrics (
    model_id varchar not null,
    run_id varchar not null,
    key varchar not null,
    value double not null,
    step bigint not null,
    logged_at double not null,
    dataset_name varchar not null,
    dataset_digest varchar not null
);
