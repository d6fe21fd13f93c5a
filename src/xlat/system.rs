//! Systems: maps and methods that belong together.
//!
//! | map | input | typical methods |
//! | --- | --- | --- |
//! | [`MapIndex::Hw`] | KVADDR | PGT, UPGT: as the hardware would |
//! | [`MapIndex::KvPhys`] | KVADDR | DIRECT, KTEXT, PGT, VMEMMAP, UPGT: the fast way |
//! | [`MapIndex::KphysDirect`] | KPHYSADDR | RDIRECT |
//! | [`MapIndex::MachphysKphys`] | MACHPHYSADDR | MACHPHYS_KPHYS |
//! | [`MapIndex::KphysMachphys`] | KPHYSADDR | KPHYS_MACHPHYS |

use super::map::{Map, MethodIndex};
use super::method::Method;
use super::types::AddrSpace;
use crate::sync::Shared;

/// Names a map of a [`System`]; the number is that of the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MapIndex {
    /// What the hardware would do with a virtual address.
    Hw = 0,
    /// The fast way from a virtual to a physical address.
    KvPhys = 1,
    /// From a kernel physical to a directly mapped virtual address.
    KphysDirect = 2,
    /// From a machine physical to a kernel physical address.
    MachphysKphys = 3,
    /// From a kernel physical to a machine physical address.
    KphysMachphys = 4,
}

impl MapIndex {
    /// All maps, by number.
    pub const ALL: [MapIndex; 5] = [
        MapIndex::Hw,
        MapIndex::KvPhys,
        MapIndex::KphysDirect,
        MapIndex::MachphysKphys,
        MapIndex::KphysMachphys,
    ];

    /// The space of the addresses that the map translates.
    pub const fn source(self) -> AddrSpace {
        match self {
            MapIndex::Hw | MapIndex::KvPhys => AddrSpace::KVIRT,
            MapIndex::KphysDirect | MapIndex::KphysMachphys => AddrSpace::KPHYS,
            MapIndex::MachphysKphys => AddrSpace::MACHPHYS,
        }
    }
}

/// Five maps and sixteen methods.
///
/// A clone is cheap: maps and tables are shared until one side changes them.
#[derive(Clone, Debug)]
pub struct System {
    maps: [Option<Shared<Map>>; 5],
    methods: [Method; MethodIndex::COUNT],
    generation: Generation,
}

/// Says whether a system is still as it was: each change makes a new one, and
/// no two that exist at the same time are the same by accident.
#[derive(Clone, Debug)]
pub(super) struct Generation(Shared<u8>);

impl Generation {
    fn new() -> Self {
        Generation(Shared::new(0))
    }

    /// Whether nothing was changed between the two.
    pub(super) fn same(&self, other: &Generation) -> bool {
        Shared::ptr_eq(&self.0, &other.0)
    }
}

impl System {
    /// A system without maps, whose methods translate nothing.
    pub fn new() -> Self {
        System {
            maps: [const { None }; 5],
            methods: [const { Method::NONE }; MethodIndex::COUNT],
            generation: Generation::new(),
        }
    }

    /// A map, if it is there.
    pub fn map(&self, index: MapIndex) -> Option<&Shared<Map>> {
        self.maps[index as usize].as_ref()
    }

    /// Puts a map in place, or takes it away.
    pub fn set_map(&mut self, index: MapIndex, map: Option<Shared<Map>>) {
        self.generation = Generation::new();
        self.maps[index as usize] = map;
    }

    /// The map to change; it is made if it is not there. Who shares the map as
    /// it was keeps it so.
    pub fn map_mut(&mut self, index: MapIndex) -> &mut Map {
        self.generation = Generation::new();
        Shared::make_mut(self.maps[index as usize].get_or_insert_default())
    }

    /// A method; none if there is no place of that number.
    pub fn method(&self, index: MethodIndex) -> Option<&Method> {
        self.methods.get(index.slot()?)
    }

    /// Replaces a method. Nothing happens if there is no place of that number.
    pub fn set_method(&mut self, index: MethodIndex, method: Method) {
        if let Some(place) = index.slot().and_then(|slot| self.methods.get_mut(slot)) {
            self.generation = Generation::new();
            *place = method;
        }
    }

    pub(super) fn generation(&self) -> &Generation {
        &self.generation
    }
}

impl Default for System {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_system_has_no_map_and_no_method() {
        let system = System::new();
        assert!(MapIndex::ALL.iter().all(|&index| system.map(index).is_none()));
        for index in 0..16 {
            let method = system.method(MethodIndex(index)).unwrap();
            assert!(method.is_none() && method.target == AddrSpace::KPHYS);
        }
    }

    #[test]
    fn places_that_do_not_exist_hold_nothing() {
        let mut system = System::new();
        for index in [-2, -1, 16, i32::MAX, i32::MIN] {
            system.set_method(MethodIndex(index), Method::linear(AddrSpace::KPHYS, 0));
            assert!(system.method(MethodIndex(index)).is_none());
        }
    }

    #[test]
    fn changed_clone_leaves_the_original_and_is_another_generation() {
        let mut original = System::new();
        original.map_mut(MapIndex::Hw).set(0, 9, MethodIndex::PGT).unwrap();
        let mut clone = original.clone();
        assert!(clone.generation().same(original.generation()));
        clone.map_mut(MapIndex::Hw).set(0, 9, MethodIndex::UPGT).unwrap();
        assert_eq!(original.map(MapIndex::Hw).unwrap().search(3), MethodIndex::PGT);
        assert_eq!(clone.map(MapIndex::Hw).unwrap().search(3), MethodIndex::UPGT);
        assert!(!clone.generation().same(original.generation()));
        let changes: [fn(&mut System); 3] = [
            |system| system.set_method(MethodIndex::PGT, Method::NONE),
            |system| system.set_map(MapIndex::Hw, None),
            |system| system.map_mut(MapIndex::KvPhys).clear(),
        ];
        for change in changes {
            let before = clone.generation().clone();
            change(&mut clone);
            assert!(!before.same(clone.generation()));
        }
    }
}
