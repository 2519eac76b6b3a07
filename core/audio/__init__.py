"""What is about sound: reading it, and the front-end that turns it into features."""
