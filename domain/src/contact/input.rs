//! What a client may say of a contact, and the check of it: everything that is wrong is told at once.

use uuid::Uuid;

use crate::email_address::EmailAddress;
use crate::error::{Code, Error, Result, UserError};
use crate::partial_date::PartialDate;
use crate::phone_number::PhoneNumber;

/// What a field is to become: left as it is, cleared, or set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// Not mentioned.
    #[default]
    Keep,
    /// Mentioned: its new value, none to clear it.
    To(Option<T>),
}

/// A new contact, or the changes to one. In a change, a list that is given replaces the whole list.
#[derive(Clone, Debug, Default)]
pub struct ContactInput {
    /// "Dr.".
    pub name_prefix: Change<String>,
    /// First name.
    pub given_name: Change<String>,
    /// Names between the two.
    pub additional_name: Change<String>,
    /// Last name.
    pub family_name: Change<String>,
    /// "Jr.".
    pub name_suffix: Change<String>,
    /// What friends say.
    pub nickname: Change<String>,
    /// How the first name is read.
    pub phonetic_given_name: Change<String>,
    /// How the last name is read.
    pub phonetic_family_name: Change<String>,
    /// What to sort by instead of the name.
    pub file_as: Change<String>,
    /// Whether they are starred.
    pub starred: Option<bool>,
    /// E-mail addresses.
    pub emails: Option<Vec<Labelled>>,
    /// Phone numbers.
    pub phones: Option<Vec<Labelled>>,
    /// Postal addresses.
    pub addresses: Option<Vec<AddressInput>>,
    /// Links.
    pub links: Option<Vec<Labelled>>,
    /// Dates.
    pub dates: Option<Vec<DateInput>>,
    /// Places at companies.
    pub affiliations: Option<Vec<AffiliationInput>>,
    /// Tags.
    pub tags: Option<Vec<Uuid>>,
    /// What could not even be read; told together with what is found wrong here.
    pub unread: Vec<UserError>,
}

/// A value with what it is ("work").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labelled {
    /// What it is.
    pub label: Option<String>,
    /// The value.
    pub value: String,
}

/// A postal address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the parts of a postal address are what they are called"
)]
pub struct AddressInput {
    pub label: Option<String>,
    pub formatted: Option<String>,
    pub street: Option<String>,
    pub extended: Option<String>,
    pub city: Option<String>,
    pub po_box: Option<String>,
    pub region: Option<String>,
    pub postal_code: Option<String>,
    pub country: Option<String>,
}

/// What a date is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateKind {
    /// The day they were born.
    Birthday,
    /// The day they married.
    Anniversary,
    /// What the label says.
    Other,
}

impl DateKind {
    /// As the database has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Birthday => "birthday",
            Self::Anniversary => "anniversary",
            Self::Other => "other",
        }
    }

    /// From what the database has.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "birthday" => Self::Birthday,
            "anniversary" => Self::Anniversary,
            _ => Self::Other,
        }
    }
}

/// A date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DateInput {
    /// What it is.
    pub kind: DateKind,
    /// What it is called, where the kind does not say.
    pub label: Option<String>,
    /// The date, as far as it is known.
    pub date: PartialDate,
}

/// A place at a company: the company by id, or by a name that is found or made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AffiliationInput {
    /// The company.
    pub company: Option<Uuid>,
    /// Or its name.
    pub company_name: Option<String>,
    /// What they do there.
    pub title: Option<String>,
    /// Where in the company.
    pub department: Option<String>,
    /// Since when.
    pub from: Option<PartialDate>,
    /// Until when; none while it lasts.
    pub to: Option<PartialDate>,
}

/// How many of each kind a contact may have.
const MOST: usize = 100;

/// Gathers everything that is wrong.
#[derive(Default)]
pub(crate) struct Checks(Vec<UserError>);

impl Checks {
    pub(crate) fn fail(&mut self, field: &str, code: Code, message: &'static str) {
        self.0.push(UserError::at(field, code, message));
    }

