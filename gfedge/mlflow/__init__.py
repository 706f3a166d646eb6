"""MLflow's REST protocol over this server's experiments, runs, files and models: one store, two faces."""
