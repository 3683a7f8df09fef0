"""The only state of pinetune: rows of a database. Functions on a transaction's connection; no rules of the trade here.

`database.py` opens it, `outages.py` tells failures that pass, and `tables.py` names the columns. `works.py` has what is
queued and run, `jobs.py` and `evaluations.py` the two kinds of it, `leases.py` their workers, `history.py` what a job
leaves behind, `datasets.py` the uploads.
"""
