"""The archive: years of runs, jobs and lineage as Parquet files that any engine reads, written while serving."""
