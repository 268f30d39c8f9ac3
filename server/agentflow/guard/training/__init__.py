"""What the shipped models are trained from and measured with. Never imported by the gateway."""
