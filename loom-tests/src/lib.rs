//! Models of the shared state, run by `ci/loom.sh` in every order of steps
//! that threads can take. See `tests/`.
