//! What a batch has decided, collected row by row and then written with a fixed number of statements.

mod rows;

use std::collections::{BTreeMap, HashMap};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use self::rows::{
    AddressRow, AffiliationRow, CompanyRow, ContactRow, DateRow, DigestRow, EmailRow, LinkRow, NoteRow,
    OutcomeRow, PhoneRow, TagLinkRow, TagRow,
};
use super::batch::{Refusal, Row};
use super::draft::{
    DraftAddress, DraftAffiliation, DraftDate, DraftPhone, Labelled, NOTE_CHARS, SHORT_CHARS,
};
use super::lookup::{self, json};
use super::person::Person;
use super::read::RowOutcome;
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::note;

/// What became of a row that is a person.
pub(super) struct Outcome {
    pub(super) outcome: RowOutcome,
    pub(super) contact: Uuid,
    pub(super) code: Option<&'static str>,
}

/// What a batch will have written.
pub(super) struct Writing<'a> {
    tx: &'a Tx,
    owner: Uuid,
    import: Uuid,
    source: String,
    contacts: Vec<ContactRow>,
    changes: Vec<ContactRow>,
    emails: Vec<EmailRow>,
    phones: Vec<PhoneRow>,
    links: Vec<LinkRow>,
    addresses: Vec<AddressRow>,
    dates: Vec<DateRow>,
    affiliations: Vec<AffiliationRow>,
    /// Companies and tags by their folded names, as their first row spells them.
    companies: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
    tagged: Vec<(Uuid, String)>,
    notes: Vec<(Uuid, String)>,
    digests: Vec<DigestRow>,
    outcomes: Vec<OutcomeRow>,
}

impl<'a> Writing<'a> {
    /// Nothing so far.
    pub(super) fn new(tx: &'a Tx, import: Uuid, filename: Option<&str>) -> Result<Self> {
        Ok(Self {
            tx,
            owner: tx.owner()?,
            import,
            source: filename.unwrap_or("an imported file").to_owned(),
            contacts: Vec::new(),
            changes: Vec::new(),
            emails: Vec::new(),
            phones: Vec::new(),
            links: Vec::new(),
            addresses: Vec::new(),
            dates: Vec::new(),
            affiliations: Vec::new(),
            companies: BTreeMap::new(),
            tags: BTreeMap::new(),
            tagged: Vec::new(),
            notes: Vec::new(),
            digests: Vec::new(),
            outcomes: Vec::new(),
        })
    }

    pub(super) fn new_id(&self) -> Uuid {
        self.tx.new_id()
    }

    /// A row that can't be used.
    pub(super) fn refuse(&mut self, row: &Row, refusal: &Refusal) {
        let cut = |text: &str, chars| text.chars().take(chars).collect();
        self.outcomes.push(OutcomeRow {
            row: row.number,
            line: row.line,
            outcome: RowOutcome::Rejected.as_str(),
            contact_id: None,
            code: Some(refusal.code),
            message: Some(cut(&refusal.message, SHORT_CHARS)),
            column_name: refusal.column.as_deref().map(|column| cut(column, SHORT_CHARS)),
        });
    }

    /// A row that is a person.
    pub(super) fn outcome(&mut self, row: &Row, outcome: Outcome) {
        self.outcomes.push(OutcomeRow {
            row: row.number,
            line: row.line,
            outcome: outcome.outcome.as_str(),
            contact_id: Some(outcome.contact),
            code: outcome.code,
            message: None,
            column_name: None,
        });
    }

    /// The contact came from, or has got, what has this digest.
    pub(super) fn remember(&mut self, contact_id: Uuid, digest: [u8; 32]) {
        self.digests.push(DigestRow {
            contact_id,
            digest: STANDARD.encode(digest),
        });
    }

    pub(super) fn email(
        &mut self,
        contact: Uuid,
        position: i32,
        email: &Labelled<String>,
        canonical: String,
    ) {
        self.emails.push(EmailRow {
            id: self.new_id(),
            contact_id: contact,
            position,
            label: email.label.clone(),
            address: email.value.clone(),
            canonical,
        });
    }

    pub(super) fn phone(&mut self, contact: Uuid, position: i32, phone: &DraftPhone) {
        self.phones.push(PhoneRow {
            id: self.new_id(),
            contact_id: contact,
            position,
            label: phone.label.clone(),
            raw: phone.raw.clone(),
            e164: phone.e164.clone(),
        });
    }

    pub(super) fn link(&mut self, contact: Uuid, position: i32, link: &Labelled<String>) {
        self.links.push(LinkRow {
            id: self.new_id(),
            contact_id: contact,
            position,
            label: link.label.clone(),
            url: link.value.clone(),
        });
    }

    pub(super) fn address(&mut self, contact: Uuid, position: i32, address: &DraftAddress) {
        self.addresses.push(AddressRow {
            id: self.new_id(),
            contact_id: contact,
            position,
            address: address.clone(),
        });
    }

    pub(super) fn date(&mut self, contact: Uuid, position: i32, kind: &'static str, date: &DraftDate) {
        self.dates.push(DateRow {
            id: self.new_id(),
            contact_id: contact,
            position,
            kind,
            label: date.label.clone(),
            year: date.date.year(),
            month: date.date.month(),
            day: date.date.day(),
        });
    }

