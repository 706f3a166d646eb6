-- Pictures by content. The bytes lie in files named by their sha256; a digest may have several rows, the first one counts.
create table assets (
    sha256 varchar not null,
    pixels_sha256 varchar not null,  -- over the decoded RGBA pixels: equal pictures whatever their metadata
    media_type varchar not null,
    width integer not null,
    height integer not null,
    bytes bigint not null,
    created_at double not null
);
