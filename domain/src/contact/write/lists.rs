//! A contact's lists: written whole, and changed by what differs, so that a row that stays keeps its id
//! and the journal holds only what changed.

use entity::{Owned, affiliation, contact_address, contact_date, contact_email, contact_link, contact_phone};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};
use uuid::Uuid;

use super::super::input::{AffiliationInput, Checked, ContactInput};
use crate::company;
use crate::db::Tx;
use crate::error::{Code, Error, Result, UserError};
use crate::partial_date::PartialDate;

/// A row of a list: its id and place are its own, the rest is what it says.
trait Item: Clone + PartialEq {
    fn id(&self) -> Uuid;
    fn place(&mut self) -> (&mut Uuid, &mut i32);

    fn says_the_same(&self, other: &Self) -> bool {
        let (mut a, mut b) = (self.clone(), other.clone());
        for item in [&mut a, &mut b] {
            let (id, position) = item.place();
            (*id, *position) = (Uuid::nil(), 0);
        }
        a == b
    }
}

macro_rules! lists {
    ($($module:ident $replace:ident $insert:ident $table:literal;)*) => {
        $(
            impl Item for $module::Model {
                fn id(&self) -> Uuid {
                    self.id
                }
                fn place(&mut self) -> (&mut Uuid, &mut i32) {
                    (&mut self.id, &mut self.position)
                }
            }

            async fn $insert(tx: &Tx, rows: Vec<$module::Model>) -> Result<()> {
                if rows.is_empty() {
                    return Ok(());
                }
                let rows = rows.into_iter().map(IntoActiveModel::into_active_model);
                $module::Entity::insert_many(rows).exec_without_returning(tx).await?;
                Ok(())
            }

            async fn $replace(tx: &Tx, contact: Uuid, wanted: Vec<$module::Model>) -> Result<()> {
                let select = $module::Entity::visible_to(tx.owner()?).filter($module::Column::ContactId.eq(contact));
                let Plan { gone, moved, new } = plan(select.all(tx).await?, wanted);
                if !gone.is_empty() {
                    tx.run(concat!("DELETE FROM ", $table, " WHERE id = ANY ($1)"), [gone.into()]).await?;
                }
                if !moved.is_empty() {
                    let (ids, positions): (Vec<Uuid>, Vec<i32>) = moved.into_iter().unzip();
                    tx.run(
                        concat!("UPDATE ", $table, " c SET position = m.position FROM \
                            unnest($1::uuid[], $2::integer[]) m (id, position) WHERE c.id = m.id"),
                        [ids.into(), positions.into()],
                    )
                    .await?;
                }
                $insert(tx, new).await
            }
        )*
    };
}

lists! {
    contact_email replace_emails insert_emails "contact_email";
    contact_phone replace_phones insert_phones "contact_phone";
    contact_address replace_addresses insert_addresses "contact_address";
    contact_link replace_links insert_links "contact_link";
    contact_date replace_dates insert_dates "contact_date";
    affiliation replace_affiliations insert_affiliations "affiliation";
}

struct Plan<T> {
    gone: Vec<Uuid>,
    moved: Vec<(Uuid, i32)>,
    new: Vec<T>,
}

/// What to do so that `present` becomes `wanted`.
fn plan<T: Item>(mut present: Vec<T>, wanted: Vec<T>) -> Plan<T> {
    let mut plan = Plan {
        gone: Vec::new(),
        moved: Vec::new(),
        new: Vec::new(),
    };
    for mut item in wanted {
        let position = *item.place().1;
        match present.iter().position(|old| old.says_the_same(&item)) {
            Some(index) => {
                let mut old = present.swap_remove(index);
                if *old.place().1 != position {
                    plan.moved.push((old.id(), position));
                }
            }
            None => plan.new.push(item),
        }
    }
    plan.gone = present.iter().map(Item::id).collect();
    plan
}

