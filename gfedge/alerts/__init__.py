"""Alerts: rule files, their evaluation, what is pending or firing, silences, and the messages that go out."""
