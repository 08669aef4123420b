"""What a pair remembers between runs: agreed rows, history, the journal, the lock, and the layout of the trash."""
