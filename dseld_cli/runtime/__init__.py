"""What every command runs on: threads, the memory budget, the console."""
