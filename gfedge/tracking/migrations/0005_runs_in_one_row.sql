-- What a run was made with, so that one row is enough to acknowledge it; its params, tags and edges follow from that.
alter table runs add column made json;