/// Numbers the rows of a list.
fn rows<I, T>(
    tx: &Tx,
    contact: Uuid,
    list: impl IntoIterator<Item = I>,
    row: impl Fn(Head, I) -> T,
) -> Result<Vec<T>> {
    let owner_id = tx.owner()?;
    let numbered = (0..).zip(list);
    Ok(numbered
        .map(|(position, item)| {
            row(
                Head {
                    owner_id,
                    id: tx.new_id(),
                    contact_id: contact,
                    position,
                },
                item,
            )
        })
        .collect())
}

struct Head {
    owner_id: Uuid,
    id: Uuid,
    contact_id: Uuid,
    position: i32,
}

macro_rules! row {
    ($module:ident, $head:ident, { $($field:ident: $value:expr),* $(,)? }) => {
        $module::Model { owner_id: $head.owner_id, id: $head.id, contact_id: $head.contact_id, position: $head.position, $($field: $value),* }
    };
}

struct Lists {
    emails: Option<Vec<contact_email::Model>>,
    phones: Option<Vec<contact_phone::Model>>,
    addresses: Option<Vec<contact_address::Model>>,
    links: Option<Vec<contact_link::Model>>,
    dates: Option<Vec<contact_date::Model>>,
}

fn lists(tx: &Tx, contact: Uuid, input: &ContactInput, checked: Checked) -> Result<Lists> {
    let emails = checked.emails.map(|list| {
        rows(tx, contact, list, |head, (label, email)| {
            row!(contact_email, head, { label: label, address: email.as_str().to_owned(), canonical: email.canonical().to_owned() })
        })
    });
    let phones = checked.phones.map(|list| {
        rows(tx, contact, list, |head, (label, phone)| {
            row!(contact_phone, head, { label: label, raw: phone.raw().to_owned(), e164: phone.e164().map(str::to_owned) })
        })
    });
    let links = checked.links.map(|list| {
        rows(
            tx,
            contact,
            list,
            |head, link| row!(contact_link, head, { label: link.label, url: link.value }),
        )
    });
    let addresses = input.addresses.clone().map(|list| {
        rows(tx, contact, list, |head, a| {
            row!(contact_address, head, {
                label: a.label, formatted: a.formatted, street: a.street, extended: a.extended, city: a.city,
                po_box: a.po_box, region: a.region, postal_code: a.postal_code, country: a.country,
            })
        })
    });
    let dates = input.dates.clone().map(|list| {
        rows(tx, contact, list, |head, date| {
            let (year, month, day) = columns(Some(date.date));
            row!(contact_date, head, {
                kind: date.kind.as_str().to_owned(), label: date.label, year: year, month: month, day: day,
            })
        })
    });
    Ok(Lists {
        emails: emails.transpose()?,
        phones: phones.transpose()?,
        addresses: addresses.transpose()?,
        links: links.transpose()?,
        dates: dates.transpose()?,
    })
}

/// A partial date as its three columns.
fn columns(date: Option<PartialDate>) -> (Option<i16>, Option<i16>, Option<i16>) {
    match date {
        Some(date) => (
            date.year(),
            date.month().map(i16::from),
            date.day().map(i16::from),
        ),
        None => (None, None, None),
    }
}

