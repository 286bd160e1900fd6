"""How different members are, where that comes from, which of them to keep, and how many are enough."""
