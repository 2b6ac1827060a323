"""Small changes that each break a promise: the tests must notice every one of them."""
