//! Which contact a row is about.
//!
//! A row is looked for by its *keys*: its e-mail addresses (in canonical form), or, if it has none, its
//! telephone numbers (those whose E.164 form is certain). The *name* of a person is what they are shown
//! as, folded; who is shown as nothing but an address or a number is *nameless*.
//!
//! 1. The very same row, from this file or an earlier one, whose contact is still there: `skipped`
//!    (`DUPLICATE_ROW` or `ALREADY_IMPORTED`).
//! 2. A contact that has one of the row's keys and the same name; the oldest, if there are more.
//! 3. The row has a name: a nameless contact that has one of its keys, which so gets its name.
//! 4. The row is nameless: a nameless contact that has one of its keys; else the only contact that has
//!    it. If several have it, nobody can say whose the row is.
//! 5. Otherwise the row is somebody new: `created`. So two people who share an address stay two.
//!
//! By 2, 3 and 4 the row adds to the contact what it lacks and fills what is empty; it overwrites and
//! removes nothing. If that was something, the row is `updated`, else `skipped` (`NOTHING_NEW`). The parts
//! of a name are filled together, and only where there is none of them. A text (notes, a cell without a
//! field of its own) is added once to a contact, whatever became of the note since.
//!
//! Rows of a batch see what the rows before them did, as if each were written at once.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::draft::Draft;
use super::lookup::{self, Folded, Holder, Wanted};
use super::person::{Person, called, keys};
use super::read::RowOutcome;
use super::write::{Outcome, Writing};
use crate::crypto::DigestKey;
use crate::db::Tx;
use crate::error::Result;

/// The people that the rows of a batch could be about, and those that they make.
pub(super) struct People<'a> {
    digest_key: &'a DigestKey,
    people: Vec<Person>,
    same: HashMap<(String, String), usize>,
    nameless: HashMap<String, usize>,
    holders: HashMap<String, Holders>,
}

/// How many have a key, and who, if it is one who could matter.
#[derive(Default)]
struct Holders {
    count: i64,
    one: Option<usize>,
}

impl<'a> People<'a> {
    /// Loads whoever the drafts could be about.
    pub(super) async fn load<'b>(
        tx: &Tx,
        digest_key: &'a DigestKey,
        drafts: impl Iterator<Item = &'b Draft>,
        folded: &Folded,
    ) -> Result<Self> {
        let mut wanted = HashSet::new();
        for draft in drafts {
            let name = called(draft)
                .name
                .map(|name| folded.get(&name).map(str::to_owned));
            let name = name.transpose()?;
            wanted.extend(keys(draft).into_iter().map(|key| Wanted {
                key,
                name: name.clone(),
            }));
        }
        let found = lookup::holders(tx, &wanted).await?;
        let alone = |key: &str| {
            wanted.contains(&Wanted {
                key: key.to_owned(),
                name: None,
            })
        };
        let ids: HashSet<Uuid> = found
            .iter()
            .filter_map(|holder| match holder {
                Holder::Same { id, .. } | Holder::Nameless { id, .. } => Some(*id),
                Holder::Count { key, count: 1, one } if alone(key) => Some(*one),
                Holder::Count { .. } => None,
            })
            .collect();
        let mut people = Self {
            digest_key,
            people: Vec::new(),
            same: HashMap::new(),
            nameless: HashMap::new(),
            holders: HashMap::new(),
        };
        let mut places = HashMap::new();
        for stored in lookup::stored(tx, &ids).await? {
            places.insert(stored.id, people.people.len());
            people.people.push(Person::stored(stored));
        }
        for holder in found {
            match holder {
                Holder::Same { key, name, id } => {
                    people
                        .same
                        .extend(places.get(&id).map(|place| ((key, name), *place)));
                }
                Holder::Nameless { key, id } => {
                    people.nameless.extend(places.get(&id).map(|place| (key, *place)));
                }
                Holder::Count { key, count, one } => {
                    let one = places.get(&one).copied().filter(|_| count == 1);
                    people.holders.insert(key, Holders { count, one });
                }
            }
        }
        Ok(people)
    }

    /// Finds or makes the person that a row is about, and gives them what the row holds.
    pub(super) fn take(
        &mut self,
        draft: &Draft,
        folded: &Folded,
        writing: &mut Writing<'_>,
    ) -> Result<Outcome> {
        let name = called(draft).name;
        let name = name.as_deref().map(|name| folded.get(name)).transpose()?;
        let found = self.find(&keys(draft), name);
        let place = found.unwrap_or_else(|| {
            self.people.push(Person::new(writing.new_id()));
            self.people.len() - 1
        });
        let Some(person) = self.people.get_mut(place) else {
            return Err(crate::Error::internal("nobody at this place"));
        };
        let was_nameless = person.name.is_none();
        let before: HashSet<String> = person.keys().map(str::to_owned).collect();
        let changed = person.absorb(draft, folded, self.digest_key, writing)?;
        let (contact, name) = (person.id, person.name.clone());
        let after: Vec<String> = person.keys().map(str::to_owned).collect();
        for key in after {
            let is_new = !before.contains(&key);
            if is_new || was_nameless {
                self.register(place, key, name.as_deref(), is_new);
            }
        }
        Ok(match (found, changed) {
            (None, _) => Outcome {
                outcome: RowOutcome::Created,
                contact,
                code: None,
            },
            (Some(_), true) => Outcome {
                outcome: RowOutcome::Updated,
                contact,
                code: None,
            },
            (Some(_), false) => Outcome::skipped(contact, "NOTHING_NEW"),
        })
    }

    fn find(&self, keys: &[String], name: Option<&str>) -> Option<usize> {
        let nameless = || keys.iter().find_map(|key| self.nameless.get(key).copied());
        match name {
            Some(name) => keys
                .iter()
                .find_map(|key| self.same.get(&(key.clone(), name.to_owned())).copied())
                .or_else(nameless),
            None => nameless().or_else(|| {
                let only = |key| self.holders.get(key).filter(|holders| holders.count == 1)?.one;
                keys.iter().find_map(only)
            }),
        }
    }

    /// Lets the rows that follow find a person by a key that is new, or whose holder has got a name.
    fn register(&mut self, place: usize, key: String, name: Option<&str>, is_new: bool) {
        if is_new {
            let holders = self.holders.entry(key.clone()).or_default();
            holders.count += 1;
            holders.one = Some(place).filter(|_| holders.count == 1);
        }
        match name {
            None => {
                self.nameless.entry(key).or_insert(place);
            }
            Some(name) => {
                if self.nameless.get(&key) == Some(&place) {
                    self.nameless.remove(&key);
                }
                self.same.entry((key, name.to_owned())).or_insert(place);
            }
        }
    }

    /// Everybody, for writing them down.
    pub(super) fn into_people(self) -> Vec<Person> {
        self.people
    }
}
