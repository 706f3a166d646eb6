-- Columns of the index for the keys that are asked for (asked.py): which key one holds is known to the running server alone.
alter table run_index add column n0 double;
alter table run_index add column n1 double;
alter table run_index add column n2 double;
alter table run_index add column n3 double;
alter table run_index add column n4 double;
alter table run_index add column n5 double;
alter table run_index add column n6 double;
alter table run_index add column n7 double;
alter table run_index add column t0 varchar;
alter table run_index add column t1 varchar;
alter table run_index add column t2 varchar;
alter table run_index add column t3 varchar;
alter table run_index add column t4 varchar;
alter table run_index add column t5 varchar;
alter table run_index add column t6 varchar;
alter table run_index add column t7 varchar;
