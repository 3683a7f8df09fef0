"""Makes the Grafana dashboards: `python -m tools.dashboards` writes deploy/monitoring/grafana/dashboards.

`panel.py` says what a panel is, `fleet.py`, `job.py`, … which ones each dashboard has, `grafana.py` how Grafana wants
them. The JSON is checked in; a test makes it again and compares.
"""
