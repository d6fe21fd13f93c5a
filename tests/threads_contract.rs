//! The threading contract, as far as the compiler can state it.
//!
//! | backend | `Context` | blobs, bitmaps, values |
//! | --- | --- | --- |
//! | with threads | moves between threads, is never shared by them | both |
//! | without | stays in its thread | stay in their thread |
//!
//! That a context is not shared is also shown by a `compile_fail` example in
//! its documentation.

use kdumpfile::{AttrRef, Bitmap, Blob, Context, Error, Value};

/// `T::of()` is ambiguous, hence no program, if `T` has the property; see
/// `assert_not!`.
macro_rules! assert_not {
    ($type:ty: $property:ident) => {
        const _: fn() = || {
            trait Ambiguous<A> {
                fn of() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            #[allow(dead_code)]
            struct HasIt;
            impl<T: ?Sized + $property> Ambiguous<HasIt> for T {}
            let _ = <$type as Ambiguous<_>>::of;
        };
    };
}

macro_rules! assert_is {
    ($type:ty: $property:ident) => {
        const _: fn() = || {
            fn has_it<T: ?Sized + $property>() {}
            has_it::<$type>();
        };
    };
}

assert_not!(Context: Sync);
// Errors are plain values in every backend; so are references.
assert_is!(Error: Send);
assert_is!(Error: Sync);
assert_is!(AttrRef: Send);
assert_is!(AttrRef: Sync);

#[cfg(any(feature = "std-threads", feature = "spin-threads"))]
mod with_threads {
    use super::*;
    use kdumpfile::cache::{FillGuard, Page, PageCache};
    use kdumpfile::io::Source;

    assert_is!(Context: Send);
    assert_is!(Blob: Send);
    assert_is!(Blob: Sync);
    assert_is!(Bitmap: Send);
    assert_is!(Bitmap: Sync);
    assert_is!(Value: Send);
    assert_is!(Value: Sync);
    assert_is!(Source: Send);
    assert_is!(Source: Sync);
    assert_is!(PageCache: Sync);
    assert_is!(Page: Send);
    assert_is!(FillGuard: Send);
}

#[cfg(not(any(feature = "std-threads", feature = "spin-threads")))]
mod without_threads {
    use super::*;

    assert_not!(Context: Send);
    assert_not!(Blob: Send);
    assert_not!(Bitmap: Send);
    assert_not!(Value: Send);
}

#[test]
fn errors_are_plain_values_everywhere() {
    let error = Context::new().get("nothing").unwrap_err();
    let text = std::thread::spawn(move || error.to_string()).join().unwrap();
    assert_eq!(text, "No such key");
}
