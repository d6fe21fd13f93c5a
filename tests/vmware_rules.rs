//! VMware state files with and without their memory.

mod support;

use kdumpfile::{Space, Status};
use kdumpfile_testkit::image::page_bytes;
use support::{parts, try_open, try_open_set};

fn tag(name: &str, indices: &[u32], value: u32) -> Vec<u8> {
    let head = (name.len() as u16) << 8 | (indices.len() as u16) << 6 | 4;
    let mut bytes = head.to_le_bytes().to_vec();
    bytes.extend(name.as_bytes());
    for number in indices.iter().chain([&value]) {
        bytes.extend(number.to_le_bytes());
    }
    bytes
}

/// A state file with one group `memory` that has these tags.
fn state(magic: u32, tags: &[Vec<u8>]) -> Vec<u8> {
    let tags = tags.concat();
    let mut bytes: Vec<u8> = [magic, 8, 1].iter().flat_map(|n| n.to_le_bytes()).collect();
    let mut name = b"memory".to_vec();
    name.resize(64, 0);
    bytes.extend(name);
    bytes.extend(92_u64.to_le_bytes());
    bytes.extend((tags.len() as u64 + 2).to_le_bytes());
    bytes.extend(tags);
    bytes.extend([0, 0]);
    bytes
}

/// Two pages at 0, two at 4 GiB.
fn regions() -> Vec<Vec<u8>> {
    let mut tags = vec![tag("regionsCount", &[], 2)];
    for (index, (page, frame)) in [(0, 0), (2, 0x10_0000)].into_iter().enumerate() {
        tags.push(tag("regionPageNum", &[index as u32], page));
        tags.push(tag("regionPPN", &[index as u32], frame));
        tags.push(tag("regionSize", &[index as u32], 2));
    }
    tags
}

fn memory(pages: u64) -> Vec<u8> {
    (0..pages).flat_map(page_bytes).collect()
}

fn embedded(magic: u32) -> Vec<u8> {
    let image = memory(3);
    let narrow = magic & 0xf == 0;
    let mut block = (6_u16 << 8 | 63).to_le_bytes().to_vec();
    block.extend(b"Memory");
    for _ in 0..2 {
        let size = (image.len() as u64).to_le_bytes();
        block.extend(if narrow { &size[..4] } else { &size[..] });
    }
    block.extend(5_u16.to_le_bytes());
    block.extend([0xee; 5]);
    block.extend(&image);
    state(magic, &[block])
}

#[test]
fn a_state_file_and_its_memory_open_in_any_order() {
    let files = [state(0xBED2_BED2, &regions()), memory(4)];
    for set in [files.clone(), [files[1].clone(), files[0].clone()]] {
        let dump = try_open_set(&set).unwrap();
        assert_eq!(dump.string("file.format").unwrap(), "vmware");
        assert_eq!(dump.number("max_pfn").unwrap(), 0x10_0002);
        for (page, pfn) in [(0, 0), (1, 1), (2, 0x10_0000), (3, 0x10_0001_u64)] {
            let mut bytes = vec![0; 4096];
            dump.read(Space::MachinePhysical, pfn << 12, &mut bytes).unwrap();
            assert!(bytes == page_bytes(page), "page {pfn:#x}");
        }
        let error = dump.read(Space::MachinePhysical, 0x2000, &mut [0]).unwrap_err();
        assert_eq!(error.status(), Status::NoData);
    }
}

#[test]
fn every_magic_finds_embedded_memory_behind_its_padding() {
    for magic in [0xBED0_BED0, 0xBED2_BED0, 0xBED2_BED2, 0xBED3_BED3, 0xBAD1_BAD1, 0xBAD2_BAD2] {
        let dump = try_open(embedded(magic)).unwrap();
        for page in 0..3 {
            let mut bytes = vec![0; 4096];
            dump.read(Space::MachinePhysical, page << 12, &mut bytes).unwrap();
            assert!(bytes == page_bytes(page), "{magic:#x}, page {page}");
        }
    }
}

#[test]
fn a_state_file_alone_asks_for_its_memory() {
    let (status, text) = parts(&try_open(state(0xBED2_BED2, &regions())).err().unwrap());
    assert_eq!(status, Status::NoData);
    assert!(text.contains(".vmem"), "{text}");
}

#[test]
fn pages_behind_the_end_of_the_memory_file_are_not_there() {
    let dump = try_open_set(&[state(0xBED2_BED2, &regions()), memory(3)]).unwrap();
    let error = dump.read(Space::MachinePhysical, 0x10_0001 << 12, &mut [0]).unwrap_err();
    assert_eq!(error.status(), Status::NoData);
}

#[test]
fn a_state_file_cut_anywhere_does_not_panic() {
    let whole = embedded(0xBED2_BED2);
    for end in (4..200).chain([whole.len() - 1]) {
        if let Ok(dump) = try_open(&whole[..end]) {
            let _ = dump.read(Space::MachinePhysical, 0, &mut [0; 64]);
        }
    }
}
