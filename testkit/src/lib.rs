//! Test support for kdumpfile: dump builders that know nothing of the readers.
