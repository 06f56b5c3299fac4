//! What the kernel object in this binary says of its maps.

use std::collections::BTreeMap;

use super::{
    error::{ErrorKind, KernelError},
    sys::map::MapSpec,
};

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
    Ok(object.maps.iter().map(|(name, map)| (name.clone(), spec(map))).collect())
}
