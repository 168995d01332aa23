//! What hangs on a page of contacts, loaded for all of them by the first that is asked: one statement a
//! kind, whatever the page's size.

use std::collections::HashMap;
use std::sync::Arc;

use domain::contact::{self, Address, AffiliationWithCompany, Contact, Date, Email, Link, Phone};
use domain::note::Note;
use domain::tag::Tag;
use domain::{Result, note};
use tokio::sync::{Mutex, OnceCell};
use uuid::Uuid;

use crate::graphql::reader::Reader;

/// The newest notes of each contact.
type Notes = Arc<HashMap<Uuid, Vec<Note>>>;
type ByContact<T> = OnceCell<HashMap<Uuid, Vec<T>>>;

/// A page of contacts.
pub(crate) struct ContactPage {
    pub(crate) contacts: Vec<Contact>,
    pub(crate) reader: Arc<Reader>,
    emails: ByContact<Email>,
    phones: ByContact<Phone>,
    addresses: ByContact<Address>,
    links: ByContact<Link>,
    dates: ByContact<Date>,
    affiliations: ByContact<AffiliationWithCompany>,
    tags: ByContact<Tag>,
    note_counts: OnceCell<HashMap<Uuid, u64>>,
    /// By how many of each contact.
    notes: Mutex<HashMap<u32, Notes>>,
}

macro_rules! children {
    ($($name:ident: $type:ty;)*) => {
        $(pub(crate) async fn $name(&self, contact: Uuid) -> Result<&[$type]> {
            let load = || async { contact::$name(self.reader.tx().await?, &self.ids()).await };
            Ok(self.$name.get_or_try_init(load).await?.get(&contact).map_or(&[], Vec::as_slice))
        })*
    };
}

impl ContactPage {
    pub(crate) fn new(contacts: Vec<Contact>, reader: Arc<Reader>) -> Arc<Self> {
        Arc::new(Self {
            contacts,
            reader,
            emails: OnceCell::new(),
            phones: OnceCell::new(),
            addresses: OnceCell::new(),
            links: OnceCell::new(),
            dates: OnceCell::new(),
            affiliations: OnceCell::new(),
            tags: OnceCell::new(),
            note_counts: OnceCell::new(),
            notes: Mutex::default(),
        })
    }

    fn ids(&self) -> Vec<Uuid> {
        self.contacts.iter().map(|contact| contact.id).collect()
    }

    children! {
        emails: Email;
        phones: Phone;
        addresses: Address;
        links: Link;
        dates: Date;
        affiliations: AffiliationWithCompany;
        tags: Tag;
    }

    pub(crate) async fn note_count(&self, contact: Uuid) -> Result<u64> {
        let load = || async { note::counts(self.reader.tx().await?, &self.ids()).await };
        Ok(self
            .note_counts
            .get_or_try_init(load)
            .await?
            .get(&contact)
            .copied()
            .unwrap_or(0))
    }

    /// The newest notes of a contact, `each` at most.
    pub(crate) async fn newest_notes(&self, contact: Uuid, each: u32) -> Result<Vec<Note>> {
        let mut loaded = self.notes.lock().await;
        let notes = match loaded.get(&each) {
            Some(notes) => Arc::clone(notes),
            None => {
                let notes = Arc::new(note::newest(self.reader.tx().await?, &self.ids(), each).await?);
                loaded.insert(each, Arc::clone(&notes));
                notes
            }
        };
        Ok(notes.get(&contact).cloned().unwrap_or_default())
    }
}