    pub(super) fn affiliation(
        &mut self,
        contact: Uuid,
        position: i32,
        folded: Option<&str>,
        place: &DraftAffiliation,
    ) {
        if let (Some(folded), Some(name)) = (folded, &place.company) {
            self.companies
                .entry(folded.to_owned())
                .or_insert_with(|| name.clone());
        }
        self.affiliations.push(AffiliationRow {
            id: self.new_id(),
            contact_id: contact,
            position,
            company: folded.map(str::to_owned),
            company_id: None,
            title: place.title.clone(),
            department: place.department.clone(),
        });
    }

    pub(super) fn tag(&mut self, contact: Uuid, folded: &str, name: &str) {
        self.tags
            .entry(folded.to_owned())
            .or_insert_with(|| name.to_owned());
        self.tagged.push((contact, folded.to_owned()));
    }

    pub(super) fn note(&mut self, contact: Uuid, text: String) {
        self.notes.push((contact, text));
    }

    /// Cells that have no field of their own become a note, or several where they are long.
    pub(super) fn rest(&mut self, contact: Uuid, rest: &[(&str, &str)]) {
        let first = format!("From {}:", self.source);
        let (mut note, mut chars) = (first.clone(), first.chars().count());
        for (column, value) in rest {
            let mut line: Vec<char> = format!("\n{column}: {value}").chars().collect();
            while !line.is_empty() {
                if chars + line.len() > NOTE_CHARS && note.len() > first.len() {
                    self.note(contact, std::mem::replace(&mut note, first.clone()));
                    chars = first.chars().count();
                }
                let room = NOTE_CHARS.saturating_sub(chars).clamp(1, line.len());
                let more = line.split_off(room);
                chars += line.len();
                note.extend(line);
                line = more;
            }
        }
        self.note(contact, note);
    }

    /// Contacts that are new or changed.
    pub(super) fn people(&mut self, people: Vec<Person>) {
        for person in people {
            let list = match (person.is_new, person.is_changed) {
                (true, _) => &mut self.contacts,
                (false, true) => &mut self.changes,
                (false, false) => continue,
            };
            list.push(ContactRow {
                id: person.id,
                names: person.names,
                display_name: person.display_name,
                starred: person.starred,
            });
        }
    }

    /// Writes all of it.
    pub(super) async fn write(mut self, bytes_done: u64) -> Result<()> {
        let places = lookup::places(self.tx, self.companies.keys(), self.tags.keys()).await?;
        let (companies, tags) = (places.companies, places.tags);
        let (mut new_companies, mut new_tags) = (Vec::new(), Vec::new());
        let companies = with_new(self.tx, companies, &self.companies, |id, name| {
            new_companies.push(CompanyRow { id, name });
        });
        let tags = with_new(self.tx, tags, &self.tags, |id, name| {
            new_tags.push(TagRow { id, name });
        });
        for place in &mut self.affiliations {
            place.company_id = place
                .company
                .take()
                .and_then(|folded| companies.get(&folded).copied());
        }
        let tagged: Vec<_> = self
            .tagged
            .iter()
            .filter_map(|(contact, folded)| {
                Some(TagLinkRow {
                    id: self.new_id(),
                    contact_id: *contact,
                    tag_id: *tags.get(folded)?,
                })
            })
            .collect();
        if !self.changes.is_empty() {
            self.tx
                .run(rows::UPDATE, [json(&self.changes)?, self.tx.now().into()])
                .await?;
        }
        if !self.digests.is_empty() {
            let notes = self.seal_notes().await?;
            let values = [
                self.owner.into(),
                self.tx.now().into(),
                json(&new_companies)?,
                json(&new_tags)?,
                json(&self.contacts)?,
                json(&self.emails)?,
                json(&self.phones)?,
                json(&self.links)?,
                json(&self.addresses)?,
                json(&self.dates)?,
                json(&self.affiliations)?,
                json(&tagged)?,
                json(&notes)?,
                json(&self.digests)?,
                self.import.into(),
            ];
            self.tx.run(rows::INSERT, values).await?;
        }
        let bytes_done = i64::try_from(bytes_done).map_err(Error::internal)?;
        let values = [
            self.owner.into(),
            self.import.into(),
            json(&self.outcomes)?,
            bytes_done.into(),
        ];
        self.tx.run(rows::OUTCOMES, values).await?;
        Ok(())
    }

    /// The owner's key is unwrapped once and then kept: sealing asks the database for nothing.
    async fn seal_notes(&self) -> Result<Vec<NoteRow>> {
        let mut notes = Vec::with_capacity(self.notes.len());
        for (contact, text) in &self.notes {
            let id = self.new_id();
            let sealed = self.tx.seal(note::BODY, id, text.as_bytes()).await?;
            notes.push(NoteRow {
                id,
                contact_id: *contact,
                body: STANDARD.encode(sealed.as_bytes()),
            });
        }
        Ok(notes)
    }
}

/// The known ids, and new ones for the names that have none.
fn with_new(
    tx: &Tx,
    mut known: HashMap<String, Uuid>,
    names: &BTreeMap<String, String>,
    mut add: impl FnMut(Uuid, String),
) -> HashMap<String, Uuid> {
    for (folded, name) in names {
        known.entry(folded.clone()).or_insert_with(|| {
            let id = tx.new_id();
            add(id, name.clone());
            id
        });
    }
    known
}
