"""HTTP for people: pages about jobs and comparisons, and a report to keep. It asks the jobs service, owns nothing."""
