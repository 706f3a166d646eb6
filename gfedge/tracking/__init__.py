"""Experiments, runs, params and metrics: the record of every job and every training."""
