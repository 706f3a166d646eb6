-- Alerts that are pending, fire, or fired; small rows of state, written when something changes.
create table alerts (
    id varchar not null,
    rule_group varchar not null,
    name varchar not null,
    severity varchar not null,
    labels json not null,
    annotations json not null,
    value double not null,
    state varchar not null,                 -- pending, firing, resolved
    active_at double not null,
    fired_at double,
    resolved_at double,
    keep_firing_since double,
    seen_at double not null,                -- last evaluated, to a minute
    acknowledged_at double,
    acknowledged_by varchar not null,
    comment varchar not null
);

create table alert_silences (
    id varchar not null,
    matchers json not null,
    starts_at double not null,
    ends_at double not null,
    created_at double not null,
    created_by varchar not null,
    comment varchar not null
);

-- What each receiver was told last of a group of alerts.
create table alert_notifications (
    receiver varchar not null,
    group_key varchar not null,
    firing json not null,                   -- fingerprints
    resolved json not null,
    sent_at double not null
);
