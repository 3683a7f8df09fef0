"""Python graders: processes that have locked themselves up, and the pool that lends them."""
