"""What the stages know: PII, secrets, injection, taint."""
