//! The ten mutants: what is broken, where, and how.

/// One mistake that the tests have to notice.
pub struct Mutant {
    /// What the mistake is, in a few words.
    pub name: &'static str,
    /// The file that it is made in, from the root of the workspace.
    pub file: &'static str,
    /// What stands there, exactly once.
    pub old: &'static str,
    /// What is put in its place.
    pub new: &'static str,
}

/// Five mistakes of the packet parser, five of the policy compiler. Each was made in some filter of the field, or is an
/// off-by-one of the kind that one makes.
pub const MUTANTS: [Mutant; 10] = [
    Mutant {
        name: "ports are read behind 20 bytes of IPv4 header, options or not",
        file: "foobar-common/src/parse/ipv4.rs",
        old: "        cursor.skip(header_bytes - HEADER);\n    }\n\n    let mut datagram",
        new: "        cursor.skip(0);\n    }\n\n    let mut datagram",
    },
    Mutant {
        name: "a second VLAN tag is not read",
        file: "foobar-common/src/parse/ethernet.rs",
        old: "const MAX_TAGS: usize = 2;",
        new: "const MAX_TAGS: usize = 1;",
    },
    Mutant {
        name: "IPv6 extension headers are taken to be 8 bytes shorter",
        file: "foobar-common/src/parse/ipv6.rs",
        old: "let mut bytes = (units + 1) * 8;",
        new: "let mut bytes = units.max(1) * 8;",
    },
    Mutant {
        name: "the authentication header counts in units of 8 bytes, as the others do",
        file: "foobar-common/src/parse/ipv6.rs",
        old: "bytes = (units + 2) * 4;",
        new: "bytes = (units + 1) * 8;",
    },
    Mutant {
        name: "the second fragment of a datagram is taken for the first",
        file: "foobar-common/src/parse/mod.rs",
        old: "        self.offset != 0\n",
        new: "        self.offset > 1\n",
    },
    Mutant {
        name: "the last rule that matches decides instead of the first",
        file: "foobar-user/src/policy/compile/cells.rs",
        old: "rules.iter().find(matches)",
        new: "rules.iter().rfind(matches)",
    },
    Mutant {
        name: "rules come before blocklists",
        file: "foobar-user/src/policy/compile/cells.rs",
        old: "        Band::Blocked => blocked,\n",
        new: "        Band::Blocked => first_match(classes, class, &rules).unwrap_or(blocked),\n",
    },
    Mutant {
        name: "the end of an inner prefix ends the outer one",
        file: "foobar-user/src/policy/compile/sweep.rs",
        old: "let is_last = *count == 0;",
        new: "let is_last = true;",
    },
    Mutant {
        name: "a range of ports ends one port early",
        file: "foobar-user/src/policy/compile/ports.rs",
        old: "events.push((u32::from(range.last) + 1, rule, false));",
        new: "events.push((u32::from(range.last).max(1), rule, false));",
    },
    Mutant {
        name: "a bucket of the index ends one address early",
        file: "foobar-user/src/policy/compile/index.rs",
        old: "let entry = &mut index[(offset >> shift) as usize];",
        new: "let entry = &mut index[((offset + u64::from(shift > 0)) >> shift).min(last) as usize];",
    },
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;
    use crate::workspace;

    /// The sources move on; a mutant that cannot be made any more would be missed only when somebody runs them all.
    #[test]
    fn each_mutant_can_still_be_made() {
        let names: BTreeSet<&str> = MUTANTS.iter().map(|mutant| mutant.name).collect();
        assert_eq!(names.len(), MUTANTS.len(), "each has a name of its own");
        for Mutant { name, file, old, new } in &MUTANTS {
            let text = fs::read_to_string(workspace::root().join(file)).expect(file);
            assert_eq!(text.matches(old).count(), 1, "{name}: `{old}` in {file}");
            assert_ne!(old, new, "{name}");
        }
    }

    #[test]
    fn the_documentation_names_each_mutant() {
        let text = fs::read_to_string(workspace::root().join("docs/testing.md")).expect("docs");
        for Mutant { name, .. } in &MUTANTS {
            assert!(text.contains(&format!("| {name} |")), "docs/testing.md lacks: {name}");
        }
    }
}