    /// Trims a text; empty is none. Control characters are refused, but line breaks where `lines`.
    pub(crate) fn text(
        &mut self,
        field: &str,
        text: Option<&str>,
        most: usize,
        lines: bool,
    ) -> Option<String> {
        let text = text.map(str::trim).filter(|text| !text.is_empty())?;
        if text.chars().count() > most {
            self.fail(field, Code::TooLong, "This text is too long.");
            return None;
        }
        if text
            .chars()
            .any(|c| c.is_control() && !(lines && matches!(c, '\n' | '\r' | '\t')))
        {
            self.fail(field, Code::Invalid, "Control characters are not allowed here.");
            return None;
        }
        Some(text.to_owned())
    }

    pub(crate) fn change(&mut self, field: &str, change: &mut Change<String>, most: usize) {
        if let Change::To(text) = change {
            *text = self.text(field, text.as_deref(), most, false);
        }
    }

    fn count<T>(&mut self, field: &str, list: Option<&Vec<T>>) {
        if list.is_some_and(|list| list.len() > MOST) {
            self.fail(field, Code::TooMany, "At most 100 of these.");
        }
    }

    pub(crate) fn done(self) -> Result<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Error::Invalid(self.0))
        }
    }
}

/// Sound values of a contact's lists.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) emails: Option<Vec<(Option<String>, EmailAddress)>>,
    pub(crate) phones: Option<Vec<(Option<String>, PhoneNumber)>>,
    pub(crate) links: Option<Vec<Labelled>>,
}

impl ContactInput {
    /// Trims and checks everything.
    pub(crate) fn check(&mut self, phone_region: Option<&str>) -> Result<Checked> {
        let mut checks = Checks(std::mem::take(&mut self.unread));
        for (field, change, most) in [
            ("namePrefix", &mut self.name_prefix, 200),
            ("givenName", &mut self.given_name, 200),
            ("additionalName", &mut self.additional_name, 200),
            ("familyName", &mut self.family_name, 200),
            ("nameSuffix", &mut self.name_suffix, 200),
            ("nickname", &mut self.nickname, 200),
            ("phoneticGivenName", &mut self.phonetic_given_name, 200),
            ("phoneticFamilyName", &mut self.phonetic_family_name, 200),
            ("fileAs", &mut self.file_as, 500),
        ] {
            checks.change(field, change, most);
        }
        checks.count("emails", self.emails.as_ref());
        checks.count("phones", self.phones.as_ref());
        checks.count("addresses", self.addresses.as_ref());
        checks.count("links", self.links.as_ref());
        checks.count("dates", self.dates.as_ref());
        checks.count("affiliations", self.affiliations.as_ref());
        checks.count("tagIds", self.tags.as_ref());
        let emails = self.emails.as_ref().map(|list| check_emails(&mut checks, list));
        let phones = self
            .phones
            .as_ref()
            .map(|list| check_phones(&mut checks, list, phone_region));
        let links = self.links.as_ref().map(|list| check_links(&mut checks, list));
        for (i, address) in self.addresses.iter_mut().flatten().enumerate() {
            check_address(&mut checks, i, address);
        }
        for (i, date) in self.dates.iter_mut().flatten().enumerate() {
            date.label = checks.text(&format!("dates.{i}.label"), date.label.as_deref(), 500, false);
        }
        for (i, place) in self.affiliations.iter_mut().flatten().enumerate() {
            check_affiliation(&mut checks, i, place);
        }
        checks.done()?;
        Ok(Checked {
            emails,
            phones,
            links,
        })
    }
}

fn check_emails(checks: &mut Checks, list: &[Labelled]) -> Vec<(Option<String>, EmailAddress)> {
    let mut out: Vec<(Option<String>, EmailAddress)> = Vec::new();
    for (i, email) in list.iter().enumerate() {
        let label = checks.text(&format!("emails.{i}.label"), email.label.as_deref(), 500, false);
        let field = format!("emails.{i}.address");
        match EmailAddress::parse(&email.value) {
            Some(address) if out.iter().any(|(_, other)| *other == address) => {
                checks.fail(&field, Code::Taken, "This address is there twice.");
            }
            Some(address) => out.push((label, address)),
            None => checks.fail(&field, Code::Invalid, "This is no e-mail address."),
        }
    }
    out
}

