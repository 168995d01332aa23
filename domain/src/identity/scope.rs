//! Scopes: what an API key may do, by noun and verb. A key holds some of them, a person's session all.
//! None stands for another: who may write contacts does not see them by that.

macro_rules! scopes {
    ($($(#[$about:meta])* $name:ident = $text:literal, $says:literal;)*) => {
        /// One thing that a key may be allowed to do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Scope { $($(#[$about])* $name),* }
        impl Scope {
            /// Every scope, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
            /// As it is stored and shown; stable.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
            /// What it allows, for the person who gives it away.
            #[must_use]
            pub fn about(self) -> &'static str {
                match self { $(Self::$name => $says),* }
            }
        }
    };
}

// New ones are added at the end; at most 32 (see `Scopes`).
scopes! {
    /// Reading contacts.
    ContactsRead = "contacts:read", "See contacts with their addresses, numbers and dates";
    /// Writing contacts.
    ContactsWrite = "contacts:write", "Add, change, tag and delete contacts";
    /// Reading companies.
    CompaniesRead = "companies:read", "See companies, and at which a contact is or was";
    /// Reading tags.
    TagsRead = "tags:read", "See tags, and who carries them";
    /// Writing tags.
    TagsWrite = "tags:write", "Add, rename and delete tags";
    /// Reading notes.
    NotesRead = "notes:read", "Read notes";
    /// Writing notes.
    NotesWrite = "notes:write", "Write, change and delete notes";
    /// Reading imports.
    ImportsRead = "imports:read", "See imports, and what became of each row";
    /// Importing.
    ImportsWrite = "imports:write", "Import contact files, which adds contacts, companies, tags and notes";
    /// Reading what the user says of themselves.
    ProfileRead = "profile:read", "See your name, e-mail address and time zone";
    /// Writing that.
    ProfileWrite = "profile:write", "Change your name and time zone";
}

impl Scope {
    /// The scope of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scope| scope.as_str() == text)
    }

    /// Whether it allows nothing but looking.
    #[must_use]
    pub fn only_reads(self) -> bool {
        self.as_str().ends_with(":read")
    }

    fn bit(self) -> u32 {
        1 << self as u8
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u32);

impl Scopes {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// All of them.
    #[must_use]
    pub fn all() -> Self {
        Scope::ALL.iter().copied().collect()
    }

    /// Whether the scope is among them.
    #[must_use]
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// Whether they allow nothing but looking.
    #[must_use]
    pub fn only_read(self) -> bool {
        self.iter().all(Scope::only_reads)
    }

    /// Each of them, in the order of the table.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL
            .iter()
            .copied()
            .filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_is_a_bit_and_a_name_of_its_own() {
        let names: std::collections::HashSet<_> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
        assert_eq!(names.len(), Scope::ALL.len());
        assert!(Scope::ALL.len() <= 32);
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.as_str()), Some(*scope));
            let alone: Scopes = [*scope].into_iter().collect();
            assert_eq!(alone.iter().collect::<Vec<_>>(), [*scope]);
            assert_eq!(alone.only_read(), scope.only_reads());
            let (noun, verb) = scope.as_str().split_once(':').unwrap_or_default();
            assert!(
                !noun.is_empty() && ["read", "write", "manage"].contains(&verb),
                "{scope:?}"
            );
        }
        assert_eq!(Scope::parse("contacts"), None);
        assert_eq!(Scopes::all().iter().count(), Scope::ALL.len());
    }
}