/// The rows of places at companies, each with its company's name; companies are found or made.
pub(super) async fn places(
    tx: &Tx,
    contact: Uuid,
    list: Vec<AffiliationInput>,
) -> Result<Vec<(affiliation::Model, Option<String>)>> {
    let ids: Vec<Uuid> = list.iter().filter_map(|place| place.company).collect();
    let known = company::get_many(tx, &ids).await?;
    let names: Vec<&str> = list
        .iter()
        .filter_map(|place| place.company_name.as_deref())
        .collect();
    let named = company::find_or_create(tx, &names).await?;
    let mut named = named.into_iter();
    let mut out = Vec::new();
    for (i, (head, place)) in rows(tx, contact, list, |head, place| (head, place))?
        .into_iter()
        .enumerate()
    {
        let company = match (place.company, &place.company_name) {
            (Some(id), _) => Some(
                known
                    .iter()
                    .find(|company| company.id == id)
                    .cloned()
                    .ok_or_else(|| {
                        let field = format!("affiliations.{i}.companyId");
                        Error::Invalid(vec![UserError::at(
                            &field,
                            Code::NotFound,
                            "There is no such company.",
                        )])
                    })?,
            ),
            (None, Some(_)) => named.next(),
            (None, None) => None,
        };
        let (from_year, from_month, from_day) = columns(place.from);
        let (to_year, to_month, to_day) = columns(place.to);
        let row = row!(affiliation, head, {
            company_id: company.as_ref().map(|company| company.id), title: place.title, department: place.department,
            from_year: from_year, from_month: from_month, from_day: from_day,
            to_year: to_year, to_month: to_month, to_day: to_day,
        });
        out.push((row, company.map(|company| company.name)));
    }
    Ok(out)
}

/// What a new contact without a name is called by.
pub(super) fn fallback(places: &[(affiliation::Model, Option<String>)], checked: &Checked) -> Vec<String> {
    places
        .iter()
        .filter_map(|(_, company)| company.clone())
        .chain(checked.first_values())
        .collect()
}

/// What a contact without a name is called by, from what it has.
pub(super) async fn current_fallback(tx: &Tx, contact: Uuid) -> Result<Vec<String>> {
    let rows = tx
        .query(
            "SELECT name FROM ( \
               SELECT 1 AS kind, a.position, c.name FROM affiliation a \
                 JOIN company c ON c.owner_id = a.owner_id AND c.id = a.company_id WHERE a.contact_id = $1 \
               UNION ALL SELECT 2, position, address FROM contact_email WHERE contact_id = $1 \
               UNION ALL SELECT 3, position, raw FROM contact_phone WHERE contact_id = $1 \
             ) names ORDER BY kind, position",
            [contact.into()],
        )
        .await?;
    rows.iter().map(|row| Ok(row.try_get("", "name")?)).collect()
}

/// Writes a new contact's lists.
pub(super) async fn insert(
    tx: &Tx,
    contact: Uuid,
    input: &ContactInput,
    checked: Checked,
    places: Vec<affiliation::Model>,
) -> Result<()> {
    let lists = lists(tx, contact, input, checked)?;
    insert_emails(tx, lists.emails.unwrap_or_default()).await?;
    insert_phones(tx, lists.phones.unwrap_or_default()).await?;
    insert_addresses(tx, lists.addresses.unwrap_or_default()).await?;
    insert_links(tx, lists.links.unwrap_or_default()).await?;
    insert_dates(tx, lists.dates.unwrap_or_default()).await?;
    insert_affiliations(tx, places).await
}

/// Replaces those of a contact's lists that the input gives.
pub(super) async fn replace(
    tx: &Tx,
    contact: Uuid,
    input: &mut ContactInput,
    checked: Checked,
) -> Result<()> {
    if let Some(list) = input.affiliations.take() {
        let places = places(tx, contact, list)
            .await?
            .into_iter()
            .map(|(place, _)| place)
            .collect();
        replace_affiliations(tx, contact, places).await?;
    }
    let lists = lists(tx, contact, input, checked)?;
    if let Some(rows) = lists.emails {
        replace_emails(tx, contact, rows).await?;
    }
    if let Some(rows) = lists.phones {
        replace_phones(tx, contact, rows).await?;
    }
    if let Some(rows) = lists.addresses {
        replace_addresses(tx, contact, rows).await?;
    }
    if let Some(rows) = lists.links {
        replace_links(tx, contact, rows).await?;
    }
    if let Some(rows) = lists.dates {
        replace_dates(tx, contact, rows).await?;
    }
    Ok(())
}
