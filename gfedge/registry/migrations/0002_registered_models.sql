-- What holds for a model and not for one version of it; one row a name, absent where all is as by default.
create table registered_models (
    name varchar not null,
    policy json,
    canary json,                     -- the version that takes a share of the traffic, while it does
    shadow json                      -- the version that runs beside the one in prod, while it does
);
