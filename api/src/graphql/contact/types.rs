//! The types of a contact and of what hangs on it.

use std::sync::Arc;

use async_graphql::{Enum, ID, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::contact::input::DateKind as Kind;
use domain::contact::{self as contacts, Filter};
use domain::identity::scope::Scope;
use domain::page::PageRequest;
use uuid::Uuid;

use crate::graphql::company::Company;
use crate::graphql::connection::connection;
use crate::graphql::error::top_level;
use crate::graphql::node;
use crate::graphql::note::{Note, NoteConnection, NoteCount, NotedContacts};
use crate::graphql::reader::Reader;
use crate::graphql::scalars::{EmailAddress, PartialDate, PhoneNumber, Url};
use crate::graphql::scope::Needs;
use crate::graphql::tag::Tag;

pub(crate) use super::page::ContactPage;

/// A person that the user knows.
#[derive(Clone)]
pub(crate) struct Contact {
    page: Arc<ContactPage>,
    index: usize,
}

impl ContactPage {
    /// All of a page, in its order.
    pub(crate) fn all(page: &Arc<Self>) -> Vec<Contact> {
        (0..page.contacts.len())
            .map(|index| Contact {
                page: Arc::clone(page),
                index,
            })
            .collect()
    }

    /// The one of that id.
    pub(crate) fn find(page: &Arc<Self>, id: Uuid) -> Option<Contact> {
        let index = page.contacts.iter().position(|contact| contact.id == id)?;
        Some(Contact {
            page: Arc::clone(page),
            index,
        })
    }

    /// A page of one.
    pub(crate) fn one(contact: contacts::Contact, reader: Arc<Reader>) -> Contact {
        Contact {
            page: Self::new(vec![contact], reader),
            index: 0,
        }
    }
}

impl Contact {
    pub(crate) fn row(&self) -> &contacts::Contact {
        &self.page.contacts[self.index]
    }
}

/// A person that the user knows.
#[Object(guard = "Needs(Scope::ContactsRead)")]
impl Contact {
    /// The global id.
    /// Scope: `contacts:read`.
    pub(crate) async fn id(&self) -> ID {
        node::Kind::Contact.id(self.row().id)
    }
    /// "Dr.".
    /// Scope: `contacts:read`.
    async fn name_prefix(&self) -> Option<&str> {
        self.row().name_prefix.as_deref()
    }
    /// First name.
    /// Scope: `contacts:read`.
    async fn given_name(&self) -> Option<&str> {
        self.row().given_name.as_deref()
    }
    /// Names between the first and the last.
    /// Scope: `contacts:read`.
    async fn additional_name(&self) -> Option<&str> {
        self.row().additional_name.as_deref()
    }
    /// Last name.
    /// Scope: `contacts:read`.
    async fn family_name(&self) -> Option<&str> {
        self.row().family_name.as_deref()
    }
    /// "Jr.".
    /// Scope: `contacts:read`.
    async fn name_suffix(&self) -> Option<&str> {
        self.row().name_suffix.as_deref()
    }
    /// What friends say.
    /// Scope: `contacts:read`.
    async fn nickname(&self) -> Option<&str> {
        self.row().nickname.as_deref()
    }
    /// How the first name is read.
    /// Scope: `contacts:read`.
    async fn phonetic_given_name(&self) -> Option<&str> {
        self.row().phonetic_given_name.as_deref()
    }
    /// How the last name is read.
    /// Scope: `contacts:read`.
    async fn phonetic_family_name(&self) -> Option<&str> {
        self.row().phonetic_family_name.as_deref()
    }
    /// What the contact is sorted by instead of its name.
    /// Scope: `contacts:read`.
    async fn file_as(&self) -> Option<&str> {
        self.row().file_as.as_deref()
    }
    /// What to show in a list: the name, or else the nickname, the company, the e-mail address or the phone number.
    /// Scope: `contacts:read`.
    async fn display_name(&self) -> &str {
        &self.row().display_name
    }
    /// Whether the user starred them.
    /// Scope: `contacts:read`.
    async fn starred(&self) -> bool {
        self.row().starred
    }
    /// When one last had to do with them; null if never.
    /// Scope: `contacts:read`.
    async fn last_interaction_at(&self) -> Option<DateTime<Utc>> {
        self.row().last_interaction_at
    }
    /// Goes up with each change; see `expectedVersion` of `updateContact`.
    /// Scope: `contacts:read`.
    async fn version(&self) -> i32 {
        self.row().version
    }
    /// When the contact was added.
    /// Scope: `contacts:read`.
    async fn created_at(&self) -> DateTime<Utc> {
        self.row().created_at
    }
    /// When the contact was last changed.
    /// Scope: `contacts:read`.
    async fn updated_at(&self) -> DateTime<Utc> {
        self.row().updated_at
    }
    /// E-mail addresses, in the user's order.
    /// Scope: `contacts:read`.
    async fn emails(&self) -> Result<Vec<ContactEmail>> {
        let rows = self.page.emails(self.row().id).await.map_err(top_level)?;
        self.page.reader.charge(rows.len() * 1024)?;
        Ok(rows
            .iter()
            .map(|row| ContactEmail {
                label: row.label.clone(),
                address: EmailAddress(row.address.clone()),
            })
            .collect())
    }
    /// Phone numbers, in the user's order.
    /// Scope: `contacts:read`.
    async fn phones(&self) -> Result<Vec<ContactPhone>> {
        let rows = self.page.phones(self.row().id).await.map_err(top_level)?;
        self.page.reader.charge(rows.len() * 1024)?;
        let phone = |row: &contacts::Phone| ContactPhone {
            label: row.label.clone(),
            number: row.raw.clone(),
            e164: row.e164.clone().map(PhoneNumber),
        };
        Ok(rows.iter().map(phone).collect())
    }
    /// Postal addresses, in the user's order.
    /// Scope: `contacts:read`.
    async fn addresses(&self) -> Result<Vec<ContactAddress>> {
        let rows = self.page.addresses(self.row().id).await.map_err(top_level)?;
        self.page.reader.charge(rows.len() * 8192)?;
        Ok(rows.iter().cloned().map(Into::into).collect())
    }
    /// Links, in the user's order.
    /// Scope: `contacts:read`.
    async fn links(&self) -> Result<Vec<ContactLink>> {
        let rows = self.page.links(self.row().id).await.map_err(top_level)?;
        self.page.reader.charge(rows.len() * 2560)?;
        Ok(rows
            .iter()
            .map(|row| ContactLink {
                label: row.label.clone(),
                url: Url(row.url.clone()),
            })
            .collect())
    }
    /// Birthdays and other dates, in the user's order.
    /// Scope: `contacts:read`.
    async fn dates(&self) -> Result<Vec<ContactDate>> {
        let rows = self.page.dates(self.row().id).await.map_err(top_level)?;
        self.page.reader.charge(rows.len() * 512)?;
        Ok(rows.iter().filter_map(ContactDate::of).collect())
    }
    /// Places at companies, now and once, in the user's order.
    /// Scope: `contacts:read`.
    async fn affiliations(&self) -> Result<Vec<Affiliation>> {
        let rows = self.page.affiliations(self.row().id).await.map_err(top_level)?;
        self.page.reader.charge(rows.len() * 1536)?;
        Ok(rows.iter().map(Affiliation::of).collect())
    }
    /// Tags, by name.
    /// Scope: `tags:read`.
    #[graphql(guard = "Needs(Scope::TagsRead)")]
    async fn tags(&self) -> Result<Vec<Tag>> {
        let rows = self.page.tags(self.row().id).await.map_err(top_level)?;
        self.page.reader.charge(rows.len() * 256)?;
        Ok(rows.iter().cloned().map(Tag).collect())
    }
    /// Notes on the contact, the newest first.
    /// Scope: `notes:read`.
    #[graphql(guard = "Needs(Scope::NotesRead)")]
    async fn notes(
        &self,
        #[graphql(desc = "The first so many, 0 to 100. If neither this nor `last` is given: the first 50.")]
        first: Option<i32>,
        #[graphql(desc = "Only those after this cursor.")] after: Option<String>,
        #[graphql(desc = "The last so many, 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only those before this cursor.")] before: Option<String>,
    ) -> Result<NoteConnection> {
        let id = self.row().id;
        let request = PageRequest::new(first, last, after, before).map_err(top_level)?;
        let count = NoteCount {
            page: Arc::clone(&self.page),
            contact: id,
        };
        let page = if !request.backward && request.after.is_none() && request.before.is_none() {
            let rows = self
                .page
                .newest_notes(id, request.limit + 1)
                .await
                .map_err(top_level)?;
            domain::note::first_page(&request, rows)
        } else {
            let tx = self.page.reader.tx().await.map_err(top_level)?;
            domain::note::list(tx, id, &request).await.map_err(top_level)?
        };
        let contacts = NotedContacts::known(Arc::clone(&self.page));
        let entries = page
            .items
            .into_iter()
            .map(|note| (domain::note::cursor(&note), Note::of(note, Arc::clone(&contacts))));
        Ok(NoteConnection::new(
            entries.collect(),
            page.has_previous,
            page.has_next,
            count,
        ))
    }
}

/// An e-mail address of a contact.
#[derive(SimpleObject)]
#[graphql(guard = "Needs(Scope::ContactsRead)")]
pub(crate) struct ContactEmail {
    /// What it is, such as "work".
    /// Scope: `contacts:read`.
    label: Option<String>,
    /// The address.
    /// Scope: `contacts:read`.
    address: EmailAddress,
}

/// A phone number of a contact.
#[derive(SimpleObject)]
#[graphql(guard = "Needs(Scope::ContactsRead)")]
pub(crate) struct ContactPhone {
    /// What it is, such as "mobile".
    /// Scope: `contacts:read`.
    label: Option<String>,
    /// The number as it was typed.
    /// Scope: `contacts:read`.
    number: String,
    /// The same in E.164; null where the country or the number is not clear.
    /// Scope: `contacts:read`.
    e164: Option<PhoneNumber>,
}

/// A postal address of a contact.
#[derive(SimpleObject)]
#[graphql(guard = "Needs(Scope::ContactsRead)")]
pub(crate) struct ContactAddress {
    /// What it is, such as "home".
    /// Scope: `contacts:read`.
    label: Option<String>,
    /// The whole address as it is written on a letter.
    /// Scope: `contacts:read`.
    formatted: Option<String>,
    /// Street and number.
    /// Scope: `contacts:read`.
    street: Option<String>,
    /// What else belongs to the street, such as the floor.
    /// Scope: `contacts:read`.
    extended: Option<String>,
    /// City.
    /// Scope: `contacts:read`.
    city: Option<String>,
    /// Post office box.
    /// Scope: `contacts:read`.
    po_box: Option<String>,
    /// State, province or county.
    /// Scope: `contacts:read`.
    region: Option<String>,
    /// Postal code.
    /// Scope: `contacts:read`.
    postal_code: Option<String>,
    /// Country.
    /// Scope: `contacts:read`.
    country: Option<String>,
}

impl From<contacts::Address> for ContactAddress {
    fn from(row: contacts::Address) -> Self {
        Self {
            label: row.label,
            formatted: row.formatted,
            street: row.street,
            extended: row.extended,
            city: row.city,
            po_box: row.po_box,
            region: row.region,
            postal_code: row.postal_code,
            country: row.country,
        }
    }
}

/// A link of a contact.
#[derive(SimpleObject)]
#[graphql(guard = "Needs(Scope::ContactsRead)")]
pub(crate) struct ContactLink {
    /// What it is, such as "blog".
    /// Scope: `contacts:read`.
    label: Option<String>,
    /// The URL.
    /// Scope: `contacts:read`.
    url: Url,
}

/// What a date of a contact is.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContactDateKind {
    /// The day they were born.
    Birthday,
    /// The day they married.
    Anniversary,
    /// What the label says.
    Other,
}