fn check_phones(
    checks: &mut Checks,
    list: &[Labelled],
    region: Option<&str>,
) -> Vec<(Option<String>, PhoneNumber)> {
    let mut out = Vec::new();
    for (i, phone) in list.iter().enumerate() {
        let label = checks.text(&format!("phones.{i}.label"), phone.label.as_deref(), 500, false);
        let field = format!("phones.{i}.number");
        match checks.text(&field, Some(&phone.value), 500, false) {
            Some(raw) => out.push((label, PhoneNumber::parse(&raw, region))),
            None if phone.value.trim().is_empty() => {
                checks.fail(&field, Code::Required, "A number is needed.")
            }
            None => {}
        }
    }
    out
}

fn check_links(checks: &mut Checks, list: &[Labelled]) -> Vec<Labelled> {
    let mut out = Vec::new();
    for (i, link) in list.iter().enumerate() {
        let label = checks.text(&format!("links.{i}.label"), link.label.as_deref(), 500, false);
        let parsed = url::Url::parse(link.value.trim()).ok();
        match parsed.filter(|url| matches!(url.scheme(), "http" | "https") && url.as_str().len() <= 2000) {
            Some(url) => out.push(Labelled {
                label,
                value: url.into(),
            }),
            None => checks.fail(
                &format!("links.{i}.url"),
                Code::Invalid,
                "This is no http or https URL.",
            ),
        }
    }
    out
}

fn check_address(checks: &mut Checks, i: usize, address: &mut AddressInput) {
    let mut empty = true;
    for (name, part, most) in [
        ("formatted", &mut address.formatted, 2000),
        ("street", &mut address.street, 500),
        ("extended", &mut address.extended, 500),
        ("city", &mut address.city, 500),
        ("poBox", &mut address.po_box, 500),
        ("region", &mut address.region, 500),
        ("postalCode", &mut address.postal_code, 500),
        ("country", &mut address.country, 500),
    ] {
        empty &= part.as_deref().is_none_or(|part| part.trim().is_empty());
        *part = checks.text(&format!("addresses.{i}.{name}"), part.as_deref(), most, true);
    }
    address.label = checks.text(
        &format!("addresses.{i}.label"),
        address.label.as_deref(),
        500,
        false,
    );
    if empty {
        checks.fail(
            &format!("addresses.{i}"),
            Code::Required,
            "This address says nothing.",
        );
    }
}

fn check_affiliation(checks: &mut Checks, i: usize, place: &mut AffiliationInput) {
    let empty = place.company.is_none()
        && [&place.company_name, &place.title, &place.department]
            .into_iter()
            .flatten()
            .all(|t| t.trim().is_empty());
    place.company_name = checks.text(
        &format!("affiliations.{i}.companyName"),
        place.company_name.as_deref(),
        500,
        false,
    );
    place.title = checks.text(
        &format!("affiliations.{i}.title"),
        place.title.as_deref(),
        500,
        false,
    );
    place.department = checks.text(
        &format!("affiliations.{i}.department"),
        place.department.as_deref(),
        500,
        false,
    );
    for (name, date) in [("from", place.from), ("to", place.to)] {
        if date.is_some_and(|date| date.year().is_none()) {
            checks.fail(
                &format!("affiliations.{i}.{name}"),
                Code::Invalid,
                "The year is needed here.",
            );
        }
    }
    if place.company.is_some() && place.company_name.is_some() {
        checks.fail(
            &format!("affiliations.{i}.companyName"),
            Code::Invalid,
            "Give the company's id or its name.",
        );
    }
    if empty {
        checks.fail(
            &format!("affiliations.{i}"),
            Code::Required,
            "A company, title or department is needed.",
        );
    }
}
