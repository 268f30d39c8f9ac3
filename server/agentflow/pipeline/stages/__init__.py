"""One file per stage; `chain.ordered` puts them in order, and `gateway.assemble` builds them."""
