//! What a client says of a contact.

use async_graphql::{ID, InputObject, MaybeUndefined};
use domain::contact::input as domain_input;
use domain::contact::input::{AddressInput, AffiliationInput, Change, ContactInput, DateInput, Labelled};
use domain::{Code, UserError};

use super::types::ContactDateKind;
use crate::graphql::node::Kind;
use crate::graphql::scalars::{EmailAddress, PartialDateInput, Url};

/// An e-mail address of a contact.
#[derive(InputObject)]
pub(crate) struct ContactEmailInput {
    /// What it is, such as "work".
    label: Option<String>,
    /// The address.
    address: EmailAddress,
}

/// A phone number of a contact.
#[derive(InputObject)]
pub(crate) struct ContactPhoneInput {
    /// What it is, such as "mobile".
    label: Option<String>,
    /// The number as it is typed; kept so, and beside it in E.164 where that is clear.
    number: String,
}

/// A link of a contact.
#[derive(InputObject)]
pub(crate) struct ContactLinkInput {
    /// What it is, such as "blog".
    label: Option<String>,
    /// The URL.
    url: Url,
}

/// A postal address of a contact. At least one part besides the label is needed.
#[derive(InputObject)]
pub(crate) struct ContactAddressInput {
    /// What it is, such as "home".
    label: Option<String>,
    /// The whole address as it is written on a letter.
    formatted: Option<String>,
    /// Street and number.
    street: Option<String>,
    /// What else belongs to the street, such as the floor.
    extended: Option<String>,
    /// City.
    city: Option<String>,
    /// Post office box.
    po_box: Option<String>,
    /// State, province or county.
    region: Option<String>,
    /// Postal code.
    postal_code: Option<String>,
    /// Country.
    country: Option<String>,
}

/// A birthday or another date of a contact.
#[derive(InputObject)]
pub(crate) struct ContactDateInput {
    /// What it is.
    kind: ContactDateKind,
    /// What it is called, where the kind does not say.
    label: Option<String>,
    /// The date, as far as it is known.
    date: PartialDateInput,
}

/// A place at a company: the company by its id, or by its name, which is found or made. A company, a title or a department is needed.
#[derive(InputObject)]
pub(crate) struct ContactAffiliationInput {
    /// The company.
    company_id: Option<ID>,
    /// Or the company's name, whatever its case and accents.
    company_name: Option<String>,
    /// What they do there.
    title: Option<String>,
    /// Where in the company.
    department: Option<String>,
    /// Since when. The year is needed.
    from: Option<PartialDateInput>,
    /// Until when; not given while it lasts. The year is needed.
    to: Option<PartialDateInput>,
}

