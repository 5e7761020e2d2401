"""A whole service on one machine: PostgreSQL, Valkey and Node from wheels, and the processes that use them."""
