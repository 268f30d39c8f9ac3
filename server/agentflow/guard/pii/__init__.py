"""Finding personal data and credentials in text: patterns that propose, validators that decide."""
