"""What is said of a run once it is over: pure functions of its evidence."""
