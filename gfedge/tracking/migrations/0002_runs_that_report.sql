-- Runs that report while they run, and an index of all runs to search in.
alter table experiments add column headline json;
alter table experiments add column deleted_at double;

alter table runs add column parent_id varchar;
alter table runs add column source json;
alter table runs add column deleted_at double;

create table tags (
    run_id varchar not null,
    key varchar not null,
    value varchar not null
);

create table datasets (
    id varchar not null,
    name varchar not null,
    digest varchar not null,
    source_type varchar not null,
    source varchar not null,
    "schema" json,
    profile json,
    created_at double not null
);

create table run_inputs (
    run_id varchar not null,
    dataset_id varchar not null,
    context varchar not null,
    linked_at double not null
);

create table artifacts (
    run_id varchar not null,
    path varchar not null,
    sha256 varchar not null,
    media_type varchar not null,
    bytes bigint not null,
    created_at double not null
);

-- Derived from the tables above and from 0001: one row a run, with what filters ask (keys as numbers, in lists)
-- and the whole run as JSON. It may be emptied at any time; it fills again.
create table run_index (
    version bigint not null,        -- of this row and no other: a run that changes is written anew
    id varchar not null,
    experiment_id varchar not null,
    name varchar not null,
    kind varchar not null,
    status varchar not null,
    parent_id varchar,
    commit varchar,
    created_at double not null,
    started_at double,
    ended_at double,
    deleted_at double,
    param_keys integer[] not null,
    param_values varchar[] not null,
    tag_keys integer[] not null,
    tag_values varchar[] not null,
    metric_keys integer[] not null,
    metric_values double[] not null,
    run varchar not null
);

create table index_keys (
    number integer not null,
    key varchar not null
);

create table index_stale (
    run_id varchar not null
);
