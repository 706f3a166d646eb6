-- Model versions as they were registered from their folders. Immutable.
create table model_versions (
    id varchar not null,             -- sprite@1
    name varchar not null,
    version varchar not null,
    kind varchar not null,
    digest varchar not null,
    title varchar not null,
    licence varchar not null,
    source varchar not null,
    bytes bigint not null,
    training json not null,          -- the training run and the dataset behind it, from model.toml
    dataset json not null,
    registered_at double not null
);
