"""What has to last and to be shared beside the log: keys, approvals, credentials, limits, policies, web sessions."""
