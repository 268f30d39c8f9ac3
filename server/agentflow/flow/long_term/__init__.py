"""What a principal's runs have taught, from one run to the next."""
