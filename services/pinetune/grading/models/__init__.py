"""Judge and embedding models: how they are asked, what they may cost, how their replies are read."""
