//! What the kernel object in this binary says of its maps.

use std::collections::BTreeMap;

use aya_obj::generated::BPF_F_MMAPABLE;

use super::{
    error::{ErrorKind, KernelError},
    sys::map::MapSpec,
};

/// What the section of a table is named, in front of the name of the table. Such a map is made by us, so that it can be mapped into this process.
pub(super) const TABLE_SECTION: &str = ".bss.";

/// The maps by their names.
pub(super) fn expected() -> Result<BTreeMap<String, MapSpec>, KernelError> {
    let object = aya_obj::Object::parse(crate::KERNEL_OBJECT).map_err(|error| {
        KernelError::new(ErrorKind::Kernel, "the kernel object in this binary cannot be read")
            .because(error)
    })?;
    let spec = |map: &aya_obj::Map| MapSpec {
        kind: map.map_type(),
        key: map.key_size(),
        value: map.value_size(),
        entries: map.max_entries(),
        flags: map.map_flags(),
    };
    let named = |(name, map): (&String, &aya_obj::Map)| match name.strip_prefix(TABLE_SECTION) {
        Some(table) => (table.to_owned(), MapSpec { flags: BPF_F_MMAPABLE, ..spec(map) }),
        None => (name.clone(), spec(map)),
    };
    Ok(object.maps.iter().map(named).collect())
}
