-- A token is known by its id; of its secret there is only a sha256.
create table tokens (
    id varchar not null,
    name varchar not null,
    scope varchar not null,
    sha256 varchar not null,
    created_at double not null,
    expires_at double,
    revoked_at double,
    used_at double
);

-- A browser that logged in; the cookie itself is nowhere.
create table sessions (
    sha256 varchar not null,
    token_id varchar not null,
    created_at double not null,
    used_at double not null
);

-- Append-only; each record holds the digest of the one before.
create table audit (
    number bigint not null,
    made_at double not null,
    name varchar not null,
    token_id varchar not null,
    address varchar not null,
    action varchar not null,
    target varchar not null,
    detail varchar not null,
    previous varchar not null,
    sha256 varchar not null
);
