-- What each collection removed: written with the first removal, completed when its files are gone. Append-only but for that.
create table collections (
    id varchar not null,
    started_at double not null,
    finished_at double,              -- null where a crash came first: the next one takes up its files
    report json not null
);
