"""From maps and members to numbers."""
