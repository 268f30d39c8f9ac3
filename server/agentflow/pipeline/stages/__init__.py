"""One file per stage; `chain.build` puts them in order."""
