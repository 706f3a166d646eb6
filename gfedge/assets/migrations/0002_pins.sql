-- Pictures that stay, with all that they came from, whatever the retention policy says.
create table asset_pins (
    sha256 varchar not null,
    pinned_at double not null
);