macro_rules! contact_input {
    ($(#[$about:meta])* $name:ident { $($(#[$own_about:meta])* $own:ident: $own_type:ty),* }) => {
        $(#[$about])*
        #[derive(InputObject)]
        pub(crate) struct $name {
            $($(#[$own_about])* pub(crate) $own: $own_type,)*
            /// "Dr.".
            name_prefix: MaybeUndefined<String>,
            /// First name.
            given_name: MaybeUndefined<String>,
            /// Names between the first and the last.
            additional_name: MaybeUndefined<String>,
            /// Last name.
            family_name: MaybeUndefined<String>,
            /// "Jr.".
            name_suffix: MaybeUndefined<String>,
            /// What friends say.
            nickname: MaybeUndefined<String>,
            /// How the first name is read.
            phonetic_given_name: MaybeUndefined<String>,
            /// How the last name is read.
            phonetic_family_name: MaybeUndefined<String>,
            /// What to sort the contact by instead of its name.
            file_as: MaybeUndefined<String>,
            /// Whether the user stars them.
            starred: Option<bool>,
            /// E-mail addresses, at most 100.
            emails: Option<Vec<ContactEmailInput>>,
            /// Phone numbers, at most 100.
            phones: Option<Vec<ContactPhoneInput>>,
            /// Postal addresses, at most 100.
            addresses: Option<Vec<ContactAddressInput>>,
            /// Links, at most 100.
            links: Option<Vec<ContactLinkInput>>,
            /// Birthdays and other dates, at most 100.
            dates: Option<Vec<ContactDateInput>>,
            /// Places at companies, at most 100.
            affiliations: Option<Vec<ContactAffiliationInput>>,
            /// Tags, at most 100.
            tag_ids: Option<Vec<ID>>,
        }

        impl $name {
            /// What the domain understands.
            pub(crate) fn into_domain(self) -> ContactInput {
                let mut errors = Vec::new();
                let mut input = ContactInput {
                    name_prefix: change(self.name_prefix),
                    given_name: change(self.given_name),
                    additional_name: change(self.additional_name),
                    family_name: change(self.family_name),
                    name_suffix: change(self.name_suffix),
                    nickname: change(self.nickname),
                    phonetic_given_name: change(self.phonetic_given_name),
                    phonetic_family_name: change(self.phonetic_family_name),
                    file_as: change(self.file_as),
                    starred: self.starred,
                    emails: list(self.emails, |e| Labelled { label: e.label, value: e.address.0 }),
                    phones: list(self.phones, |p| Labelled { label: p.label, value: p.number }),
                    addresses: list(self.addresses, ContactAddressInput::into_domain),
                    links: list(self.links, |l| Labelled { label: l.label, value: l.url.0 }),
                    dates: dates(self.dates, &mut errors),
                    affiliations: affiliations(self.affiliations, &mut errors),
                    tags: self.tag_ids.map(|ids| Kind::Tag.uuids(&ids)),
                    unread: Vec::new(),
                };
                input.unread = errors;
                input
            }
        }
    };
}

contact_input! {
    /// A new contact. A name, a company, an e-mail address or a phone number is needed.
    CreateContactInput {}
}

contact_input! {
    /// The changes to a contact. What is not given stays; null clears; a list that is given replaces the whole list.
    UpdateContactInput {
        /// The contact.
        id: ID,
        /// Change it only if its `version` is still this one; otherwise the answer is a CONFLICT.
        expected_version: Option<i32>
    }
}

fn change(text: MaybeUndefined<String>) -> Change<String> {
    match text {
        MaybeUndefined::Undefined => Change::Keep,
        MaybeUndefined::Null => Change::To(None),
        MaybeUndefined::Value(text) => Change::To(Some(text)),
    }
}

fn list<A, B>(list: Option<Vec<A>>, into: impl Fn(A) -> B) -> Option<Vec<B>> {
    list.map(|list| list.into_iter().map(into).collect())
}

fn date(
    input: PartialDateInput,
    field: &str,
    errors: &mut Vec<UserError>,
) -> Option<domain::partial_date::PartialDate> {
    let date = input.date();
    if date.is_none() {
        errors.push(UserError::at(field, Code::Invalid, "There is no such date."));
    }
    date
}

fn dates(list: Option<Vec<ContactDateInput>>, errors: &mut Vec<UserError>) -> Option<Vec<DateInput>> {
    let list = list?;
    let dates = list.into_iter().enumerate().filter_map(|(i, input)| {
        let kind = match input.kind {
            ContactDateKind::Birthday => domain_input::DateKind::Birthday,
            ContactDateKind::Anniversary => domain_input::DateKind::Anniversary,
            ContactDateKind::Other => domain_input::DateKind::Other,
        };
        let date = date(input.date, &format!("dates.{i}.date"), errors)?;
        Some(DateInput {
            kind,
            label: input.label,
            date,
        })
    });
    Some(dates.collect())
}

fn affiliations(
    list: Option<Vec<ContactAffiliationInput>>,
    errors: &mut Vec<UserError>,
) -> Option<Vec<AffiliationInput>> {
    let list = list?;
    let places = list.into_iter().enumerate().map(|(i, input)| AffiliationInput {
        company: input.company_id.map(|id| Kind::Company.uuid(&id)),
        company_name: input.company_name,
        title: input.title,
        department: input.department,
        from: input
            .from
            .and_then(|from| date(from, &format!("affiliations.{i}.from"), errors)),
        to: input
            .to
            .and_then(|to| date(to, &format!("affiliations.{i}.to"), errors)),
    });
    Some(places.collect())
}

impl ContactAddressInput {
    fn into_domain(self) -> AddressInput {
        AddressInput {
            label: self.label,
            formatted: self.formatted,
            street: self.street,
            extended: self.extended,
            city: self.city,
            po_box: self.po_box,
            region: self.region,
            postal_code: self.postal_code,
            country: self.country,
        }
    }
}
