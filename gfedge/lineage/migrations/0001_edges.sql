-- What came from what, append-only. An edge points from the earlier thing to the later one. The keys are numbers for the
-- nodes: a join on one of them costs a third of one on kind and id.
create table edges (
    source_kind varchar not null,
    source_id varchar not null,
    target_kind varchar not null,
    target_id varchar not null,
    relation varchar not null,
    made_at double not null,
    source_key bigint not null,
    target_key bigint not null
);
