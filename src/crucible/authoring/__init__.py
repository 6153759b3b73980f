"""What suites share: how a scenario asks, strikes and keeps time, and how a judge says what it found."""
