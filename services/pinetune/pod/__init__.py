"""What every pod does alike: server, errors, tokens and TLS, metrics, health, configuration, logging, shutdown.

Rooms import the files by name (`pinetune.pod.errors`, `pinetune.pod.server`); nothing is re-exported here, so that
importing one costs only what it needs.
"""
