-- What a version in shadow made of a job, held against what the client was given. Append-only.
create table shadow_comparisons (
    id varchar not null,             -- of the shadow's own job
    name varchar not null,
    version varchar not null,
    baseline varchar not null,       -- the version that answered the client
    job_id varchar not null,         -- the job that the client asked for
    status varchar not null,
    same_pixels boolean not null,
    psnr double,                     -- at most 100; null where the pictures cannot be compared
    ssim double,
    seconds double not null,
    baseline_seconds double not null,
    compared_at double not null
);
