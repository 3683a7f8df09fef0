"""What users ask for: data sets, jobs, evaluations; their state, their queue and the loop that does the work."""
