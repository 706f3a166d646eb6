-- What came from what, append-only. An edge points from the earlier thing to the later one.
create table edges (
    source_kind varchar not null,
    source_id varchar not null,
    target_kind varchar not null,
    target_id varchar not null,
    relation varchar not null,
    made_at double not null
);
