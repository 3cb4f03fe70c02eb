"""What the story and the end-to-end tests stand on: real processes, real TLS, and a feeder that counts."""
