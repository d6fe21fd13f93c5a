//! The list of domains of a crashed hypervisor, whole and damaged.

mod context_support;

use context_support::{fails, failure, set_text};
use kdumpfile::{Blob, Context, Space, Status, Value, XenDomain};
use kdumpfile_testkit::image::Rng;
use kdumpfile_testkit::xen::Hypervisor;

fn open(dump: &Hypervisor) -> Context {
    let context = Context::new();
    context.open_bytes(dump.build()).unwrap();
    context
}

/// Numbers and addresses up to the first error, and that.
type Walked = (Vec<(u16, u64)>, Option<(Status, String)>);

fn walk(context: &Context) -> Walked {
    let mut found = Vec::new();
    let mut list = context.xen_domains().unwrap();
    while let Some(domain) = list.next() {
        match domain {
            Ok(domain) => found.push((domain.id, domain.address)),
            Err(error) => {
                assert!(list.next().is_none(), "a walk ends with its first error");
                return (found, Some((error.status(), error.message())));
            }
        }
    }
    (found, None)
}

fn three() -> Hypervisor {
    Hypervisor::new().domain(0).domain(7).domain(0x7fff)
}

#[test]
fn domains_are_listed_by_the_hypervisors_own_translation() {
    let context = open(&three());
    let expected: Vec<_> = [0, 7, 0x7fff].into_iter().zip((0..).map(Hypervisor::address)).collect();
    assert_eq!(walk(&context), (expected.clone(), None));
    assert_eq!(context.string("xen.version.extra").unwrap(), ".2-testkit");
    // What the context itself translates with is left alone.
    assert_eq!(failure(context.string("addrxlat.ostype")).0, Status::NoData);
    for os in ["linux", "xen"] {
        let _ = set_text(&context, "addrxlat.ostype", os);
        assert_eq!(walk(&context), (expected.clone(), None), "{os}");
        assert_eq!(context.string("addrxlat.ostype").unwrap(), os);
    }
    let mut id = [0; 2];
    context.read(Space::KernelVirtual, Hypervisor::address(1) + 8, &mut id).unwrap();
    assert_eq!(id, [7, 0]);
}

#[test]
fn domain_0_and_reserved_numbers_are_told_apart() {
    let domains: Vec<XenDomain> = open(&three()).xen_domains().unwrap().map(Result::unwrap).collect();
    assert_eq!(domains.iter().map(XenDomain::is_dom0).collect::<Vec<_>>(), [true, false, false]);
    let names: Vec<_> = domains.iter().map(XenDomain::reserved_name).collect();
    assert_eq!(names, [None, None, Some("DOMID_IDLE")]);
}

#[test]
fn a_hypervisor_without_a_domain_has_an_empty_list() {
    assert_eq!(walk(&open(&Hypervisor::new())), (vec![], None));
}

#[test]
fn a_list_that_leads_back_into_itself_ends_with_an_error() {
    for (from, to) in [(2, 0), (2, 1), (1, 1)] {
        let context = open(&three().link(from, Hypervisor::address(to)));
        let (found, error) = walk(&context);
        assert_eq!(found.len(), from + 1);
        let text = format!("The list of domains leads back to {:#x}", Hypervisor::address(to));
        assert_eq!(error, Some((Status::Corrupt, text)));
    }
}

#[test]
fn a_pointer_to_nowhere_is_named() {
    // Not mapped; mapped to memory that is not in the dump; around the end.
    for pointer in [0x1000, 0xffff_8300_3000_0000, u64::MAX - 9, 0x0100_0000_0000_0000] {
        let (found, error) = walk(&open(&three().link(0, pointer)));
        assert_eq!(found.len(), 1);
        let (status, text) = error.unwrap();
        assert!(matches!(status, Status::AddrXlat | Status::NoData), "{status:?}: {text}");
        assert!(text.starts_with(&format!("Cannot read domain at {pointer:#x}: ")), "{text}");
    }
}