impl From<Kind> for ContactDateKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Birthday => Self::Birthday,
            Kind::Anniversary => Self::Anniversary,
            Kind::Other => Self::Other,
        }
    }
}

/// A birthday or another date of a contact.
#[derive(SimpleObject)]
#[graphql(guard = "Needs(Scope::ContactsRead)")]
pub(crate) struct ContactDate {
    /// What it is.
    /// Scope: `contacts:read`.
    kind: ContactDateKind,
    /// What it is called, where the kind does not say.
    /// Scope: `contacts:read`.
    label: Option<String>,
    /// The date, as far as it is known.
    /// Scope: `contacts:read`.
    date: PartialDate,
}

impl ContactDate {
    fn of(row: &contacts::Date) -> Option<Self> {
        Some(Self {
            kind: Kind::parse(&row.kind).into(),
            label: row.label.clone(),
            date: PartialDate::of(row.year, row.month, row.day)?,
        })
    }
}

/// A place at a company.
#[derive(SimpleObject)]
#[graphql(guard = "Needs(Scope::ContactsRead)")]
pub(crate) struct Affiliation {
    /// The company; null where only a title or a department is known.
    /// Scope: `companies:read`.
    #[graphql(guard = "Needs(Scope::CompaniesRead)")]
    company: Option<Company>,
    /// What they do there.
    /// Scope: `contacts:read`.
    title: Option<String>,
    /// Where in the company.
    /// Scope: `contacts:read`.
    department: Option<String>,
    /// Since when, if it is known.
    /// Scope: `contacts:read`.
    from: Option<PartialDate>,
    /// Until when; null while it lasts.
    /// Scope: `contacts:read`.
    to: Option<PartialDate>,
}

impl Affiliation {
    fn of(place: &contacts::AffiliationWithCompany) -> Self {
        let row = &place.affiliation;
        Self {
            company: place.company.clone().map(Company),
            title: row.title.clone(),
            department: row.department.clone(),
            from: PartialDate::of(row.from_year, row.from_month, row.from_day),
            to: PartialDate::of(row.to_year, row.to_month, row.to_day),
        }
    }
}

/// Counts contacts when asked to.
pub(crate) struct ContactCount {
    pub(crate) reader: Arc<Reader>,
    pub(crate) filter: Filter,
}

impl ContactCount {
    async fn count(&self) -> domain::Result<u64> {
        contacts::count(self.reader.tx().await?, &self.filter).await
    }
}

connection! {
    Needs(Scope::ContactsRead), "Scope: `contacts:read`.",
    /// A page of contacts.
    ContactConnection, ContactEdge, Contact, ContactCount
}
