"""Monitoring: what the server and its machine are measured by, the history of it, dashboards and health."""
