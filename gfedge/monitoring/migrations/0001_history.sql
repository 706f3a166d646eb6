-- The history of metrics: matrices of all series as compressed blobs. No keys and no indexes (docs/decisions).
create table metric_series (
    id integer not null,
    labels json not null,           -- with __name__
    kind varchar not null           -- counter, gauge, histogram
);

create table metric_blocks (
    resolution_seconds integer not null,    -- 0: as sampled
    aggregate varchar not null,             -- last; of rollups also min, max, avg
    started_at double not null,             -- of the first sample
    ended_at double not null,               -- of the last sample
    samples bigint not null,
    size_bytes bigint not null,
    data blob not null
);

-- What was sampled since the last whole block: written every minute, emptied with each block, so that a crash loses
-- little and the large table is appended to alone.
create table metric_tail (
    started_at double not null,
    ended_at double not null,
    data blob not null
);
