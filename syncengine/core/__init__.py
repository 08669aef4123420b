"""Pure decisions: values in, values out. No file system, no clock, no threads, no logging."""
