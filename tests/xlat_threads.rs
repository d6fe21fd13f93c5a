//! What may be shared between threads, and one system used by two of them.

use kdumpfile::xlat::{AddrSpace, Ctx, Error, FullAddr};

/// `T::of()` is ambiguous, hence no program, if `T` is `Sync`.
trait Ambiguous<A> {
    fn of() {}
}
impl<T: ?Sized> Ambiguous<()> for T {}
#[allow(dead_code)]
struct HasIt;
impl<T: ?Sized + Sync> Ambiguous<HasIt> for T {}

/// A context is used by one thread at a time, in every build.
const _: fn() = || {
    let _ = <Ctx as Ambiguous<_>>::of;
};

/// Errors and addresses are plain values in every build.
const _: fn() = || {
    fn plain<T: Send + Sync>() {}
    plain::<Error>();
    plain::<FullAddr>();
    plain::<AddrSpace>();
};

#[cfg(any(feature = "std-threads", feature = "spin-threads"))]
mod with_threads {
    use kdumpfile::sync::Shared;
    use kdumpfile::xlat::{
        AddrSpace, ByteOrder, Callbacks, Caps, Chain, Ctx, FullAddr, Map, MapIndex, Method, MethodIndex,
        Next, PageBuf, PageTable, PagingForm, PteFormat, Result, System,
    };

    const _: fn() = || {
        fn moves<T: Send>() {}
        fn shared<T: Send + Sync>() {}
        moves::<Ctx>();
        shared::<Chain>();
        shared::<Map>();
        shared::<Method>();
        shared::<System>();
        shared::<PageBuf>();
    };

    /// A table that maps page n to page n + 0x100.
    struct Table;

    impl Callbacks for Table {
        fn read_caps(&self, _: Next<'_>) -> Caps {
            Caps::KPHYS
        }

        fn page(&self, _: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
            let entry = (addr.addr / 8 + 0x100) << 12 | 1;
            Ok(PageBuf::new(addr, ByteOrder::Little, entry.to_le_bytes()))
        }
    }

    #[test]
    fn two_threads_use_one_system_with_a_context_each() {
        let mut sys = System::new();
        let form = PagingForm::new(PteFormat::X86_64, &[12, 9]).unwrap();
        let table = PageTable::new(FullAddr::kphys(0), form);
        sys.set_method(MethodIndex::PGT, Method::page_table(AddrSpace::KPHYS, table));
        sys.map_mut(MapIndex::KvPhys).set(0, 0xf_ffff, MethodIndex::PGT).unwrap();
        let sys = Shared::new(sys);
        let ctx = Ctx::new(Shared::new(Chain::with_base(Shared::new(Table))));
        let threads = [ctx.clone(), ctx].map(|ctx| {
            let sys = sys.clone();
            std::thread::spawn(move || {
                for addr in (0..0x10_0000).step_by(0x567) {
                    let found = ctx.convert(Some(&sys), AddrSpace::KPHYS, FullAddr::kvirt(addr));
                    assert_eq!(found, Ok(FullAddr::kphys(addr + 0x10_0000)));
                }
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
    }
}
