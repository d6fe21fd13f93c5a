//! Names and numbers of formats, and what a launch does.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::*;
use crate::xlat::PagingForm;
use crate::xlat::error::Status;

#[test]
fn formats_have_the_names_and_numbers_of_the_c_interface() {
    let names: Vec<_> = (0..14).map(|code| PteFormat::from_code(code).name().unwrap()).collect();
    assert_eq!(
        names,
        [
            "none",
            "pfn32",
            "pfn64",
            "aarch64",
            "ia32",
            "ia32_pae",
            "x86_64",
            "s390x",
            "ppc64_linux_rpn30",
            "aarch64_lpa",
            "aarch64_lpa2",
            "arm",
            "riscv32",
            "riscv64",
        ]
    );
    let shifts: Vec<_> = (0..14).map(|code| PteFormat::from_code(code).pteval_shift()).collect();
    let four = Some(2);
    let eight = Some(3);
    assert_eq!(
        shifts,
        [None, four, eight, eight, four, eight, eight, eight, eight, eight, eight, four, four, eight]
    );
    for format in PteFormat::ALL {
        assert_eq!(PteFormat::from_code(format.code()), format);
        assert_eq!(PteFormat::from_name(format.name().unwrap()), Some(format));
    }
    assert_eq!(PteFormat::from_name("X86_64"), Some(PteFormat::X86_64));
    for wrong in ["", "x86", "x86_64 ", "none\0"] {
        assert_eq!(PteFormat::from_name(wrong), None, "{wrong:?}");
    }
    for code in [-1, 14, 0xff, 0x104] {
        assert_eq!(PteFormat::from_code(code), PteFormat::Unknown(code));
        assert_eq!((PteFormat::Unknown(code).name(), PteFormat::Unknown(code).pteval_shift()), (None, None));
    }
}

fn launch(format: PteFormat, fields: &[u16], addr: u64) -> (Result<()>, Step) {
    let form = PagingForm::new(format, fields).unwrap();
    let mut step = Step::default();
    (first_step(&PageTable::new(FullAddr::kvirt(0x1000), form), &mut step, addr), step)
}

#[test]
fn launch_cuts_the_address_into_indices() {
    let (result, step) = launch(PteFormat::X86_64, &[12, 9, 9, 9, 9], 0x4000_1234);
    assert_eq!(result, Ok(()));
    assert_eq!((step.remain, step.elemsz, step.base), (5, 8, FullAddr::kvirt(0x1000)));
    assert_eq!(step.idx, [0x234, 1, 0, 1, 0, 0, 0, 0, 0]);
    let (_, step) = launch(PteFormat::Aarch64, &[12, 9], 0xabcd_1234_5678);
    assert_eq!(step.idx[..3], [0x678, 0x145, 0xabcd_1234_5678 >> 21], "the rest is kept");
    let (_, step) = launch(PteFormat::None, &[], 0x1234);
    assert_eq!((step.remain, step.elemsz, step.idx[0]), (0, 1, 0x1234));
    let (_, step) = launch(PteFormat::None, &[64], u64::MAX);
    assert_eq!((step.remain, step.elemsz, step.idx[0], step.idx[1]), (1, 1, u64::MAX, 0));
}

#[test]
fn address_with_too_many_bits_is_refused_by_checked_formats() {
    let too_big = |format, fields: &[u16], addr| {
        let (result, step) = launch(format, fields, addr);
        assert_eq!(usize::from(step.remain), fields.len(), "the state is set all the same");
        match result {
            Ok(()) => false,
            Err(error) => {
                assert_eq!(error.status(), Status::Invalid);
                assert_eq!(error.to_string(), "Virtual address too big");
                true
            }
        }
    };
    let x86 = |addr| too_big(PteFormat::X86_64, &[12, 9, 9, 9, 9], addr);
    assert!(!x86(0x7fff_ffff_ffff) && !x86(0xffff_8000_0000_0000) && !x86(u64::MAX));
    assert!(x86(0x8000_0000_0000) && x86(0xffff_7fff_ffff_ffff) && x86(1 << 63));
    let ia32 = |addr| too_big(PteFormat::Ia32, &[12, 10, 10], addr);
    assert!(!ia32(0xffff_ffff) && ia32(0x1_0000_0000));
    assert!(!too_big(PteFormat::Aarch64, &[12, 9], u64::MAX));
    let all = [12, 8, 11, 11, 11, 11];
    assert!(!too_big(PteFormat::S390x, &all, u64::MAX));
    assert!(!too_big(PteFormat::Riscv64, &[12, 52], u64::MAX), "nothing is left to check");
    assert!(too_big(PteFormat::Riscv64, &[12, 0], 0x1000), "a field without bits has no sign");
}

#[test]
fn launch_needs_a_format_and_a_root() {
    let form = PagingForm::new(PteFormat::Unknown(77), &[12]).unwrap();
    let mut step = Step::default();
    let error = first_step(&PageTable::new(FullAddr::NONE, form), &mut step, 0).unwrap_err();
    assert_eq!((error.status(), error.to_string()), (Status::NotImplemented, "Unknown PTE format".into()));
    let form = PagingForm::new(PteFormat::None, &[12]).unwrap();
    let error = first_step(&PageTable::new(FullAddr::NONE, form), &mut step, 0).unwrap_err();
    assert_eq!(
        (error.status(), error.to_string()),
        (Status::NoData, "Page table address not specified".into())
    );
    let form = PagingForm::unchecked(PteFormat::X86_64, 9, [9; 8]);
    let error = first_step(&PageTable::new(FullAddr::kphys(0), form), &mut step, 0).unwrap_err();
    assert_eq!(error.status(), Status::Invalid);
    let form = PagingForm::unchecked(PteFormat::X86_64, 8, [u16::MAX; 8]);
    assert!(first_step(&PageTable::new(FullAddr::kphys(0), form), &mut step, u64::MAX).is_ok());
}
