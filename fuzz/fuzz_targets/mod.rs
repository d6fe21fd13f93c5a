//! The list of targets: what the replay of a target shows, and its file.

use crate::Target;

/// Hands the list to a macro.
#[macro_export]
macro_rules! for_each_target {
    ($with:ident) => {
        $with! {
            any_file_can_be_opened_or_refused: open,
            changed_elf_cores_can_be_opened_or_refused: open_elf,
            changed_diskdumps_can_be_opened_or_refused: open_diskdump,
            changed_lkcd_dumps_can_be_opened_or_refused: open_lkcd,
            changed_sadumps_can_be_opened_or_refused: open_sadump,
            changed_s390_dumps_can_be_opened_or_refused: open_s390dump,
            changed_lime_images_can_be_opened_or_refused: open_lime,
            streams_of_qemu_can_be_opened_or_refused: open_qemu,
            changed_vmware_states_can_be_opened_or_refused: open_vmware,
            changed_states_of_panicked_vmware_guests_can_be_opened_or_refused: open_vmware_guest,
            changed_windows_dumps_can_be_opened_or_refused: open_windows,
            changed_xen_domains_can_be_opened_or_refused: open_xc_core,
            changed_saved_domains_can_be_opened_or_refused: open_xc_save,
            raw_images_can_be_opened_or_refused: open_raw,
            live_memory_can_be_opened_or_refused: open_live,
            changed_split_sets_can_be_opened_or_refused: split_set,
            flattened_streams_are_what_the_model_says: flattened,
            archives_are_the_same_from_every_side: archive,
            notes_stay_inside: notes,
            vmcoreinfo_rows_arrive: vmcoreinfo,
            attributes_keep_their_promises: attributes,
            codecs_agree_with_other_decoders: codec,
            translation_is_set_up_or_refused: xlat_setup,
            walks_and_searches_agree: xlat_walk,
            kernels_that_lie_are_translated_or_refused: xlat_vmcoreinfo,
        }
    };
}

macro_rules! declare {
    ($($test:ident: $target:ident,)*) => {
        $(mod $target;)*

        /// All targets.
        pub const TARGETS: &[Target] = &[
            $(Target { name: stringify!($target), run: $target::run, seeds: $target::seeds },)*
        ];
    };
}

for_each_target!(declare);
