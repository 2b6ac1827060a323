"""The program beside its peers, against the same servers: pace, manners, outages, cost and size."""
