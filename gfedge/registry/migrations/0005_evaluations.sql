-- By which judge, and in which run, a version was given a score after it was registered; null where only its folder tells.
alter table model_versions add column evaluation json;
