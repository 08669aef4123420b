"""One file for each stage, in the order data flows: scan, filter, diff, plan, execute, commit."""
