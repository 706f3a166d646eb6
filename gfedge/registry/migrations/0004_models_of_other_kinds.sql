-- Versions that are kept and promoted but not run here, and what is told of a model as a whole.
alter table model_versions add column uri varchar default '';        -- where clients find its files; empty: in its folder here
alter table model_versions add column model_id varchar default '';   -- the logged model that it was made of
alter table model_versions add column run_link varchar default '';
alter table model_versions add column updated_at double;

alter table registered_models add column description varchar default '';
alter table registered_models add column tags json;
alter table registered_models add column created_at double;
alter table registered_models add column updated_at double;