#[test]
fn no_list_is_longer_than_there_are_numbers() {
    let most = |count: usize| (0..count).fold(Hypervisor::new(), |dump, id| dump.domain(id as u16));
    let (found, error) = walk(&open(&most(0x8000)));
    assert_eq!((found.len(), error), (0x8000, None));
    let (found, error) = walk(&open(&most(0x8001)));
    assert_eq!(found.len(), 0x8000);
    let text = format!("More than 32768 domains, the next at {:#x}", Hypervisor::address(0x8000));
    assert_eq!(error, Some((Status::Corrupt, text)));
}

#[test]
fn what_the_hypervisor_does_not_say_is_named() {
    for (line, path) in [
        ("SYMBOL(domain_list)", "SYMBOL.domain_list"),
        ("OFFSET(domain.domain_id)", "OFFSET.domain.domain_id"),
        ("OFFSET(domain.next_in_list)", "OFFSET.domain.next_in_list"),
    ] {
        let text = format!("Cannot list the domains of Xen: xen.vmcoreinfo.{path} is not set");
        let context = open(&three().line(line, ""));
        assert_eq!(failure(context.xen_domains()), fails(Status::NoData, &text));
        assert_eq!(context.last_error().unwrap().message(), text);
    }
    // The size is no more than a check.
    assert_eq!(walk(&open(&three().line("SIZE(domain)", ""))).0.len(), 3);
    let context = Context::new();
    assert_eq!(failure(context.xen_domains()).0, Status::NoData);
    let text = Blob::new(three().vmcoreinfo().into_bytes());
    context.set("xen.vmcoreinfo.raw", Value::Blob(text)).unwrap();
    assert_eq!(failure(context.xen_domains()).0, Status::NoData, "there is no dump");
}

#[test]
fn members_outside_of_their_structure_are_refused() {
    for offset in ["57", "0xffffffffffffffff"] {
        let line = format!("OFFSET(domain.next_in_list)={offset}");
        let context = open(&three().line("OFFSET(domain.next", &line));
        assert_eq!(failure(context.xen_domains()).0, Status::Corrupt, "{offset}");
    }
    let beyond = three().line("OFFSET(domain.next", "OFFSET(domain.next_in_list)=0xffffffffffffffff");
    let (found, error) = walk(&open(&beyond.line("SIZE(domain)", "")));
    let text = format!("Cannot read domain at {:#x}: Address is beyond 64 bits", Hypervisor::address(0));
    assert_eq!((found, error), (vec![], Some((Status::AddrXlat, text))));
}

#[test]
fn a_head_that_cannot_be_read_is_named() {
    let context = open(&three().line("SYMBOL(domain_list)", "SYMBOL(domain_list)=123456"));
    let (status, text) = failure(context.xen_domains());
    assert!(matches!(status, Status::AddrXlat | Status::NoData), "{text}");
    assert!(
        text.starts_with("Cannot list the domains of Xen: Cannot read domain_list at 0x123456: "),
        "{text}"
    );
}

#[test]
fn whatever_is_damaged_the_walk_ends() {
    let whole = three().cpu().build();
    // What is not zero, and its neighbourhood: headers, notes, tables, domains.
    let near =
        |place: &usize| whole[place.saturating_sub(8)..(*place + 8).min(whole.len())].iter().any(|b| *b != 0);
    let places: Vec<usize> = (0..whole.len()).filter(near).collect();
    let mut rng = Rng::new(4);
    let (mut walked, mut failed) = (0, 0);
    for _ in 0..3000 {
        let mut file = whole.clone();
        for _ in 0..=rng.below(3) {
            let place = places[rng.below(places.len() as u64) as usize];
            file[place] = rng.below(256) as u8;
        }
        let context = Context::new();
        if context.open_bytes(file).is_err() {
            continue;
        }
        let Ok(list) = context.xen_domains() else { continue };
        let domains: Vec<_> = list.collect();
        assert!(domains.len() <= 0x8001, "{}", domains.len());
        assert!(domains.iter().rev().skip(1).all(Result::is_ok), "nothing follows an error");
        walked += 1;
        failed += usize::from(domains.last().is_some_and(Result::is_err));
    }
    assert!(walked > 500 && failed > 10, "{walked} were walked, {failed} of them failed");
}
